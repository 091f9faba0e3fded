"""Plaques and stenoses of the twin: Gaussian narrowings in the lumen radius, listed as they were made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis

KINDS = ("normal", "one-vessel", "two-vessel", "microvascular")
FLOW_LIMITING_PERCENT = 70.0  # diameter stenosis from which a vessel counts as a culprit
CULPRIT_RANGE_PERCENT = (74.0, 93.0)
MILD_RANGE_PERCENT = (12.0, 45.0)
CULPRIT_SHARE = {"LAD": 0.45, "LCx": 0.25, "RCA": 0.30}
_WIDTH = 2.0 * np.sqrt(2.0 * np.log(2.0))  # full width at half depth of a Gaussian, in SD
_APART_MM = 14.0


def add_plaques(tree: CoronaryTree, rng: np.random.Generator, kind: str) -> CoronaryTree:
    """The tree with mild plaques and, where ``kind`` asks for it, flow-limiting stenoses in one or two vessels.

    Every narrowing is written into ``radius_mm`` and listed in ``stenoses``. Raises ValueError on an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"a twin is one of {', '.join(KINDS)}, not '{kind}'")
    wanted = {"one-vessel": 1, "two-vessel": 2}.get(kind, 0)
    # a short RCA of a left-dominant heart supplies no left ventricular wall: it cannot be a culprit
    vessels = [v for v in CULPRIT_SHARE if not (v == "RCA" and tree.dominance == "left")]
    share = np.array([CULPRIT_SHARE[v] for v in vessels])
    for vessel in rng.choice(vessels, size=wanted, replace=False, p=share / share.sum()):
        branch = tree.branch(str(vessel))
        if branch is not None:
            position = branch.length_mm * _culprit_place(str(vessel), tree.dominance, rng)
            percent = float(rng.uniform(*CULPRIT_RANGE_PERCENT))
            tree = narrowed(tree, str(vessel), position, percent, float(rng.uniform(7, 16)), bool(rng.random() < 0.5))
    for _ in range(int(rng.integers(0, 4))):
        branch = tree.branches[int(rng.integers(len(tree.branches)))]
        position = float(rng.uniform(0.15, 0.7)) * branch.length_mm
        percent, length = float(rng.uniform(*MILD_RANGE_PERCENT)), float(rng.uniform(4, 12))
        calcified = bool(rng.random() < 0.5)
        others = [s.position_mm for s in tree.stenoses if s.branch == branch.name]
        if branch.length_mm > 25 and all(abs(position - p) > _APART_MM for p in others):
            tree = narrowed(tree, branch.name, position, percent, length, calcified)
    return tree


def narrowed(
    tree: CoronaryTree, branch_name: str, position_mm: float, percent: float, length_mm: float, calcified: bool = False
) -> CoronaryTree:
    """The tree with one more Gaussian narrowing of ``percent`` diameter; ``length_mm`` is its width at half depth."""
    branch = tree.branch(branch_name)
    if branch is None:
        raise ValueError(f"the tree has no branch '{branch_name}'")
    arc = branch.arc_mm
    index = int(np.argmin(np.abs(arc - position_mm)))
    depth = percent / 100.0 * np.exp(-0.5 * ((arc - arc[index]) * _WIDTH / length_mm) ** 2)
    radius = branch.radius_mm * (1.0 - depth)
    stenosis = Stenosis(
        branch_name,
        float(arc[index]),
        branch.points_mm[index],
        float(percent),
        float(length_mm),
        float(2 * branch.radius_mm[index]),
        float(2 * radius[index]),
        calcified,
    )
    changed: Branch = replace(branch, radius_mm=radius)
    branches = tuple(changed if b.name == branch_name else b for b in tree.branches)
    return replace(tree, branches=branches, stenoses=(*tree.stenoses, stenosis))


def _culprit_place(vessel: str, dominance: str, rng: np.random.Generator) -> float:
    """Share of the vessel's length: proximal or middle third, before the branches that supply the wall."""
    low, high = {"LAD": (0.07, 0.24), "LCx": (0.14, 0.3), "RCA": (0.15, 0.62)}[vessel]
    if vessel == "LCx" and dominance != "right":
        low, high = 0.1, 0.24  # a longer vessel: its marginals leave earlier along it
    return float(rng.uniform(low, high))
