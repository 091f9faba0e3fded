"""From named ways to branches: centrelines, lumen radius, narrowings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.centreline import centred
from CardiacFusionLib.coronaries.lumen import Blood
from CardiacFusionLib.coronaries.naming import SIDE, NamedPath
from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.coronaries.radius import CrossSections, blur_of, cross_sections, measured
from CardiacFusionLib.coronaries.stenosis import find_stenoses, healthy
from CardiacFusionLib.spatial.tree import Branch, Stenosis
from CardiacFusionLib.spatial.volume import Volume

GAP_SHARE_DOUBT = 0.2
NARROWED, NARROWED_OVER = 0.9, 0.15  # share of the reference: below it plaque begins to count, fully 0.15 lower


@dataclass(frozen=True)
class Measured:
    """What the branches of a tree measure; ``bridged``: names of those partly without a visible lumen."""

    branches: tuple[Branch, ...]
    stenoses: tuple[Stenosis, ...]
    bridged: tuple[str, ...]


def measure(ways: PathTree, named: list[NamedPath], ct: Volume, tubes: NDArray[np.float32], blood: Blood) -> Measured:
    """Centre, measure and judge every named way; parents come before children in ``named``.

    The lumen is fitted twice: first with the wall lying on it, then with the wall where the healthy taper has it, so
    that plaque is not taken for blurred fat.
    """
    drawn: dict[str, Branch] = {}
    for path in named:
        points = centred(ways.points_mm[path.nodes], tubes, ct)
        parent = drawn.get(path.parent) if path.parent is not None else None
        if parent is not None:
            points = _attached(points, parent)
        drawn[path.name] = Branch(path.name, points, np.ones(len(points)), path.parent)
    cuts = {name: cross_sections(b.points_mm, ct, blood.hu) for name, b in drawn.items()}
    blur = blur_of(_joined(list(cuts.values())), blood.hu) if cuts else 0.0
    branches: list[Branch] = []
    stenoses: list[Stenosis] = []
    for name, branch in drawn.items():
        first = measured(cuts[name], blood.hu, blur)
        reference = healthy(branch.arc_mm, 2.0 * first.radius_mm)
        within = measured(cuts[name], blood.hu, blur, reference / 2.0)
        # only a narrowed lumen has its wall away from it
        narrowed = np.clip((NARROWED - 2.0 * first.radius_mm / reference) / NARROWED_OVER, 0.0, 1.0)
        radius = (1.0 - narrowed) * first.radius_mm + narrowed * within.radius_mm
        profile = replace(first, radius_mm=radius)
        branch = Branch(name, branch.points_mm, radius, branch.parent)
        branches.append(branch)
        if not name.startswith(SIDE):
            stenoses += find_stenoses(branch, profile)
    bridged = tuple(p.name for p in named if ways.gap[p.nodes].mean() > GAP_SHARE_DOUBT)
    return Measured(tuple(branches), tuple(stenoses), bridged)


def _joined(cuts: list[CrossSections]) -> CrossSections:
    return CrossSections(*(np.concatenate([getattr(c, f.name) for c in cuts]) for f in fields(CrossSections)))


def _attached(points: NDArray[np.float64], parent: Branch) -> NDArray[np.float64]:
    """The branch with its first point on its parent's centreline."""
    nearest = parent.points_mm[int(np.argmin(np.linalg.norm(parent.points_mm - points[0], axis=1)))]
    if np.linalg.norm(nearest - points[0]) < 1e-6:
        return points
    return np.concatenate([nearest[None], points])
