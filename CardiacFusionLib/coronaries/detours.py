"""Detours: stretches between two forks that look like no artery, though what hangs on them does.

Pruning judges every end from its fork outwards. A way that ran to a true artery along the sharp rim of a chamber, where
that was cheaper than the artery's own course, is vouched for by its end. Such a stretch is found by the same score
(``likeness.py``), closed, and the tree grown anew: what is real finds its own way back. On two twins (seeds 2206, 2210)
no true stretch between forks scored below -0.3 anywhere; four false ones did over 19 to 54 mm, at medians of -1 to -13.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.centreline import STEP_MM, centred
from CardiacFusionLib.coronaries.paths import COVER_MM, PathTree, SearchGrid
from CardiacFusionLib.coronaries.pruning import COARSE_MM, TOLERATED_MM, Picture, fair_artery, subtree

ROUNDS = 2  # what was closed may be gone round
LOST_MM = 18.0
CLOSED_MM = 2.0  # this near a detour nothing is sought any more, but for what is nearer to an artery


def detours(tree: PathTree, picture: Picture) -> NDArray[np.bool_]:
    """Points (n,) of the tree on stretches between forks that fail for longer than a narrowing may hide a lumen.

    None in a coarse CT, where the score was not measured.
    """
    marked = np.zeros(len(tree.parent), bool)
    if not len(marked) or max(picture.ct.spacing_mm) > COARSE_MM:
        return marked
    children = np.bincount(tree.parent[tree.parent >= 0], minlength=len(marked))
    for fork in np.flatnonzero(children > 1):
        stretch = [int(fork)]
        while tree.parent[stretch[-1]] >= 0 and children[tree.parent[stretch[-1]]] == 1:
            stretch.append(int(tree.parent[stretch[-1]]))
        joint = int(tree.parent[stretch[-1]])
        nodes = stretch[::-1]
        points = tree.points_mm[[joint, *nodes] if joint >= 0 else nodes]
        if len(points) < 4 or np.linalg.norm(np.diff(points, axis=0), axis=1).sum() < TOLERATED_MM:
            continue
        line = centred(points, picture.tubes, picture.ct)
        bad = ~fair_artery(line, picture)
        edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)):
            if (stop - start) * STEP_MM > TOLERATED_MM:
                marked[nodes] |= _within(line[start:stop], line, tree.points_mm[nodes])
    return marked


def _within(part: NDArray[np.float64], line: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the points (n, 3) have their nearest place of ``line`` in ``part`` (a piece of it)."""
    return np.asarray(cKDTree(part).query(points)[0] <= cKDTree(line).query(points)[0] + 1e-9)


def closed(grid: SearchGrid, tree: PathTree, marked: NDArray[np.bool_]) -> SearchGrid:
    """The search grid without the tubes along the ``marked`` points of a tree; what lies nearer to others stays."""
    away, toward = cKDTree(tree.points_mm[marked]), tree.points_mm[~marked]
    flat = grid.nearby(tree.points_mm[marked], CLOSED_MM)
    middle = grid.points_lps(flat)
    distance = away.query(middle)[0]
    shut = distance <= CLOSED_MM
    if len(toward):
        shut &= cKDTree(toward).query(middle)[0] > distance
    return grid.without(flat[shut])


def regrown(
    tree: PathTree, grid: SearchGrid, picture: Picture, grow: Callable[[SearchGrid], PathTree]
) -> tuple[PathTree, SearchGrid]:
    """The tree grown anew by ``grow`` with its detours closed, until none is left, and the grid it grew on.

    A detour stays open where more than ``LOST_MM`` of artery behind it was not found again: there it is the only way.
    """
    for _ in range(ROUNDS):
        marked = detours(tree, picture)
        if not marked.any():
            break
        shut = closed(grid, tree, marked)
        anew = grow(shut)
        needed = marked & (_lost_behind(tree, anew, marked) > LOST_MM)
        if not needed.any():
            tree, grid = anew, shut
            continue
        marked &= ~needed
        if marked.any():
            grid = closed(grid, tree, marked)
            tree = grow(grid)
        break
    return tree, grid


def _lost_behind(tree: PathTree, anew: PathTree, marked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Length (n,) mm of artery behind each point that another tree does not hold."""
    step = np.linalg.norm(tree.points_mm - tree.points_mm[tree.parent], axis=1) * (tree.parent >= 0)
    away = cKDTree(anew.points_mm).query(tree.points_mm)[0] if len(anew.points_mm) else np.full(len(step), np.inf)
    lost = np.where(marked | (away <= COVER_MM), 0.0, step)
    for node in range(len(lost) - 1, -1, -1):
        if tree.parent[node] >= 0:
            lost[tree.parent[node]] += lost[node]
    return lost


def settled(tree: PathTree, picture: Picture) -> PathTree:
    """The tree with the detours that remain as bridges (gaps) to a longer true part, else gone with all behind them."""
    marked = detours(tree, picture)
    if not marked.any():
        return tree
    step = np.linalg.norm(tree.points_mm - tree.points_mm[tree.parent], axis=1) * (tree.parent >= 0)
    # parents come before children: from the last point back, what is true behind each
    true = np.where(marked, 0.0, step)
    for node in range(len(marked) - 1, -1, -1):
        if tree.parent[node] >= 0:
            true[tree.parent[node]] += true[node]
    run, keep = np.zeros(len(marked)), np.ones(len(marked), bool)
    for node in range(len(marked)):
        up = int(tree.parent[node])
        run[node] = (run[up] if up >= 0 else 0.0) + step[node] if marked[node] else 0.0
    ends = marked & np.isin(np.arange(len(marked)), tree.parent[(tree.parent >= 0) & ~marked])
    vouched = np.zeros(len(marked), bool)
    for node in [int(n) for n in np.flatnonzero(ends)]:
        at = node if true[node] > run[node] else -1
        while at >= 0 and marked[at] and not vouched[at]:
            vouched[at] = True
            at = int(tree.parent[at])
    for node in range(len(marked)):
        up = int(tree.parent[node])
        keep[node] = (not marked[node] or vouched[node]) and (up < 0 or keep[up])
    return subtree(PathTree(tree.points_mm, tree.parent, tree.gap | marked), keep)
