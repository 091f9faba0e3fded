"""The five pictures of a case, drawn offscreen through Slicer's display managers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from CardiacFusionLib.mrml import bullseye
from CardiacFusionLib.mrml.annotations import directions, notices, plane_mark, scale_bar
from CardiacFusionLib.mrml.app import SceneApp
from CardiacFusionLib.mrml.colours import add_legend, remove_legend
from CardiacFusionLib.mrml.outputs import VIEW_NAMES
from CardiacFusionLib.mrml.scene import CaseNodes
from CardiacFusionLib.mrml.view_windows import SliceView, ThreeDView
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import PolarMap, polar_map
from CardiacFusionLib.spatial.labels import Label

_FIELD_MM = 140.0
_MAP_OPACITY = 0.9
_LV_SEGMENTS = (Label.MYOCARDIUM.name.lower(), Label.LV_CAVITY.name.lower())


def middle_slice(content: CaseContent, nodes: CaseNodes) -> int | None:
    """The measured slice nearest the middle of the LV, or None where no slice holds values."""
    if not nodes.slice_maps:
        return None
    heights = content.registration.pairing.z_mm
    return min(nodes.slice_maps, key=lambda index: abs(float(heights[index])))


def render_views(content: CaseContent, app: SceneApp, nodes: CaseNodes, folder: Path) -> list[Path]:
    """Draw every view of ``VIEW_NAMES`` as ``folder/NAME.png``; the paths in that order.

    Raises StageError where the driver draws nothing. Without a usable OpenGL library VTK may end the process: callers
    that must go on use ``write_scene_and_views``, which draws in a child process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    polar = polar_map(content)
    drawers: dict[str, Callable[[CaseContent, SceneApp, CaseNodes, PolarMap, Path], None]] = {
        "short_axis": _short_axis,
        "long_axis_vertical": _long_axis_vertical,
        "long_axis_horizontal": _long_axis_horizontal,
        "surface_3d": _surface,
        "bullseye": _bullseye,
    }
    paths = []
    for name in VIEW_NAMES:
        path = folder / f"{name}.png"
        drawers[name](content, app, nodes, polar, path)
        paths.append(path)
    add_legend(nodes.wall_map, nodes.scale)
    return paths


def _only(app: SceneApp, shown: list[Any], managed: list[Any]) -> None:
    """Show these of the managed nodes and hide the others."""
    for node in managed:
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility(any(node is other for other in shown))


def _slice(
    content: CaseContent,
    app: SceneApp,
    nodes: CaseNodes,
    path: Path,
    orientation: str,
    shown_map: Any,
    centre: tuple[float, float, float],
    title: str,
    sides: tuple[str, str, str, str],
    marks: Callable[[SliceView], None] | None = None,
) -> None:
    """One slice view with CT, map, wall outlines, vessel cuts and everything a reader needs to find his way."""
    _only(app, [nodes.walls, *nodes.stenoses, *nodes.tubes], _all_displayed(nodes))
    nodes.walls.GetDisplayNode().SetVisibility2D(True)
    view = SliceView(app, path.stem, orientation)
    try:
        view.show(nodes.ct, shown_map, _MAP_OPACITY)
        view.look_at(centre, _FIELD_MM)
        add_legend(shown_map, nodes.scale)
        if marks is not None:
            marks(view)
        directions(view, *sides)
        notices(view, title, content.synthetic)
        scale_bar(view)
        view.save(path)
    finally:
        remove_legend(shown_map)
        view.close()


def _all_displayed(nodes: CaseNodes) -> list[Any]:
    """Every node whose display the views switch."""
    return [nodes.walls, nodes.landmarks, *nodes.stenoses, *nodes.surface, *nodes.tubes, *nodes.curves, *nodes.bullseye]


def _short_axis(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    index = middle_slice(content, nodes)
    z = float(content.registration.pairing.z_mm[index]) if index is not None else 0.0
    shown = nodes.slice_maps[index] if index is not None else nodes.wall_map
    title = f"Short axis, mid LV – stress {nodes.scale.title.lower()}"
    centre = (polar.centre_mm[0], polar.centre_mm[1], z)
    _slice(content, app, nodes, path, "Axial", shown, centre, title, ("Septal", "Lateral", "Anterior", "Inferior"))


def _heights(content: CaseContent, nodes: CaseNodes, axis: int) -> Callable[[SliceView], None]:
    """Marks of the measured short-axis slices on a long axis."""

    def draw(view: SliceView) -> None:
        for index in sorted(nodes.slice_maps):
            z = float(content.registration.pairing.z_mm[index])
            start, end = [0.0, 0.0, z], [0.0, 0.0, z]
            start[axis], end[axis] = -44.0, 44.0
            plane_mark(view, (start[0], start[1], z), (end[0], end[1], z), f"{index + 1}")

    return draw


def _long_axis_vertical(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    centre = (polar.centre_mm[0], polar.centre_mm[1], 0.0)
    _slice(
        content, app, nodes, path, "Sagittal", nodes.wall_map, centre,
        f"Vertical long axis – stress {nodes.scale.title.lower()}", ("Anterior", "Inferior", "Base", "Apex"),
        _heights(content, nodes, 1),
    )  # fmt: skip


def _long_axis_horizontal(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    centre = (polar.centre_mm[0], polar.centre_mm[1], 0.0)
    _slice(
        content, app, nodes, path, "Coronal", nodes.wall_map, centre,
        f"Horizontal long axis – stress {nodes.scale.title.lower()}", ("Septal", "Lateral", "Base", "Apex"),
        _heights(content, nodes, 0),
    )  # fmt: skip


def _three_d(
    content: CaseContent,
    app: SceneApp,
    nodes: CaseNodes,
    path: Path,
    shown: list[Any],
    legend_on: Any,
    title: str,
    note: str,
    camera: tuple[np.ndarray, tuple[float, float, float], tuple[float, float, float], float],
    sides: tuple[str, str, str, str] | None,
) -> None:
    """One 3D view."""
    _only(app, shown, _all_displayed(nodes))
    view = ThreeDView(app, path.stem)
    try:
        add_legend(legend_on, nodes.scale)
        if sides is not None:
            directions(view, *sides)
        notices(view, title, content.synthetic, note)
        view.camera(*camera)
        view.save(path)
    finally:
        remove_legend(legend_on)
        view.close()


def _surface(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    """From the front and a little from the left: the LAD and the anterior wall face the viewer."""
    shown = [*nodes.surface, *nodes.tubes, *nodes.stenoses, nodes.walls]
    middle = (polar.base_z_mm + polar.apex_z_mm) / 2
    camera = (
        np.array([polar.centre_mm[0] - 8.0, polar.centre_mm[1], middle + 6.0]),
        (-0.25, -1.0, 0.16),
        (0.0, 0.0, 1.0),
        1.7 * (polar.base_z_mm - polar.apex_z_mm),
    )
    _context(nodes)
    _three_d(
        content, app, nodes, path, shown, nodes.surface[0], f"Coronaries on stress {nodes.scale.title.lower()}",
        "Grey: no perfusion slice near", camera, ("Septal", "Lateral", "Base", "Apex"),
    )  # fmt: skip


def _context(nodes: CaseNodes) -> None:
    """The other chambers as faint shapes, so that the LV is not seen alone; wall and cavity are the surface's."""
    display = nodes.walls.GetDisplayNode()
    display.SetVisibility3D(True)
    segmentation = nodes.walls.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        display.SetSegmentVisibility3D(segment_id, segment_id not in _LV_SEGMENTS)
        display.SetSegmentOpacity3D(segment_id, 0.09)


def _bullseye(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    """Straight onto the disc."""
    camera = (bullseye.CENTRE_HEART_MM, (0.0, -1.0, 0.0), (0.0, 0.0, 1.0), 2.75 * bullseye.RADIUS_MM)
    _three_d(
        content, app, nodes, path, nodes.bullseye, nodes.bullseye[0], f"Stress {nodes.scale.title.lower()} by segment",
        "LAD red, LCx orange, RCA blue", camera, ("Septal", "Lateral", "Anterior", "Inferior"),
    )  # fmt: skip
