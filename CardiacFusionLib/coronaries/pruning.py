"""Taking off what is tubular but no artery: edges of chambers, trabeculae, bone, noise beyond a vessel's end.

Every end of the tree is followed from its fork outwards and cut where it stops to look like an artery: by the score of
``likeness.py``; in a coarse CT, where that was not measured, by how many directions across get darker. The middle of
true stretches never outshone the aorta by more than 2 % on six twins at 1 mm.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from CardiacFusionLib.coronaries.centreline import STEP_MM, centred, read
from CardiacFusionLib.coronaries.likeness import features, score
from CardiacFusionLib.coronaries.lumen import SURROUNDINGS_HU, Blood
from CardiacFusionLib.coronaries.paths import MIN_BRANCH_MM, PathTree
from CardiacFusionLib.coronaries.radius import ENCLOSED_SHARE, CrossSections, blur_of, cross_sections
from CardiacFusionLib.spatial.volume import Volume

MIN_ENCLOSED = 0.84  # from the fork to the end, on average
FAIR_SCORE = -2.0  # what goes on from an artery may fade so far (99 % of true points, and one in ten false ones)
MAX_BRIGHTNESS = 1.15  # of the aorta's contrast; calcium in part of a stretch does not lift its window this far
MIN_BRIGHTNESS = 0.17
WINDOW_MM = 8.0
TOLERATED_MM = 12.0  # a narrowing may hide the lumen for so long where vessel follows
# above this voxel size only what stands out clearly all around is followed: there an edge of a chamber is as thin as
# an artery, and its blood, a little paler than the aorta's, would pass for darker surroundings
COARSE_MM = 1.2
COARSE_DARKER_SHARE = 0.2
OSTIUM_MM, PROXIMAL_TOLERATED_MM = 6.0, 26.0  # a way may begin like that, if as much artery follows
COARSE_MAX_BRIGHTNESS = 1.5  # one voxel of calcium fills the lumen there
COARSE_BRIGHTNESS = 0.45  # an artery wide enough to be followed there is at least so bright in its middle
SHORT_POINTS = 4  # a stretch of fewer points is too short to be judged by itself
PROXIMAL_MM = (8.0, 60.0)  # from the ostium: where the scanner's blur is read


@dataclass(frozen=True)
class Picture:
    """What a stretch is judged by: the CT, its vesselness on the same grid, its blood and its blur (mm)."""

    ct: Volume
    tubes: NDArray[np.float32]
    blood: Blood
    blur_mm: float


def blur_of_tree(tree: PathTree, tubes: NDArray[np.float32], ct: Volume, blood: Blood) -> float:
    """The scanner's blur in mm, from the proximal parts of the longest ways."""
    leaves = sorted(tree.leaves, key=lambda leaf: -len(tree.way(int(leaf))))[:6]
    cuts = []
    for leaf in leaves:
        line = centred(tree.points_mm[tree.way(int(leaf))], tubes, ct)
        low, high = (int(mm / STEP_MM) for mm in PROXIMAL_MM)
        if len(line) > low + 10:
            cuts.append(cross_sections(line[low:high], ct, blood.hu))
    if not cuts:
        return 0.6
    joined = CrossSections(*(np.concatenate([getattr(c, f.name) for c in cuts]) for f in fields(CrossSections)))
    return blur_of(joined, blood.hu)


def pruned(tree: PathTree, picture: Picture) -> PathTree:
    """The tree with every end cut where it stops to look like an artery; ends that open thereby are judged in turn."""
    kept = np.ones(len(tree.parent), bool)
    settled: set[tuple[int, int]] = set()
    while True:
        children = np.bincount(tree.parent[kept & (tree.parent >= 0)], minlength=len(kept))
        doomed: list[int] = []
        for end in np.flatnonzero(kept & (children == 0)):
            stretch = [int(end)]
            while tree.parent[stretch[-1]] >= 0 and children[tree.parent[stretch[-1]]] == 1:
                stretch.append(int(tree.parent[stretch[-1]]))
            if (stretch[0], stretch[-1]) in settled:
                continue
            nodes = stretch[::-1]
            count = _artery_points(tree, nodes, picture)
            doomed += nodes[count:]
            settled.add((nodes[max(count - 1, 0)], nodes[0]))
        if not doomed and max(picture.ct.spacing_mm) > COARSE_MM:
            doomed = _behind_strays(tree, kept, picture)
        if not doomed:
            return subtree(tree, kept)
        kept[doomed] = False


def _behind_strays(tree: PathTree, kept: NDArray[np.bool_], picture: Picture) -> list[int]:
    """Kept nodes that on every way through them lie behind something that is no artery, however real themselves."""
    vouched = np.zeros(len(kept), bool)
    for leaf in _subtree_leaves(tree, kept):
        way = tree.way(int(leaf))
        line = centred(tree.points_mm[way], picture.tubes, picture.ct)
        cut = cross_sections(line, picture.ct, picture.blood.hu, COARSE_DARKER_SHARE)
        window = max(3, round(WINDOW_MM / STEP_MM))
        bad = uniform_filter1d(np.asarray(cut.enclosed, float), window, mode="nearest") < MIN_ENCLOSED
        edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        # between the aorta and the outflow tract an artery is not dark all around: what follows must vouch for it
        proximal = (starts * STEP_MM <= OSTIUM_MM) & (stops - starts <= len(bad) - stops)
        allowed = np.where(proximal, PROXIMAL_TOLERATED_MM, TOLERATED_MM)
        long = np.flatnonzero((stops - starts) * STEP_MM > allowed)
        vouched[way[: int(starts[long[0]] / len(line) * len(way))] if len(long) else way] = True
    return [int(n) for n in np.flatnonzero(kept & ~vouched)]


def _subtree_leaves(tree: PathTree, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Kept nodes without a kept child."""
    children = np.bincount(tree.parent[kept & (tree.parent >= 0)], minlength=len(kept))
    return np.flatnonzero(kept & (children == 0))


def _artery_points(tree: PathTree, nodes: list[int], picture: Picture) -> int:
    """How many of the nodes of an end stretch (proximal first) look like an artery, counted from its fork."""
    joint = tree.parent[nodes[0]]
    points = tree.points_mm[[int(joint), *nodes] if joint >= 0 else nodes]
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) if len(points) > 1 else 0.0
    if len(nodes) < SHORT_POINTS:
        # a stump left by pruning; at the root it is a shred of the aorta's skin
        return len(nodes) if joint >= 0 and length >= MIN_BRANCH_MM else 0
    line = centred(points, picture.tubes, picture.ct)
    coarse = max(picture.ct.spacing_mm) > COARSE_MM
    window = max(3, round(min(WINDOW_MM, length) / STEP_MM))
    if coarse:
        cut = cross_sections(line, picture.ct, picture.blood.hu, COARSE_DARKER_SHARE)
        light = _along(_brightness(cut, picture), window)
        so_far = np.cumsum(cut.enclosed) / np.arange(1, len(line) + 1)
        # the fork itself is no disc: what it lacks does not count against a good window right behind it
        good = np.maximum(so_far, _along(cut.enclosed, window)) >= MIN_ENCLOSED
        good &= _along(cut.enclosed, window) >= MIN_ENCLOSED
        good &= (light >= COARSE_BRIGHTNESS) & (light <= COARSE_MAX_BRIGHTNESS)
        fair = good
    else:
        likely, lit = _likely(line, picture, window)
        good, fair = lit & (likely >= 0.0), lit & (likely >= FAIR_SCORE)
    last = _last_good(good, PROXIMAL_TOLERATED_MM if coarse and joint < 0 else TOLERATED_MM)
    while 0 <= last < len(line) - 1 and fair[last + 1]:
        last += 1
    if (last + 1) * STEP_MM < min(MIN_BRANCH_MM, 0.9 * length):
        return 0
    if coarse and last < TOLERATED_MM / STEP_MM and last < len(line) - 1:
        return 0  # what ends so soon in a coarse CT is the lip of an ostium
    return len(nodes) if last >= len(line) - 1 - window // 2 else int(np.ceil((last + 1) / len(line) * len(nodes)))


def fair_artery(line: NDArray[np.float64], picture: Picture) -> NDArray[np.bool_]:
    """Where a centreline (n, 3) LPS mm, ``STEP_MM`` apart, may be an artery that goes on."""
    likely, lit = _likely(line, picture, max(3, round(WINDOW_MM / STEP_MM)))
    return np.asarray(lit & (likely >= FAIR_SCORE))


def _likely(line: NDArray[np.float64], picture: Picture, window: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The score of ``likeness.py`` along a line, over ``window`` points, and whether it is as bright as an artery."""
    cut = cross_sections(line, picture.ct, picture.blood.hu, ENCLOSED_SHARE)
    light = _along(_brightness(cut, picture), window)
    parts = features(cut, read(picture.tubes, picture.ct, line), picture.blood)
    likely = score(*(_along(part, window) for part in parts))
    return likely, (light >= MIN_BRIGHTNESS) & (light <= MAX_BRIGHTNESS)


def _brightness(cut: CrossSections, picture: Picture) -> NDArray[np.float64]:
    """Of the middle, as a share of blood's contrast."""
    return np.asarray((cut.values[:, 0, 0] - SURROUNDINGS_HU) / picture.blood.contrast_hu)


def _along(values: NDArray[np.floating] | NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    return np.asarray(uniform_filter1d(np.asarray(values, float), window, mode="nearest"))


def _last_good(good: NDArray[np.bool_], at_start_mm: float = TOLERATED_MM) -> int:
    """Index of the last good point that is reached over no bad run longer than the good one after it; -1 for none.

    ``at_start_mm``: how long a bad run may be that begins within ``OSTIUM_MM`` of the start.
    """
    edges = np.flatnonzero(np.diff(good.astype(np.int8))) + 1
    starts = np.concatenate([[0], edges])
    stops = np.concatenate([edges, [len(good)]])
    last = -1
    for start, stop in zip(starts, stops):
        if not good[start]:
            continue
        missing = start - 1 - last
        tolerated = at_start_mm if (last + 1) * STEP_MM <= OSTIUM_MM else TOLERATED_MM
        if missing * STEP_MM > tolerated or missing > stop - start:
            break
        last = int(stop) - 1
    return last


def subtree(tree: PathTree, kept: NDArray[np.bool_]) -> PathTree:
    """The kept points (n,) of a tree; whose parent is gone must be gone too."""
    chosen = np.flatnonzero(kept)
    number = np.full(len(kept), -1, np.intp)
    number[chosen] = np.arange(len(chosen))
    parent = np.where(tree.parent[chosen] >= 0, number[tree.parent[chosen]], -1)
    return PathTree(tree.points_mm[chosen], parent.astype(np.intp), tree.gap[chosen])
