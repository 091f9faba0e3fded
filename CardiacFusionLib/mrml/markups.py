"""Landmarks, stenoses and coronary centrelines as markups (points in patient LPS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import points_lps, points_ras
from CardiacFusionLib.spatial.tree import Branch, Stenosis

CURVE_STEP_MM = 3.0  # control points of a centreline; the spline between them stays within half a millimetre
LANDMARK_TITLES = {
    "apex": "Apex",
    "base": "Mitral annulus centre",
    "rv_insertion_anterior": "RV insertion, anterior",
    "rv_insertion_inferior": "RV insertion, inferior",
}


def add_points(scene: Any, points: Mapping[str, NDArray[np.float64]], name: str) -> Any:
    """A point list: label -> LPS mm."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    for label, point in points.items():
        node.AddControlPoint(*points_ras(np.asarray(point)).tolist(), label)
    return node


def set_points(node: Any, points: Mapping[str, NDArray[np.float64]]) -> None:
    """Make a point list hold exactly these points (label -> LPS mm); equal lists are left alone."""
    ras = {label: points_ras(np.asarray(point, float)) for label, point in points.items()}
    count = node.GetNumberOfControlPoints()
    same = count == len(ras) and all(node.GetNthControlPointLabel(i) == label for i, label in enumerate(ras))
    was = node.StartModify()
    if not same:
        node.RemoveAllControlPoints()
        for label, point in ras.items():
            node.AddControlPoint(*point.tolist(), label)
    else:
        for index, point in enumerate(ras.values()):
            if np.abs(np.array(node.GetNthControlPointPosition(index)) - point).max() > 1e-6:
                node.SetNthControlPointPosition(index, *point.tolist())
    node.EndModify(was)


def set_landmarks(node: Any, landmarks: Mapping[str, NDArray[np.float64]]) -> None:
    """Put the landmarks (library name -> LPS mm) at their places; points are found by their description."""
    was = node.StartModify()
    held = {node.GetNthControlPointDescription(i): i for i in range(node.GetNumberOfControlPoints())}
    for name, point in landmarks.items():
        target = points_ras(np.asarray(point, float))
        if name not in held:
            index = node.AddControlPoint(*target.tolist(), LANDMARK_TITLES.get(name, name))
            node.SetNthControlPointDescription(index, name)
        elif np.abs(np.array(node.GetNthControlPointPosition(held[name])) - target).max() > 1e-6 or (
            node.GetNthControlPointPositionStatus(held[name]) != node.PositionDefined
        ):
            node.SetNthControlPointPosition(held[name], *target.tolist())
    node.EndModify(was)


def add_slice_centre(scene: Any, point: NDArray[np.float64], number: int) -> Any:
    """The LV centre of a CMR slice (CMR LPS mm): a small cross that can be dragged."""
    node = add_landmarks(scene, {f"lv_centre_{number}": point}, f"LV centre, slice {number}")
    node.SetNthControlPointLabel(0, f"LV {number}")
    display = node.GetDisplayNode()
    display.SetSelectedColor(0.95, 0.75, 0.25)
    display.SetGlyphTypeFromString("Cross2D")
    display.SetVisibility3D(False)
    return node


def add_landmarks(scene: Any, landmarks: Mapping[str, NDArray[np.float64]], name: str) -> Any:
    """The pose's landmarks; each point's description keeps the library's name, its label is for readers."""
    titled = {LANDMARK_TITLES.get(key, key): value for key, value in landmarks.items()}
    node = add_points(scene, titled, name)
    for index, key in enumerate(landmarks):
        node.SetNthControlPointDescription(index, key)
    display = node.GetDisplayNode()
    display.SetSelectedColor(0.35, 0.85, 0.95)
    display.SetGlyphScale(2.0)
    display.SetTextScale(2.5)
    return node


def landmarks_of(node: Any) -> dict[str, NDArray[np.float64]]:
    """Library name -> LPS mm of the landmarks of a point list (undefined points left out)."""
    found: dict[str, NDArray[np.float64]] = {}
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) == node.PositionDefined:
            name = node.GetNthControlPointDescription(index) or node.GetNthControlPointLabel(index)
            found[name] = points_lps(np.array(node.GetNthControlPointPosition(index)))
    return found


def add_stenoses(scene: Any, stenoses: Sequence[Stenosis], name: str, *, labelled: bool = True) -> Any:
    """Markers at the narrowest places, with branch and per cent; without labels they are smaller and paler."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    set_stenoses(node, stenoses)
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetGlyphTypeFromString("Sphere3D")
    display.SetSelectedColor(*((1.0, 0.95, 0.3) if labelled else (0.95, 0.9, 0.6)))
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(5.0 if labelled else 3.0)
    display.SetPointLabelsVisibility(labelled)
    display.SetTextScale(4.0)
    display.GetTextProperty().SetFontFamilyToArial()
    display.GetTextProperty().SetBold(True)
    display.GetTextProperty().SetShadow(True)
    return node


def set_stenoses(node: Any, stenoses: Sequence[Stenosis]) -> None:
    """Make a list of markers hold exactly these narrowings."""
    was = node.StartModify()
    node.RemoveAllControlPoints()
    for stenosis in stenoses:
        label = f"{stenosis.branch} {stenosis.diameter_percent:.0f} %"
        node.AddControlPoint(*points_ras(stenosis.point_mm).tolist(), label)
    node.EndModify(was)


def thinned(branch: Branch, step_mm: float = CURVE_STEP_MM) -> NDArray[np.float64]:
    """Points (n, 3) of a branch about ``step_mm`` apart, both ends kept."""
    count = max(2, round(branch.length_mm / step_mm) + 1)
    at = np.linspace(0.0, branch.length_mm, count)
    return np.stack([np.interp(at, branch.arc_mm, branch.points_mm[:, axis]) for axis in range(3)], axis=1)


def set_centreline(node: Any, branch: Branch) -> None:
    """Lay a curve through the thinned points of a branch (LPS)."""
    wanted = points_ras(thinned(branch))
    was = node.StartModify()
    if node.GetNumberOfControlPoints() != len(wanted):
        node.RemoveAllControlPoints()
        for point in wanted:
            node.AddControlPoint(*point.tolist())
    else:
        for index, point in enumerate(wanted):
            node.SetNthControlPointPosition(index, *point.tolist())
    node.EndModify(was)


def add_centreline(scene: Any, branch: Branch, name: str, colour: tuple[float, float, float]) -> Any:
    """A branch (LPS) as a curve through its thinned points."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode", name)
    node.CreateDefaultDisplayNodes()
    set_centreline(node, branch)
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetSelectedColor(*colour)
    display.SetColor(*colour)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetGlyphScale(0.4)
    display.SetVisibility3D(False)  # the tube shows it there
    display.SetVisibility2D(False)
    return node
