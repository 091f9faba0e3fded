"""The bullseye as models: coloured segments, their outlines, and the coronary branches over them.

The disc stands in the heart frame beside the heart, facing a viewer in front: anterior up, septum on the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import points_ras
from CardiacFusionLib.mrml.models import add_model, polydata, set_values, show_values
from CardiacFusionLib.mrml.shelf import Shelf, role
from CardiacFusionLib.mrml.volumes import NO_DATA
from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import NO_DATA_RGB, Scale, colours_of, text_on, vessel_rgb
from CardiacFusionLib.report.polar import SEGMENT_BOX, PolarMap, segment_centre, segment_outline
from CardiacFusionLib.spatial.tree import CoronaryTree, vessel_of

RADIUS_MM = 45.0
CENTRE_HEART_MM = np.array([400.0, 0.0, 0.0])  # so far beside the heart that its view shows nothing else
BULLSEYE_VIEW = "CardiacFusionBullseye"  # the layout name of its view; the ID of a view follows from it
BULLSEYE_VIEW_ID = f"vtkMRMLViewNode{BULLSEYE_VIEW}"
_LIFT_MM = 0.6  # layers lie this far apart towards the viewer, so that lines stand over colours


def place(plane: NDArray[np.float64], layer: int = 0) -> NDArray[np.float64]:
    """Bullseye plane points (n, 2) -> heart frame (n, 3): right is lateral (+x), up is +z, towards the viewer is -y."""
    plane = np.asarray(plane, dtype=float)
    x, z = plane[:, 0] * RADIUS_MM, plane[:, 1] * RADIUS_MM
    return np.stack([x, np.full(len(plane), -_LIFT_MM * layer), z], axis=1) + CENTRE_HEART_MM


def _disc(values: dict[int, float]) -> Any:
    """``vtkPolyData`` of all segments, each a fan about its middle, with point value ``segment`` and ``value``."""
    points: list[NDArray[np.float64]] = []
    triangles: list[NDArray[np.int64]] = []
    numbers: list[NDArray[np.int64]] = []
    start = 0
    for segment in values:
        outline = segment_outline(segment)
        if segment == 17:
            ring = np.concatenate([np.zeros((1, 2)), outline])
            count = len(outline)
            faces = np.array([[0, i, i + 1] for i in range(1, count)])
        else:  # a band: the outer arc and the inner arc have the same number of points
            half = (len(outline) - 1) // 2
            ring = outline[:-1]
            inner = [2 * half - 1 - i for i in range(half)]
            faces = np.array(
                [[i, i + 1, inner[i]] for i in range(half - 1)]
                + [[i + 1, inner[i + 1], inner[i]] for i in range(half - 1)]
            )
        points.append(place(ring))
        triangles.append(faces + start)
        numbers.append(np.full(len(ring), segment))
        start += len(ring)
    data = polydata(np.concatenate(points), np.concatenate(triangles))
    number = np.concatenate(numbers)
    value = np.array([values[int(s)] for s in number], dtype=float)
    set_values(data, {"segment": number, "value": np.where(np.isfinite(value), value, NO_DATA)})
    return data


def _lines(paths: list[NDArray[np.float64]], layer: int) -> Any:
    """``vtkPolyData`` of polylines given in the plane."""
    import vtk
    from vtk.util import numpy_support

    data, cells, points = vtk.vtkPolyData(), vtk.vtkCellArray(), vtk.vtkPoints()
    placed = [points_ras(place(path, layer)) for path in paths]
    points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(np.concatenate(placed)), deep=True))
    start = 0
    for path in placed:
        cells.InsertNextCell(len(path))
        for index in range(len(path)):
            cells.InsertCellPoint(start + index)
        start += len(path)
    data.SetPoints(points)
    data.SetLines(cells)
    return data


def segment_values(frame: pd.DataFrame, column: str) -> dict[int, float]:
    """Segment -> value of one column of the fused segment table; segments not in it are left out."""
    return {int(s): float(v) for s, v in zip(frame["segment"], frame[column]) if int(s) in range(1, 18)}


def draw_bullseye(
    shelf: Shelf, values: dict[int, float], scale: Scale, colour_node: Any, tree_heart: CoronaryTree, polar: PolarMap
) -> None:
    """The bullseye's nodes under "bullseye.": disc, outlines, one model a branch, and value labels as points."""
    recolour(shelf, values, scale, colour_node)
    outlines = _flat(shelf, "bullseye.outlines", "Bullseye outlines", _lines([segment_outline(s) for s in values], 1))
    outlines.GetDisplayNode().SetColor(0.08, 0.08, 0.1)
    outlines.GetDisplayNode().SetLineWidth(2)
    for branch in tree_heart.branches:
        if not narrowings.is_named(branch.name):
            continue  # side branches without a name only hide the others here; the 3D view has them
        ribbon = _ribbon(polar.plane(branch.points_mm), branch.radius_mm)
        node = _flat(shelf, role("bullseye.branch", branch.name), f"Bullseye {branch.name}", ribbon, lit=True)
        node.GetDisplayNode().SetColor(*vessel_rgb(vessel_of(tree_heart, branch.name)))
        node.GetDisplayNode().SetScalarVisibility(False)
    _stenosis_marks(shelf, tree_heart, polar)


def recolour(shelf: Shelf, values: dict[int, float], scale: Scale, colour_node: Any) -> None:
    """The disc and its labels in other values; what is not drawn any more goes."""
    for name, title, node_values in (
        ("bullseye.disc", "Bullseye", {s: v for s, v in values.items() if np.isfinite(v)}),
        ("bullseye.empty", "Bullseye without data", {s: v for s, v in values.items() if not np.isfinite(v)}),
    ):
        if node_values:
            data = _disc(node_values)
            disc = _flat(shelf, name, title, data)
            if name == "bullseye.disc":
                show_values(disc, "value", scale, colour_node)
            else:
                disc.GetDisplayNode().SetColor(*NO_DATA_RGB)
        elif shelf.get(name) is not None:
            shelf.remove(name)
    _labels(shelf, values, scale)


def choose_segment(shelf: Shelf, segment: int | None) -> None:
    """Outline one segment of the bullseye (None: none)."""
    paths = [segment_outline(segment)] if segment in SEGMENT_BOX else []
    if not paths:
        if shelf.get("bullseye.chosen") is not None:
            shelf.remove("bullseye.chosen")
        return
    node = _flat(shelf, "bullseye.chosen", "Bullseye choice", _lines(paths, 6))
    node.GetDisplayNode().SetColor(1.0, 1.0, 1.0)
    node.GetDisplayNode().SetLineWidth(5)


def segment_at(point_heart_mm: NDArray[np.float64]) -> int | None:
    """The segment drawn at a point of the bullseye's plane (heart frame mm), or None off the disc."""
    offset = (np.asarray(point_heart_mm, float) - CENTRE_HEART_MM) / RADIUS_MM
    radius, angle = float(np.hypot(offset[0], offset[2])), float(np.degrees(np.arctan2(offset[2], offset[0])))
    for segment, (inner, outer, first, last) in SEGMENT_BOX.items():
        if inner <= radius < outer and (angle - first) % 360.0 < last - first:
            return segment
    return None


def _flat(shelf: Shelf, name: str, title: str, data: Any, lit: bool = False) -> Any:
    """A model of the bullseye, in its own view only."""

    def make() -> Any:
        node = add_model(shelf.scene, data, title)
        display = node.GetDisplayNode()
        display.SetVisibility2D(False)
        display.AddViewNodeID(BULLSEYE_VIEW_ID)
        if not lit:
            display.SetLighting(False)
            display.SetInterpolation(display.FlatInterpolation)
        return node

    return shelf.put(name, make, lambda node: node.SetAndObservePolyData(data), folder="Bullseye")


def _labels(shelf: Shelf, values: dict[int, float], scale: Scale) -> None:
    """The values as text, dark on light segments and light on dark ones (a point list has one text colour)."""
    tones: dict[str, dict[int, float]] = {"black": {}, "white": {}}
    for segment, value in values.items():
        rgb = colours_of(np.array([value]), scale.low, scale.high)[0]
        tones[text_on((float(rgb[0]), float(rgb[1]), float(rgb[2])))][segment] = value
    for tone, group in tones.items():
        if not group:
            if shelf.get(f"bullseye.values.{tone}") is not None:
                shelf.remove(f"bullseye.values.{tone}")
            continue
        grey = 0.05 if tone == "black" else 1.0
        title = f"Bullseye values ({tone})"
        words = {s: f"{v:.1f}" if np.isfinite(v) else "–" for s, v in group.items()}
        places = [(words[s], place(segment_centre(s)[None], 8)[0]) for s in group]

        def make(title: str = title, grey: float = grey, places: Any = places) -> Any:
            return _set_texts(_text_points(shelf.scene, title, (grey,) * 3, 4.5), places)

        def renew(node: Any, places: Any = places) -> Any:
            return _set_texts(node, places)

        shelf.put(f"bullseye.values.{tone}", make, renew, folder="Bullseye")


def _set_texts(node: Any, places: list[tuple[str, NDArray[np.float64]]]) -> Any:
    """Make a text list hold these words at these heart-frame points."""
    was = node.StartModify()
    if node.GetNumberOfControlPoints() != len(places):
        node.RemoveAllControlPoints()
        for words, point in places:
            node.AddControlPoint(*points_ras(point).tolist(), words)
    else:
        for index, (words, point) in enumerate(places):
            node.SetNthControlPointPosition(index, *points_ras(point).tolist())
            node.SetNthControlPointLabel(index, words)
    node.EndModify(was)
    return node


def _stenosis_marks(shelf: Shelf, tree_heart: CoronaryTree, polar: PolarMap) -> None:
    """The narrowings at their place on the disc."""
    clear = narrowings.clear(tree_heart.stenoses)
    if not clear:
        return
    places = [(f"{s.branch} {s.diameter_percent:.0f} %", place(polar.plane(s.point_mm[None]), 10)[0]) for s in clear]

    def make() -> Any:
        marks = _text_points(shelf.scene, "Bullseye stenoses", (1.0, 0.95, 0.3), 4.0)
        display = marks.GetDisplayNode()
        display.SetGlyphTypeFromString("Sphere3D")
        display.SetUseGlyphScale(False)
        display.SetGlyphSize(4.0)
        return _set_texts(marks, places)

    shelf.put("bullseye.stenoses", make, lambda node: _set_texts(node, places), folder="Bullseye")


def _text_points(scene: Any, name: str, colour: tuple[float, float, float], text_scale: float) -> Any:
    """An empty point list whose labels are what matters, in the bullseye's view only."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.AddViewNodeID(BULLSEYE_VIEW_ID)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(0.02)
    display.SetVisibility2D(False)
    display.SetTextScale(text_scale)
    display.SetSelectedColor(*colour)
    display.SetColor(*colour)
    text = display.GetTextProperty()
    text.SetFontFamilyToArial()
    text.SetBold(True)
    text.SetShadow(colour[0] > 0.5)
    text.SetJustificationToCentered()
    text.SetVerticalJustificationToCentered()
    return node


def _ribbon(path: NDArray[np.float64], radius_mm: NDArray[np.float64]) -> Any:
    """A branch's path over the disc as a thin tube, its width following the lumen."""
    import vtk

    line = _lines([path], 3)
    set_values(line, {"width": np.clip(np.asarray(radius_mm, float) * 0.55, 0.4, 1.4)})
    line.GetPointData().SetActiveScalars("width")
    around = vtk.vtkTubeFilter()
    around.SetInputData(line)
    around.SetVaryRadiusToVaryRadiusByAbsoluteScalar()
    around.SetNumberOfSides(12)
    around.CappingOn()
    around.Update()
    result = vtk.vtkPolyData()
    result.DeepCopy(around.GetOutput())
    return result
