"""Distances to a mask, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def distance_mm(mask: NDArray[np.bool_], sampling_zyx_mm: Sequence[float]) -> NDArray[np.float32]:
    """Signed distance (z, y, x) to the mask's border voxels: positive outside, zero or negative inside.

    Maurer's algorithm (SimpleITK), several times faster than scipy's. Everywhere far away where the mask is empty.
    """
    import SimpleITK as sitk

    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(s) for s in sampling_zyx_mm[::-1]])
    return np.asarray(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True)), np.float32)
