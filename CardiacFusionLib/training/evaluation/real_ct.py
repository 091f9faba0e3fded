"""A real CT without labels: is the pose the same however the patient lies and however the scan was taken?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.aha import segments
from CardiacFusionLib.spatial.errors import BadInputError, CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.ct_figures import landmark_figures
from CardiacFusionLib.twin.from_ct import wall_geometry
from CardiacFusionLib.walls.ct import segment_ct

MAX_TURN_DEG, MAX_SHIFT_MM = 40.0, 30.0
SPACING_MM = (0.6, 3.0)
MAX_VOXELS = 12_000_000  # a fine grid over a large chest is cropped about the heart, as a scanner would
OUTLIER_DEG = 8.0
OUTSIDE_HU = -1024.0
FRAME_BY_EYE = Path(__file__).resolve().parents[3] / "Testing" / "reference" / "cta_frame_by_eye.json"


def real_scan(data_folder: Path) -> Volume:
    """The real CT of the data folder; BadInputError where there is none."""
    path = Path(data_folder) / "cta" / "cta.nii.gz"
    if not path.exists():
        raise BadInputError(f"There is no real CT at {path}; set CARDIACFUSION_DATA to the folder that holds cta/.")
    return read_ct(path)


@dataclass(frozen=True)
class Disturbed:
    """The same patient scanned otherwise: ``ct``, and the rigid 4x4 ``moved`` from the first scan's LPS to its."""

    ct: Volume
    moved: NDArray[np.float64]


def disturbed(ct: Volume, heart_mm: NDArray[np.float64], rng: np.random.Generator) -> Disturbed:
    """``ct`` with the patient turned (up to 40 degrees) and shifted (30 mm) about the heart at ``heart_mm`` (LPS),
    cropped, on a grid of 0.6-3 mm that differs by axis, noisier, its index axes permuted and flipped."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(0, MAX_TURN_DEG))).as_matrix()
    shift = rng.normal(size=3)
    shift *= rng.uniform(0, MAX_SHIFT_MM) / np.linalg.norm(shift)
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = turn, heart_mm + shift - turn @ heart_mm
    origin = moved[:3, :3] @ np.asarray(ct.origin_mm) + moved[:3, 3]
    patient = Volume(ct.array, ct.spacing_mm, tuple(origin), turn @ ct.direction)
    spacing = np.exp(rng.uniform(float(np.log(SPACING_MM[0])), float(np.log(SPACING_MM[1])), 3))
    half = rng.uniform(85, 130, 3)  # the heart with a margin of 1 to 5 cm
    count = np.ceil(2 * half / spacing).astype(int)
    if count.prod() > MAX_VOXELS:
        spacing *= (count.prod() / MAX_VOXELS) ** (1 / 3)
        count = np.ceil(2 * half / spacing).astype(int)
    first = heart_mm + shift + rng.uniform(-15, 15, 3) - half
    grid = Volume(np.zeros(tuple(count[::-1]), np.uint8), tuple(spacing), tuple(first), np.eye(3))
    array = np.asarray(resample_to(patient, grid, outside=OUTSIDE_HU).array, np.float32)
    inside = array > OUTSIDE_HU + 1
    noisy = array + inside * rng.normal(0, rng.uniform(0, 40), array.shape).astype(np.float32)
    return Disturbed(permuted(grid.with_array(noisy), rng.permutation(3), rng.random(3) < 0.5), moved)


def permuted(volume: Volume, order: NDArray[np.intp], flipped: NDArray[np.bool_]) -> Volume:
    """The same picture with its index axes (x, y, z) in another ``order`` and some of them ``flipped``."""
    array = volume.array.transpose(tuple(2 - int(order[2 - k]) for k in range(3)))
    direction, spacing = volume.direction[:, order].copy(), np.asarray(volume.spacing_mm)[order]
    origin = np.asarray(volume.origin_mm, float).copy()
    for k in (int(i) for i in np.flatnonzero(flipped)):
        array = np.flip(array, 2 - k)
        origin += direction[:, k] * spacing[k] * (array.shape[2 - k] - 1)
        direction[:, k] *= -1
    return Volume(np.ascontiguousarray(array), tuple(spacing), tuple(origin), direction)


def segment_thickness_mm(labels: Volume, pose: HeartPose) -> dict[int, float]:
    """Median thickness of the LV wall in each AHA segment 1-16, from the distances to its two surfaces."""
    geometry = wall_geometry(labels, pose)
    number = segments(geometry.angle_deg, geometry.level, geometry.anterior_deg, geometry.septum_deg)
    spacing = labels.spacing_mm[::-1]
    wall, cavity = labels.array == Label.MYOCARDIUM, labels.array == Label.LV_CAVITY
    # the base's open end is no outer surface: atrium and aorta count as within
    within = wall | cavity | np.isin(labels.array, (Label.LEFT_ATRIUM, Label.AORTA))
    inner = ndimage.distance_transform_edt(~cavity, sampling=spacing)[geometry.index]
    outer = ndimage.distance_transform_edt(within, sampling=spacing)[geometry.index]
    thickness = inner + outer - float(np.mean(spacing))  # both distances reach half a voxel beyond the wall
    return {n: float(np.median(thickness[number == n])) for n in range(1, 17) if (number == n).any()}


def _pose_errors(pose: HeartPose, truth: HeartPose) -> dict[str, float]:
    gap = pose.to_lps(np.zeros(3)) - truth.to_lps(np.zeros(3))
    return {
        "axis_deg": axis_angle_deg(pose, truth),
        "roll_deg": roll_angle_deg(truth, pose),
        "centre_mm": float(np.linalg.norm(gap)),
    }


def spread(poses: list[HeartPose]) -> dict[str, float]:
    """SD of the long axis about its mean direction (degrees), SD of the centre (mm) and of the roll, the worst axis."""
    axes = np.stack([p.long_axis_lps for p in poses])
    mean = axes.mean(axis=0) / np.linalg.norm(axes.mean(axis=0))
    angle = np.degrees(np.arccos(np.clip(axes @ mean, -1, 1)))
    centres = np.stack([p.to_lps(np.zeros(3)) for p in poses])
    off = np.linalg.norm(centres - centres.mean(axis=0), axis=1)
    rolls = np.array([roll_angle_deg(poses[0], p) for p in poses])
    return {
        "axis_sd_deg": float(np.sqrt(np.mean(angle**2))),
        "axis_worst_deg": float(angle.max()),
        "axis_outliers": int((angle > OUTLIER_DEG).sum()),
        "centre_sd_mm": float(np.sqrt(np.mean(off**2))),
        "centre_worst_mm": float(off.max()),
        "roll_sd_deg": float(rolls.std()),
    }


def evaluate_real_ct(data_folder: Path, n: int = 48, seed: int = 0, frame: Path = FRAME_BY_EYE) -> dict[str, Any]:
    """Figures on ``cta/cta.nii.gz`` of the data folder: the pose and the wall as scanned, and the pose's spread over
    ``n`` other scans of the same patient (:func:`disturbed`), mapped back.

    ``frame``: landmarks marked by eye (LPS mm); left out where the file is absent. Raises BadInputError without the CT.
    """
    ct = real_scan(data_folder)
    found = reorient(ct)
    walls = segment_ct(ct, found)
    thickness = segment_thickness_mm(walls.labels, walls.pose)
    volume_ml = {k: float((walls.labels.array == k).sum()) * walls.labels.voxel_volume_ml for k in (1, 2)}
    figures: dict[str, Any] = {
        "cavity_ml": volume_ml[Label.LV_CAVITY],
        "muscle_ml": volume_ml[Label.MYOCARDIUM],
        "thinnest_segment_mm": min(thickness.values()),
        "thickest_segment_mm": max(thickness.values()),
        "thickness_mm": thickness,
        "confidence": found.pose.confidence,
    }
    if Path(frame).exists():
        marked = json.loads(Path(frame).read_text(encoding="utf-8"))["landmarks"]
        truth = HeartPose.from_landmarks({name: np.array(point) for name, point in marked.items()})
        figures["by_eye"] = _pose_errors(walls.pose, truth) | landmark_figures(walls.pose, truth)
        figures["by_eye_before_walls"] = _pose_errors(found.pose, truth)
    poses, failures = [], {}
    for k, other in enumerate(_scans(ct, found.pose.to_lps(np.zeros(3)), n, seed)):
        try:
            pose = reorient(other.ct).pose
        except CardiacFusionError as error:
            failures[k] = str(error)
            continue
        poses.append(HeartPose(pose.lps_to_heart @ other.moved))
    figures["n"], figures["failures"] = n, failures
    if poses:
        figures.update(spread(poses))
        figures["axis_bias_deg"] = float(np.mean([axis_angle_deg(p, found.pose) for p in poses]))
    return figures


def _scans(ct: Volume, heart_mm: NDArray[np.float64], n: int, seed: int) -> Iterator[Disturbed]:
    for k in range(n):
        yield disturbed(ct, heart_mm, np.random.default_rng([seed, k]))
