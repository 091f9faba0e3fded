"""All views to one place: a segment, a narrowing, a finding, a landmark."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml import bullseye, charts
from CardiacFusionLib.mrml.case import CaseInScene
from CardiacFusionLib.mrml.frames import points_lps, points_ras
from CardiacFusionLib.mrml.layout import PLANES, face, upright
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.tables import frame_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import apply

Point = tuple[float, float, float]


def jump_to(case: CaseInScene, kind: str, which: int | str) -> Point:
    """Move all views and the crosshair to a "segment" (1..17), "stenosis" or "finding" (index of its row) or
    "landmark" (name); the place in patient LPS mm (of the CT).

    The bullseye and the curves mark the same thing. Raises BadInputError where there is nothing of that name.
    """
    if kind == "segment":
        _mark(case, (int(which),))
        bullseye.choose_segment(case.shelf, int(which))
        return jump(case, _segment(case, int(which)))
    if kind == "stenosis":
        rows = frame_of(case.nodes.tables[2])
        row = _row(rows, int(which), "narrowing")
        charts.select_branch(case.shelf, str(row["branch"]))
        lps = np.array([float(row[f"{axis}_lps_mm"]) for axis in "xyz"], dtype=np.float64)
        return jump(case, apply(matrix_of(case.nodes.ct_to_heart), lps))
    if kind == "finding":
        return _finding(case, int(which))
    if kind == "landmark":
        return jump(case, _landmark(case, str(which)))
    raise BadInputError(f"The views cannot jump to a '{kind}'.")


def jump(case: CaseInScene, heart_mm: NDArray[np.float64]) -> Point:
    """Move the three planes and the crosshair to a point of the heart frame, and turn the 3D view so that it faces it;
    the same in patient LPS mm."""
    ras = [float(v) for v in points_ras(np.asarray(heart_mm, float))]
    crosshair = case.scene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
    for plane in PLANES:
        view = case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceNode")
        if view is not None:
            view.JumpSliceByOffsetting(*ras)
    face(case.scene, case.nodes, np.asarray(heart_mm, float))
    back: NDArray[np.float64] = np.asarray(np.linalg.inv(matrix_of(case.nodes.ct_to_heart)), np.float64)
    lps = apply(back, np.asarray(heart_mm, float))
    return (float(lps[0]), float(lps[1]), float(lps[2]))


def stand_upright(case: CaseInScene, centre_heart_mm: NDArray[np.float64]) -> None:
    """All slice views back to the heart's own planes, through a point."""
    for plane in PLANES:
        view = case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceNode")
        if view is not None:
            upright(view, plane.preset, centre_heart_mm)


def _row(frame: Any, index: int, what: str) -> Any:
    if not 0 <= index < len(frame):
        raise BadInputError(f"There is no {what} {index + 1}; this case has {len(frame)}.")
    return frame.iloc[index]


def _mark(case: CaseInScene, segments: tuple[int, ...]) -> None:
    charts.mark_segments(case.shelf, segments)


def _segment(case: CaseInScene, segment: int) -> NDArray[np.float64]:
    """The point of the mid-wall surface nearest to the middle of a segment, in the heart frame."""
    import vtk
    from vtk.util import numpy_support

    data = case.nodes.surface[0].GetPolyData()
    held = data.GetPointData().GetArray("segment")
    numbers = numpy_support.vtk_to_numpy(held) if held is not None else np.zeros(0)
    mine = np.flatnonzero(numbers == segment)
    if not len(mine):
        raise BadInputError(f"Segment {segment} is not on the wall of this case.")
    assert isinstance(data, vtk.vtkPolyData)
    points = points_lps(numpy_support.vtk_to_numpy(data.GetPoints().GetData()).astype(float)[mine])
    middle = points.mean(axis=0)
    nearest = points[int(np.argmin(np.linalg.norm(points - middle, axis=1)))]
    return apply(matrix_of(case.nodes.ct_to_heart), nearest)


def _finding(case: CaseInScene, index: int) -> Point:
    """To the middle of a finding's segments; to its narrowing where it names no segment."""
    rows = case.findings()
    if not 0 <= index < len(rows):
        raise BadInputError(f"There is no finding {index + 1}; this case has {len(rows)}.")
    finding = rows[index]
    _mark(case, finding.segments)
    worst = [s for s in case.stenoses() if finding.vessel and s.branch.startswith(finding.vessel)]
    if worst:
        charts.select_branch(case.shelf, worst[0].branch)
    if finding.segments:
        places = np.array([_segment(case, s) for s in finding.segments])
        bullseye.choose_segment(case.shelf, finding.segments[0])
        middle = places.mean(axis=0)
        return jump(case, places[int(np.argmin(np.linalg.norm(places - middle, axis=1)))])
    if worst:
        return jump_to(case, "stenosis", worst[0].index)
    return jump(case, np.zeros(3))


def _landmark(case: CaseInScene, name: str) -> NDArray[np.float64]:
    for node in (case.nodes.landmarks, *case.nodes.slice_centres.values()):
        found = landmarks_of(node)
        if name in found:
            return apply(matrix_of(node.GetParentTransformNode()), found[name])
    raise BadInputError(f"The landmark '{name}' is not placed in this case.")
