"""From results in memory to the files of a case folder (Docs/design.md lists them).

Tables and maps carry no times and no paths, so that the same input gives the same bytes; how the run went stands in
``case.json`` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.fusion.result import Fusion
from CardiacFusionLib.io.markups import write_landmarks
from CardiacFusionLib.io.segmentation import write_segmentation
from CardiacFusionLib.io.tables import write_table
from CardiacFusionLib.io.transform import write_tfm
from CardiacFusionLib.io.tree import tree_to_json, write_tree_vtp
from CardiacFusionLib.io.write import write_volume
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.registration.result import GRID_SPACING_MM, Registration
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CtWalls, LongAxis

SAME_STEP_MM = 0.05  # slices whose distances agree this well are stacked into one volume


def write_results(results: Results, folder: Path) -> None:
    """Write everything that was made into ``folder`` (it exists and is empty)."""
    if results.reorientation is not None and results.pose is not None:
        _pose(results.pose, results.reorientation, folder)
    if results.ct_walls is not None:
        _ct_walls(results.ct_walls, folder / "walls")
    if results.tree is not None:
        _tree(results.tree, folder / "coronaries")
    for state, study in (("stress", results.stress), ("rest", results.rest)):
        if study is not None:
            _perfusion(study, state, folder)
    if results.long_axis is not None:
        _long_axis(results.long_axis, folder / "walls")
    if results.registration is not None:
        _registration(results.registration, folder / "registration")
    if results.fusion is not None:
        _fusion(results.fusion, folder / "fusion")


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Write JSON with sorted keys and plain numbers; NaN becomes null."""
    path.write_text(json.dumps(_plain(document), indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


def _pose(pose: HeartPose, reorientation: Reorientation, folder: Path) -> None:
    write_tfm(pose.lps_to_heart, folder / "ct_to_heart.tfm")
    write_landmarks(pose.landmarks, folder / "landmarks.mrk.json")
    walls = folder / "walls"
    walls.mkdir(exist_ok=True)
    write_segmentation(reorientation.labels, walls / "ct_coarse.seg.nrrd")


def _ct_walls(walls: CtWalls, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_segmentation(walls.labels, folder / "ct.seg.nrrd")


def _tree(tree: CoronaryTree, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_tree_vtp(tree, folder / "tree.vtp")
    write_json(tree_to_json(tree), folder / "tree.json")
    columns = ["branch", "position_mm", "diameter_percent", "length_mm", "reference_diameter_mm"]
    columns += ["minimal_diameter_mm", "calcified", "x_lps_mm", "y_lps_mm", "z_lps_mm"]
    rows = [
        [
            *(s.branch, s.position_mm, s.diameter_percent, s.length_mm, s.reference_diameter_mm),
            *(s.minimal_diameter_mm, s.calcified, *(float(x) for x in s.point_mm)),
        ]
        for s in tree.stenoses
    ]
    write_table(pd.DataFrame(rows, columns=columns), folder / "stenoses.csv")


def stacked(array: NDArray[np.generic], poses: tuple[SlicePose, ...]) -> list[tuple[str, Volume]]:
    """Slices (slice, y, x) as one volume where they stand in even steps along their normal, else one volume each.

    Returns (suffix of the file name, volume) pairs; a stack that would be left-handed is stored from its other end.
    """
    order = np.argsort([float(np.dot(p.origin_mm, poses[0].normal)) for p in poses])
    if np.linalg.det(poses[0].direction) < 0:
        order = order[::-1]
    origins = np.array([poses[i].origin_mm for i in order])
    steps = np.diff(origins, axis=0)
    even = len(poses) > 1 and np.abs(steps - steps[0]).max() < SAME_STEP_MM
    first = poses[order[0]]
    if even and np.abs(np.cross(steps[0], first.normal)).max() < SAME_STEP_MM * 10:
        step = float(np.linalg.norm(steps[0]))
        direction = np.column_stack([first.direction[:, 0], first.direction[:, 1], steps[0] / step])
        return [("", Volume(array[order], (*first.spacing_mm, step), first.origin_mm, direction))]
    return [
        (f"_slice{i + 1}", Volume(array[i][None], (*p.spacing_mm, p.thickness_mm), p.origin_mm, p.direction))
        for i, p in enumerate(poses)
    ]


def _perfusion(study: Perfusion, state: str, folder: Path) -> None:
    out, walls = folder / "perfusion", folder / "walls"
    out.mkdir(exist_ok=True)
    walls.mkdir(exist_ok=True)
    poses = study.series.poses
    for name, values in study.maps.maps.items():
        for suffix, volume in stacked(np.asarray(values, np.float32), poses):
            write_volume(volume, out / f"{state}_{name}{suffix}.nrrd")
    for suffix, volume in stacked(study.walls.labels, poses):
        write_segmentation(volume, walls / f"cmr_{state}{suffix}.seg.nrrd")
    landmarks = {
        f"{name}_{index + 1}": point
        for index, found in enumerate(study.walls.landmarks)
        for name, point in sorted(found.items())
    }
    write_landmarks(landmarks, walls / f"cmr_{state}_landmarks.mrk.json")
    write_table(study.segments, out / f"{state}_segments.csv")
    curves = pd.DataFrame({"time_s": study.aif.times_s, "aif": study.aif.curve})
    write_table(curves, out / f"{state}_aif.csv")
    units = {"units": dict(study.maps.units), "relative": study.maps.relative}
    write_json(units, out / f"{state}_maps.json")


def _long_axis(found: LongAxis, folder: Path) -> None:
    """``apex`` and ``base`` as all views tell them, and what each shows (``apex_VIEW``, ``mitral_1_VIEW``), LPS mm."""
    folder.mkdir(exist_ok=True)
    landmarks = {name: one.place_lps for name, one in found.ends.items()}
    landmarks |= {f"{name}_{view.view}": place for view in found.views for name, place in view.places.items()}
    write_landmarks(landmarks, folder / "cmr_long_axis_landmarks.mrk.json")


def _registration(registration: Registration, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    pairing = registration.pairing
    write_tfm(pairing.cmr_pose.lps_to_heart, folder / "cmr_to_heart.tfm")
    table = pd.DataFrame(
        {
            "slice": np.arange(len(pairing.z_mm)) + 1,
            "z_mm": pairing.z_mm,
            "wall_dice_before": registration.wall_dice_before,
            "wall_dice_after": registration.wall_dice_after,
            "folded_share": registration.folded_share,
        }
    )
    write_table(table, folder / "slices.csv")
    for name, field in (("displacement", registration.displacement_mm), ("inverse", registration.inverse_mm)):
        for index, components in enumerate(field):
            grid = _grid_volume(components, float(pairing.z_mm[index]))
            for axis, volume in zip("xy", grid):
                write_volume(volume, folder / f"{name}_{axis}_slice{index + 1}.nrrd")


def _grid_volume(components: NDArray[np.float32], z_mm: float) -> list[Volume]:
    """The two components (2, y, x) of a field as one-slice volumes in the heart frame."""
    half = [(n - 1) / 2 * GRID_SPACING_MM for n in components.shape[:0:-1]]
    spacing = (GRID_SPACING_MM, GRID_SPACING_MM, GRID_SPACING_MM)
    return [Volume(c[None], spacing, (-half[0], -half[1], z_mm), np.eye(3)) for c in components]


def _fusion(fusion: Fusion, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    write_surface(fusion, folder / "surface.vtp")
    write_table(fusion.segments, folder / "segments.csv")
    findings = [
        {
            "kind": f.kind,
            "vessel": f.vessel,
            "also": f.also,
            "sentence": f.sentence,
            "confidence": f.confidence,
            "numbers": dict(f.numbers),
            "segments": list(f.segments),
        }
        for f in fusion.findings
    ]
    write_json({"findings": findings, "note": "Research tool, not for clinical use."}, folder / "findings.json")


def write_surface(fusion: Fusion, path: Path) -> None:
    """The wall's surface with its values as VTK PolyData in the heart frame."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    surface = fusion.surface
    points = vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(surface.points_mm, np.float32), deep=True))
    triangles = np.column_stack([np.full(len(surface.triangles), 3), surface.triangles]).astype(np.int64)
    cells = vtkCellArray()
    cells.SetCells(len(triangles), numpy_to_vtkIdTypeArray(triangles.ravel(), deep=True))
    data = vtkPolyData()
    data.SetPoints(points)
    data.SetPolys(cells)
    for name, values in sorted(surface.values.items()):
        array = numpy_to_vtk(np.ascontiguousarray(np.asarray(values, np.float32)), deep=True)
        array.SetName(name)
        data.GetPointData().AddArray(array)
    writer = vtkXMLPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    if writer.Write() != 1:
        raise OSError(28, "the surface could not be written", str(path))
