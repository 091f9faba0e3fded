"""The shared perfusion colour table as a scene node, and its legends."""

from __future__ import annotations

from typing import Any

from CardiacFusionLib.report.colours import NO_DATA_RGB, TABLE_NAME, VESSEL_RGB, Scale, perfusion_table


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


def add_legend(node: Any, scale: Scale) -> Any:
    """A colour legend with unit beside the views that show ``node``."""
    import slicer

    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(scale.legend)
    legend.SetLabelFormat("%.1f")
    legend.SetNumberOfLabels(7)
    legend.SetMaxNumberOfColors(256)
    legend.SetPosition(0.97, 0.5)
    legend.SetSize(0.12, 0.5)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
        text.SetColor(1.0, 1.0, 1.0)
        text.SetItalic(False)
        text.SetBold(False)
    return legend
