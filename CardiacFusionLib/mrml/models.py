"""Surfaces as model nodes: the wall with its values, coronary tubes."""

from __future__ import annotations

from collections.abc import Mapping
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


def add_wall(
    scene: Any,
    points_lps_mm: NDArray[np.float64],
    triangles: NDArray[np.int32],
    values: Mapping[str, NDArray[np.generic]],
    shown: str,
    scale: Scale,
    colour_node: Any,
) -> tuple[Any, Any]:
    """The wall's surface coloured by ``shown``, and a plain one of the part that no slice reaches.

    Colours end where the data end: triangles with a point without data are hidden in the first and drawn in grey in the
    second model, so that no colour is interpolated between a value and 'no data'.
    """
    kept = {}
    for name, array in values.items():
        array = np.asarray(array)
        kept[name] = np.where(np.isfinite(array), array, NO_DATA) if array.dtype.kind == "f" else array
    data = polydata(points_lps_mm, triangles)
    set_values(data, kept)
    wall = add_model(scene, data, "LV wall")
    show_values(wall, shown, scale, colour_node)
    display = wall.GetDisplayNode()
    display.SetThresholdRange(0.0, 1e6)
    display.SetThresholdEnabled(True)
    display.SetSpecular(0.15)
    display.SetVisibility2D(False)
    without = ~np.isfinite(np.asarray(values[shown], dtype=float))
    rest = np.asarray(triangles)[without[np.asarray(triangles)].any(axis=1)]
    plain = add_model(scene, polydata(points_lps_mm, rest), "LV wall without perfusion data")
    plain.GetDisplayNode().SetColor(*NO_DATA_RGB)
    plain.GetDisplayNode().SetOpacity(0.85)
    plain.GetDisplayNode().SetVisibility2D(False)
    return wall, plain


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
    around.Update()
    return around.GetOutput()


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
