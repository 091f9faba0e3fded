"""What the CMR wall network sees: pictures on a standard short-axis grid, evened out for coil shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.series import SlicePose

PIXEL_MM = 1.5
CROP = 128  # pixels a side of a window (192 mm at PIXEL_MM)
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


@dataclass(frozen=True)
class View:
    """A square window on the standard plane: where it looks, turned by what angle, and its pixel in mm."""

    centre_uv_mm: NDArray[np.float64]
    size: int = CROP
    angle_deg: float = 0.0
    pixel_mm: float = PIXEL_MM
    mirrored: bool = False  # left and right exchanged

    def grid(self) -> NDArray[np.float64]:
        """Standard in-plane coordinates (u, v) in mm of the window's pixels, shape (size, size, 2)."""
        step = (np.arange(self.size) - (self.size - 1) / 2) * self.pixel_mm
        v, u = np.meshgrid(step, -step if self.mirrored else step, indexing="ij")
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        return np.stack([c * u - s * v, s * u + c * v], axis=-1) + self.centre_uv_mm

    def pixels(self, uv_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Window pixels (row, column), stacked first, of in-plane points (..., 2)."""
        away = uv_mm - self.centre_uv_mm
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        column = (c * away[..., 0] + s * away[..., 1]) * (-1 if self.mirrored else 1)
        row = -s * away[..., 0] + c * away[..., 1]
        return np.stack([row, column]) / self.pixel_mm + (self.size - 1) / 2

    def uv(self, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        """In-plane point (2,) of a window's pixel (row, column): the reverse of :meth:`pixels`."""
        v, u = (np.asarray(pixel) - (self.size - 1) / 2) * self.pixel_mm
        u = -u if self.mirrored else u
        c, s = np.cos(np.deg2rad(self.angle_deg)), np.sin(np.deg2rad(self.angle_deg))
        return np.array([c * u - s * v, s * u + c * v]) + self.centre_uv_mm


def read_plane(
    images: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], view: View
) -> NDArray[np.float32]:
    """Images (channel, y, x) of a slice in a window on the standard plane: (channel, size, size), 0 outside.

    ``axes`` as of ``spatial.sections.canonical_axes``. Coarse images are read with linear interpolation; finer ones
    are smoothed to the window's pixel first.
    """
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    lps = view.grid() @ axes[:, :2].T + depth * axes[:, 2]
    xy = pose.pixels(lps)
    blur = [max(view.pixel_mm / s / 2.355 - 0.5, 0.0) for s in pose.spacing_mm[::-1]]
    source = ndimage.gaussian_filter(images, [0.0, *blur]) if max(blur) > 0 else images
    # a single frame fills all channels alike: it is read once
    alike = len(source) > 1 and all(np.array_equal(source[0], c) for c in source[1:])
    read = [
        ndimage.map_coordinates(c, [xy[..., 1], xy[..., 0]], order=1, mode="constant")
        for c in (source[:1] if alike else source)
    ]
    return np.repeat(np.stack(read), len(source) if alike else 1, axis=0)


def write_back(
    window: NDArray[np.float32], shape: tuple[int, int], pose: SlicePose, axes: NDArray[np.float64], view: View
) -> NDArray[np.float32]:
    """The reverse of :func:`read_plane`: class maps (class, size, size) of a window at the pixels of the image."""
    at = view.pixels(pose.grid_lps(shape) @ axes[:, :2])
    return np.stack([ndimage.map_coordinates(w, at, order=1, mode="constant") for w in window])
