"""Coronary arteries in the CT: wall, lumen, plaque and calcium at the grid's own resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.tree import CoronaryTree, Stenosis
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.heart.tissues import Tissue

WALL_MM = 0.6
PLAQUE_HU = 60.0
CALCIUM_HU = 900.0


def paint_arteries(
    hu: NDArray[np.float32], grid: Volume, tree: CoronaryTree, look: Appearance, rng: np.random.Generator
) -> None:
    """Paint ``tree`` (LPS) into ``hu`` (z, y, x) in place: wall and plaque about the lumen, calcium beside it."""
    edge = float(np.mean(grid.spacing_mm))
    lumen = np.full(hu.shape, 9.0, np.float16)
    wall = np.full(hu.shape, 9.0, np.float16)
    for branch in tree.branches:
        outer = np.maximum(branch.radius_mm, _smooth_reference(branch.radius_mm)) + WALL_MM
        _stamp(lumen, grid, branch.points_mm, branch.radius_mm, edge)
        _stamp(wall, grid, branch.points_mm, outer, edge)
    blood = look.hu[Tissue.AORTA]
    for field, value in ((wall, np.float32(PLAQUE_HU)), (lumen, blood)):
        where = np.nonzero(field < edge / 2)
        cover = np.clip(0.5 - field[where].astype(np.float32) / edge, 0, 1)
        hu[where] += cover * (value - hu[where])
    for stenosis in tree.stenoses:
        if stenosis.calcified:
            _calcium(hu, grid, tree, stenosis, edge, rng)


def _smooth_reference(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """The radius without its narrowings: each point's largest neighbour within 12 points, smoothed."""
    n = len(radius)
    window = 12
    padded = np.pad(radius, window, mode="edge")
    top = np.array([padded[i : i + 2 * window + 1].max() for i in range(n)])
    return np.minimum(np.convolve(np.pad(top, 5, mode="edge"), np.ones(11) / 11, mode="valid"), top)


def _stamp(
    field: NDArray[np.float16], grid: Volume, points: NDArray[np.float64], radius: NDArray[np.float64], edge: float
) -> None:
    """Lower ``field`` to the distance from the chain of round cones."""
    m = grid.lps_to_index
    index = points @ m[:3, :3].T + m[:3, 3]
    spacing = np.asarray(grid.spacing_mm)
    limit = np.asarray(grid.size)
    for a, b, ra, rb in zip(index[:-1], index[1:], radius[:-1], radius[1:], strict=True):
        reach = (max(ra, rb) + edge) / spacing
        low = np.maximum(np.floor(np.minimum(a, b) - reach).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(a, b) + reach).astype(int) + 1, limit)
        if np.any(low >= high):
            continue
        x, y, z = ((np.arange(low[i], high[i]) - a[i]) * spacing[i] for i in range(3))
        v = (b - a) * spacing
        dot = z[:, None, None] * v[2] + y[None, :, None] * v[1] + x[None, None] * v[0]
        t = np.clip(dot / max(float(v @ v), 1e-9), 0, 1)
        d = np.sqrt(
            (z[:, None, None] - t * v[2]) ** 2 + (y[None, :, None] - t * v[1]) ** 2 + (x[None, None] - t * v[0]) ** 2
        ) - (ra + t * (rb - ra))
        part = field[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        np.minimum(part, d.astype(np.float16), out=part)


def _calcium(
    hu: NDArray[np.float32], grid: Volume, tree: CoronaryTree, stenosis: Stenosis, edge: float, rng: np.random.Generator
) -> None:
    """A few dense grains in the wall beside the narrowing."""
    branch = tree.branch(stenosis.branch)
    if branch is None:
        return
    for _ in range(int(rng.integers(2, 5))):
        place = stenosis.position_mm + rng.uniform(-0.4, 0.4) * stenosis.length_mm
        i = int(np.clip(np.searchsorted(branch.arc_mm, place), 1, len(branch.points_mm) - 1))
        along = branch.points_mm[i] - branch.points_mm[i - 1]
        side = np.cross(along, rng.normal(size=3))
        side /= max(float(np.linalg.norm(side)), 1e-9)
        centre = branch.points_mm[i] + side * (0.5 * stenosis.reference_diameter_mm)
        size = rng.uniform(0.5, 1.1)
        _spot(hu, grid, centre, size, np.float32(CALCIUM_HU * rng.uniform(0.7, 1.4)), edge)


def _spot(
    hu: NDArray[np.float32], grid: Volume, centre: NDArray[np.float64], radius: float, value: np.float32, edge: float
) -> None:
    """A ball of one value with a soft edge."""
    m = grid.lps_to_index
    c = m[:3, :3] @ centre + m[:3, 3]
    spacing = np.asarray(grid.spacing_mm)
    reach = (radius + edge) / spacing
    low = np.maximum(np.floor(c - reach).astype(int), 0)
    high = np.minimum(np.ceil(c + reach).astype(int) + 1, grid.size)
    if np.any(low >= high):
        return
    x, y, z = ((np.arange(low[i], high[i]) - c[i]) * spacing[i] for i in range(3))
    d = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2) - radius
    part = hu[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    part += (np.clip(0.5 - d / edge, 0, 1) * (value - part)).astype(np.float32)


def add_blooming(
    hu: NDArray[np.float32], grid: Volume, tree: CoronaryTree, rng: np.random.Generator, places: int = 2
) -> None:
    """Dense calcium of the LAD, LCx and RCA as a scanner blurs it, into ``hu`` (z, y, x) in place; ``tree`` in LPS.

    ``places`` a branch in its first two thirds: a lump in the wall, 1-2 mm long, its brightness spread over the lumen
    (Gaussian of 0.8-1.2 mm SD, 800-1400 HU at its middle, where that outshines what is there).
    """
    spacing = np.asarray(grid.spacing_mm)
    for name in ("LAD", "LCx", "RCA"):
        branch = tree.branch(name)
        if branch is None:
            continue
        for _ in range(places):
            i = int(rng.uniform(0.1, 0.65) * (len(branch.points_mm) - 1))
            along = branch.points_mm[i + 1] - branch.points_mm[i]
            side = np.cross(along, rng.normal(size=3))
            side *= branch.radius_mm[i] / max(float(np.linalg.norm(side)), 1e-9)
            wide, peak = float(rng.uniform(0.8, 1.2)), float(rng.uniform(800, 1400))
            centre = grid.lps_to_index[:3, :3] @ (branch.points_mm[i] + side) + grid.lps_to_index[:3, 3]
            reach = 4 * wide / spacing
            low = np.maximum(np.floor(centre - reach).astype(int), 0)
            high = np.minimum(np.ceil(centre + reach).astype(int) + 1, grid.size)
            if np.any(low >= high):
                continue
            x, y, z = ((np.arange(low[k], high[k]) - centre[k]) * spacing[k] for k in range(3))
            d2 = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2
            part = hu[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
            share = np.exp(-0.5 * d2 / wide**2)
            # partial volume of something that bright in whatever lies there
            part += (share * np.maximum(peak - part, 0.0)).astype(np.float32)
