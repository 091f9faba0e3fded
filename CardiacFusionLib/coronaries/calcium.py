"""Calcium's blooming taken out of the picture before the lumen beside it is read.

A grain of calcium is so bright that what the scanner's blur spreads of it into a narrowed lumen equals the lumen's own
light: the narrowing would read too mild. Where the picture outshines contrast beside an artery, the light of the grain
is found by Richardson and Lucy's deconvolution (Richardson 1972, J Opt Soc Am 62:55; Lucy 1974, Astron J 79:745) with
the scanner's blur, the source confined to where the grain is seen; that source, blurred again, is what is taken off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.radius import CALCIUM_OVER_BLOOD_HU, OVER_BLOOD_HU, WALL_HU
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

NEAR_MM = 4.0  # a grain farther from the centreline does not touch the lumen
MAX_GRAIN_MM3 = 150.0  # larger and as bright is a chamber, bone or metal
MIN_VOXELS = 3
NOISE_SD = 4.0  # a voxel is dense where it outshines blood by so many standard deviations of noise
ROUNDS = 12
TILE = 24  # voxels: dense voxels are looked for in tiles that an artery runs through


def blooming(
    ct: Volume, points_mm: NDArray[np.float64], blood_hu: float, blur_mm: float, noise_hu: float = 0.0
) -> Volume | None:
    """HU (z, y, x) on the grid of ``ct`` that calcium adds around the centrelines ``points_mm`` (n, 3) LPS.

    ``blood_hu``: brightness of a full lumen; ``blur_mm``: the scanner's (standard deviation); ``noise_hu``: spread of
    blood. None without calcium.
    """
    dense = _dense_near(ct, points_mm, blood_hu + max(CALCIUM_OVER_BLOOD_HU, NOISE_SD * noise_hu))
    if not len(dense):
        return None
    sigma = [blur_mm / s for s in ct.spacing_mm[::-1]]
    margin = np.ceil(4.0 * np.asarray(sigma)).astype(int) + 2
    field = np.zeros(ct.array.shape, np.int16)
    voxel = float(np.prod(ct.spacing_mm))
    for grain in _grains(dense):
        if len(grain) * voxel > MAX_GRAIN_MM3:
            continue
        low = np.maximum(grain.min(axis=0) - margin, 0)
        high = np.minimum(grain.max(axis=0) + margin + 1, ct.array.shape)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high))
        light = np.asarray(ct.array[box], np.float32) - np.float32(WALL_HU)
        peak = float(light[tuple((grain - low).T)].max())
        seen = light > max(0.5 * peak, blood_hu + OVER_BLOOD_HU - WALL_HU)
        parts, _ = ndimage.label(seen)
        own = np.unique(parts[tuple((grain - low).T)])
        seen &= np.isin(parts, own[own > 0])
        if seen.any():
            np.maximum(field[box], np.rint(_spread(light, seen, sigma)).astype(np.int16), out=field[box])
    return Volume(field, ct.spacing_mm, ct.origin_mm, ct.direction)


def _spread(light: NDArray[np.float32], seen: NDArray[np.bool_], sigma: list[float]) -> NDArray[np.float32]:
    """What the scanner makes of the source within ``seen`` that explains ``light`` there."""

    def blurred(field: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(ndimage.gaussian_filter(field, sigma, truncate=4.0), np.float32)

    weight = np.maximum(blurred(seen.astype(np.float32)), np.float32(1e-3))
    source = np.where(seen, light, np.float32(0))
    for _ in range(ROUNDS):
        ratio = np.where(seen, light / np.maximum(blurred(source), np.float32(1.0)), np.float32(0))
        source = source * blurred(ratio) / weight
        source[~seen] = 0.0
    return np.clip(blurred(source), 0.0, 3000.0)


def _dense_near(ct: Volume, points_mm: NDArray[np.float64], above_hu: float) -> NDArray[np.intp]:
    """Indices (n, 3) z, y, x of voxels brighter than ``above_hu`` within ``NEAR_MM`` of the points."""
    index = apply(ct.lps_to_index, np.asarray(points_mm))[:, ::-1]
    reach = NEAR_MM / np.asarray(ct.spacing_mm[::-1])
    corners = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    tiles = np.unique(np.floor((index[:, None] + corners * reach) / TILE).astype(int).reshape(-1, 3), axis=0)
    found = []
    for tile in tiles[(tiles >= 0).all(axis=1)]:
        part = ct.array[tuple(slice(int(t) * TILE, (int(t) + 1) * TILE) for t in tile)]
        found.append(np.argwhere(np.greater(part, above_hu)) + tile * TILE)
    dense = np.concatenate(found) if found else np.zeros((0, 3), np.intp)
    if not len(dense):
        return dense
    away, _ = cKDTree(points_mm).query(
        apply(ct.index_to_lps, dense[:, ::-1].astype(float)), distance_upper_bound=NEAR_MM
    )
    return np.asarray(dense[np.isfinite(away)], np.intp)


def _grains(dense: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The voxels (n, 3) by connected grain; what is smaller than ``MIN_VOXELS`` is noise."""
    pairs = cKDTree(dense).query_pairs(1.8, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(dense), len(dense)))
    _, owner = connected_components(links, directed=False)
    order = np.argsort(owner, kind="stable")
    parts = np.split(dense[order], np.flatnonzero(np.diff(owner[order])) + 1)
    return [part for part in parts if len(part) >= MIN_VOXELS]
