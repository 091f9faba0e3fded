"""Where the two coronary arteries meet nose to nose: which of them the vessel between belongs to.

Near the crux the end of one artery may lie against the other's. A search that goes by cost alone parts the vessel at a
point equally dear from both ostia, not where the one artery ends. But no artery widens downstream: where a way
enters a wider vessel that runs on into the other artery's end, that vessel is the other's, with all that hangs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.centreline import STEP_MM, centred, read
from CardiacFusionLib.coronaries.lumen import SURROUNDINGS_HU
from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.coronaries.pruning import COARSE_MM, Picture
from CardiacFusionLib.coronaries.radius import cross_sections, measured

FACING_MM = 12.0  # two ends so near each other may be one vessel: each tree keeps the other's ends this far away
REACH_MM = 60.0  # from the ends the change of vessels is sought so far back
BEFORE_MM, AFTER_MM, LEAST_MM = 25.0, 12.0, 6.0  # longer than a narrowing before, so that its end is no widening
WIDER = 1.25  # 1.9 mm became 2.9 mm where it was seen; noise changes such a mean by less than a tenth
ALIKE = (0.75, 1.4)  # what lies beyond against the other artery's end
LIT = 0.6  # of blood's contrast between the two ends


@dataclass(frozen=True)
class _Change:
    """A way that changes vessels at its point ``first`` (index into the way) to the vessel of the end ``to``."""

    wider: float
    way: NDArray[np.intp]
    first: int
    to: int


def rehung(tree: PathTree, picture: Picture) -> PathTree:
    """The tree with every vessel that faces another artery's end, and was entered from a thinner one, hung on that end.

    Points keep their places; nothing is done in a coarse CT, where calibres are not measured.
    """
    if len(tree.leaves) < 2 or max(picture.ct.spacing_mm) > COARSE_MM:
        return tree
    change = max(_changes(tree, picture), key=lambda one: one.wider, default=None)
    if change is None:
        return tree
    parent = tree.parent.copy()
    moved = change.way[change.first :]
    parent[moved[:-1]] = moved[1:]
    parent[moved[-1]] = change.to
    return _parents_first(PathTree(tree.points_mm, parent, tree.gap))


def _changes(tree: PathTree, picture: Picture) -> list[_Change]:
    leaves = tree.leaves
    root = {int(leaf): int(tree.way(int(leaf))[0]) for leaf in leaves}
    pairs = cKDTree(tree.points_mm[leaves]).query_pairs(FACING_MM)
    found = []
    for i, j in sorted(pairs):
        one, other = int(leaves[i]), int(leaves[j])
        if root[one] == root[other] or not _lit(tree.points_mm[one], tree.points_mm[other], picture):
            continue
        for end, to in ((one, other), (other, one)):
            change = _change(tree, end, to, picture)
            if change is not None:
                found.append(change)
    return found


def _lit(a: NDArray[np.float64], b: NDArray[np.float64], picture: Picture) -> bool:
    """Is there blood between two ends?"""
    between = a + np.linspace(0.0, 1.0, 9)[:, None] * (b - a)
    light = (read(picture.ct.array, picture.ct, between) - SURROUNDINGS_HU) / picture.blood.contrast_hu
    return bool(np.mean(light) >= LIT)


def _change(tree: PathTree, end: int, to: int, picture: Picture) -> _Change | None:
    """Where the way to ``end`` enters the vessel of the other artery's end ``to``; None where it does not."""
    way = tree.way(end)
    width, line = _widths(tree, end, picture)
    other, _ = _widths(tree, to, picture)
    before, after, least = (round(mm / STEP_MM) for mm in (BEFORE_MM, AFTER_MM, LEAST_MM))
    if len(width) < before + least or len(other) < least:
        return None
    best, at, middle = 0.0, -1, 0.0
    for k in range(before, len(width) - least + 1):
        thin, wide = float(np.median(width[k - before : k])), float(np.median(width[k : k + after]))
        if wide > best * max(thin, 0.1):
            best, at, middle = wide / max(thin, 0.1), k, (thin + wide) / 2
    at += int(np.argmax(width[at:] >= middle))  # medians see the wide part coming
    beyond = float(np.median(width[at:]) / max(np.median(other[-after:]), 0.1))
    if best < WIDER or not ALIKE[0] <= beyond <= ALIKE[1]:
        return None
    first = int(np.argmin(np.linalg.norm(tree.points_mm[way] - line[at], axis=1)))
    return _Change(best, way, first, to) if 0 < first < len(way) else None


def _widths(tree: PathTree, end: int, picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Diameters (n,) mm along the last ``REACH_MM`` of the way to an end, and its centreline (n, 3)."""
    line = centred(tree.points_mm[tree.way(end)], picture.tubes, picture.ct)[-round(REACH_MM / STEP_MM) :]
    cut = cross_sections(line, picture.ct, picture.blood.hu)
    return 2.0 * measured(cut, picture.blood.hu, picture.blur_mm).radius_mm, line


def _parents_first(tree: PathTree) -> PathTree:
    depth = np.zeros(len(tree.parent), np.intp)
    for node in range(len(depth)):
        depth[node] = len(tree.way(node))
    order = np.argsort(depth, kind="stable")
    number = np.empty(len(order), np.intp)
    number[order] = np.arange(len(order))
    up = tree.parent[order]
    return PathTree(tree.points_mm[order], np.where(up >= 0, number[up], -1).astype(np.intp), tree.gap[order])
