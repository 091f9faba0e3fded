"""What the CMR wall network sees: pictures on a standard short-axis grid, evened out for coil shading."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.series import SlicePose

PIXEL_MM = 1.5
CROP = 128  # pixels a side of the fine pass (192 mm)
CHANNELS = 4  # baseline, RV, LV, myocardium phase; a single frame fills all four
SHADING_MM = 35.0  # brightness is judged against its surroundings of this size: coil shading is wider than that


def even_out(images: NDArray[np.float32], pixel_mm: float = PIXEL_MM) -> NDArray[np.float32]:
    """Images (..., channel, y, x) ≥ 0 scaled by the local root mean square over all channels, clipped to 0..4.

    All channels share one scale, so that the change from phase to phase survives; coil shading and units do not.
    """
    x = np.asarray(images, dtype=np.float32)
    power = np.mean(np.square(x), axis=-3)
    sigma = [0.0] * (power.ndim - 2) + [SHADING_MM / pixel_mm] * 2
    local = ndimage.gaussian_filter(power, sigma, mode="constant")
    inside = ndimage.gaussian_filter((power > 0).astype(np.float32), sigma, mode="constant")
    overall = power.mean(axis=(-2, -1), keepdims=True)
    scale = np.sqrt(local / np.maximum(inside, 0.05) + 0.02 * overall + 1e-12)
    return np.clip(x / scale[..., None, :, :], 0.0, 4.0).astype(np.float32)


def plane_grid(centre_uv_mm: NDArray[np.float64], size: int, angle_deg: float = 0.0) -> NDArray[np.float64]:
    """Standard in-plane coordinates (u, v) in mm of a square grid's pixels, shape (size, size, 2)."""
    step = (np.arange(size) - (size - 1) / 2) * PIXEL_MM
    v, u = np.meshgrid(step, step, indexing="ij")
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.stack([c * u - s * v, s * u + c * v], axis=-1) + centre_uv_mm


def read_plane(
    images: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], uv_mm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Images (channel, y, x) of a slice at standard in-plane points (h, w, 2): (channel, h, w), 0 outside.

    ``axes`` as of ``landmarks_cmr.canonical_axes``. Coarse images are read with linear interpolation; finer ones are
    smoothed to the grid's step first.
    """
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    lps = uv_mm @ axes[:, :2].T + depth * axes[:, 2]
    xy = pose.pixels(lps)
    blur = [max(PIXEL_MM / s / 2.355 - 0.5, 0.0) for s in pose.spacing_mm[::-1]]
    source = ndimage.gaussian_filter(images, [0.0, *blur]) if max(blur) > 0 else images
    return np.stack([ndimage.map_coordinates(c, [xy[..., 1], xy[..., 0]], order=1, mode="constant") for c in source])


def write_back(
    grid: NDArray[np.float32],
    shape: tuple[int, int],
    pose: SlicePose,
    axes: NDArray[np.float64],
    centre_uv_mm: NDArray[np.float64],
    angle_deg: float = 0.0,
) -> NDArray[np.float32]:
    """The reverse of :func:`read_plane`: class maps (class, size, size) of a plane grid at the pixels of the image."""
    uv = pose.grid_lps(shape) @ axes[:, :2] - centre_uv_mm
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    size = grid.shape[-1]
    x = (c * uv[..., 0] + s * uv[..., 1]) / PIXEL_MM + (size - 1) / 2
    y = (-s * uv[..., 0] + c * uv[..., 1]) / PIXEL_MM + (size - 1) / 2
    return np.stack([ndimage.map_coordinates(g, [y, x], order=1, mode="constant") for g in grid])
