"""Is this a heart, seen with contrast, whole, and do anchor and network agree?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import coarse_image
from CardiacFusionLib.spatial.cropping import box_around, cropped
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

STAGE = "reorient"
# adult ranges with room for disease (Kawel-Boehm 2020, JCMR 22:87, widened to dilated and hypertrophic hearts)
CAVITY_ML = (40.0, 350.0)
WALL_ML = (50.0, 320.0)
MIN_CONTRAST_HU = 60.0  # blood above muscle; without contrast agent blood is some 10 HU *below* muscle
GOOD_CONTRAST_HU = 120.0
INSIDE_MM = (4.0, 2.0)  # blood and muscle are read so far from the border of cavity and wall
MIN_RING = 0.85  # share of the cavity's surface in mid heart that is covered by wall
AXIS_LIMIT_DEG, ROLL_LIMIT_DEG, SHIFT_LIMIT_MM = 12.0, 20.0, 12.0


def check_heart(ct: Volume, labels: Volume) -> Quality:
    """Flags of the chamber labels against the CT (HU). Raises StageError where it is no heart with contrast agent:
    nothing after this could be right."""
    voxels = np.bincount(labels.array.ravel(), minlength=len(Label))
    millilitres = {label: float(voxels[label]) * labels.voxel_volume_ml for label in Label}
    cavity, wall = millilitres[Label.LV_CAVITY], millilitres[Label.MYOCARDIUM]
    if cavity < CAVITY_ML[0] / 2 or wall < WALL_ML[0] / 2:
        raise StageError(
            STAGE,
            f"no whole left ventricle was found (cavity {cavity:.0f} ml, wall {wall:.0f} ml); give a contrast-enhanced "
            "cardiac CT that holds the whole heart.",
        )
    left = around_ventricle(labels)
    contrast = contrast_hu(coarse_image(ct, left).array, left)
    if contrast < MIN_CONTRAST_HU:
        raise StageError(
            STAGE,
            f"the blood of the left ventricle is only {contrast:.0f} HU brighter than its wall; the CT has no contrast "
            "agent in the left heart (or its values are not HU). Give the arterial phase of a CT angiogram.",
        )
    flags = []
    for name, value, (low, high) in (("cavity", cavity, CAVITY_ML), ("wall", wall, WALL_ML)):
        if not low <= value <= high:
            flags.append(
                _doubt(
                    f"lv_{name}_volume", f"The left ventricular {name} measures {value:.0f} ml ({low:.0f}-{high:.0f})."
                )
            )
    if contrast < GOOD_CONTRAST_HU:
        flags.append(_doubt("weak_contrast", f"Blood is only {contrast:.0f} HU brighter than muscle."))
    ring = covered_share(left.array)
    if ring < MIN_RING:
        flags.append(_doubt("open_wall", f"Only {100 * ring:.0f} % of the ventricle's cavity is enclosed by wall."))
    if millilitres[Label.LEFT_ATRIUM] < 10:
        flags.append(_doubt("no_atrium", "The left atrium is missing, so the base of the heart is less certain."))
    return Quality.of(flags)


def around_ventricle(labels: Volume) -> Volume:
    """The part of the grid that holds the left ventricle and its surroundings."""
    box = box_around(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)), (2, 2, 2))
    return labels if box is None else cropped(labels, box)


def contrast_hu(image: NDArray[np.generic], labels: Volume) -> float:
    """Median HU inside the cavity less that inside the wall, read away from their border."""
    steps = [max(round(mm / labels.spacing_mm[0]), 1) for mm in INSIDE_MM]
    cavity, wall = (labels.array == label for label in (Label.LV_CAVITY, Label.MYOCARDIUM))
    inside, core = (ndimage.binary_erosion(mask, iterations=n) for mask, n in zip((cavity, wall), steps))
    blood = image[inside if inside.any() else cavity]
    return float(np.median(blood) - np.median(image[core if core.any() else wall]))


def covered_share(labels: NDArray[np.generic]) -> float:
    """Share of the cavity's outer voxels that border on the wall, an atrium or the aorta and not on something else."""
    cavity = labels == Label.LV_CAVITY
    rim = ndimage.binary_dilation(cavity) & ~cavity
    allowed = np.isin(labels, (Label.MYOCARDIUM, Label.LEFT_ATRIUM, Label.AORTA))
    return float((rim & allowed).sum() / max(int(rim.sum()), 1))


def check_cut(labels: Volume, ct: Volume) -> Quality:
    """A flag where the left ventricle reaches the CT's edge."""
    points = np.argwhere(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)))[:, ::-1].astype(float)
    lps = points @ labels.index_to_lps[:3, :3].T + labels.index_to_lps[:3, 3]
    index = lps @ ct.lps_to_index[:3, :3].T + ct.lps_to_index[:3, 3]
    margin = labels.spacing_mm[0] / np.asarray(ct.spacing_mm)
    outside = np.any((index < margin - 0.5) | (index > np.array(ct.size) - 0.5 - margin), axis=1)
    share = float(outside.mean())
    if share < 0.002:
        return Quality()
    level = Level.DOUBTFUL
    return Quality(
        (Flag(STAGE, "heart_cut", level, "The left ventricle reaches the edge of the CT; a part is missing."),)
    )


def agree(pose: HeartPose, anchor: HeartPose) -> tuple[bool, str]:
    """Whether the network's pose and the geometric one agree, and their difference in words."""
    axis, roll = axis_angle_deg(anchor, pose), abs(roll_angle_deg(anchor, pose))
    shift = float(np.linalg.norm(pose.to_lps(np.zeros(3)) - anchor.to_lps(np.zeros(3))))
    text = f"{axis:.0f} degrees of the long axis, {roll:.0f} degrees of roll and {shift:.0f} mm"
    return axis <= AXIS_LIMIT_DEG and roll <= ROLL_LIMIT_DEG and shift <= SHIFT_LIMIT_MM, text


def _doubt(name: str, reason: str) -> Flag:
    return Flag(STAGE, name, Level.DOUBTFUL, reason)
