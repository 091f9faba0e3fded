"""The way of an artery over the heart: round what stands between two points, lifted off the surface, without folds."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from skimage.graph import MCP_Geometric

from CardiacFusionLib.twin.coronary.bed import distance_to_heart
from CardiacFusionLib.twin.heart.anatomy import Heart

Array = NDArray[np.float64]

STEP_MM = 0.5  # distance between centreline points
GRID_MM = 2.0  # of the search for a way round
MARGIN_MM = 30.0  # a way round leaves the box of its two ends by so much at most
FREE_MM = 1.2  # an artery's middle keeps so far off the surface while its way is sought
INSIDE_COST = 3.0  # per mm deeper than FREE_MM: through a thin fold of wall rather than half round the heart
AWAY_COST = 0.06  # per mm farther off: it hugs the heart
TURN_BACK_DEG = 105.0  # a waypoint at which the way would turn by more is left out
SMOOTH_MM = 2.5  # an artery bends no sharper than about this


class Router:
    """Ways outside one heart (heart frame, mm)."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart

    def is_free(self, points: Array, depth_mm: float = 0.0) -> NDArray[np.bool_]:
        """Which of the points (n, 3) lie outside, or at most ``depth_mm`` inside."""
        return distance_to_heart(self.heart, points) > -depth_mm

    def through(self, waypoints: Array) -> Array:
        """A polyline (m, 3) through the first, the last and those waypoints (n, 3) that lie outside the heart and do
        not turn the way back; where the straight line between two of them runs through the heart, round it."""
        keep = self.is_free(waypoints, depth_mm=1.0)
        keep[[0, -1]] = True
        stations = _onward(waypoints[keep])
        pieces = [stations[:1]]
        for a, b in pairwise(stations):
            if not self.is_free(_line(a, b), depth_mm=1.0).all():
                pieces.append(self._round(a, b))
            pieces.append(b[None])
        return np.concatenate(pieces)

    def lifted(self, curve: Array, clearance_mm: Array, rounds: int = 60) -> Array:
        """The curve (n, 3) as an elastic band outside the heart: every point keeps its ``clearance_mm`` (n,), which
        belongs to its share of the length; points stay evenly spaced, so that pushing one makes no fold."""
        points = resampled(curve, len(curve))
        step = 0.4
        for k in range(rounds):
            probes = np.concatenate([points, *(points + step * axis for axis in np.eye(3))])
            distance = distance_to_heart(self.heart, probes).reshape(4, -1)
            missing = np.maximum(clearance_mm - distance[0], 0.0)
            if k > 0 and missing.max() < 0.15:
                break
            gradient = (distance[1:] - distance[0]).T / step
            gradient /= np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 0.3)
            push = gradient * np.minimum(missing, 2.0)[:, None]
            # neighbours follow, so that the vessel bends rather than jumps
            moved = points + 0.4 * push + 0.6 * gaussian_filter1d(push, 5.0, axis=0, mode="nearest")
            moved = _smoothed(moved, 1.0 / STEP_MM)
            moved[[0, -1]] = points[[0, -1]] + np.where(missing[[0, -1], None] > 0, 0.5 * push[[0, -1]], 0.0)
            points = resampled(moved, len(curve))
        return points

    @cached_property
    def _grid(self) -> tuple[Array, NDArray[np.float32]]:
        """Origin (3,) and the cost of a step at each node (x, y, z)."""
        marks = np.stack([np.asarray(p, float) for p in self.heart.landmarks.values()])
        ring = np.asarray(self.heart.av_groove_point(np.arange(0.0, 360.0, 15.0)), dtype=float)
        low = np.min([marks.min(axis=0), ring.min(axis=0)], axis=0) - MARGIN_MM
        high = np.max([marks.max(axis=0), ring.max(axis=0)], axis=0) + MARGIN_MM
        axes = [np.arange(a, b, GRID_MM) for a, b in zip(low, high, strict=True)]
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        gap = distance_to_heart(self.heart, nodes.reshape(-1, 3)).reshape(nodes.shape[:3]) - FREE_MM
        cost = 1.0 + np.where(gap < 0, -INSIDE_COST * gap, AWAY_COST * gap)
        return low, cost.astype(np.float32)

    def _round(self, a: Array, b: Array) -> Array:
        """Points (m, 3) of the cheapest way between two points, both left out."""
        origin, cost = self._grid
        ends = np.clip(np.rint((np.stack([a, b]) - origin) / GRID_MM).astype(int), 0, np.array(cost.shape) - 1)
        reach = int(np.ceil(MARGIN_MM / GRID_MM))
        low = np.maximum(ends.min(axis=0) - reach, 0)
        high = ends.max(axis=0) + reach + 1
        box = cost[tuple(slice(i, j) for i, j in zip(low, high, strict=True))]
        search = MCP_Geometric(box, fully_connected=True)
        search.find_costs([tuple(ends[0] - low)], [tuple(ends[1] - low)])
        steps = np.array(search.traceback(tuple(ends[1] - low)), dtype=float)
        return (steps[1:-1] + low) * GRID_MM + origin


def equidistant(curve: Array) -> Array:
    """The curve (n, 3) resampled about ``STEP_MM`` apart."""
    length = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    return resampled(curve, max(3, int(np.ceil(length / STEP_MM)) + 1))


def resampled(curve: Array, count: int) -> Array:
    """``count`` points at even distances along the curve (n, 3); its ends stay."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    wanted = np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, curve[:, k]) for k in range(3)], axis=1)


def smooth_way(waypoints: Array) -> Array:
    """A smooth curve, ``STEP_MM`` apart, along a polyline (n, 3); its ends stay."""
    return equidistant(_smoothed(equidistant(waypoints), SMOOTH_MM / STEP_MM))


def _onward(stations: Array) -> Array:
    """Without the points (of n, 3) at which the way turns back, the sharpest first; the ends stay."""
    while len(stations) > 2:
        steps = np.diff(stations, axis=0)
        steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
        cosine = (steps[:-1] * steps[1:]).sum(axis=1)
        sharpest = int(np.argmin(cosine))
        if cosine[sharpest] > np.cos(np.deg2rad(TURN_BACK_DEG)):
            break
        stations = np.delete(stations, sharpest + 1, axis=0)
    return stations


def _line(a: Array, b: Array) -> Array:
    count = max(3, int(np.ceil(float(np.linalg.norm(b - a)))))
    return a + np.linspace(0.0, 1.0, count)[:, None] * (b - a)


def _smoothed(points: Array, sigma: float) -> Array:
    """Gaussian along the curve, mirrored through its ends, which stay where they are."""
    n = len(points)
    reach = min(n - 1, int(np.ceil(4 * sigma)) + 1)
    before = 2 * points[0] - points[reach:0:-1]
    after = 2 * points[-1] - points[-2 : -2 - reach : -1]
    return gaussian_filter1d(np.concatenate([before, points, after]), sigma, axis=0)[reach : reach + n]
