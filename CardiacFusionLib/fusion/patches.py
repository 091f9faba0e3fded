"""Connected patches of low flow, and which narrowings they lie behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.spatial.tree import Stenosis

Array = NDArray[np.float64]

MIN_PATCH_G = 4.0  # about 4 % of a normal wall; CMR defects below one segment's half are not reported
PATCH_BEHIND_SHARE = 0.5
FURTHER_SHARE = 0.25  # of a patch that a second narrowing must explain
IN_LINE_SHARE = 0.8  # narrowings with so much of the patch behind them count as in line


def patches(surface: Surface, low: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Connected parts of ``low`` on the mesh that weigh at least ``MIN_PATCH_G``, heaviest first."""
    t = surface.triangles
    pairs = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    pairs = pairs[low[pairs].all(axis=1)]
    n = len(low)
    graph = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, part = connected_components(graph, directed=False)
    weight = np.bincount(part, np.asarray(surface.values["mass_g"], float) * low)
    heavy = [k for k in np.argsort(-weight, kind="stable") if weight[k] >= MIN_PATCH_G]
    return [low & (part == k) for k in heavy]


def explained(
    patch: NDArray[np.bool_],
    candidates: Sequence[Stenosis],
    reach: Mapping[int, NDArray[np.bool_]],
    mass: Array,
    seen: NDArray[np.bool_],
) -> list[tuple[Stenosis, NDArray[np.bool_]]]:
    """The narrowings that a patch lies behind, each with its part: low flow of two vessels may run together.

    The one with most of the patch behind it comes first (of several in line the tightest), and takes the border
    along; a further one must explain a good part by itself, and much of the muscle behind it must be low.
    """
    weight = float(mass[patch].sum())
    rest = patch
    parts: list[tuple[Stenosis, NDArray[np.bool_]]] = []
    while True:
        inside = {id(s): float(mass[rest & reach[id(s)]].sum()) for s in candidates}
        most = max(inside.values(), default=0.0)
        least = PATCH_BEHIND_SHARE if not parts else FURTHER_SHARE
        if most < max(MIN_PATCH_G, FURTHER_SHARE * weight):
            break
        s = max((s for s in candidates if inside[id(s)] >= IN_LINE_SHARE * most), key=lambda s: s.diameter_percent)
        behind_mass = max(float(mass[reach[id(s)] & seen].sum()), 1e-9)
        if inside[id(s)] < least * weight and inside[id(s)] < PATCH_BEHIND_SHARE * behind_mass:
            break
        parts.append((s, rest & reach[id(s)]))
        rest = rest & ~reach[id(s)]
    if len(parts) == 1 and float(mass[rest].sum()) < PATCH_BEHIND_SHARE * weight:
        parts = [(parts[0][0], patch)]
    return parts
