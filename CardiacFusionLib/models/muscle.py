"""Wall labels that lie on fat, lung or fluid are no wall: muscle is brighter.

A label network that learnt walls of usual thickness in fat draws a thin apex too thick, and fluid about the heart as
wall: on hearts made unlike the twin (``Testing/unit/plain_heart.py``) the apex read from its labels was 6 and 25 mm
aside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import averaged
from CardiacFusionLib.spatial.cropping import box_around, cropped
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume

# epicardial fat, HU (-190 to -30 in the usual definition of epicardial fat volumes, e.g. Nakazato 2012)
FAT_HU = -100.0
SMOOTH_MM = 1.0  # SD; noise of 45 HU at 1 mm then moves few voxels across a border
# muscle is what lies so far (mm) from the cavity: beyond the blur of its blood, within the thinnest usual wall
INNER_MM = (3.0, 6.0)
# fluid and soft tissue about the heart: so much darker than the muscle (HU) and farther from the cavity than where
# nearly all of the wall begins to be so dark. Nearer to the cavity dark muscle stays: an infarct is dark but not thick.
# In the real CT with a soft kernel (2.2 mm) up to 58 % of a level of the true wall are so dark
DARKER_HU = 30.0
NEARLY_ALL = 0.65
REACH_STEP_MM = 1.0
PADDING_HU = -1000.0  # at or below: no picture there
MARGIN_VOXELS = 4  # of the CT about what is read
NO_PICTURE_HU = 1000.0  # bright enough that nothing is taken back where there is no picture


@dataclass(frozen=True)
class Beyond:
    """Voxels (z, y, x) of the wall that are no muscle: nearer to ``fat`` (or lung); ``fluid`` or soft tissue."""

    fat: NDArray[np.bool_]
    fluid: NDArray[np.bool_]

    @property
    def either(self) -> NDArray[np.bool_]:
        """Fat or fluid."""
        return self.fat | self.fluid

    def taken_from(self, labels: Volume) -> Volume:
        """``labels`` without the wall that is no muscle."""
        return labels.with_array(np.where(self.either, np.uint8(Label.BACKGROUND), labels.array))

    def fluid_put_back(self, labels: Volume) -> Volume:
        """``labels`` in which the fluid is wall again, as the network drew it: beside the septum it may be the RV's
        blood without contrast, and tells the insertions."""
        return labels.with_array(np.where(self.fluid, np.uint8(Label.MYOCARDIUM), labels.array))


def beyond_muscle(ct: Volume, labels: Volume) -> Beyond:
    """The wall in ``labels`` whose place in the CT (HU) is nearer to fat than to the muscle of this heart, or farther
    out than that muscle reaches and clearly darker. Where the CT does not reach there is none."""
    wall = labels.array == Label.MYOCARDIUM
    beyond = Beyond(np.zeros(wall.shape, bool), np.zeros(wall.shape, bool))
    box = box_around(wall, (2, 2, 2))
    if box is None:
        return beyond
    part = cropped(labels, box)
    near = _near(ct, part)
    if near is None:
        return beyond
    near.array[np.asarray(near.array, np.float32) <= PADDING_HU] = NO_PICTURE_HU
    hu = resample_to(averaged(near, part.spacing_mm[0]), part, outside=NO_PICTURE_HU).array.astype(np.float32)
    hu = ndimage.gaussian_filter(hu, SMOOTH_MM / part.spacing_mm[0], mode="nearest")
    here, cavity = wall[box], part.array == Label.LV_CAVITY
    if not cavity.any():
        beyond.fat[box] = here & (hu < (float(np.median(hu[here])) + FAT_HU) / 2)
        return beyond
    away = ndimage.distance_transform_edt(~cavity, sampling=part.spacing_mm[::-1])
    inner = here & (away > INNER_MM[0]) & (away < INNER_MM[1])
    muscle = float(np.median(hu[inner if inner.any() else here]))
    fat = here & (hu < (muscle + FAT_HU) / 2)
    dark = hu < muscle - DARKER_HU
    beyond.fat[box] = fat
    beyond.fluid[box] = here & dark & ~fat & (away > _reach_mm(away[here], dark[here]))
    return beyond


def _reach_mm(away_mm: NDArray[np.float64], dark: NDArray[np.bool_]) -> float:
    """How far from the cavity the wall is not nearly all dark."""
    step = (away_mm / REACH_STEP_MM).astype(int)
    counts, darks = np.bincount(step), np.bincount(step, weights=dark)
    all_dark = (darks > NEARLY_ALL * counts) & (np.arange(len(counts)) * REACH_STEP_MM >= INNER_MM[0])
    return float(np.argmax(all_dark)) * REACH_STEP_MM if all_dark.any() else np.inf


def _near(ct: Volume, grid: Volume) -> Volume | None:
    """A copy of the part of the CT in which ``grid`` lies (a copy of the whole would cost a clinical scan 200 MB); None
    where they do not meet."""
    ends = [(0, n - 1) for n in grid.size]
    corners = np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]], float)
    index = apply(ct.lps_to_index @ grid.index_to_lps, corners)[:, ::-1]
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - MARGIN_VOXELS, 0, None)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + MARGIN_VOXELS + 1, ct.array.shape)
    if np.any(high <= low):
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high))
    part = cropped(ct, (z, y, x))
    return part.with_array(part.array.copy())
