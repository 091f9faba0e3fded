"""Taking off what is tubular but no artery: edges of chambers, trabeculae, bone.

An artery's cross-section gets darker in every direction, and its middle is about as bright as the aorta. Measured on
six twins at 1 mm (91 true and 136 false stretches): the share of darker directions was 0.92 or more in every true
stretch and below 0.87 in 95 % of the false ones; the middle of true ones never outshone the aorta by more than 2 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.centreline import centred
from CardiacFusionLib.coronaries.lumen import SURROUNDINGS_HU, Blood
from CardiacFusionLib.coronaries.paths import MIN_BRANCH_MM, PathTree
from CardiacFusionLib.coronaries.radius import cross_sections
from CardiacFusionLib.spatial.volume import Volume

MIN_ENCLOSED = 0.86
MAX_BRIGHTNESS = 1.15  # of the aorta's contrast; calcium in part of a stretch does not lift its median this far
MIN_BRIGHTNESS = 0.2
SHORT_POINTS = 4  # a stretch of fewer points is too short to be judged by itself


def pruned(tree: PathTree, tubes: NDArray[np.float32], ct: Volume, blood: Blood) -> PathTree:
    """The tree without end stretches that look like no artery; ends that open thereby are judged in turn."""
    kept = np.ones(len(tree.parent), bool)
    judged: dict[tuple[int, int], bool] = {}
    while True:
        children = np.bincount(tree.parent[kept & (tree.parent >= 0)], minlength=len(kept))
        doomed: list[int] = []
        for end in np.flatnonzero(kept & (children == 0)):
            stretch = [int(end)]
            while tree.parent[stretch[-1]] >= 0 and children[tree.parent[stretch[-1]]] == 1:
                stretch.append(int(tree.parent[stretch[-1]]))
            key = (stretch[0], stretch[-1])
            if key not in judged:
                judged[key] = _is_artery(tree, stretch, tubes, ct, blood)
            if not judged[key]:
                doomed += stretch
        if not doomed:
            return _subtree(tree, kept)
        kept[doomed] = False


def _is_artery(tree: PathTree, stretch: list[int], tubes: NDArray[np.float32], ct: Volume, blood: Blood) -> bool:
    nodes = stretch[::-1]
    joint = tree.parent[nodes[0]]
    points = tree.points_mm[[int(joint), *nodes] if joint >= 0 else nodes]
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) if len(points) > 1 else 0.0
    if len(nodes) < SHORT_POINTS:
        # a stump left by pruning; at the root it is a shred of the aorta's skin
        return joint >= 0 and length >= MIN_BRANCH_MM
    line = centred(points, tubes, ct)
    cut = cross_sections(line, ct, blood.hu)
    brightness = (float(np.median(cut.values[:, 0, 0])) - SURROUNDINGS_HU) / blood.contrast_hu
    return float(cut.enclosed.mean()) >= MIN_ENCLOSED and MIN_BRIGHTNESS <= brightness <= MAX_BRIGHTNESS


def _subtree(tree: PathTree, kept: NDArray[np.bool_]) -> PathTree:
    chosen = np.flatnonzero(kept)
    number = np.full(len(kept), -1, np.intp)
    number[chosen] = np.arange(len(chosen))
    parent = np.where(tree.parent[chosen] >= 0, number[tree.parent[chosen]], -1)
    return PathTree(tree.points_mm[chosen], parent.astype(np.intp), tree.gap[chosen])
