"""How a landmark network's maps are read: one place for each landmark and the belief in it, 'absent' included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PLANE_REACH_PX = 5.0  # reach in the windows of slices and views
SMOOTHED = 1.0  # SD in pixels: the peak looked for is that of a blob, not of one pixel


@dataclass(frozen=True)
class Seen:
    """A landmark: ``place`` as pixel (row, column or z, y, x) of a window or in LPS mm, and the ``belief`` (0..1) that
    lies there and not elsewhere or in 'absent'."""

    place: NDArray[np.float64]
    belief: float


def read_maps(scores: NDArray[np.floating], reach: float) -> list[Seen]:
    """Places from one window's scores (2 · landmark, row, column or z, y, x): first a map for each landmark, then for
    each one whose mean weighs against it ('absent').

    One softmax over all places and 'absent' (``training.losses.heatmap_entropy``); a place is the centroid of what lies
    within ``reach`` pixels of the peak.
    """
    count = len(scores) // 2
    grid = np.indices(scores.shape[1:]).astype(float)
    found = []
    for place, absent in zip(scores[:count].astype(float), scores[count:].astype(float)):
        against = float(absent.mean())
        top = max(float(place.max()), against)
        weight = np.exp(place - top)
        belief = weight / (weight.sum() + np.exp(against - top))
        peak = np.unravel_index(int(np.argmax(ndimage.gaussian_filter(belief, SMOOTHED))), belief.shape)
        near = belief * (sum((axis - p) ** 2 for axis, p in zip(grid, peak)) <= reach**2)
        mass = max(float(near.sum()), 1e-12)
        found.append(Seen(np.array([float((near * axis).sum()) / mass for axis in grid]), float(near.sum())))
    return found
