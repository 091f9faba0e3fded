"""Figures of the CT side: the heart's pose, its labels, how round the ventricle looks in the frame found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import heart_grid, resample_to, sample
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.overlap import dice, hausdorff95_mm

Figures = dict[str, float]
ENDS = ("apex", "base")
ROUND = 0.95  # a heart whose true cross-sections have at least this aspect ratio counts as round


def plane_angle_deg(a: NDArray[np.float64], b: NDArray[np.float64], dropped: int) -> float:
    """Angle between two axes seen in a patient plane: projections that leave out coordinate ``dropped``."""
    kept = [i for i in range(3) if i != dropped]
    u, v = a[kept], b[kept]
    cosine = float(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def pose_figures(pose: HeartPose, truth: HeartPose) -> Figures:
    """Long axis (in space, and seen in the patient's axial and coronal planes), roll and centre of a pose."""
    origin = pose.to_lps(np.zeros(3)) - truth.to_lps(np.zeros(3))
    return {
        "axis_deg": axis_angle_deg(pose, truth),
        "axis_axial_deg": plane_angle_deg(pose.long_axis_lps, truth.long_axis_lps, 2),
        "axis_coronal_deg": plane_angle_deg(pose.long_axis_lps, truth.long_axis_lps, 1),
        "roll_deg": abs(roll_angle_deg(pose, truth)),
        "centre_mm": float(np.linalg.norm(origin)),
    }


def landmark_figures(pose: HeartPose, truth: HeartPose) -> Figures:
    """How far apex (epicardial tip) and base (middle of the mitral annulus) of a pose lie off, mm."""
    return {f"{name}_mm": float(np.linalg.norm(pose.landmarks[name] - truth.landmarks[name])) for name in ENDS}


def marks_in_window(truth: HeartPose, frame: HeartPose) -> dict[str, list[float]]:
    """True apex and base (mm) in a frame found without the landmark network: what 'predict the mean' learns from and is
    judged by. A window about the reoriented ventricle tells as much before it is looked at."""
    return {name: frame.to_heart(truth.landmarks[name]).tolist() for name in ENDS}


def predict_the_mean(cases: Sequence[Mapping[str, Sequence[float]]]) -> list[Figures]:
    """What a guess at the mean place of all *other* hearts' landmarks would have scored, heart by heart."""
    places = np.array([[case[name] for name in ENDS] for case in cases])
    others = (places.sum(axis=0) - places) / (len(places) - 1)
    errors = np.linalg.norm(others - places, axis=2)
    return [{f"{name}_mm": float(e) for name, e in zip(ENDS, row)} for row in errors]


def aspect_ratio(labels: Volume) -> float:
    """Mean minor/major axis of the LV cavity over the middle half of its short-axis slices (1 = round); NaN without
    a cavity. ``labels`` lie on an upright grid."""
    from skimage.measure import label, regionprops

    cavity = labels.array == Label.LV_CAVITY
    slices = np.flatnonzero(cavity.any(axis=(1, 2)))
    if len(slices) < 4:
        return float("nan")
    ratios = []
    for z in slices[len(slices) // 4 : -len(slices) // 4]:
        region = max(regionprops(label(cavity[z])), key=lambda r: r.area)
        if region.axis_major_length > 0:
            ratios.append(region.axis_minor_length / region.axis_major_length)
    return float(np.mean(ratios)) if ratios else float("nan")


def true_aspect_ratio(labels: Volume, pose: HeartPose) -> float:
    """The same of the true labels in the true frame, at 1.5 mm."""
    return aspect_ratio(resample_to(labels, heart_grid(pose, (96, 72, 72), 1.5), order=0))


def aspect_figures(found: Volume, true_labels: Volume, true_pose: HeartPose) -> Figures:
    """``aspect_ratio`` where the heart is truly round, and for every heart the error of the ratio."""
    measured, true = aspect_ratio(found), true_aspect_ratio(true_labels, true_pose)
    figures = {"aspect_ratio_error": abs(measured - true)}
    if true >= ROUND:
        figures["aspect_ratio"] = measured
    return figures


def wall_figures(found: Volume, truth: Volume) -> Figures:
    """Cavity and wall against the true labels, on the CT's own grid cropped around the true heart."""
    heart = (np.asarray(truth.array) > 0).astype(np.uint8)
    crop = tuple(slice(max(s.start - 8, 0), s.stop + 8) for s in ndimage.find_objects(heart)[0])
    true = np.asarray(truth.array[crop], np.uint8)
    origin = truth.index_to_lps @ np.array([crop[2].start, crop[1].start, crop[0].start, 1.0])
    grid = Volume(true, truth.spacing_mm, tuple(origin[:3]), truth.direction)
    predicted = sample(found, grid.grid_lps(), order=0).astype(np.uint8)
    wall = [a == Label.MYOCARDIUM for a in (predicted, true)]
    return {
        "cavity_dice": dice(predicted == Label.LV_CAVITY, true == Label.LV_CAVITY),
        "myocardium_dice": dice(*wall),
        "hd95_mm": hausdorff95_mm(wall[0], wall[1], truth.spacing_mm[::-1]),
        "rv_dice": dice(predicted == Label.RV_CAVITY, true == Label.RV_CAVITY),
    }
