"""What the network of the blood pools sees: one slice's whole first pass on a coarse grid, second by second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.bolus import leading_frames_to_skip

SECONDS = 64  # channels: the first pass of a slow circulation ends within a minute
PIXEL_MM = 4.0
SIZE = 64  # pixels a side (256 mm)
QUIET_S = 3.0  # taken as 'before contrast'
Floats = NDArray[np.float64]


def pool_channels(frames: NDArray[np.floating], times_s: Floats) -> NDArray[np.float32]:
    """Channels (SECONDS, y, x) of frames (t, y, x) on the network's grid at times (t,) in seconds.

    The rise above each pixel's own first seconds, one channel a second, over the largest rise of the picture (its
    99.5th percentile): neither unit nor coil's height counts, and what stays as it is, such as fat, is dark. Series
    that end earlier go on with their last frame; leading proton-density frames are left out.
    """
    values = np.asarray(frames, dtype=np.float32)
    first = leading_frames_to_skip(values.reshape(len(values), -1).mean(axis=1))
    values, times = values[first:], np.asarray(times_s, dtype=float)[first:]
    before = times <= times[0] + QUIET_S
    rise = values - values[before].mean(axis=0)
    when = times[0] + np.arange(SECONDS, dtype=float)
    low = np.clip(np.searchsorted(times, when, side="right") - 1, 0, len(times) - 2)
    part = np.clip((when - times[low]) / (times[low + 1] - times[low]), 0.0, 1.0).astype(np.float32)[:, None, None]
    each_second = (1.0 - part) * rise[low] + part * rise[low + 1]
    top = float(np.percentile(each_second.max(axis=0), 99.5))
    return np.clip(each_second / max(top, 1e-12), -1.0, 2.0).astype(np.float32)


def onto_grid(frames: NDArray[np.floating], spacing_mm: tuple[float, float]) -> NDArray[np.float32]:
    """Frames (t, y, x) of pixels ``spacing_mm`` (x, y) about their middle on the network's grid; 0 outside."""
    values = np.asarray(frames, dtype=np.float32)
    blur = [max(PIXEL_MM / s / 2.355 - 0.5, 0.0) for s in spacing_mm[::-1]]
    if max(blur) > 0:
        values = ndimage.gaussian_filter(values, (0.0, *blur))
    at = np.meshgrid(*(_positions(n, s) for n, s in zip(values.shape[1:], spacing_mm[::-1])), indexing="ij")
    return np.stack([ndimage.map_coordinates(f, at, order=1, mode="constant") for f in values])


def from_grid(maps: NDArray[np.floating], shape: tuple[int, int], spacing_mm: tuple[float, float]) -> NDArray:
    """The reverse of :func:`onto_grid` for maps (k, SIZE, SIZE): their values at an image's pixels, 0 outside."""
    rows, columns = (
        (np.arange(n) - (n - 1) / 2) * s / PIXEL_MM + (SIZE - 1) / 2 for n, s in zip(shape, spacing_mm[::-1])
    )
    at = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([ndimage.map_coordinates(m, at, order=1, mode="constant") for m in maps])


def _positions(count: int, spacing: float) -> Floats:
    """Index along one side of the image (``count`` pixels of ``spacing`` mm) of each grid pixel."""
    return np.asarray((np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM / spacing + (count - 1) / 2)
