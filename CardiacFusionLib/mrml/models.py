"""Surfaces as model nodes: the wall with its values, coronary tubes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import points_ras
from CardiacFusionLib.mrml.volumes import NO_DATA
from CardiacFusionLib.report.colours import NO_DATA_RGB, Scale
from CardiacFusionLib.spatial.tree import Branch

TUBE_SIDES = 16
MIN_TUBE_RADIUS_MM = 0.5  # thinner lumens are drawn with this radius, so that they can be seen; the data keep the truth


def polydata(points_lps_mm: NDArray[np.float64], triangles: NDArray[np.int32]) -> Any:
    """``vtkPolyData`` in RAS of points (n, 3) in LPS and triangles (m, 3)."""
    import vtk
    from vtk.util import numpy_support

    data = vtk.vtkPolyData()
    points = vtk.vtkPoints()
    points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points_ras(points_lps_mm)), deep=True))
    data.SetPoints(points)
    cells = vtk.vtkCellArray()
    flat = np.ascontiguousarray(triangles, dtype=np.int64).reshape(-1)
    offsets = np.arange(0, flat.size + 1, 3, dtype=np.int64)
    cells.SetData(
        numpy_support.numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_support.numpy_to_vtkIdTypeArray(flat, deep=True),
    )
    data.SetPolys(cells)
    return data


def set_values(data: Any, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Put named values on the points of a ``vtkPolyData``."""
    from vtk.util import numpy_support

    for name, array in values.items():
        scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(array), deep=True)
        scalars.SetName(name)
        data.GetPointData().AddArray(scalars)


def add_model(scene: Any, data: Any, name: str) -> Any:
    """A model node with a display node."""
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(data)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetInterpolation(display.GouraudInterpolation)
    return node


def show_values(node: Any, values_name: str, scale: Scale, colour_node: Any) -> None:
    """Colour a model by one of its point values on the shared table."""
    display = node.GetDisplayNode()
    display.SetScalarVisibility(True)
    display.SetActiveScalar(values_name, 0)  # 0: vtkAssignAttribute::POINT_DATA
    display.SetAndObserveColorNodeID(colour_node.GetID())
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(scale.low, scale.high)


def wall_data(
    points_lps_mm: NDArray[np.float64], triangles: NDArray[np.int32], values: Mapping[str, NDArray[np.generic]]
) -> Any:
    """``vtkPolyData`` of the wall's surface with all its values; NaN as ``NO_DATA``, which the display hides."""
    kept = {}
    for name, array in values.items():
        array = np.asarray(array)
        kept[name] = np.where(np.isfinite(array), array, NO_DATA) if array.dtype.kind == "f" else array
    data = polydata(points_lps_mm, triangles)
    set_values(data, kept)
    return data


def plain_data(points_lps_mm: NDArray[np.float64], triangles: NDArray[np.int32], shown: NDArray[np.generic]) -> Any:
    """The triangles with a point where ``shown`` has no value: drawn in grey by a second model, so that no colour is
    interpolated between a value and 'no data'."""
    without = ~np.isfinite(np.asarray(shown, dtype=float))
    rest = np.asarray(triangles)[without[np.asarray(triangles)].any(axis=1)]
    return polydata(points_lps_mm, rest)


def add_wall(scene: Any, data: Any, shown: str, scale: Scale, colour_node: Any) -> Any:
    """The wall's surface (:func:`wall_data`) coloured by ``shown``; colours end where the data end."""
    wall = add_model(scene, data, "LV wall")
    show_values(wall, shown, scale, colour_node)
    display = wall.GetDisplayNode()
    display.SetThresholdRange(0.0, 1e6)
    display.SetThresholdEnabled(True)
    display.SetSpecular(0.15)
    display.SetVisibility2D(False)
    return wall


def add_plain_wall(scene: Any, data: Any) -> Any:
    """The part of the wall without values (:func:`plain_data`)."""
    plain = add_model(scene, data, "LV wall without perfusion data")
    plain.GetDisplayNode().SetColor(*NO_DATA_RGB)
    plain.GetDisplayNode().SetVisibility2D(False)
    return plain


def add_borders(scene: Any, data: Any, views: Iterable[str]) -> Any:
    """Sheets between the segments: lines over the slices of ``views`` (node ids), not drawn in 3D."""
    node = add_model(scene, data, "Segment borders")
    display = node.GetDisplayNode()
    for view in views:
        display.AddViewNodeID(view)
    display.SetColor(1.0, 1.0, 1.0)
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    display.SetSliceIntersectionThickness(1)
    return node


def line_data(pieces_lps_mm: NDArray[np.float64]) -> Any:
    """``vtkPolyData`` in RAS of straight pieces (k, 2, 3)."""
    import vtk
    from vtk.util import numpy_support

    data, cells, points = vtk.vtkPolyData(), vtk.vtkCellArray(), vtk.vtkPoints()
    flat = np.ascontiguousarray(points_ras(pieces_lps_mm.reshape(-1, 3)))
    points.SetData(numpy_support.numpy_to_vtk(flat, deep=True))
    offsets = np.arange(0, len(flat) + 1, 2, dtype=np.int64)
    cells.SetData(
        numpy_support.numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_support.numpy_to_vtkIdTypeArray(np.arange(len(flat), dtype=np.int64), deep=True),
    )
    data.SetPoints(points)
    data.SetLines(cells)
    return data


def add_lines(scene: Any, data: Any, name: str, rgb: tuple[float, float, float], width: float) -> Any:
    """Lines in 3D, always at full brightness."""
    node = add_model(scene, data, name)
    display = node.GetDisplayNode()
    display.SetColor(*rgb)
    display.SetLineWidth(width)
    display.SetLighting(False)
    display.SetVisibility2D(False)
    return node


def tube(branch: Branch) -> Any:
    """``vtkPolyData`` (RAS) of a branch as a tube of its lumen; point values ``radius_mm``, ``arc_mm``."""
    import vtk
    from vtk.util import numpy_support

    count = len(branch.points_mm)
    line = vtk.vtkPolyData()
    points = vtk.vtkPoints()
    points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points_ras(branch.points_mm)), deep=True))
    line.SetPoints(points)
    cells = vtk.vtkCellArray()
    cells.InsertNextCell(count)
    for index in range(count):
        cells.InsertCellPoint(index)
    line.SetLines(cells)
    drawn = np.maximum(np.asarray(branch.radius_mm, dtype=float), MIN_TUBE_RADIUS_MM)
    set_values(
        line, {"drawn_radius_mm": drawn, "radius_mm": np.asarray(branch.radius_mm, float), "arc_mm": branch.arc_mm}
    )
    line.GetPointData().SetActiveScalars("drawn_radius_mm")
    around = vtk.vtkTubeFilter()
    around.SetInputData(line)
    around.SetVaryRadiusToVaryRadiusByAbsoluteScalar()
    around.SetNumberOfSides(TUBE_SIDES)
    around.CappingOn()
    plain = vtk.vtkTriangleFilter()  # slices cut triangles several times as fast as strips
    plain.SetInputConnection(around.GetOutputPort())
    plain.PassVertsOff()
    plain.PassLinesOff()
    plain.Update()
    return plain.GetOutput()


def add_tube(scene: Any, branch: Branch, name: str, colour: tuple[float, float, float]) -> Any:
    """A branch (LPS) as a tube model; in slices its cut is outlined."""
    node = add_model(scene, tube(branch), name)
    display = node.GetDisplayNode()
    display.SetColor(*colour)
    display.SetScalarVisibility(False)
    display.SetSpecular(0.4)
    display.SetPower(20.0)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(2)
    return node
