"""Stress over rest, pixel by pixel, although the heart lies elsewhere in the two series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.wall import WallCoordinates, wall_coordinates

NEIGHBOURS = 12  # rest pixels that share one value: about one wall thickness squared
LOWEST_REST_ML_MIN_G = 0.05  # a smaller rest flow makes a ratio without meaning
# one wall thickness counts as much as so many radians of angle when neighbours are sought
DEPTH_WEIGHT = 0.35


def reserve_map(stress: Perfusion, rest: Perfusion) -> NDArray[np.float32]:
    """Ratio map (slice, y, x) on the stress grid, NaN outside the wall or without a rest slice at that place.

    Each stress slice takes the rest slice nearest along the stress normal, relative to the middle of each stack; inside
    it the weighted mean of the nearest rest pixels in (angle from the anterior insertion, septum stretched alike;
    depth).
    """
    here, there = wall_coordinates(stress.walls, stress.series.poses), wall_coordinates(rest.walls, rest.series.poses)
    flow = stress.maps.maps["mbf"]
    result = np.full(flow.shape, np.nan, np.float32)
    partner = _partners(stress, rest)
    for s, r in enumerate(partner):
        wall = np.isfinite(here.depth[s]) & np.isfinite(flow[s])
        source = np.isfinite(there.depth[r]) & np.isfinite(rest.maps.maps["mbf"][r])
        if not wall.any() or source.sum() < NEIGHBOURS:
            continue
        tree = cKDTree(_embedded(there, r, source))
        distance, index = tree.query(_embedded(here, s, wall), k=NEIGHBOURS)
        weight = 1.0 / (distance + 0.03)
        values = rest.maps.maps["mbf"][r][source].astype(float)[index]
        at_rest = np.sum(weight * values, axis=1) / np.sum(weight, axis=1)
        ratio = np.full(at_rest.shape, np.nan)
        enough = at_rest > LOWEST_REST_ML_MIN_G
        ratio[enough] = flow[s][wall][enough] / at_rest[enough]
        result[s][wall] = ratio
    return result


def _partners(stress: Perfusion, rest: Perfusion) -> list[int]:
    """For each stress slice the rest slice at the same place in its stack."""
    normal = stress.series.poses[0].normal
    a = np.array([np.asarray(p.origin_mm) @ normal for p in stress.series.poses])
    b = np.array([np.asarray(p.origin_mm) @ normal for p in rest.series.poses])
    if len(a) == len(b):
        # same protocol: first with first along the normal, whatever the breath-hold offset
        partner = np.empty(len(a), dtype=int)
        partner[np.argsort(a)] = np.argsort(b)
        return [int(p) for p in partner]
    return [int(np.argmin(np.abs((b - b.mean()) - (z - a.mean())))) for z in a]


def _embedded(coordinates: WallCoordinates, s: int, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Wall coordinates as points in space, so that 0 and 360 degrees are neighbours; the septum is 120 degrees."""
    angle, septum = coordinates.angle_deg[s][where], coordinates.septum_deg[s]
    inside = angle < septum
    even = np.where(inside, angle * 120.0 / septum, 120.0 + (angle - septum) * 240.0 / (360.0 - septum))
    radians = np.deg2rad(even)
    return np.stack([np.cos(radians), np.sin(radians), DEPTH_WEIGHT * coordinates.depth[s][where]], axis=1)
