"""The layouts of a case and the views in them, all in the heart frame.

The three slice views are Slicer's own (Red, Green, Yellow), so that an opened scene looks right in any layout; the
bullseye and the curves have views of their own. A view's node is found by its layout name, which is its singleton tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.borders import RADIAL, RINGS
from CardiacFusionLib.mrml.bullseye import BULLSEYE_VIEW, CENTRE_HEART_MM, RADIUS_MM
from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.frames import points_ras

FIELD_MM = 140.0
MAP_OPACITY = 0.9
FROM_ABOVE = 0.16  # the 3D view looks down by a sixth
NEAR_AXIS_MM = 8.0
MAIN_3D, CURVES_VIEW, DIAMETER_VIEW = "1", "CardiacFusionCurves", "CardiacFusionDiameter"
LAYOUT_IDS = {"review": 4417, "planes": 4418, "bullseye": 4419}


@dataclass(frozen=True)
class Plane:
    """One slice view: its layout name, Slicer's preset, label, colour, and what the reader calls it."""

    layout: str
    preset: str
    label: str
    colour: str
    title: str

    @property
    def node_id(self) -> str:
        """The id of the view's node in any scene: that of a singleton."""
        return f"vtkMRMLSliceNode{self.layout}"


SHORT_AXIS = Plane("Red", "Axial", "SA", "#F34A33", "Short axis")
HORIZONTAL = Plane("Green", "Coronal", "HLA", "#6EB04B", "Horizontal long axis")
VERTICAL = Plane("Yellow", "Sagittal", "VLA", "#EDD54C", "Vertical long axis")
PLANES = (SHORT_AXIS, HORIZONTAL, VERTICAL)
# the views in which the borders of each kind are drawn
BORDER_VIEWS = {RADIAL: (SHORT_AXIS.node_id,), RINGS: (HORIZONTAL.node_id, VERTICAL.node_id)}


def _slice_xml(plane: Plane) -> str:
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{plane.layout}">'
        f'<property name="orientation" action="default">{plane.preset}</property>'
        f'<property name="viewlabel" action="default">{plane.label}</property>'
        f'<property name="viewcolor" action="default">{plane.colour}</property></view></item>'
    )


def _three_d_xml(tag: str, label: str) -> str:
    return (
        f'<item><view class="vtkMRMLViewNode" singletontag="{tag}">'
        f'<property name="viewlabel" action="default">{label}</property></view></item>'
    )


def _plot_xml(tag: str, label: str) -> str:
    return (
        f'<item name="{label}"><view class="vtkMRMLPlotViewNode" singletontag="{tag}">'
        f'<property name="viewlabel" action="default">{label}</property></view></item>'
    )


def layout_xml(kind: str) -> str:
    """Slicer's description of a layout: "review" (all views), "planes" (three slices), "bullseye" (3D and bullseye)."""
    slices = "".join(_slice_xml(p) for p in PLANES)
    bodies = _three_d_xml(MAIN_3D, "3D") + _three_d_xml(BULLSEYE_VIEW, "B")
    if kind == "planes":
        return f'<layout type="horizontal" split="true">{slices}</layout>'
    if kind == "bullseye":
        return f'<layout type="horizontal" split="true">{bodies}</layout>'
    if kind != "review":
        raise KeyError(kind)
    plots = _plot_xml(CURVES_VIEW, "First pass") + _plot_xml(DIAMETER_VIEW, "Diameter")
    curves = f'<item><layout type="tab">{plots}</layout></item>'
    return (
        '<layout type="vertical" split="true">'
        f'<item><layout type="horizontal" split="true">{slices}</layout></item>'
        f'<item><layout type="horizontal" split="true">{bodies}{curves}</layout></item></layout>'
    )


def register_layout(layout_node: Any) -> dict[str, int]:
    """Make the layouts known to a ``vtkMRMLLayoutNode``; name -> layout id. May be called again."""
    for kind, number in LAYOUT_IDS.items():
        if layout_node.IsLayoutDescription(number):
            layout_node.SetLayoutDescription(number, layout_xml(kind))
        else:
            layout_node.AddLayoutDescription(number, layout_xml(kind))
    return dict(LAYOUT_IDS)


def view_node(scene: Any, class_name: str, layout: str) -> Any:
    """The node of a class that serves a layout's view, added where there is none.

    Slicer takes these nodes over when it shows the layout, since they carry its own singleton tags.
    """
    found = scene.GetSingletonNode(layout, class_name)
    if found is not None:
        return found
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetSingletonTag(layout)
    if hasattr(node, "SetLayoutName"):
        node.SetLayoutName(layout)
    node.SetName(layout)
    return scene.AddNode(node)


def arrange(scene: Any, nodes: CaseNodes) -> None:
    """Point every view at a case: made where missing (headless), changed where they exist."""
    centre = heart_centre(nodes)
    for plane in PLANES:
        view = view_node(scene, "vtkMRMLSliceNode", plane.layout)
        view.SetLayoutLabel(plane.label)
        upright(view, plane.preset, centre)
        columns, rows, _ = view.GetDimensions()
        wide = FIELD_MM * max(columns / rows, 1.0) if rows else FIELD_MM
        view.SetFieldOfView(wide, wide * rows / columns if columns else FIELD_MM, 1.0)
        view.UpdateMatrices()
        composite = view_node(scene, "vtkMRMLSliceCompositeNode", plane.layout)
        composite.SetBackgroundVolumeID(nodes.ct.GetID())
        composite.SetForegroundVolumeID(nodes.wall_map_of(nodes.shown).GetID())
        composite.SetForegroundOpacity(float(nodes.shelf.fact("opacity", MAP_OPACITY)))
        composite.SetLabelVolumeID(None)
        composite.SetLinkedControl(True)
    aim_bodies(scene, nodes, centre)
    for layout, chart in ((CURVES_VIEW, "chart.perfusion"), (DIAMETER_VIEW, "chart.diameter")):
        view = view_node(scene, "vtkMRMLPlotViewNode", layout)
        node = nodes.shelf.get(chart)
        view.SetPlotChartNodeID(node.GetID() if node is not None else None)
    crosshair = view_node(scene, "vtkMRMLCrosshairNode", "default")
    crosshair.SetCrosshairMode(crosshair.ShowBasic)
    crosshair.SetCrosshairThickness(crosshair.Fine)


def heart_centre(nodes: CaseNodes) -> NDArray[np.float64]:
    """Where the views are centred (heart frame mm): the middle of the LV cavity at mid height."""
    x, y = nodes.shelf.fact("centre_mm", [0.0, 0.0])
    return np.array([float(x), float(y), 0.0])


def upright(view: Any, preset: str, centre_heart_mm: NDArray[np.float64]) -> None:
    """A slice view upright in the heart frame, its middle at a point."""
    view.SetOrientation(preset)
    matrix = view.GetSliceToRAS()
    for axis, value in enumerate(points_ras(centre_heart_mm)):
        matrix.SetElement(axis, 3, float(value))
    view.UpdateMatrices()


def camera_of(scene: Any, layout: str) -> Any:
    """The camera node of a 3D view, added where there is none yet."""
    return view_node(scene, "vtkMRMLCameraNode", layout)


def aim(
    camera: Any,
    focus_heart_mm: NDArray[np.float64],
    from_heart: tuple[float, float, float],
    up_heart: tuple[float, float, float],
    height_mm: float,
) -> None:
    """An orthographic camera node looking at ``focus`` from a direction; the view shows ``height_mm``."""
    direction = points_ras(np.array(from_heart, dtype=float))
    focus = points_ras(np.asarray(focus_heart_mm, dtype=float))
    was = camera.StartModify()
    camera.SetFocalPoint(*focus.tolist())
    camera.SetPosition(*(focus + 400.0 * direction / np.linalg.norm(direction)).tolist())
    camera.SetViewUp(*points_ras(np.array(up_heart, dtype=float)).tolist())
    camera.SetParallelProjection(True)
    camera.SetParallelScale(height_mm / 2)
    camera.EndModify(was)
    camera.ResetClippingRange()


def face(scene: Any, nodes: CaseNodes, place_heart_mm: NDArray[np.float64]) -> None:
    """Turn the 3D view, where there is one, so that it looks at a place from outside the heart; what it is centred on
    and how close it is stay. A place near the long axis is seen from everywhere."""
    camera = scene.GetSingletonNode(MAIN_3D, "vtkMRMLCameraNode")
    out = np.asarray(place_heart_mm, float)[:2] - heart_centre(nodes)[:2]
    if camera is None or np.linalg.norm(out) < NEAR_AXIS_MM:
        return
    direction = np.array([*(out / np.linalg.norm(out)), FROM_ABOVE])
    focus = np.array(camera.GetFocalPoint())
    away = np.linalg.norm(np.array(camera.GetPosition()) - focus)
    was = camera.StartModify()
    camera.SetPosition(*(focus + away * points_ras(direction) / np.linalg.norm(direction)).tolist())
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.EndModify(was)
    camera.ResetClippingRange()


def aim_bodies(scene: Any, nodes: CaseNodes, centre: NDArray[np.float64]) -> None:
    """The 3D view from the front, a little from the left (LAD and anterior wall face the viewer), and the bullseye."""
    for layout, label in ((MAIN_3D, "3D"), (BULLSEYE_VIEW, "B")):
        view = view_node(scene, "vtkMRMLViewNode", layout)
        view.SetLayoutLabel(label)
        view.SetRenderMode(view.Orthographic)
        view.SetBoxVisible(False)
        view.SetAxisLabelsVisible(False)
        view.SetBackgroundColor(0.07, 0.08, 0.10)
        view.SetBackgroundColor2(0.16, 0.18, 0.22)
    low, high = nodes.shelf.fact("span_mm", [-45.0, 45.0])
    focus = centre + np.array([-8.0, 0.0, (low + high) / 2 + 6.0])
    aim(camera_of(scene, MAIN_3D), focus, (-0.25, -1.0, FROM_ABOVE), (0.0, 0.0, 1.0), 1.7 * (high - low))
    aim(camera_of(scene, BULLSEYE_VIEW), CENTRE_HEART_MM, (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), 2.75 * RADIUS_MM)
