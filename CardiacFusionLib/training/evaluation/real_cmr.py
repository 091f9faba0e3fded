"""The CMR walls on real images: Sunnybrook cine frames, and one cine stack with contours and points.

Both are read from the data folder described in Docs/models/cmr_walls.md; nothing of them is part of the project. The
contours of the cine stack come from another pipeline, not from an expert.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.cmr_real import PIXEL_MM, RealFrame, read_frames
from CardiacFusionLib.training.evaluation.metrics import dice
from CardiacFusionLib.training.evaluation.real_cmr_long_axis import Points, given_ends, long_axis_figures
from CardiacFusionLib.walls.cmr import segment_frame, segment_stack
from CardiacFusionLib.walls.result import CmrWalls

PHASES = ("ed", "es")
INSERTIONS = ("rv_insertion_anterior", "rv_insertion_inferior")
CINE_THICKNESS_MM = 8.0  # not recorded with the stack; only the pose needs a value

Outliner = Callable[[NDArray[np.float32], tuple[float, float]], NDArray[np.uint8]]


def patient_dice(frames: Sequence[RealFrame], outline: Outliner = segment_frame) -> dict[str, list[float]]:
    """Cavity Dice of every frame, by patient."""
    found: dict[str, list[float]] = {}
    for frame in frames:
        labels = outline(frame.image, (PIXEL_MM, PIXEL_MM))
        found.setdefault(frame.patient, []).append(dice(labels == Label.LV_CAVITY, frame.cavity))
    return found


def sunnybrook(folder: Path) -> dict[str, Any]:
    """Cavity Dice of all frames below ``folder``: mean over patients, each patient, median frame."""
    found = patient_dice(read_frames(folder))
    means = {patient: float(np.mean(values)) for patient, values in found.items()}
    frames = [v for values in found.values() for v in values]
    return {
        "cavity_dice": float(np.mean(list(means.values()))),
        "median_frame": float(np.median(frames)),
        "below_half": int(np.sum(np.array(frames) < 0.5)),
        "frames": len(frames),
        "patients": means,
        "pixel_mm_assumed": PIXEL_MM,
    }


def read_cine(folder: Path, phase: str) -> tuple[NDArray[np.float32], list[SlicePose]]:
    """Frames (slice, y, x) of the stack at "ed" or "es", and the pose of each slice."""
    import SimpleITK as sitk

    volume = Volume.from_sitk(sitk.ReadImage(str(folder / f"sax_{phase}.nii.gz")))
    step = volume.direction[:, 2] * volume.spacing_mm[2]
    poses = [
        SlicePose(
            tuple(np.asarray(volume.origin_mm) + k * step), volume.direction, volume.spacing_mm[:2], CINE_THICKNESS_MM
        )
        for k in range(len(volume.array))
    ]
    return volume.array.astype(np.float32), poses


def read_points(path: Path) -> Points:
    """LPS points (n, 3) by kind and view of a ``contours_*.csv``."""
    points: dict[str, dict[str, list[list[float]]]] = {}
    with path.open() as stream:
        for row in csv.DictReader(stream):
            place = [float(row[f"{axis}_lps_mm"]) for axis in "xyz"]
            points.setdefault(row["kind"], {}).setdefault(row["series_index"], []).append(place)
    return {kind: {view: np.array(p) for view, p in views.items()} for kind, views in points.items()}


def inside(points_lps: NDArray[np.float64], pose: SlicePose, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels (y, x) within a closed contour given in any order about its middle."""
    from skimage.draw import polygon2mask

    xy = pose.pixels(points_lps)
    away = xy - xy.mean(axis=0)
    xy = xy[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
    return np.asarray(polygon2mask(shape, xy[:, ::-1]), dtype=bool)


def cine(folder: Path) -> dict[str, Any]:
    """Cavity Dice and distance of the RV insertions, slice by slice at end-diastole and end-systole, and how far apex
    and mitral centre, told from the short axis alone, lie from the points given in the long-axis views; the same with
    those views (``long_axis``)."""
    slices: list[dict[str, Any]] = []
    ends: dict[str, dict[str, float]] = {}
    views: dict[str, dict[str, Any]] = {}
    for phase in PHASES:
        images, poses = read_cine(folder, phase)
        points = read_points(folder / f"contours_{phase}.csv")
        walls = segment_stack(images, poses)
        slices += [{"phase": phase, **row} for row in slice_figures(walls, poses, points)]
        ends[phase] = _ends(walls, points)
        views[phase] = long_axis_figures(folder, phase, walls, poses, points)
    return {"slices": slices, "ends": ends, "long_axis": views, **summary(slices)}


def slice_figures(walls: CmrWalls, poses: Sequence[SlicePose], points: Points) -> list[dict[str, Any]]:
    """Of each slice with a given contour: its number, cavity Dice and the distance (mm) of each insertion found."""
    rows: list[dict[str, Any]] = []
    for view, contour in points["SAX_LV_ENDOCARDIAL"].items():
        k = int(np.argmin([abs((contour.mean(axis=0) - np.asarray(p.origin_mm)) @ p.normal) for p in poses]))
        truth = inside(contour, poses[k], walls.labels.shape[1:])
        row = {"slice": k, "cavity_dice": dice(walls.labels[k] == Label.LV_CAVITY, truth)}
        rows.append(row | _insertions(walls, k, points.get("RV_INSERT", {}).get(view)))
    return rows


def summary(slices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and worst cavity Dice of ``slice_figures``, and mean and worst distance (mm) of each insertion."""
    overlap = [s["cavity_dice"] for s in slices]
    result: dict[str, Any] = {"cavity_dice": float(np.mean(overlap)), "cavity_dice_worst": float(np.min(overlap))}
    for name in INSERTIONS:
        errors = [s[name] for s in slices if name in s]
        result[name] = {
            "mean_mm": float(np.mean(errors)) if errors else float("nan"),
            "worst_mm": float(np.max(errors)) if errors else float("nan"),
            "found": len(errors),
            "of": len(slices),
        }
    return result


def _ends(walls: CmrWalls, points: Points) -> dict[str, float]:
    """Distance in mm of apex and mitral centre (mean of the leaflets' ends in all views) from the given ones."""
    return {
        name: float(np.linalg.norm(walls.ends[name].place_lps - place))
        for name, place in given_ends(points).items()
        if name in walls.ends
    }


def _insertions(walls: CmrWalls, k: int, given: NDArray[np.float64] | None) -> dict[str, float]:
    """Distance in mm of each insertion found in slice ``k`` from the given one; the higher of two is the anterior."""
    if given is None or len(given) != 2:
        return {}
    ordered = given[np.argsort(-given[:, 2])]
    return {
        name: float(np.linalg.norm(walls.landmarks[k][name] - place))
        for name, place in zip(INSERTIONS, ordered)
        if name in walls.landmarks[k]
    }


def evaluate_real_cmr(data_folder: Path) -> dict[str, Any]:
    """Figures of the shipped CMR weights on real images: ``sunnybrook`` and ``cine``, those of them that are there.

    The shipped weights have learnt from Sunnybrook (Docs/models/cmr_walls.md): its figure here is that of images seen
    in training. Patients left out are the matter of ``leave_out.py``.
    """
    found: dict[str, Any] = {}
    for name, measure in (("sunnybrook", sunnybrook), ("cine", cine)):
        if (Path(data_folder) / name).exists():
            found[name] = measure(Path(data_folder) / name)
    if not found:
        raise BadInputError(
            f"{data_folder} holds neither 'sunnybrook' nor 'cine'; set CARDIACFUSION_DATA to a folder that does."
        )
    return found
