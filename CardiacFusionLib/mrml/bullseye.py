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
from CardiacFusionLib.mrml.volumes import NO_DATA
from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import NO_DATA_RGB, Scale, colours_of, text_on, vessel_rgb
from CardiacFusionLib.report.polar import PolarMap, segment_centre, segment_outline
from CardiacFusionLib.spatial.tree import CoronaryTree, vessel_of

RADIUS_MM = 45.0
CENTRE_HEART_MM = np.array([150.0, 0.0, 0.0])  # beside the lateral wall
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


def add_bullseye(
    scene: Any, values: dict[int, float], scale: Scale, colour_node: Any, tree_heart: CoronaryTree, polar: PolarMap
) -> list[Any]:
    """The bullseye's nodes: disc (models), outlines, one model a branch, and value labels as points."""
    nodes: list[Any] = []
    for node_values, name in (
        ({s: v for s, v in values.items() if np.isfinite(v)}, "Bullseye"),
        ({s: v for s, v in values.items() if not np.isfinite(v)}, "Bullseye without data"),
    ):
        if not node_values:
            continue
        disc = add_model(scene, _disc(node_values), name)
        if name == "Bullseye":
            show_values(disc, "value", scale, colour_node)
        else:
            disc.GetDisplayNode().SetColor(*NO_DATA_RGB)
        disc.GetDisplayNode().SetLighting(False)
        disc.GetDisplayNode().SetInterpolation(disc.GetDisplayNode().FlatInterpolation)
        nodes.append(disc)
    outlines = add_model(scene, _lines([segment_outline(s) for s in values], 1), "Bullseye outlines")
    outlines.GetDisplayNode().SetColor(0.08, 0.08, 0.1)
    outlines.GetDisplayNode().SetLineWidth(2)
    outlines.GetDisplayNode().SetLighting(False)
    nodes.append(outlines)
    for branch in tree_heart.branches:
        if not narrowings.is_named(branch.name):
            continue  # side branches without a name only hide the others here; the 3D view has them
        path = polar.plane(branch.points_mm)
        node = add_model(scene, _ribbon(path, branch.radius_mm), f"Bullseye {branch.name}")
        node.GetDisplayNode().SetColor(*vessel_rgb(vessel_of(tree_heart, branch.name)))
        node.GetDisplayNode().SetScalarVisibility(False)
        nodes.append(node)
    for node in nodes:
        node.GetDisplayNode().SetVisibility2D(False)
    nodes += _labels(scene, values, scale)
    nodes += _stenosis_marks(scene, tree_heart, polar)
    return nodes


def _labels(scene: Any, values: dict[int, float], scale: Scale) -> list[Any]:
    """The values as text, dark on light segments and light on dark ones (a point list has one text colour)."""
    tones: dict[str, dict[int, float]] = {"black": {}, "white": {}}
    for segment, value in values.items():
        rgb = colours_of(np.array([value]), scale.low, scale.high)[0]
        tones[text_on((float(rgb[0]), float(rgb[1]), float(rgb[2])))][segment] = value
    nodes = []
    for tone, group in tones.items():
        if not group:
            continue
        points = {s: points_ras(place(segment_centre(s)[None], 8))[0] for s in group}
        grey = 0.05 if tone == "black" else 1.0
        labels = _text_points(scene, f"Bullseye values ({tone})", (grey,) * 3, 4.5)
        for segment, point in points.items():
            value = group[segment]
            labels.AddControlPoint(*point.tolist(), f"{value:.1f}" if np.isfinite(value) else "–")
        nodes.append(labels)
    return nodes


def _stenosis_marks(scene: Any, tree_heart: CoronaryTree, polar: PolarMap) -> list[Any]:
    """The narrowings at their place on the disc."""
    clear = narrowings.clear(tree_heart.stenoses)
    if not clear:
        return []
    marks = _text_points(scene, "Bullseye stenoses", (1.0, 0.95, 0.3), 4.0)
    for stenosis in clear:
        point = points_ras(place(polar.plane(stenosis.point_mm[None]), 10))[0]
        marks.AddControlPoint(*point.tolist(), f"{stenosis.branch} {stenosis.diameter_percent:.0f} %")
    display = marks.GetDisplayNode()
    display.SetGlyphTypeFromString("Sphere3D")
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(4.0)
    return [marks]


def _text_points(scene: Any, name: str, colour: tuple[float, float, float], text_scale: float) -> Any:
    """An empty point list whose labels are what matters."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetLocked(True)
    display = node.GetDisplayNode()
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
