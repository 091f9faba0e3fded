"""Corrections by the reader: rename, cut, delete, join. Every function returns a new tree; the old one stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CardiacFusionLib.coronaries.centreline import resampled
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis


def _branch(tree: CoronaryTree, name: str) -> Branch:
    branch = tree.branch(name)
    if branch is None:
        names = ", ".join(b.name for b in tree.branches) or "none"
        raise BadInputError(f"The coronary tree has no branch '{name}'; its branches are: {names}.")
    return branch


def _descendants(tree: CoronaryTree, name: str) -> set[str]:
    found = {name}
    while True:
        more = {b.name for b in tree.branches if b.parent in found} - found
        if not more:
            return found
        found |= more


def rename(tree: CoronaryTree, name: str, new_name: str) -> CoronaryTree:
    """The tree with one branch called ``new_name``; children and stenoses follow.

    Raises BadInputError where the branch is missing, or the new name is empty or taken.
    """
    _branch(tree, name)
    new_name = new_name.strip()
    if not new_name:
        raise BadInputError("A coronary branch needs a name that is not empty.")
    if new_name != name and tree.branch(new_name) is not None:
        raise BadInputError(f"Another branch is already called '{new_name}'; rename or delete that one first.")
    return replace(
        tree,
        branches=tuple(
            replace(
                b,
                name=new_name if b.name == name else b.name,
                parent=new_name if b.parent == name else b.parent,
            )
            for b in tree.branches
        ),
        stenoses=tuple(replace(s, branch=new_name) if s.branch == name else s for s in tree.stenoses),
    )


def delete(tree: CoronaryTree, name: str) -> CoronaryTree:
    """The tree without a branch and all that hangs on it. Raises BadInputError where the branch is missing."""
    _branch(tree, name)
    gone = _descendants(tree, name)
    return replace(
        tree,
        branches=tuple(b for b in tree.branches if b.name not in gone),
        stenoses=tuple(s for s in tree.stenoses if s.branch not in gone),
    )


def cut(tree: CoronaryTree, name: str, at_mm: float) -> CoronaryTree:
    """The tree with a branch ended ``at_mm`` along it; what hangs on the lost part goes too.

    Raises BadInputError where the branch is missing or the place does not lie inside it.
    """
    branch = _branch(tree, name)
    if not 0.0 < at_mm < branch.length_mm:
        raise BadInputError(
            f"The {name} is {branch.length_mm:.0f} mm long; it can be cut between 0 and that, not at {at_mm:.0f} mm."
        )
    keep = branch.arc_mm <= at_mm
    keep[:2] = True
    reference = None if branch.reference_mm is None else branch.reference_mm[keep]
    shorter = replace(
        branch, points_mm=branch.points_mm[keep], radius_mm=branch.radius_mm[keep], reference_mm=reference
    )
    gone: set[str] = set()
    for child in tree.branches:
        if child.parent == name and _fork_mm(branch, child) > at_mm:
            gone |= _descendants(tree, child.name)
    return replace(
        tree,
        branches=tuple(shorter if b.name == name else b for b in tree.branches if b.name not in gone),
        stenoses=tuple(
            s for s in tree.stenoses if s.branch not in gone and not (s.branch == name and s.position_mm > at_mm)
        ),
    )


def join(tree: CoronaryTree, first: str, second: str) -> CoronaryTree:
    """The tree with ``second`` appended to the end of ``first`` and gone as a branch of its own.

    The gap between them is a straight line with radii between those of its ends. Children of both hang on the result.
    Raises BadInputError where a branch is missing or ``first`` hangs on ``second``.
    """
    a, b = _branch(tree, first), _branch(tree, second)
    if first in _descendants(tree, second):
        raise BadInputError(f"The {first} hangs on the {second}, so the {second} cannot be joined to its end.")
    gap = resampled(np.stack([a.points_mm[-1], b.points_mm[0]]))[1:-1]
    between = np.linspace(a.radius_mm[-1], b.radius_mm[0], len(gap) + 2)[1:-1]
    joined = replace(
        a,
        points_mm=np.concatenate([a.points_mm, gap, b.points_mm]),
        radius_mm=np.concatenate([a.radius_mm, between, b.radius_mm]),
        reference_mm=None,  # the two were judged apart
    )
    shift = float(joined.arc_mm[len(a.points_mm) + len(gap)])

    def moved(s: Stenosis) -> Stenosis:
        return replace(s, branch=first, position_mm=s.position_mm + shift) if s.branch == second else s

    return replace(
        tree,
        branches=tuple(
            joined if c.name == first else replace(c, parent=first) if c.parent == second else c
            for c in tree.branches
            if c.name != second
        ),
        stenoses=tuple(moved(s) for s in tree.stenoses),
    )


def _fork_mm(parent: Branch, child: Branch) -> float:
    """Arc length on the parent where the child leaves it."""
    return float(parent.arc_mm[int(np.argmin(np.linalg.norm(parent.points_mm - child.points_mm[0], axis=1)))])
