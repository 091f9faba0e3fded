"""A branch drawn by the reader's two points: the cheapest way between them through what is tubular."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from skimage.graph import MCP_Geometric

from CardiacFusionLib.coronaries.centreline import centred, read
from CardiacFusionLib.coronaries.lumen import MUSCLE_HU, SURROUNDINGS_HU, Blood
from CardiacFusionLib.coronaries.measuring import blooming_of, centred_by_picture, lumen_of
from CardiacFusionLib.coronaries.paths import COST_FLOOR, RIDGE
from CardiacFusionLib.coronaries.pruning import Picture
from CardiacFusionLib.coronaries.radius import blur_of, cross_sections
from CardiacFusionLib.coronaries.stenosis import find_stenoses, healthy
from CardiacFusionLib.coronaries.vesselness import vesselness
from CardiacFusionLib.spatial.cropping import cropped
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume

Array = NDArray[np.float64]

MARGIN_MM = 12.0
MAX_APART_MM = 150.0
ATTACH_MM = 4.0  # a first point this near the parent's centreline is moved onto it


def seeded(
    tree: CoronaryTree, ct: Volume, first_mm: Array, last_mm: Array, name: str, parent: str | None = None
) -> CoronaryTree:
    """``tree`` (LPS) with one more branch from ``first_mm`` to ``last_mm`` (3,) LPS mm, measured like the others.

    Blood's brightness is read from the tree, or at the two points where it is empty. Raises BadInputError where a point
    lies outside the CT, the two are the same or too far apart, the name is taken or empty, or the parent is missing.
    """
    name = name.strip()
    first, last = (np.asarray(p, dtype=float) for p in (first_mm, last_mm))
    if not name or tree.branch(name) is not None:
        raise BadInputError(f"A new branch needs a name of its own; '{name}' is empty or taken.")
    hung = tree.branch(parent) if parent is not None else None
    if parent is not None and hung is None:
        raise BadInputError(f"The coronary tree has no branch '{parent}' for the new one to hang on.")
    if hung is not None:
        nearest = hung.points_mm[int(np.argmin(np.linalg.norm(hung.points_mm - first, axis=1)))]
        first = nearest if np.linalg.norm(nearest - first) <= ATTACH_MM else first
    apart = float(np.linalg.norm(last - first))
    if not 2.0 < apart < MAX_APART_MM:
        raise BadInputError(f"The two points lie {apart:.0f} mm apart; place them at the two ends of one branch.")
    for point in (first, last):
        index = apply(ct.lps_to_index, point)
        if np.any(index < 0) or np.any(index > np.asarray(ct.size) - 1):
            raise BadInputError("A point of the new branch lies outside the CT; place it inside.")
    part = _around(ct, first, last)
    blood = _blood_hu(tree, ct, first, last)
    contrast = blood - SURROUNDINGS_HU
    tubes = vesselness(
        part.array, part.spacing_mm[::-1], np.ones(part.array.shape, bool), contrast, clip_hu=(-120.0, blood + 100.0)
    )
    way = _way(part, tubes, first, last)
    points = centred(way, tubes, part)
    if hung is not None:
        points = np.concatenate([first[None], points])
    branch = Branch(name, points, np.ones(len(points)), parent)
    cut = cross_sections(points, ct, blood)
    picture = Picture(part, tubes, Blood(blood, 0.0, len(points)), blur_of(cut, blood))
    branch, cut = centred_by_picture(branch, picture, blooming_of([branch], picture))
    profile = lumen_of(cut, branch.arc_mm, blood, picture.blur_mm)
    reference = healthy(branch.arc_mm, 2.0 * profile.radius_mm)
    branch = replace(branch, radius_mm=profile.radius_mm, reference_mm=reference)
    return replace(tree, branches=(*tree.branches, branch), stenoses=(*tree.stenoses, *find_stenoses(branch, profile)))


def _around(ct: Volume, first: Array, last: Array) -> Volume:
    index = apply(ct.lps_to_index, np.stack([first, last]))
    margin = MARGIN_MM / np.asarray(ct.spacing_mm)
    low = np.maximum(np.floor(index.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0) + margin) + 1, ct.size).astype(int)
    return cropped(ct, (slice(low[2], high[2]), slice(low[1], high[1]), slice(low[0], high[0])))


def _blood_hu(tree: CoronaryTree, ct: Volume, first: Array, last: Array) -> float:
    """Brightness of a full lumen: the middle of the widest parts of the tree, else at the points."""
    if tree.branches:
        points = np.concatenate([b.points_mm for b in tree.branches])
        radius = np.concatenate([b.radius_mm for b in tree.branches])
        places = points[radius >= np.quantile(radius, 0.8)]
    else:
        places = np.stack([first, last])
    return max(float(np.median(read(ct.array, ct, places))), MUSCLE_HU)


def _way(part: Volume, tubes: NDArray[np.float32], first: Array, last: Array) -> Array:
    """Points (n, 3) LPS of the cheapest way."""
    cost = 1.0 / (COST_FLOOR + np.clip(tubes / RIDGE, 0.0, 1.0) ** 2)
    ends = np.rint(apply(part.lps_to_index, np.stack([first, last])))[:, ::-1].astype(int)
    ends = np.clip(ends, 0, np.asarray(part.array.shape) - 1)
    graph = MCP_Geometric(cost, fully_connected=True, sampling=part.spacing_mm[::-1])
    graph.find_costs([tuple(ends[0])], [tuple(ends[1])])
    index = np.asarray(graph.traceback(tuple(ends[1])), dtype=float)
    return apply(part.index_to_lps, index[:, ::-1])
