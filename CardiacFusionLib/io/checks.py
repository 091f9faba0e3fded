"""Is this a CT that the later stages can use? Asked at the door, answered in one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.io.image_file import check_finite
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Volume

MIN_EXTENT_MM = 80.0  # an adult heart is 100-140 mm long; below this no chamber can be found
MIN_VOXELS = 16
_CT_RANGE_HU = 300.0  # fat (-100) to contrast-filled blood (+250 and more) spans at least this
_FAT_HU = -30.0
BLOOD_HU = (170.0, 900.0)  # contrast-filled chambers; unenhanced blood is 30-60, liver 60, vertebrae 100-200 HU
_GRID_MM = 4.0
_CORE_MM = 8.0  # a voxel deeper than this inside a bright region: chambers and aorta, not bone or stents
_CORE_ML = 10.0


def check_ct(volume: Volume) -> None:
    """Raise BadInputError unless ``volume`` looks like a CT in HU of at least a heart's size."""
    if min(volume.array.shape) < MIN_VOXELS:
        raise BadInputError(
            f"The CT has only {' x '.join(str(n) for n in volume.size)} voxels; give the whole three-dimensional "
            "series, not a single slice or a scout."
        )
    extent = np.asarray(volume.size) * volume.spacing_mm
    if extent.min() < MIN_EXTENT_MM:
        raise BadInputError(
            f"The CT covers only {extent[0]:.0f} x {extent[1]:.0f} x {extent[2]:.0f} mm, less than a heart; check its "
            "voxel spacing (millimetres?) and give the whole series."
        )
    check_finite(volume.array, "The CT")
    values = volume.array.ravel()[:: max(1, volume.array.size // 2_000_000)].astype(np.float64)
    low, fat, high = (float(v) for v in np.percentile(values, (0.0, 5.0, 99.5)))
    if high - low < _CT_RANGE_HU:
        raise BadInputError(
            f"The CT holds values from {low:.0f} to {high:.0f}, too narrow for Hounsfield units (rescaled or 8-bit?); "
            "export it again with its HU values."
        )
    if low >= 0:
        raise BadInputError(
            f"The CT holds no value below zero ({low:.0f} to {high:.0f}), so these are not Hounsfield units; apply the "
            "rescale intercept (often -1024) or export it again."
        )
    if fat > _FAT_HU:
        raise BadInputError(
            f"The CT holds neither fat nor air (95 % of its values are above {fat:.0f}), so these are not Hounsfield "
            "units; export it again with its rescale slope and intercept."
        )
    soft = float(np.mean((values > -200) & (values < 700)))
    if soft < 0.05:
        raise BadInputError(
            "Fewer than 5 % of the CT's voxels have Hounsfield units of soft tissue or blood; give a chest CT in HU."
        )


def _coarse(volume: Volume) -> tuple[NDArray[np.float32], float]:
    """Block means on a grid of about 4 mm, and the volume of one block in mL."""
    steps = [max(1, round(_GRID_MM / s)) for s in volume.spacing_mm[::-1]]
    array = volume.array[tuple(slice(0, n // f * f) for n, f in zip(volume.array.shape, steps, strict=True))]
    z, y, x = (n // f for n, f in zip(array.shape, steps, strict=True))
    blocks = array.reshape(z, steps[0], y, steps[1], x, steps[2])
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32), volume.voxel_volume_ml * float(np.prod(steps))


def contrast_core_ml(volume: Volume) -> float:
    """Millilitres that lie more than 8 mm inside a region of 170-900 HU, largest connected piece.

    Contrast-filled chambers and aorta leave tens of millilitres, bone and metal hardly any.
    """
    coarse, block_ml = _coarse(volume)
    steps = [max(1, round(_GRID_MM / s)) for s in volume.spacing_mm[::-1]]
    spacing = [s * f for s, f in zip(volume.spacing_mm[::-1], steps, strict=True)]
    bright = (coarse > BLOOD_HU[0]) & (coarse < BLOOD_HU[1])
    core = ndimage.distance_transform_edt(np.pad(bright, 1), sampling=spacing)[1:-1, 1:-1, 1:-1] > _CORE_MM
    parts, count = ndimage.label(core)
    return float(np.bincount(parts.ravel())[1:].max(initial=0)) * block_ml if count else 0.0


def contrast_present(volume: Volume) -> bool:
    """Whether the heart's chambers or the aorta are filled with contrast agent."""
    return contrast_core_ml(volume) >= _CORE_ML


def check_contrast(volume: Volume) -> None:
    """Raise BadInputError for a CT without contrast in the heart."""
    if not contrast_present(volume):
        raise BadInputError(
            "No contrast-filled heart chamber or aorta (above 170 HU) was found in the CT; give the coronary "
            "angiogram, not the native or calcium-score series, and not another part of the body."
        )
