"""The six pictures of a case, drawn offscreen through Slicer's display managers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from CardiacFusionLib.mrml.annotations import directions, notices, plane_mark, scale_bar
from CardiacFusionLib.mrml.app import SceneApp
from CardiacFusionLib.mrml.bullseye import BULLSEYE_VIEW
from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.chart_window import draw_charts
from CardiacFusionLib.mrml.colours import add_legend, remove_legend
from CardiacFusionLib.mrml.layout import (
    FIELD_MM,
    HORIZONTAL,
    MAIN_3D,
    MAP_OPACITY,
    SHORT_AXIS,
    VERTICAL,
    Plane,
    aim_bodies,
    arrange,
    heart_centre,
)
from CardiacFusionLib.mrml.outputs import VIEW_NAMES
from CardiacFusionLib.mrml.view_windows import SliceView, ThreeDView
from CardiacFusionLib.report.colours import Scale
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import PolarMap, polar_map
from CardiacFusionLib.spatial.labels import Label

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
    arrange(app.scene, nodes)
    polar = polar_map(content)
    drawers: dict[str, Callable[[CaseContent, SceneApp, CaseNodes, PolarMap, Path], None]] = {
        "short_axis": _short_axis,
        "long_axis_vertical": _long_axis_vertical,
        "long_axis_horizontal": _long_axis_horizontal,
        "surface_3d": _surface,
        "bullseye": _bullseye,
        "curves": _curves,
    }
    paths = []
    for name in VIEW_NAMES:
        path = folder / f"{name}.png"
        drawers[name](content, app, nodes, polar, path)
        paths.append(path)
    arrange(app.scene, nodes)
    return paths


@contextmanager
def _shown(nodes: CaseNodes, *hidden: Any) -> Iterator[None]:
    """Hide nodes for one picture."""
    displays = [n.GetDisplayNode() for n in hidden if n is not None and n.GetDisplayNode() is not None]
    was = [d.GetVisibility() for d in displays]
    for display in displays:
        display.SetVisibility(False)
    try:
        yield
    finally:
        for display, visible in zip(displays, was):
            display.SetVisibility(visible)


def _slice(
    content: CaseContent,
    app: SceneApp,
    nodes: CaseNodes,
    path: Path,
    plane: Plane,
    shown_map: Any,
    centre: tuple[float, float, float],
    title: str,
    sides: tuple[str, str, str, str],
    marks: Callable[[SliceView], None] | None = None,
) -> None:
    """One slice view with CT, map, wall outlines, vessel cuts and everything a reader needs to find his way."""
    nodes.walls.GetDisplayNode().SetVisibility2D(True)
    view = SliceView(app, plane.layout, plane.preset)
    try:
        with _shown(nodes, nodes.landmarks, *nodes.slice_centres.values()):
            view.show(nodes.ct, shown_map, MAP_OPACITY)
            view.look_at(centre, FIELD_MM)
            add_legend(shown_map, nodes.scale)
            if marks is not None:
                marks(view)
            directions(view, *sides)
            notices(view, title, content.synthetic)
            scale_bar(view)
            view.save(path)
    finally:
        if shown_map is not nodes.wall_map:
            remove_legend(shown_map)
        view.close()


def _short_axis(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    index = middle_slice(content, nodes)
    z = float(content.registration.pairing.z_mm[index]) if index is not None else 0.0
    shown = nodes.slice_maps[index] if index is not None else nodes.wall_map
    title = f"Short axis, mid LV – stress {nodes.scale.title.lower()}"
    centre = (polar.centre_mm[0], polar.centre_mm[1], z)
    _slice(content, app, nodes, path, SHORT_AXIS, shown, centre, title, ("Septal", "Lateral", "Anterior", "Inferior"))


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
        content, app, nodes, path, VERTICAL, nodes.wall_map, centre,
        f"Vertical long axis – stress {nodes.scale.title.lower()}", ("Anterior", "Inferior", "Base", "Apex"),
        _heights(content, nodes, 1),
    )  # fmt: skip


def _long_axis_horizontal(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    centre = (polar.centre_mm[0], polar.centre_mm[1], 0.0)
    _slice(
        content, app, nodes, path, HORIZONTAL, nodes.wall_map, centre,
        f"Horizontal long axis – stress {nodes.scale.title.lower()}", ("Septal", "Lateral", "Base", "Apex"),
        _heights(content, nodes, 0),
    )  # fmt: skip


def _three_d(
    content: CaseContent,
    app: SceneApp,
    nodes: CaseNodes,
    path: Path,
    layout: str,
    legend_on: Any,
    scale: Scale,
    title: str,
    note: str,
    sides: tuple[str, str, str, str],
) -> None:
    """One 3D view, its camera as :func:`arrange` set it."""
    view = ThreeDView(app, layout)
    try:
        add_legend(legend_on, scale)
        directions(view, *sides)
        notices(view, title, content.synthetic, note)
        aim_bodies(app.scene, nodes, heart_centre(nodes))  # the view's managers set up their own camera at first
        view.aside()
        view.save(path)
    finally:
        view.close()


def _surface(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    """The heart in 3D; the other chambers as faint shapes, so that the LV is not seen alone."""
    _context(nodes)
    with _shown(nodes, nodes.landmarks):
        _three_d(
            content, app, nodes, path, MAIN_3D, nodes.surface[0], nodes.scale,
            f"Coronaries on stress {nodes.scale.title.lower()}", "Grey: no perfusion slice near",
            ("Septal", "Lateral", "Base", "Apex"),
        )  # fmt: skip


def _context(nodes: CaseNodes) -> None:
    """The chambers around the LV faintly in 3D; wall and cavity are the surface's."""
    display = nodes.walls.GetDisplayNode()
    display.SetVisibility3D(True)
    segmentation = nodes.walls.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        display.SetSegmentVisibility3D(segment_id, segment_id not in _LV_SEGMENTS)
        display.SetSegmentOpacity3D(segment_id, 0.09)


def _bullseye(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    """Straight onto the disc."""
    _three_d(
        content, app, nodes, path, BULLSEYE_VIEW, nodes.bullseye[0], nodes.scale,
        f"Stress {nodes.scale.title.lower()} by segment", "LAD red, LCx orange, RCA blue",
        ("Septal", "Lateral", "Anterior", "Inferior"),
    )  # fmt: skip


def _curves(content: CaseContent, app: SceneApp, nodes: CaseNodes, polar: PolarMap, path: Path) -> None:
    """First pass by segment above, the diameter along the chosen branch below."""
    charts = [nodes.shelf.get(name) for name in ("chart.perfusion", "chart.diameter")]
    draw_charts([c for c in charts if c is not None], path, content.synthetic)
