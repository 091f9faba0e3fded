"""Do masks lie on their pictures? Asked of the pictures alone: where is the edge beneath an outline steepest?

A reader may outline generously, but not to one side in every heart. An offset that all examinations share is one of the
conversion of outlines to pictures (counting from one instead of zero, rounding), and no network should learn it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.training.cmr_real import RealFrame

SHIFTS_PX = np.arange(-2.0, 2.01, 0.25)
GROWTHS_PX = np.arange(-3.0, 2.01, 0.5)
LEAST_PX = 400  # cavities with fewer pixels are nearly closed: their edge is that of papillary muscles
SMOOTH_PX = 0.7


def edge_strength(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fall of brightness along the outward normal of the mask's outline (y, x), mean over the outline, for every shift
    of it in rows and columns and every growth: (``SHIFTS_PX``, ``SHIFTS_PX``, ``GROWTHS_PX``); contrast is one."""
    from skimage.measure import find_contours

    outline = max(find_contours(ndimage.gaussian_filter(mask.astype(float), 1.0), 0.5), key=len)[::2]
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    slope = np.gradient(ndimage.gaussian_filter(depth, 1.0))
    normal = -np.stack([ndimage.map_coordinates(s, outline.T, order=1) for s in slope], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    smooth = ndimage.gaussian_filter(image, SMOOTH_PX)
    around = ndimage.binary_dilation(mask, iterations=5) & ~mask
    contrast = float(np.percentile(smooth[mask], 75) - np.percentile(smooth[around], 25))
    fall = np.gradient(smooth)
    shifts = np.stack(np.meshgrid(SHIFTS_PX, SHIFTS_PX, indexing="ij"), axis=-1)
    found = np.empty((len(SHIFTS_PX), len(SHIFTS_PX), len(GROWTHS_PX)))
    for k, growth in enumerate(GROWTHS_PX):
        at = (outline + growth * normal)[:, None, None] + shifts
        at = np.moveaxis(at, -1, 0)
        across = [ndimage.map_coordinates(f, at, order=1, mode="nearest") for f in fall]
        found[..., k] = -(across[0] * normal[:, 0, None, None] + across[1] * normal[:, 1, None, None]).mean(axis=0)
    return found / max(contrast, 1e-6)


def mask_offset(frames: Sequence[RealFrame]) -> dict[str, tuple[float, float, float]]:
    """By patient: how far (rows, columns) the masks lie off the pictures' edges, and how far outside, in pixels."""
    strengths: dict[str, list[NDArray[np.float64]]] = {}
    for frame in frames:
        if int(frame.cavity.sum()) >= LEAST_PX:
            strengths.setdefault(frame.patient, []).append(edge_strength(frame.image, frame.cavity))
    result = {}
    for patient, values in strengths.items():
        mean = np.mean(values, axis=0)
        i, j, k = np.unravel_index(int(np.argmax(mean)), mean.shape)
        result[patient] = (-float(SHIFTS_PX[i]), -float(SHIFTS_PX[j]), -float(GROWTHS_PX[k]))
    return result


def moved(frames: Sequence[RealFrame], offset_px: tuple[float, float]) -> list[RealFrame]:
    """The frames with their masks moved back by ``offset_px`` (rows, columns)."""
    return [replace(f, cavity=_moved(f.cavity, offset_px)) for f in frames]


def _moved(mask: NDArray[np.bool_], offset_px: tuple[float, float]) -> NDArray[np.bool_]:
    if not mask.any():
        return mask
    # the edge runs half way between pixels' centres
    depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    depth = ndimage.shift(depth - 0.5 * np.sign(depth), [-o for o in offset_px], order=1, mode="nearest")
    return np.asarray(depth > 0, dtype=bool)
