"""True myocardial blood flow of a twin: which branch feeds each point of the wall, and how much reaches it.

Supply: the nearest coronary branch seen from the epicardium over the point, as in patient-specific territories.
Stress flow behind a narrowing falls with its diameter stenosis as Gould found (Gould 1974, Am J Cardiol 34:48):
reserve is untouched up to about 40-45 % and exhausted near 88 %; resting flow falls only beyond about 85 %. The
subendocardium loses its reserve first (Bache and Schwartz 1982, Circulation 65:928).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from CardiacFusionLib.spatial.aha import insertion_angle_deg
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.twin.coronary.plaque import FLOW_LIMITING_PERCENT
from CardiacFusionLib.twin.heart.anatomy import Heart

Array = NDArray[np.float64]

RESERVE_FALLS_FROM_PERCENT = 40.0
RESERVE_GONE_AT_PERCENT = 88.0
REST_FALLS_FROM_PERCENT = 85.0
COLLATERAL_RIM_MM = 2.5  # half width of the border between ischaemic and healthy supply
_GRID_ANGLE_DEG = np.linspace(0.0, 360.0, 121)
_GRID_LEVEL = np.linspace(-0.3, 1.2, 51)
VESSELS = ("LAD", "LCx", "RCA")


@dataclass(frozen=True)
class Reserve:
    """Normal flow of one person, mL/min/g, mean of the wall."""

    rest: float
    stress: float
    endo_epi_rest: float  # endocardial over epicardial flow
    endo_epi_stress: float
    # smooth variation: plane waves over the wall, relative amplitude
    waves: Array  # (k, 3) rad/mm
    phases: Array  # (k,)
    amplitudes: Array  # (k,)

    @staticmethod
    def draw(rng: np.random.Generator, kind: str) -> Reserve:
        """Normal adults: rest 0.8-1.2, stress 1.9-3.2; microvascular: stress 1.1-1.6, endocardium worst."""
        rest = float(rng.uniform(0.8, 1.2))
        micro = kind == "microvascular"
        stress = float(rng.uniform(1.1, 1.6)) if micro else float(rng.uniform(1.9, 3.2))
        count = 6
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        waves = direction * 2 * np.pi / rng.uniform(28.0, 70.0, (count, 1))
        amplitudes = np.abs(rng.normal(size=count))
        amplitudes *= rng.uniform(0.03, 0.06) * np.sqrt(2.0) / np.linalg.norm(amplitudes)
        return Reserve(
            rest,
            stress,
            float(rng.uniform(1.05, 1.2)),
            float(rng.uniform(0.68, 0.8) if micro else rng.uniform(0.9, 1.02)),
            waves,
            rng.uniform(0, 2 * np.pi, count),
            amplitudes,
        )


def reserve_share(diameter_percent: Array | float) -> Array:
    """Share of the normal flow reserve (stress - rest) that a diameter stenosis leaves: 1 open, 0 from 88 % on."""
    depth = (np.asarray(diameter_percent, float) - RESERVE_FALLS_FROM_PERCENT) / (
        RESERVE_GONE_AT_PERCENT - RESERVE_FALLS_FROM_PERCENT
    )
    return np.asarray(1.0 - np.clip(depth, 0.0, 1.0) ** 1.5)


def rest_share(diameter_percent: Array | float) -> Array:
    """Share of the normal resting flow behind a diameter stenosis: collaterals keep a third behind an occlusion."""
    depth = (np.asarray(diameter_percent, float) - REST_FALLS_FROM_PERCENT) / (100.0 - REST_FALLS_FROM_PERCENT)
    return np.asarray(1.0 - 0.65 * np.clip(depth, 0.0, 1.0))


def vessel_of(tree: CoronaryTree, branch_name: str) -> str:
    """LAD, LCx or RCA: the vessel a branch springs from (a PDA may belong to either side). LM counts as LAD."""
    name: str | None = branch_name
    while name is not None and name not in VESSELS:
        branch = tree.branch(name)
        name = branch.parent if branch is not None else None
    return name if name is not None else "LAD"


def culprits(tree: CoronaryTree) -> tuple[str, ...]:
    """The vessels (LAD, LCx, RCA) with a flow-limiting stenosis, in that order."""
    found = {vessel_of(tree, s.branch) for s in tree.stenoses if s.diameter_percent >= FLOW_LIMITING_PERCENT}
    return tuple(v for v in VESSELS if v in found)


@dataclass(frozen=True)
class Supply:
    """Where the wall's blood comes from. ``percent``: worst narrowing on the way from the ostium to that tree point."""

    points_mm: Array  # (n, 3) heart frame, of all stretches that feed the left ventricle
    percent: Array  # (n,)
    vessel: NDArray[np.intp]  # (n,) index into VESSELS

    @staticmethod
    def of(heart: Heart, tree: CoronaryTree) -> Supply:
        """The supply of a tree in the heart frame."""
        points, percent, vessel = [], [], []
        for branch in tree.branches:
            keep = _feeds_left_ventricle(heart, tree, branch)
            points.append(branch.points_mm[keep])
            percent.append(_worst_upstream(tree, branch)[keep])
            vessel.append(np.full(int(keep.sum()), VESSELS.index(vessel_of(tree, branch.name))))
        return Supply(np.concatenate(points), np.concatenate(percent), np.concatenate(vessel))

    def vessel_at(self, epicardial_mm: Array) -> NDArray[np.intp]:
        """Index into ``VESSELS`` of the nearest feeding branch for epicardial points (n, 3)."""
        return np.asarray(self.vessel[cKDTree(self.points_mm).query(epicardial_mm)[1]])

    def share_at(self, epicardial_mm: Array, share_of: Array) -> Array:
        """The value (n_tree,) of the feeding point for epicardial points, blended over the collateral rim."""
        distances, values = [], []
        for value in np.unique(share_of):
            distances.append(cKDTree(self.points_mm[share_of == value]).query(epicardial_mm)[0])
            values.append(value)
        distance = np.stack(distances)
        weight = np.exp(-(distance - distance.min(axis=0)) / COLLATERAL_RIM_MM)
        return np.asarray((weight * np.array(values)[:, None]).sum(axis=0) / weight.sum(axis=0))


@dataclass(frozen=True)
class FlowField:
    """True MBF anywhere in the wall of one twin, at rest and under stress, in any cardiac phase."""

    heart: Heart  # the phase the tree was drawn in
    supply: Supply
    reserve: Reserve

    @cached_property
    def _map(self) -> Array:
        """(4, angle, level) on the ``_GRID``: texture, rest share, reserve share, vessel index; angles wrap around."""
        angle, level = np.meshgrid(_GRID_ANGLE_DEG, _GRID_LEVEL, indexing="ij")
        over = np.asarray(self.heart.epicardial_point(angle.ravel(), level.ravel()), dtype=float).reshape(-1, 3)
        texture = 1.0 + np.sin(over @ self.reserve.waves.T + self.reserve.phases) @ self.reserve.amplitudes
        rest = self.supply.share_at(over, rest_share(self.supply.percent))
        left = self.supply.share_at(over, reserve_share(self.supply.percent))
        return np.stack([texture, rest, left, self.supply.vessel_at(over)]).reshape(4, *angle.shape)

    def _read(self, what: int, angle_deg: Array, level: Array, order: int = 1) -> Array:
        row = np.mod(np.asarray(angle_deg, float), 360.0) / (_GRID_ANGLE_DEG[1] - _GRID_ANGLE_DEG[0])
        column = (np.asarray(level, float) - _GRID_LEVEL[0]) / (_GRID_LEVEL[1] - _GRID_LEVEL[0])
        return np.asarray(map_coordinates(self._map[what], [row, column], order=order, mode="nearest"))

    def mbf(self, depth: Array, angle_deg: Array, level: Array, state: str) -> Array:
        """mL/min/g at wall coordinates (n,): depth 0 endocardium .. 1 epicardium, angle, level 0 tip .. 1 base."""
        normal = self.reserve
        gradient = normal.endo_epi_stress if state == "stress" else normal.endo_epi_rest
        # linear through the wall, mean 1, endo/epi = gradient
        slope = 2.0 * (gradient - 1.0) / (gradient + 1.0)
        layer = 1.0 + slope * (0.5 - np.clip(depth, 0.0, 1.0))
        texture = self._read(0, angle_deg, level)
        rest = normal.rest * self._read(1, angle_deg, level)
        if state == "rest":
            return np.asarray(rest * layer * texture)
        # the endocardium's reserve is used up first: full loss there while the epicardium keeps a little
        loss = (1.0 - self._read(2, angle_deg, level)) * (1.12 - 0.3 * np.clip(depth, 0.0, 1.0))
        stress = rest + (normal.stress - normal.rest) * (1.0 - loss)
        return np.asarray(np.maximum(stress, 0.15) * layer * texture)

    def vessel(self, angle_deg: Array, level: Array) -> NDArray[np.intp]:
        """Index into ``VESSELS`` of the vessel that truly feeds the wall there."""
        return np.rint(self._read(3, angle_deg, level, order=0)).astype(np.intp)


def draw_flow(heart: Heart, tree: CoronaryTree, rng: np.random.Generator, kind: str) -> FlowField:
    """The flow of a heart with this tree (heart frame); ``kind`` as in :func:`draw_tree`."""
    return FlowField(heart, Supply.of(heart, tree), Reserve.draw(rng, kind))


def _feeds_left_ventricle(heart: Heart, tree: CoronaryTree, branch: Branch) -> NDArray[np.bool_]:
    """Points of a branch that feed LV wall: not the LM, and of a RCA only the stretch at the inferior groove."""
    if branch.name == "LM":
        return np.zeros(len(branch.points_mm), dtype=bool)
    if branch.name != "RCA":
        return np.ones(len(branch.points_mm), dtype=bool)
    if vessel_of(tree, "PDA") != "RCA" or tree.branch("PDA") is None:
        return np.zeros(len(branch.points_mm), dtype=bool)
    inferior = float(insertion_angle_deg(np.asarray(heart.landmarks["rv_insertion_inferior"])))
    away = np.abs(np.mod(insertion_angle_deg(branch.points_mm) - inferior + 180.0, 360.0) - 180.0)
    return np.asarray((away < 15.0) & (branch.arc_mm > 0.6 * branch.length_mm))


def _worst_upstream(tree: CoronaryTree, branch: Branch) -> Array:
    """Largest diameter stenosis (percent) between the ostium and each point of the branch, shape (n,)."""
    worst = np.zeros(len(branch.points_mm))
    for stenosis in tree.stenoses:
        if stenosis.branch == branch.name:
            behind = branch.arc_mm >= stenosis.position_mm
            worst = np.where(behind, np.maximum(worst, stenosis.diameter_percent), worst)
    parent = tree.branch(branch.parent) if branch.parent is not None else None
    if parent is None:
        return worst
    fork = int(np.argmin(np.linalg.norm(parent.points_mm - branch.points_mm[0], axis=1)))
    return np.maximum(worst, _worst_upstream(tree, parent)[fork])
