"""How far two masks agree: overlap and surface distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice overlap of two masks of one shape; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2.0 * int((a & b).sum()) / total


def hausdorff95_mm(a: NDArray[np.bool_], b: NDArray[np.bool_], spacing_zyx: Sequence[float]) -> float:
    """95th percentile of the symmetric surface distance in mm; NaN where a mask is empty."""
    if not a.any() or not b.any():
        return float("nan")
    surfaces = [np.argwhere(m & ~ndimage.binary_erosion(m)) * np.asarray(spacing_zyx) for m in (a, b)]
    there = cKDTree(surfaces[1]).query(surfaces[0])[0]
    back = cKDTree(surfaces[0]).query(surfaces[1])[0]
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))
