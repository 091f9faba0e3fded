"""Where a coronary artery may lie: blood brightness, the crop around the heart and the epicardial search mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.coronaries.aorta import ascending
from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.spatial.cropping import cropped
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.volume import Volume

CROP_MARGIN_MM = 14.0  # the arteries and their fat reach at most this far out of the chambers
REACH_MM = 12.0  # search outside the chambers up to here: AV grooves hold up to a centimetre of fat
# Coronaries keep to the ventricles and the grooves at their base: pulmonary and caval veins and the atria's roofs, as
# bright and as tubular, lie higher or farther away. Measured on twins: LCx and LAD within 9 mm of the ventricles once
# they are 20 mm from the root; the RCA, whose groove is wide, within 36 mm; nothing more than 15 mm above the base.
REACH_VENTRICLES_MM = 13.0
REACH_RIGHT_MM = 38.0  # on the right atrium's side
# on the left atrium's side, where no vein runs: below this height a wide left groove's fat holds the LCx so far out
# (19 mm seen on a twin)
REACH_LEFT_MM, LEFT_GROOVE_MM = 22.0, 8.0
REACH_ROOT_MM = 20.0
ABOVE_BASE_MM = 20.0
DEPTH_MYOCARDIUM_MM = 4.0  # into the wall: bridging and an outline that is off by a few voxels (3 mm seen at the apex)
DEPTH_CAVITY_MM = 2.5  # into thin-walled chambers, whose outline may be off by a voxel or two
# an outline of the aorta often takes the first millimetres of a coronary artery along; what is thinner than twice this
# is no aorta (sinus radius 15-17 mm) and wider than any artery (LM radius up to 2.9 mm, Dodge 1992)
STUB_MM = 5.0
# what holds a ball of this radius and shines like blood is a chamber, whatever the outlines say; its rim stays open
CHAMBER_BALL_MM = 3.6
CHAMBER_RIM_MM = 1.0
MUSCLE_HU = 110.0  # enhanced myocardium
SURROUNDINGS_HU = -60.0  # epicardial fat with the partial volume of the wall
# what a lumen must outshine is muscle (45 HU without contrast, blood 40): 40 HU more is twice what a scanner's drift
# and noise make of the two. SCCT 2022 wants 250 HU and more for a diagnostic CT; below WEAK_CONTRAST_HU a flag says so.
MIN_OVER_MUSCLE_HU = 40.0
WEAK_CONTRAST_HU = 200.0
# in such a CT a lumen less than three noise levels brighter than its wall cannot be told from it cross-section by
# cross-section (Rose 1948 asks for 5 of a single detail); only main branches, which are wide and long, are shown then
MIN_CONTRAST_TO_NOISE = 3.0

CAVITIES = (Label.LV_CAVITY, Label.RV_CAVITY, Label.LEFT_ATRIUM, Label.RIGHT_ATRIUM, Label.AORTA, Label.PULMONARY_TRUNK)


@dataclass(frozen=True)
class Blood:
    """Brightness of blood in the aortic root: median and spread in HU, how many voxels spoke, and that of muscle."""

    hu: float
    sd_hu: float
    count: int
    muscle_hu: float = MUSCLE_HU

    @property
    def is_enhanced(self) -> bool:
        """Does blood outshine muscle enough for a lumen to stand out?"""
        return bool(np.isfinite(self.hu) and self.hu >= self.muscle_hu + MIN_OVER_MUSCLE_HU)

    @property
    def is_faint(self) -> bool:
        """Is blood too pale for its noise, so that neither twigs nor narrowings can be told?"""
        return bool(self.hu < WEAK_CONTRAST_HU and self.hu - self.muscle_hu < MIN_CONTRAST_TO_NOISE * self.sd_hu)

    @property
    def contrast_hu(self) -> float:
        """Blood against what surrounds an artery."""
        return self.hu - SURROUNDINGS_HU


@dataclass(frozen=True)
class SearchRegion:
    """The crop of the CT around the heart on the CT's own grid, its chamber labels, and where arteries may lie."""

    ct: Volume
    labels: NDArray[np.uint8]  # (z, y, x) on the crop's grid, nearest voxel of the walls' labels
    mask: NDArray[np.bool_]
    blood: Blood
    outside_share: float = 0.0  # of the ventricles' voxels that lie beyond the CT


def labels_on(ct: Volume, labels: Volume) -> NDArray[np.uint8]:
    """Chamber labels (z, y, x) read at the voxels of ``ct`` (nearest neighbour), slab by slab."""
    matrix = labels.lps_to_index @ ct.index_to_lps
    to_zyx = matrix[:3, :3][::-1, ::-1]
    offset = matrix[:3, 3][::-1]
    return np.asarray(
        ndimage.affine_transform(
            labels.array, to_zyx, offset, output_shape=ct.array.shape, order=0, mode="constant", cval=0
        ),
        dtype=np.uint8,
    )


def crop_box(ct: Volume, labels: Volume) -> tuple[slice, slice, slice] | None:
    """Slices (z, y, x) of ``ct`` that hold the labelled heart with its margin; None where the two do not meet.

    The aorta and pulmonary trunk count only where they lie near the chambers, so that a long arch does not widen it.
    """
    heart = np.isin(labels.array, [int(x) for x in Label if x not in (0, Label.AORTA, Label.PULMONARY_TRUNK)])
    found = np.argwhere(heart)[:, ::-1]
    if not len(found):
        return None
    index = apply(ct.lps_to_index, apply(labels.index_to_lps, found.astype(float)))
    margin = CROP_MARGIN_MM / np.asarray(ct.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + margin) + 1, ct.size).astype(int)
    if np.any(high - low < 8):
        return None
    return slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0])


def blood_of_root(ct: Volume, labels: NDArray[np.uint8]) -> Blood:
    """Median and robust spread of HU inside the ascending aorta, away from its edge, and the median of muscle.

    ``labels`` on the grid of ``ct``; read at about every millimetre.
    """
    step = tuple(max(1, round(1.0 / s)) for s in ct.spacing_mm[::-1])
    coarse = labels[:: step[0], :: step[1], :: step[2]]
    hu = ct.array[:: step[0], :: step[1], :: step[2]]
    sampling = [s * k for s, k in zip(ct.spacing_mm[::-1], step)]
    aorta = ascending(coarse, sampling)
    if aorta is None:
        aorta = coarse == Label.AORTA
    inside = distance_mm(aorta, sampling) <= -2.0
    values = np.asarray(hu[inside if inside.sum() >= 20 else aorta], dtype=float)
    if len(values) < 5:
        return Blood(float("nan"), float("nan"), len(values))
    median = float(np.median(values))
    spread = float(1.4826 * np.median(np.abs(values - median)))
    wall = hu[coarse == Label.MYOCARDIUM]
    muscle = min(MUSCLE_HU, float(np.median(wall))) if len(wall) else MUSCLE_HU
    return Blood(median, spread, len(values), muscle)


def heights_above_base(volume: Volume, pose: HeartPose) -> NDArray[np.float32]:
    """Height (z, y, x) of every voxel above the mitral annulus along the long axis, mm."""
    axis = (pose.lps_to_heart @ volume.index_to_lps)[2].astype(np.float32)
    base = np.float32(pose.to_heart(pose.landmarks["base"])[2])
    z, y, x = (np.arange(n, dtype=np.float32) for n in volume.array.shape)
    return z[:, None, None] * axis[2] + y[None, :, None] * axis[1] + x[None, None] * axis[0] + (axis[3] - base)


def search_mask(
    labels: NDArray[np.uint8], spacing_zyx_mm: tuple[float, float, float], height_mm: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Voxels where a coronary artery may lie: a shell on the chambers, and a little inside their outlines.

    ``height_mm``: as ``heights_above_base`` on the same grid.
    """
    chambers = labels > 0
    # one coarse distance map serves: work at about 1.2 mm
    step = tuple(max(1, round(1.2 / s)) for s in spacing_zyx_mm)
    coarse = labels[:: step[0], :: step[1], :: step[2]]
    sampling = [s * k for s, k in zip(spacing_zyx_mm, step)]
    outside = distance_mm(coarse > 0, sampling)
    inside = float(np.mean(sampling)) - outside
    cavity = np.isin(coarse, [int(c) for c in CAVITIES])
    wall = coarse == Label.MYOCARDIUM
    allowed = (outside <= REACH_MM) & ~cavity & ~wall
    allowed |= cavity & (inside <= DEPTH_CAVITY_MM)
    # between two touching chambers the outline has no "outside": the groove is where cavity meets another structure
    edge = float(np.mean(sampling)) - distance_mm(cavity, sampling)
    allowed |= cavity & (edge <= DEPTH_CAVITY_MM) & (inside <= 3.0 * DEPTH_CAVITY_MM)
    allowed |= wall & (inside <= DEPTH_MYOCARDIUM_MM)
    ventricles = np.isin(coarse, (int(Label.LV_CAVITY), int(Label.MYOCARDIUM), int(Label.RV_CAVITY)))
    away = distance_mm(ventricles, sampling)
    right = distance_mm(coarse == Label.RIGHT_ATRIUM, sampling) < distance_mm(coarse == Label.LEFT_ATRIUM, sampling)
    height = height_mm[:: step[0], :: step[1], :: step[2]]
    home = (away <= REACH_VENTRICLES_MM) | (right & (away <= REACH_RIGHT_MM))
    home |= ~right & (away <= REACH_LEFT_MM) & (height <= LEFT_GROOVE_MM)
    # the root: aorta within reach of the ventricles
    home |= distance_mm((coarse == Label.AORTA) & (away <= REACH_VENTRICLES_MM), sampling) <= REACH_ROOT_MM
    allowed &= home & (height <= ABOVE_BASE_MM)
    full = np.repeat(np.repeat(np.repeat(allowed, step[0], 0), step[1], 1), step[2], 2)
    return np.asarray(full[: chambers.shape[0], : chambers.shape[1], : chambers.shape[2]], dtype=bool)


def without_stubs(labels: Volume) -> Volume:
    """The labels without thin outgrowths of the aorta (opened by a ball of ``STUB_MM``): arteries begin at its wall."""
    aorta = labels.array == Label.AORTA
    if not aorta.any():
        return labels
    found = [np.flatnonzero(aorta.any(axis=tuple(k for k in range(3) if k != axis))) for axis in range(3)]
    margin = [int(np.ceil(STUB_MM / s)) + 2 for s in labels.spacing_mm[::-1]]
    box = tuple(slice(max(0, int(f[0]) - m), int(f[-1]) + m + 1) for f, m in zip(found, margin))
    sampling = labels.spacing_mm[::-1]
    core = distance_mm(aorta[box], sampling) <= -STUB_MM
    if not core.any():
        return labels
    kept = labels.array.copy()
    kept[box][aorta[box] & (distance_mm(core, sampling) > STUB_MM + 0.5 * min(sampling))] = Label.BACKGROUND
    return labels.with_array(kept)


def search_region(ct: Volume, labels: Volume, pose: HeartPose) -> SearchRegion | None:
    """Crop, labels, mask and blood brightness; None where the labelled heart does not lie in the CT."""
    labels = without_stubs(labels)
    box = crop_box(ct, labels)
    if box is None:
        return None
    part = cropped(ct, box)
    on_grid = labels_on(part, labels)
    spacing = part.spacing_mm[::-1]
    mask = search_mask(on_grid, spacing, heights_above_base(part, pose))
    blood = blood_of_root(part, on_grid)
    if np.isfinite(blood.hu):
        _close_chambers(mask, part, on_grid, blood)
    return SearchRegion(part, on_grid, mask, blood, _outside_share(ct, labels))


def _close_chambers(mask: NDArray[np.bool_], ct: Volume, labels: NDArray[np.uint8], blood: Blood) -> None:
    """Take out of ``mask`` (in place) what is too wide and too bright for an artery; the aorta stays, ways begin there.

    Brightness is averaged over blocks of about 1.2 mm.
    """
    step = [max(1, round(1.2 / s)) for s in ct.spacing_mm[::-1]]
    sampling = [s * k for s, k in zip(ct.spacing_mm[::-1], step)]
    size = [n // k for n, k in zip(mask.shape, step)]
    blocks = np.asarray(ct.array)[: size[0] * step[0], : size[1] * step[1], : size[2] * step[2]]
    total: NDArray[np.int32] = np.zeros(size, np.int32)
    for z in range(step[0]):
        for y in range(step[1]):
            for x in range(step[2]):
                total += blocks[z :: step[0], y :: step[1], x :: step[2]].astype(np.int32)
    bright = total > 0.5 * (blood.hu + blood.muscle_hu) * float(np.prod(step))
    core = distance_mm(bright, sampling) <= -CHAMBER_BALL_MM
    core &= labels[:: step[0], :: step[1], :: step[2]][: size[0], : size[1], : size[2]] != Label.AORTA
    if not core.any():
        return
    closed = distance_mm(core, sampling) <= CHAMBER_BALL_MM - CHAMBER_RIM_MM
    full = np.repeat(np.repeat(np.repeat(closed, step[0], 0), step[1], 1), step[2], 2)
    mask[: full.shape[0], : full.shape[1], : full.shape[2]] &= ~full


def _outside_share(ct: Volume, labels: Volume) -> float:
    ventricles = np.argwhere(np.isin(labels.array, (int(Label.LV_CAVITY), int(Label.MYOCARDIUM), int(Label.RV_CAVITY))))
    if not len(ventricles):
        return 0.0
    some = ventricles[:: max(1, len(ventricles) // 20_000), ::-1].astype(float)
    index = apply(ct.lps_to_index, apply(labels.index_to_lps, some))
    return float(np.any((index < -0.5) | (index > np.asarray(ct.size) - 0.5), axis=1).mean())
