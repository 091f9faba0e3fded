"""Registered perfusion maps brought onto the wall: rings from the slices, and what lies between them.

Each map pixel goes from the CMR to the common heart frame, through the inverse displacement onto the CT's wall, and is
filed by its angle about the LV's centre. A slice gives one ring: the robust mean through the wall in each angle. A
point of the wall takes the two rings around its height, weighted by distance; beyond the outermost ring it takes that
ring as long as it is near. The distance to the nearest slice goes along, so that a reader sees what was measured and
what not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from CardiacFusionLib.fusion.surface import WallLattice
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.registration.result import GRID_SPACING_MM, Registration
from CardiacFusionLib.spatial.errors import StageError

Array = NDArray[np.float64]

RING_BINS = 60  # 6 degrees each: 2-3 pixels of a 2 mm map at mid wall
SMOOTH_DEG = 5.0
REACH_MM = 16.0  # beyond the outermost slice: half a slice of 8-10 mm and the usual gap to a third slice
TRIM = 0.1  # share of pixels left out at either end of a bin's values (blood and fat at the edges)


@dataclass(frozen=True)
class Rings:
    """Map values around the wall, one ring a slice: (slice, ``RING_BINS``), NaN where a bin is empty; heights in mm."""

    values: Array
    z_mm: Array


def pixel_heart_xy(perfusion: Perfusion, registration: Registration, slice_index: int) -> Array:
    """Heart x, y on the CT (y, x, 2) of every pixel of one map slice."""
    series = perfusion.series
    lps = series.poses[slice_index].grid_lps(series.array.shape[2:])
    xy = registration.pairing.cmr_pose.to_heart(lps)[..., :2]
    inverse = registration.inverse_mm[slice_index]
    rows, columns = inverse.shape[1:]
    at = np.stack([xy[..., 1] / GRID_SPACING_MM + (rows - 1) / 2, xy[..., 0] / GRID_SPACING_MM + (columns - 1) / 2])
    shift = [map_coordinates(inverse[k], at, order=1, mode="nearest") for k in (0, 1)]
    return xy + np.stack(shift, axis=-1)


def rings_of(name: str, perfusion: Perfusion, registration: Registration, lattice: WallLattice) -> Rings:
    """The map ``name`` as rings on the CT's wall. Raises StageError where pairing and maps do not fit together."""
    maps = perfusion.maps.maps[name]
    heights = np.asarray(registration.pairing.z_mm, float)
    if len(heights) != len(maps):
        raise StageError("fusion", f"{len(maps)} perfusion slices but {len(heights)} paired heights; register again.")
    rings = np.full((len(maps), RING_BINS), np.nan)
    for s, (image, z) in enumerate(zip(maps, heights)):
        known = np.isfinite(image)
        if known.sum() < RING_BINS or not np.isfinite(z):
            continue
        xy = pixel_heart_xy(perfusion, registration, s)[known]
        angle = lattice.angle_deg(np.concatenate([xy, np.full((len(xy), 1), z)], axis=1))
        rings[s] = _ring(np.mod(angle, 360.0), image[known].astype(float))
    return Rings(rings, heights)


def _ring(angle_deg: Array, values: Array) -> Array:
    """Trimmed mean in each bin, lightly smoothed around; bins without a pixel are NaN."""
    bin_of = (angle_deg / 360.0 * RING_BINS).astype(int) % RING_BINS
    mean, count = np.full(RING_BINS, np.nan), np.zeros(RING_BINS)
    for k in range(RING_BINS):
        mine = np.sort(values[bin_of == k])
        if len(mine):
            cut = int(TRIM * len(mine))
            mean[k], count[k] = mine[cut : len(mine) - cut].mean(), len(mine)
    sigma = SMOOTH_DEG / 360.0 * RING_BINS
    total = gaussian_filter1d(np.where(count > 0, mean, 0.0) * count, sigma, mode="wrap")
    weight = gaussian_filter1d(count, sigma, mode="wrap")
    return np.where(weight > 0.05, total / np.maximum(weight, 1e-9), np.nan)


def on_wall(rings: Rings, lattice: WallLattice, points_mm: Array) -> tuple[Array, Array]:
    """Value (n,) and distance to the nearest slice in mm (n,) at heart-frame points (n, 3) of the wall.

    NaN where neither neighbour ring has a value there, or the next slice is farther than ``REACH_MM``.
    """
    usable = np.flatnonzero(np.isfinite(rings.values).any(axis=1) & np.isfinite(rings.z_mm))
    n = len(points_mm)
    if not len(usable):
        return np.full(n, np.nan), np.full(n, np.inf)
    order = usable[np.argsort(rings.z_mm[usable])]
    heights = rings.z_mm[order]
    place = np.mod(lattice.angle_deg(points_mm), 360.0) / 360.0 * RING_BINS - 0.5
    read = np.stack([_around(rings.values[s], place) for s in order])  # (slices, n)
    z = points_mm[:, 2]
    away = np.abs(z[None] - heights[:, None])
    distance = np.where(np.isfinite(read), away, np.inf).min(axis=0)
    upper = np.clip(np.searchsorted(heights, z), 1, max(1, len(heights) - 1))
    lower = upper - 1 if len(heights) > 1 else np.zeros(n, int)
    upper = np.minimum(upper, len(heights) - 1)
    span = np.maximum(heights[upper] - heights[lower], 1e-6)
    share = np.clip((z - heights[lower]) / span, 0.0, 1.0)
    low, high = read[lower, np.arange(n)], read[upper, np.arange(n)]
    value = np.where(np.isnan(low), high, np.where(np.isnan(high), low, (1 - share) * low + share * high))
    return np.where(distance <= REACH_MM, value, np.nan), distance


def _around(ring: Array, place: Array) -> Array:
    """Linear reading of a ring at bin positions; one empty neighbour leaves the other."""
    left = np.floor(place).astype(int)
    share = place - left
    a, b = ring[left % RING_BINS], ring[(left + 1) % RING_BINS]
    both = (1 - share) * a + share * b
    return np.where(
        np.isnan(a), np.where(share > 0.5, b, np.nan), np.where(np.isnan(b), np.where(share <= 0.5, a, np.nan), both)
    )
