"""The shared perfusion colour table as a scene node, and its legends."""

from __future__ import annotations

from typing import Any

from CardiacFusionLib.report.colours import NO_DATA_RGB, TABLE_NAME, VESSEL_RGB, Scale, perfusion_table

# Slicer's legend fits its text into the box: a label's height is the box's height by the number of labels, whatever
# font size is asked for. Thirteen labels in a third of the view's height give text of readable, not huge size.
_LEGEND_LABELS = 13
_LEGEND_PLACE = ((0.985, 0.5), (0.11, 0.33))  # position and size as shares of the view


def add_perfusion_table(scene: Any) -> Any:
    """The one colour table that every perfusion map, model and the bullseye of a case share."""
    table = perfusion_table()
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", TABLE_NAME)
    node.SetTypeToUser()
    node.SetNumberOfColors(len(table))
    for index, (red, green, blue) in enumerate(table):
        node.SetColor(index, f"{index}", float(red), float(green), float(blue), 1.0)
    node.GetLookupTable().SetNanColor(*NO_DATA_RGB, 1.0)
    node.SetAttribute("Category", "CardiacFusion")
    return node


def add_vessel_table(scene: Any) -> Any:
    """Colours of the territories: 0 none, 1 LAD, 2 LCx, 3 RCA."""
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "CardiacFusion territories")
    node.SetTypeToUser()
    node.SetNumberOfColors(4)
    for index, (name, rgb) in enumerate((("none", NO_DATA_RGB), *VESSEL_RGB.items())):
        node.SetColor(index, name, *rgb, 1.0)
    return node


def remove_legend(node: Any) -> None:
    """Take a node's colour legend away, if it has one."""
    import slicer

    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if legend is not None:
        node.GetScene().RemoveNode(legend)


def add_legend(node: Any, scale: Scale) -> Any:
    """A colour legend with unit beside the views that show ``node``, in place of one it had.

    A view shows a legend only if it was added after the view and has been modified since.
    """
    import slicer

    remove_legend(node)
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(scale.short_legend)
    legend.SetLabelFormat("%.2f")
    legend.SetNumberOfLabels(_LEGEND_LABELS)
    legend.SetMaxNumberOfColors(256)
    legend.SetPosition(*_LEGEND_PLACE[0])
    legend.SetSize(*_LEGEND_PLACE[1])
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetColor(1.0, 1.0, 1.0)
        text.SetItalic(False)
        text.SetBold(False)
    legend.SetVisibility(True)
    legend.Modified()
    return legend
