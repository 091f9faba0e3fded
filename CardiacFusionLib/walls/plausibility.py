"""Does what was outlined in a CT look like a left ventricle with contrast agent? Measures, and a score from them.

Networks answer on any input. What they answered is therefore measured as anatomy (size, thickness, closed ring, length)
and as a picture (is the blood even and brighter than the wall, is the border sharp, does fat or lung lie outside, does
one slice go on where its neighbour ends), and the ways in which the pose was found must agree. Each measure may lie
anywhere in a wide range without loss; how far it lies outside lowers one common score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import AIR_HU, coarse_image
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Flag, Level, Quality, Range, score_of
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.slab_steps import slab_steps_mm

STAGE = "segment"
MEASURED_MM = 2.0  # finer labels are measured on every so many voxels
# Adult ranges widened to dilated, hypertrophic and contracted hearts (Kawel-Boehm 2020, JCMR 22:87); HU ranges leave
# room for tube voltages of 70-140 kV. What each range means is said to the user where it is broken.
RANGES: Mapping[str, tuple[Range, str]] = {
    "cavity_ml": (Range(40, 350, 0.35, log=True), "its cavity measures {:.0f} ml"),
    "wall_ml": (Range(50, 320, 0.35, log=True), "its wall measures {:.0f} ml"),
    "rv_share": (Range(0.3, 3.0, 0.5, log=True), "the right ventricle is {:.1f} times as large as the left"),
    "atrium_ml": (Range(15, 300, 0.7, log=True), "the left atrium measures {:.0f} ml"),
    "length_mm": (Range(65, 130, 12), "it is {:.0f} mm long"),
    "slenderness": (Range(1.1, 2.3, 0.25), "it is {:.1f} times as long as wide"),
    "thickness_mm": (Range(5, 16, 2), "its wall is {:.0f} mm thick"),
    "thickness_sd_mm": (Range(0, 3.5, 1.5), "its wall's thickness changes by {:.0f} mm from slice to slice"),
    "closed": (Range(0.9, 1, 0.08), "only {:.0%} of its cavity is enclosed by wall"),
    "contrast_hu": (Range(110, 700, 40), "blood is {:.0f} HU brighter than muscle"),
    "blood_spread": (Range(0, 0.45, 0.15), "its blood is uneven ({:.0%} of the contrast)"),
    "wall_hu": (Range(20, 260, 40), "its muscle measures {:.0f} HU"),
    "wall_spread": (Range(0, 0.5, 0.15), "its muscle is uneven ({:.0%} of the contrast)"),
    "sharpness": (Range(0.30, 1.5, 0.025), "its border is blurred ({:.0%} of the contrast within 2 mm)"),
    # hearts as they are measure 0.6-2.5; slabs 2 mm off their place 3-4 (Dice of the wall 0.85), 4 mm 7-9 (0.75)
    "slab_steps_mm": (Range(0, 2.5, 2.2), "its slices are shifted against each other by {:.0f} mm"),
    # alone, even with two doubts about the pose, no ground to refuse: of hearts of another make wrapped in soft tissue
    # of 40 HU (as of fluid or blood) a third were refused, while their axis lay 1-3 degrees off and their walls had
    # a Dice of 0.77-0.94
    "soft_outside": (Range(0.25, 1, 0.12), "only {:.0%} of its surroundings are fat or lung"),
    "cut_share": (Range(0, 0.01, 0.012), "{:.0%} of it lie outside the picture"),
    "axis_disagreement_deg": (Range(0, 9, 5), "two readings of its axis differ by {:.0f} degrees"),
    "roll_disagreement_deg": (Range(0, 14, 8), "two readings of its roll differ by {:.0f} degrees"),
    "shift_disagreement_mm": (Range(0, 9, 5), "two readings of its place differ by {:.0f} mm"),
    "unusual_axis_deg": (Range(0, 50, 15), "its axis lies {:.0f} degrees from the usual one"),
    "doubts": (Range(0, 0, 1.5), "{:.0f} checks of its pose were in doubt"),
}
DOUBTFUL, UNUSABLE = 0.5, 0.02  # scores below which a result is doubtful, and below which nothing can rest on it


@dataclass(frozen=True)
class Plausibility:
    """``score`` 0..1 (1: like any heart), the ``measures`` it rests on, and what to tell the user."""

    score: float
    measures: Mapping[str, float] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)


def judge(ct: Volume, labels: Volume, pose: HeartPose, reorientation: Reorientation) -> Plausibility:
    """How plausible the final labels (upright 1 mm grid) of a CT (HU) are, with the pose found and how it was found."""
    steps = {"slab_steps_mm": slab_steps_mm(ct, labels)}
    return verdict(wall_measures(ct, labels) | steps | agreement(pose, reorientation))


def verdict(measures: Mapping[str, float]) -> Plausibility:
    """Score and flag of measures named in ``RANGES``; a measure that is not a number counts as far outside."""
    penalties = {name: RANGES[name][0].penalty(value) for name, value in measures.items()}
    score = score_of(penalties.values())
    if score >= DOUBTFUL:
        return Plausibility(score, measures)
    worst = sorted((n for n in penalties if penalties[n] > 0), key=lambda n: -penalties[n])[:3]
    said = ", ".join(RANGES[n][1].format(measures[n]) if np.isfinite(measures[n]) else f"no {n}" for n in worst)
    if score < UNUSABLE:
        reason = f"what was outlined is no left ventricle that could be relied on: {said}; check that the CT shows the "
        reason += "whole heart, with contrast agent and without motion, or place the landmarks by hand."
        return Plausibility(score, measures, Quality((Flag(STAGE, "implausible", Level.UNUSABLE, reason),)))
    reason = f"The left ventricle looks unusual: {said}. Check its outline."
    return Plausibility(score, measures, Quality((Flag(STAGE, "unusual", Level.DOUBTFUL, reason),)))


def agreement(pose: HeartPose, reorientation: Reorientation) -> dict[str, float]:
    """How far the ways of finding the pose (labels alone, pose network, wall) are apart, and the axis from the usual
    lie; and how many of the reorientation's own checks were in doubt."""
    others = [reorientation.geometric_pose, reorientation.pose]
    origin = pose.to_lps(np.zeros(3))
    cosine = float(pose.long_axis_lps @ MEAN_LONG_AXIS_LPS / np.linalg.norm(MEAN_LONG_AXIS_LPS))
    doubts = sum(flag.level >= Level.DOUBTFUL for flag in reorientation.quality.flags)
    return {
        "doubts": float(doubts),
        "axis_disagreement_deg": max(axis_angle_deg(pose, other) for other in others),
        "roll_disagreement_deg": max(abs(roll_angle_deg(pose, other)) for other in others),
        "shift_disagreement_mm": max(float(np.linalg.norm(origin - o.to_lps(np.zeros(3)))) for o in others),
        "unusual_axis_deg": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
    }


def wall_measures(ct: Volume, labels: Volume) -> dict[str, float]:
    """All measures of the labelled ventricle and of the CT under it. NaN where there is nothing to measure."""
    step = max(1, round(MEASURED_MM / labels.spacing_mm[0]))
    array = labels.array[::step, ::step, ::step]
    spacing = float(labels.spacing_mm[0] * step)
    grid = Volume(array, (spacing,) * 3, labels.origin_mm, labels.direction)
    image = np.asarray(coarse_image(ct, grid).array, np.float32)
    unit_ml = spacing**3 / 1000
    cavity, wall = array == Label.LV_CAVITY, array == Label.MYOCARDIUM
    ventricle = cavity | wall
    sizes = {k: float((array == k).sum()) * unit_ml for k in (Label.RV_CAVITY, Label.LEFT_ATRIUM)}
    cavity_ml, wall_ml = cavity.sum() * unit_ml, wall.sum() * unit_ml
    measures = {
        "cavity_ml": float(cavity_ml),
        "wall_ml": float(wall_ml),
        "rv_share": sizes[Label.RV_CAVITY] / max(float(cavity_ml), 1.0),
        "atrium_ml": sizes[Label.LEFT_ATRIUM],
    }
    if cavity_ml < 5 or wall_ml < 5:
        return measures | dict.fromkeys(_OF_VENTRICLE, float("nan"))
    return measures | _shape(cavity, wall, array, spacing) | _picture(image, cavity, wall, ventricle, array, spacing)


_OF_VENTRICLE = ("length_mm", "slenderness", "thickness_mm", "closed", "contrast_hu", "sharpness", "soft_outside")


def _shape(
    cavity: NDArray[np.bool_], wall: NDArray[np.bool_], array: NDArray[np.generic], spacing: float
) -> dict[str, float]:
    heights = np.flatnonzero((cavity | wall).sum(axis=(1, 2)) > 4)
    length = len(heights) * spacing
    levels = np.flatnonzero(cavity.any(axis=(1, 2)))
    middle = levels[len(levels) // 4 : -max(len(levels) // 4, 1)] if len(levels) >= 8 else levels
    inner, both = (m[middle].sum(axis=(1, 2)) * spacing**2 for m in (cavity, cavity | wall))
    thickness = np.sqrt(both / np.pi) - np.sqrt(inner / np.pi)
    rim = ndimage.binary_dilation(cavity) & ~cavity
    rim[: middle[0]], rim[middle[-1] + 1 :] = False, False
    allowed = np.isin(array, (Label.MYOCARDIUM, Label.LEFT_ATRIUM, Label.AORTA))
    width = 2 * float(np.sqrt(np.median(both) / np.pi))
    return {
        "length_mm": length,
        "slenderness": length / max(width, 1.0),
        "thickness_mm": float(np.median(thickness)),
        "thickness_sd_mm": float(thickness.std()),
        "closed": float((rim & allowed).sum() / max(int(rim.sum()), 1)),
    }


def _picture(
    image: NDArray[np.float32],
    cavity: NDArray[np.bool_],
    wall: NDArray[np.bool_],
    ventricle: NDArray[np.bool_],
    array: NDArray[np.generic],
    spacing: float,
) -> dict[str, float]:
    inside = ndimage.distance_transform_edt(cavity, sampling=spacing)
    outside = ndimage.distance_transform_edt(~cavity, sampling=spacing)
    beyond = ndimage.distance_transform_edt(~ventricle, sampling=spacing)
    depth = ndimage.distance_transform_edt(ventricle, sampling=spacing)
    blood = image[inside > 4] if (inside > 4).sum() > 50 else image[cavity]
    core = wall & (outside > spacing) & (depth > spacing)
    muscle = image[core] if core.sum() > 50 else image[wall]
    contrast = float(np.median(blood) - np.median(muscle))
    scale = max(abs(contrast), 30.0)
    next_to = 1.05 * spacing
    edge = image[cavity & (inside <= next_to)].mean() - image[wall & (outside <= next_to)].mean()
    shell = (beyond > 3) & (beyond < 12) & (array == Label.BACKGROUND) & (image > AIR_HU + 50)
    seen = image[shell]
    return {
        "contrast_hu": contrast,
        "blood_spread": _spread(blood) / scale,
        "wall_hu": float(np.median(muscle)),
        "wall_spread": _spread(muscle) / scale,
        "sharpness": float(edge) / scale,
        "soft_outside": float((seen < 0).mean()) if seen.size > 50 else float("nan"),
        "cut_share": float((image[ventricle] < -800).mean()),
    }


def _spread(values: NDArray[np.float32]) -> float:
    """Half the distance between the 16th and the 84th percentile: a standard deviation that outliers do not move."""
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2
