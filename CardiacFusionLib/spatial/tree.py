"""The coronary tree: named branches with radius along them, and their stenoses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.quality import Quality

NOT_MEASURED = "narrowings_not_measured"  # flag of a tree whose CT is too coarse to measure diameters
MAIN_BRANCHES = ("LM", "LAD", "LCx", "RCA")
# the vessel of the AHA map that a branch belongs to (LM supplies what LAD and LCx supply)
VESSEL_OF_BRANCH = {
    "LM": "LAD", "LAD": "LAD", "D1": "LAD", "D2": "LAD", "LCx": "LCx", "OM1": "LCx", "OM2": "LCx", "RCA": "RCA",
    "PDA": "RCA", "PLB": "RCA",
}  # fmt: skip


@dataclass(frozen=True)
class Stenosis:
    """One narrowing. ``position_mm`` is the arc length from the branch's first point to the narrowest place."""

    branch: str
    position_mm: float
    point_mm: NDArray[np.float64]  # (3,)
    diameter_percent: float  # 0 open, 100 closed
    length_mm: float
    reference_diameter_mm: float
    minimal_diameter_mm: float
    calcified: bool = False


@dataclass(frozen=True)
class Branch:
    """Ordered centreline points (n, 3) mm from proximal to distal, with lumen radius (n,) mm."""

    name: str
    points_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    parent: str | None = None
    reference_mm: NDArray[np.float64] | None = None  # (n,) diameter of the lumen without its narrowings, where known

    @property
    def arc_mm(self) -> NDArray[np.float64]:
        """Arc length (n,) from the first point."""
        return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(self.points_mm, axis=0), axis=1))])

    @property
    def length_mm(self) -> float:
        """Length of the branch."""
        return float(self.arc_mm[-1])


@dataclass(frozen=True)
class CoronaryTree:
    """All branches in one frame (``frame``: "lps" of the CT, or "heart")."""

    branches: tuple[Branch, ...]
    stenoses: tuple[Stenosis, ...] = ()
    dominance: str = "unknown"  # "right", "left", "co-dominant", "unknown"
    frame: str = "lps"
    quality: Quality = field(default_factory=Quality)

    def branch(self, name: str) -> Branch | None:
        """The branch of that name, or None."""
        return next((b for b in self.branches if b.name == name), None)

    def transformed(self, matrix: NDArray[np.float64], frame: str) -> CoronaryTree:
        """The same tree in another frame through a rigid 4x4 matrix."""
        return replace(
            self,
            branches=tuple(replace(b, points_mm=apply(matrix, b.points_mm)) for b in self.branches),
            stenoses=tuple(replace(s, point_mm=apply(matrix, s.point_mm)) for s in self.stenoses),
            frame=frame,
        )


def vessel_of(tree: CoronaryTree, branch_name: str) -> str | None:
    """LAD, LCx or RCA: the vessel a branch springs from (a PDA may hang on either side); None for LM or unnamed."""
    seen: set[str] = set()
    name: str | None = branch_name
    while name is not None and name not in seen:
        if name in ("LAD", "LCx", "RCA"):
            return name
        seen.add(name)
        branch = tree.branch(name)
        if branch is None or branch.parent is None:
            return None if name == "LM" or name.startswith("side") else VESSEL_OF_BRANCH.get(name)
        name = branch.parent
    return None


def upstream(tree: CoronaryTree, branch_name: str) -> list[tuple[str, float]]:
    """The way blood comes to a branch: (branch, arc length in mm where it is left), nearest first, without itself."""
    way: list[tuple[str, float]] = []
    seen = {branch_name}
    branch = tree.branch(branch_name)
    while branch is not None and branch.parent is not None and branch.parent not in seen:
        seen.add(branch.parent)
        parent = tree.branch(branch.parent)
        if parent is None:
            break
        fork = int(np.argmin(np.linalg.norm(parent.points_mm - branch.points_mm[0], axis=1)))
        way.append((parent.name, float(parent.arc_mm[fork])))
        branch = parent
    return way
