"""From named ways to branches: centrelines, lumen radius, narrowings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.centreline import STEP_MM, centred
from CardiacFusionLib.coronaries.centring import recentred
from CardiacFusionLib.coronaries.naming import SIDE, NamedPath
from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.coronaries.pruning import Picture
from CardiacFusionLib.coronaries.radius import (
    CALCIUM_OVER_BLOOD_HU,
    CrossSections,
    Profile,
    cross_sections,
    measured,
    radial_steps,
)
from CardiacFusionLib.coronaries.stenosis import find_stenoses, healthy
from CardiacFusionLib.spatial.tree import Branch, Stenosis

GAP_SHARE_DOUBT = 0.2
RING_SHARE, RING_MM, RING_REACH_MM = 0.7, 7.0, 2.8  # directions, length and reach of a ring; stents begin at 8 mm
NARROWED, NARROWED_OVER = 0.9, 0.15  # share of the reference: below it plaque begins to count, fully 0.15 lower
# A narrowed artery's outer wall lies somewhere between its lumen and where the healthy taper has it (it remodels both
# ways: Glagov, N Engl J Med 1987, 316:1371). Read with either, the lumen is too wide or too narrow; the mean is taken.
REMODELLING = 0.5


@dataclass(frozen=True)
class Measured:
    """What the branches of a tree measure; names of those ``bridged`` in part without a visible lumen, and of those
    ``ringed`` in part by something dense (a stent)."""

    branches: tuple[Branch, ...]
    stenoses: tuple[Stenosis, ...]
    bridged: tuple[str, ...]
    ringed: tuple[str, ...] = ()


def measure(ways: PathTree, named: list[NamedPath], picture: Picture) -> Measured:
    """Centre, measure and judge every named way; parents come before children in ``named``.

    A narrowed lumen is fitted twice: with the wall lying on it, and with the wall where the healthy taper has it.
    """
    ct, blood = picture.ct, picture.blood
    drawn: dict[str, Branch] = {}
    for path in named:
        points = centred(ways.points_mm[path.nodes], picture.tubes, ct)
        parent = drawn.get(path.parent) if path.parent is not None else None
        if parent is not None:
            points = _attached(points, parent)
        drawn[path.name] = Branch(path.name, points, np.ones(len(points)), path.parent)
    cuts = {}
    for name, branch in drawn.items():
        drawn[name], cuts[name] = _centred_by_picture(branch, picture)
    branches: list[Branch] = []
    stenoses: list[Stenosis] = []
    for name, branch in drawn.items():
        profile = lumen_of(cuts[name], branch.arc_mm, blood.hu, picture.blur_mm)
        reference = healthy(branch.arc_mm, 2.0 * profile.radius_mm)
        branch = Branch(name, branch.points_mm, profile.radius_mm, branch.parent, reference)
        branches.append(branch)
        if not name.startswith(SIDE):
            stenoses += find_stenoses(branch, profile, blood.sd_hu / blood.contrast_hu)
    bridged = tuple(p.name for p in named if ways.gap[p.nodes].mean() > GAP_SHARE_DOUBT)
    ringed = tuple(name for name, cut in cuts.items() if _is_ringed(cut, blood.hu))
    return Measured(tuple(branches), tuple(stenoses), bridged, ringed)


def lumen_of(cut: CrossSections, arc_mm: NDArray[np.float64], blood_hu: float, blur_mm: float) -> Profile:
    """The lumen along a branch whose cross-sections lie at ``arc_mm`` (n,), narrowings read between both walls."""
    first = measured(cut, blood_hu, blur_mm)
    reference = healthy(arc_mm, 2.0 * first.radius_mm)
    within = measured(cut, blood_hu, blur_mm, reference / 2.0)
    # only a narrowed lumen has its wall away from it
    narrowed = REMODELLING * np.clip((NARROWED - 2.0 * first.radius_mm / reference) / NARROWED_OVER, 0.0, 1.0)
    return replace(first, radius_mm=(1.0 - narrowed) * first.radius_mm + narrowed * within.radius_mm)


def _centred_by_picture(branch: Branch, picture: Picture) -> tuple[Branch, CrossSections]:
    """The branch on the middle of its lumen, and its cross-sections."""
    ct, blood = picture.ct, picture.blood
    cut = cross_sections(branch.points_mm, ct, blood.hu)
    radius = measured(cut, blood.hu, picture.blur_mm).radius_mm
    outer = healthy(branch.arc_mm, 2.0 * radius) / 2.0
    points, cut = recentred(branch.points_mm, cut, radius, outer, ct, blood.hu, picture.blur_mm)
    return replace(branch, points_mm=points), cut


def _is_ringed(cut: CrossSections, blood_hu: float) -> bool:
    """Is the branch surrounded by something much brighter than blood over the length of a short stent?"""
    near = radial_steps() <= RING_REACH_MM
    bright = (cut.values[..., near] > blood_hu + CALCIUM_OVER_BLOOD_HU).any(axis=-1).mean(axis=1) >= RING_SHARE
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], bright.astype(np.int8), [0]]))))[::2]
    return bool(len(runs) and runs.max() * STEP_MM >= RING_MM)


def _attached(points: NDArray[np.float64], parent: Branch) -> NDArray[np.float64]:
    """The branch with its first point on its parent's centreline."""
    nearest = parent.points_mm[int(np.argmin(np.linalg.norm(parent.points_mm - points[0], axis=1)))]
    if np.linalg.norm(nearest - points[0]) < 1e-6:
        return points
    return np.concatenate([nearest[None], points])
