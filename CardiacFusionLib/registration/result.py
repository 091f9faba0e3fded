"""What pairing and registration hand on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Quality

GRID_SHAPE = (128, 128)  # (y, x) of the common short-axis grid
GRID_SPACING_MM = 1.0


@dataclass(frozen=True)
class Pairing:
    """Where the CMR slices lie in the heart frame that CT and CMR share.

    ``cmr_pose``: CMR patient LPS -> heart frame. ``z_mm`` (slice,): height of each slice centre on the CT's long axis
    (not necessarily the slice's own height in ``cmr_pose``: the cardiac phase and the breath-hold differ).
    """

    cmr_pose: HeartPose
    z_mm: NDArray[np.float64]
    quality: Quality = field(default_factory=Quality)


@dataclass(frozen=True)
class Registration:
    """Non-rigid match of every CMR slice to the reoriented CT on the common grid.

    The grid: ``GRID_SHAPE`` pixels of ``GRID_SPACING_MM``, axes heart x (columns) and y (rows), its middle at heart
    (0, 0). ``displacement_mm`` (slice, 2, y, x), order (x, y): the fixed (CT) pixel at p shows the CMR at
    p + displacement(p), both in heart-frame mm. ``inverse_mm``: the same the other way round. ``offset_mm`` (slice, 2),
    order (x, y): how far each CMR slice lies beside the CT in its plane (breath-holds); part of the
    displacement; empty in cases kept by earlier versions.
    """

    pairing: Pairing
    displacement_mm: NDArray[np.float32]
    inverse_mm: NDArray[np.float32]
    ct_labels: NDArray[np.uint8]  # (slice, y, x) fixed
    cmr_labels: NDArray[np.uint8]  # (slice, y, x) moving, rigidly placed
    warped_labels: NDArray[np.uint8]  # (slice, y, x) moving after the displacement
    wall_dice_before: NDArray[np.float64]  # (slice,) with each slice shifted in its plane, before any bending
    wall_dice_after: NDArray[np.float64]
    folded_share: NDArray[np.float64]
    rv_insertion_mm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # (slice,) mean distance after
    quality: Quality = field(default_factory=Quality)
    offset_mm: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 2), np.float32))
