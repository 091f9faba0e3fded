"""From named ways to branches: centrelines, lumen radius, narrowings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.calcium import blooming
from CardiacFusionLib.coronaries.centreline import STEP_MM, centred
from CardiacFusionLib.coronaries.centring import recentred
from CardiacFusionLib.coronaries.naming import SIDE, NamedPath
from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.coronaries.pruning import Picture
from CardiacFusionLib.coronaries.radius import (
    CALCIUM_OVER_BLOOD_HU,
    WALL_ALONG_MM,
    CrossSections,
    Profile,
    blur_of,
    cross_sections,
    measured,
    radial_steps,
    within_wall,
)
from CardiacFusionLib.coronaries.stenosis import find_stenoses, healthy
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.tree import Branch, Stenosis
from CardiacFusionLib.spatial.volume import Volume

GAP_SHARE_DOUBT = 0.2
RING_SHARE, RING_MM, RING_REACH_MM = 0.7, 7.0, 2.8  # directions, length and reach of a ring; stents begin at 8 mm
NARROWED, NARROWED_OVER = 0.9, 0.15  # share of the reference: below it plaque begins to count, fully 0.15 lower
MIN_BLUR_CUTS = 40  # with fewer bright cross-sections the first reading of the blur stays


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

    The lines are centred with the first reading of the scanner's blur; the blur is read again on the centred lines
    (beside the middle every edge looks softer), and what calcium spreads is taken off before they are read for good.
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
        drawn[name], cuts[name] = centred_by_picture(branch, picture)
    if cuts:
        picture = replace(picture, blur_mm=_blur_again(list(cuts.values()), picture))
        bloom = blooming_of(list(drawn.values()), picture)
        for name, branch in drawn.items():
            if bloom is not None and _touched(branch, bloom):
                drawn[name], cuts[name] = centred_by_picture(branch, picture, bloom)
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
    """The lumen along a branch whose cross-sections lie at ``arc_mm`` (n,); where it is narrowed its outer wall may
    lie anywhere up to the healthy taper."""
    first = measured(cut, blood_hu, blur_mm)
    reference = healthy(arc_mm, 2.0 * first.radius_mm)
    # only a narrowed lumen has its wall away from it
    narrowed = np.clip((NARROWED - 2.0 * first.radius_mm / reference) / NARROWED_OVER, 0.0, 1.0)
    where = np.flatnonzero(narrowed > 0)
    if not len(where):
        return first
    # a little more on either side: neighbours are judged together
    reach = int(np.ceil(3.0 * WALL_ALONG_MM / STEP_MM))
    near = np.flatnonzero(np.convolve(narrowed > 0, np.ones(2 * reach + 1), mode="same") > 0)
    part = CrossSections(*(getattr(cut, f.name)[near] for f in fields(cut)))
    within = first.radius_mm.copy()
    within[near] = within_wall(part, blood_hu, blur_mm, first.radius_mm[near], reference[near] / 2.0)
    return replace(first, radius_mm=(1.0 - narrowed) * first.radius_mm + narrowed * within)


def blooming_of(branches: Sequence[Branch], picture: Picture) -> Volume | None:
    """What calcium near the branches adds to the picture; None without any."""
    points = np.concatenate([b.points_mm for b in branches])
    return blooming(picture.ct, points, picture.blood.hu, picture.blur_mm, picture.blood.sd_hu)


def _touched(branch: Branch, bloom: Volume) -> bool:
    """Does calcium's light reach the branch's middle or the lumen about it?"""
    index = np.rint(apply(bloom.lps_to_index, branch.points_mm)).astype(int)[:, ::-1]
    index = np.clip(index, 2, np.asarray(bloom.array.shape) - 3)
    return any(
        bool(bloom.array[tuple((index + np.asarray(step)).T)].any())
        for step in ((0, 0, 0), (2, 0, 0), (-2, 0, 0), (0, 2, 0), (0, -2, 0), (0, 0, 2), (0, 0, -2))
    )


def _blur_again(cuts: Sequence[CrossSections], picture: Picture) -> float:
    """The scanner's blur (mm) from the wide parts of centred branches."""
    joined = CrossSections(*(np.concatenate([getattr(c, f.name) for c in cuts]) for f in fields(CrossSections)))
    bright = joined.values[:, 0, 0] >= 0.85 * picture.blood.hu  # a lumen wider than the blur is as bright as blood
    chosen = np.flatnonzero(bright)
    if len(chosen) < MIN_BLUR_CUTS:
        return picture.blur_mm
    part = CrossSections(*(getattr(joined, f.name)[chosen] for f in fields(CrossSections)))
    return blur_of(part, picture.blood.hu)


def centred_by_picture(branch: Branch, picture: Picture, bloom: Volume | None = None) -> tuple[Branch, CrossSections]:
    """The branch on the middle of its lumen, and its cross-sections; ``bloom``: light of calcium, taken off."""
    ct, blood = picture.ct, picture.blood
    cut = cross_sections(branch.points_mm, ct, blood.hu, bloom=bloom)
    radius = measured(cut, blood.hu, picture.blur_mm).radius_mm
    outer = healthy(branch.arc_mm, 2.0 * radius) / 2.0
    points, cut = recentred(branch.points_mm, cut, radius, outer, ct, blood.hu, picture.blur_mm, bloom)
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
