"""From vesselness to a tree: minimal-cost paths from the aortic root to every end of a bright tube.

All voxels of the search region get their cheapest way back to the root's skin; a way is cheap inside tubes and dear
across fat. Ends are taken from the farthest inwards (TEASAR, Sato 2000), each adding the stretch that is new to the
tree. Every point has one parent, so there are no loops; a stretch without tube (a tight stenosis, a step between two
heart beats) may be bridged up to ``MAX_GAP_MM`` and is marked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

SEARCH_SPACING_MM = 0.8  # topology is searched on a grid of about this spacing; centrelines are refined afterwards
TUBE_RANGE = (0.028, 0.12)  # vesselness (share of contrast) that makes a voxel tubular; a wide tube gives 0.2-0.3
RIDGE = 0.22  # vesselness on the axis of a wide tube
LANE_MM = 2.0  # ways closer than this run in one lumen
FAINT_SHARE = 0.5  # below this share of it a voxel counts as gap
COST_FLOOR = 0.015  # a way through no tube costs 1/COST_FLOOR times one along a perfect tube
WALL_COST = 300.0  # through the wall of the aorta: a way leaves by an ostium, or 150 mm of artery were spared
MAX_GAP_MM = 7.0  # bridged without more ado
LONG_GAP_MM = 18.0  # a tight stenosis blurs away over up to its whole length; bridged where much vessel follows
FOLLOWING_MM = 18.0  # ... namely this much
MIN_BRANCH_MM = 9.0  # twice the diameter of a large coronary artery: shorter spurs are lumen roughness
MIN_SUPPORT = 0.65  # share of a new branch's length that must be tube
COVER_MM = 2.6  # candidates this near an accepted path belong to it
MIN_COMPONENT_MM3 = 12.0


@dataclass(frozen=True)
class PathTree:
    """Points (n, 3) LPS mm with one parent each (-1 at an ostium), parents before children; ``gap`` marks bridges."""

    points_mm: NDArray[np.float64]
    parent: NDArray[np.intp]
    gap: NDArray[np.bool_]

    @property
    def leaves(self) -> NDArray[np.intp]:
        """Points without a child."""
        childless = np.ones(len(self.parent), bool)
        childless[self.parent[self.parent >= 0]] = False
        return np.flatnonzero(childless)

    def way(self, leaf: int) -> NDArray[np.intp]:
        """Points from the ostium to ``leaf``."""
        steps = [int(leaf)]
        while self.parent[steps[-1]] >= 0:
            steps.append(int(self.parent[steps[-1]]))
        return np.asarray(steps[::-1], dtype=np.intp)


def pooled(field: NDArray[np.generic], factors: tuple[int, int, int]) -> NDArray[np.generic]:
    """Block maximum: a thin tube must not vanish between the points of the search grid. Odd ends are blocks too."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            field = np.maximum.reduceat(field, np.arange(0, field.shape[axis], factor), axis=axis)
    return field


def _empty() -> PathTree:
    return PathTree(np.zeros((0, 3)), np.zeros(0, np.intp), np.zeros(0, bool))


@dataclass
class _Forest:
    """Every candidate's way back to the root, on flat indices of the search grid."""

    node: NDArray[np.intp]  # flat voxel index, by rising cost
    parent: NDArray[np.intp]  # position in ``node`` or -1
    length: NDArray[np.float64]
    gap: NDArray[np.bool_]
    reachable: NDArray[np.bool_]


def _grow(
    support: NDArray[np.float32],
    ridge: NDArray[np.float32],
    starts: NDArray[np.intp],
    candidates: NDArray[np.intp],
    sampling: tuple[float, ...],
    wall: NDArray[np.bool_] | None = None,
) -> _Forest:
    shape = support.shape
    # the middle of a wide lumen is cheaper than its rim, so that ways through one lumen run together
    worth = np.clip(support, 0.0, 1.0) ** 2 * (0.25 + 0.75 * np.clip(ridge, 0.0, 1.0))
    cost = np.where(support >= 0, 1.0 / (COST_FLOOR + worth), -1.0)
    if wall is not None:
        cost = np.where(wall & (cost > 0), WALL_COST, cost)
    flat_start = np.ravel_multi_index(tuple(starts.T), shape)
    cost.ravel()[flat_start] = 1.0
    graph = MCP_Geometric(cost, fully_connected=True, sampling=sampling)
    cumulative, back = graph.find_costs([tuple(s) for s in starts])
    offsets = np.asarray(graph.offsets)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    flat_step = offsets @ strides
    step_mm = np.linalg.norm(offsets * np.asarray(sampling), axis=1)
    total, back = np.asarray(cumulative).ravel(), np.asarray(back).ravel()
    # union of all ways back
    wanted = np.zeros(total.shape, bool)
    front = candidates[np.isfinite(total[candidates])]
    while len(front):
        wanted[front] = True
        moves = back[front]
        front = front[moves >= 0] - flat_step[moves[moves >= 0]]
        front = np.unique(front[~wanted[front]])
    node = np.flatnonzero(wanted)
    node = node[np.argsort(total[node], kind="stable")]
    place = {int(v): i for i, v in enumerate(node)}
    n = len(node)
    parent, length, run, worst = np.full(n, -1, np.intp), np.zeros(n), np.zeros(n), np.zeros(n)
    faint = support.ravel()[node] < FAINT_SHARE
    moves = back[node]
    for i in range(n):
        if moves[i] < 0:
            continue
        p = place[int(node[i] - flat_step[moves[i]])]
        step = step_mm[moves[i]]
        parent[i] = p
        length[i] = length[p] + step
        run[i] = run[p] + step if faint[i] else 0.0
        worst[i] = max(worst[p], run[i])
    return _Forest(node, parent, length, faint, worst <= LONG_GAP_MM)


@dataclass(frozen=True)
class SearchGrid:
    """What ways are sought on: a box of the CT's grid, coarsened by ``factors`` (z, y, x)."""

    volume: Volume  # the CT's grid
    factors: tuple[int, int, int]
    start: tuple[int, int, int]  # first block of the box (z, y, x)
    field: NDArray[np.float32]  # vesselness, block maximum
    support: NDArray[np.float32]  # vesselness as a share of the tube level, -1 where no way may run
    candidates: NDArray[np.intp]  # flat indices of tubes that count
    wall: NDArray[np.bool_] | None = None  # the aorta's wall: crossed at a price

    @property
    def sampling(self) -> tuple[float, ...]:
        """Spacing (z, y, x) in mm."""
        return tuple(s * f for s, f in zip(self.volume.spacing_mm[::-1], self.factors))

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask on the CT's grid (z, y, x) on this grid."""
        whole = pooled(mask, self.factors)
        return np.asarray(whole[tuple(slice(a, a + n) for a, n in zip(self.start, self.field.shape))], dtype=bool)

    def points_lps(self, flat: NDArray[np.intp]) -> NDArray[np.float64]:
        """Middles (n, 3) LPS mm of voxels given by flat index."""
        index = (np.stack(np.unravel_index(flat, self.field.shape), axis=1) + self.start) * np.asarray(self.factors)
        centre = index + (np.asarray(self.factors) - 1) / 2
        return apply(self.volume.index_to_lps, centre[:, ::-1].astype(float))

    def nearby(self, points_mm: NDArray[np.float64], reach_mm: float) -> NDArray[np.intp]:
        """Flat indices of the voxels within about ``reach_mm`` of points (n, 3) LPS mm (a box about each)."""
        index = apply(self.volume.lps_to_index, points_mm)[:, ::-1]
        factors = np.asarray(self.factors)
        at = np.rint((index - (factors - 1) / 2) / factors).astype(int) - self.start
        reach = [int(np.ceil(reach_mm / s)) for s in self.sampling]
        offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
        around = (at[:, None] + offsets).reshape(-1, 3)
        around = around[np.all((around >= 0) & (around < self.field.shape), axis=1)]
        return np.unique(np.ravel_multi_index(tuple(around.T), self.field.shape))

    def without(self, flat: NDArray[np.intp]) -> SearchGrid:
        """This grid with the tubes at ``flat`` taken out: a way may cross there only as over a gap."""
        field, support = self.field.copy(), self.support.copy()
        field.ravel()[flat] = 0.0
        support.ravel()[flat] = np.minimum(support.ravel()[flat], 0.0)
        return replace(self, field=field, support=support, candidates=np.setdiff1d(self.candidates, flat))


def search_grid(
    volume: Volume, tubes: NDArray[np.float32], mask: NDArray[np.bool_], starts: NDArray[np.bool_], tube: float
) -> SearchGrid | None:
    """The grid on which a tree can grow; None where nothing tubular is there.

    ``tubes``: vesselness (z, y, x) on the grid of ``volume``; ``mask``: where ways may run; ``starts``: the skin of the
    aortic root, which lies open too; ``tube``: vesselness from which a voxel is tubular (``tube_level``).
    """
    factors = tuple(max(1, round(SEARCH_SPACING_MM / s)) for s in volume.spacing_mm[::-1])
    factors = (factors[0], factors[1], factors[2])
    sampling = tuple(s * f for s, f in zip(volume.spacing_mm[::-1], factors))
    field = np.asarray(pooled(tubes, factors), np.float32)
    open_ = np.asarray(pooled(mask, factors), bool)
    begin = np.asarray(pooled(starts, factors), bool)
    parts, count = ndimage.label((field >= tube) & open_, structure=np.ones((3, 3, 3)))
    if not count or not begin.any():
        return None
    keep = np.bincount(parts.ravel()) * float(np.prod(sampling)) >= MIN_COMPONENT_MM3
    keep[0] = False
    kept = keep[parts]
    if not kept.any():
        return None
    # only the surroundings of tubes need be open: fat farther away than a bridge leads nowhere
    reach = LONG_GAP_MM / 2 + 1.0
    box = _box(kept | begin, [int(np.ceil(reach / s)) for s in sampling])
    near = distance_mm(kept[box], sampling) <= reach
    field, begin, kept = field[box], begin[box], kept[box]
    support = np.where((open_[box] & near) | begin, np.clip(field / tube, 0.0, 1.0), -1.0).astype(np.float32)
    start = (box[0].start, box[1].start, box[2].start)
    return SearchGrid(volume, factors, start, field, support, np.flatnonzero(kept.ravel()))


def _box(mask: NDArray[np.bool_], margin: list[int]) -> tuple[slice, slice, slice]:
    """Slices (z, y, x) that hold the mask and a margin."""
    parts = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        parts.append(slice(max(0, int(hit[0]) - margin[axis]), min(mask.shape[axis], int(hit[-1]) + 1 + margin[axis])))
    return parts[0], parts[1], parts[2]


def grow_tree(grid: SearchGrid | None, starts: NDArray[np.bool_]) -> PathTree:
    """The tree of tubes that hangs on ``starts`` (z, y, x, on the CT's grid); empty where nothing is connected."""
    if grid is None:
        return _empty()
    begin = np.argwhere(grid.of(starts) & ~grid.wall if grid.wall is not None else grid.of(starts))
    if not len(begin):
        return _empty()
    forest = _grow(grid.support, grid.field / RIDGE, begin, grid.candidates, grid.sampling, grid.wall)
    return _take_ends(forest, grid)


def _is_branch(forest: _Forest, new: list[int], joint: int) -> bool:
    """Is the new stretch (from its end back to ``joint``, -1 at the root) long enough and tube enough?"""
    if forest.length[new[0]] - (forest.length[joint] if joint >= 0 else 0.0) < MIN_BRANCH_MM:
        return False
    way = np.asarray(new[::-1])
    before = np.where(forest.parent[way] >= 0, forest.length[forest.parent[way]], forest.length[way])
    step = forest.length[way] - before
    gap = forest.gap[way]
    run, following = 0.0, float(step[~gap].sum())
    for k in range(len(way)):
        run = run + step[k] if gap[k] else 0.0
        following -= 0.0 if gap[k] else step[k]
        if run > LONG_GAP_MM or (run > MAX_GAP_MM and following < FOLLOWING_MM):
            return False
    return float(step[~gap].sum()) >= MIN_SUPPORT * float(step.sum())


def _zipped(forest: _Forest, new: list[int], in_tree: NDArray[np.bool_], position: NDArray[np.float64]) -> list[int]:
    """The new stretch without what runs beside the tree in one lumen, hung on the tree where the two part."""
    old = np.flatnonzero(in_tree)
    if not len(old):
        return new
    way = new[::-1]
    distance, nearest = cKDTree(position[old]).query(position[way])
    apart = np.flatnonzero(distance > LANE_MM)
    first = int(apart[0]) if len(apart) else len(way) - 1
    if first == 0:
        return new
    forest.parent[way[first]] = old[nearest[first - 1]]
    return way[first:]


def _parents_first(forest: _Forest, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    depth = np.zeros(len(forest.node), np.intp)
    for node in chosen:
        trail = [int(node)]
        while forest.parent[trail[-1]] >= 0 and depth[trail[-1]] == 0:
            trail.append(int(forest.parent[trail[-1]]))
        for child, parent in zip(trail[-2::-1], trail[:0:-1]):
            depth[child] = depth[parent] + 1
    return chosen[np.argsort(depth[chosen], kind="stable")]


def tube_level(noise: NDArray[np.float32]) -> float:
    """Vesselness from which a voxel counts as tubular, from the vesselness that plain blood shows by noise alone."""
    if len(noise) < 200:
        return TUBE_RANGE[1]
    return float(np.clip(1.6 * np.quantile(noise, 0.99), *TUBE_RANGE))


def _take_ends(
    forest: _Forest,
    grid: SearchGrid,
) -> PathTree:
    position = np.stack(np.unravel_index(forest.node, grid.field.shape), axis=1) * np.asarray(grid.sampling)
    is_candidate = np.isin(forest.node, grid.candidates) & forest.reachable
    open_ends = np.flatnonzero(is_candidate)
    if not len(open_ends):
        return _empty()
    neighbours = cKDTree(position[open_ends])
    alive = np.ones(len(open_ends), bool)
    in_tree = np.zeros(len(forest.node), bool)
    for k in np.argsort(-forest.length[open_ends], kind="stable"):
        if not alive[k]:
            continue
        new = [int(open_ends[k])]
        while forest.parent[new[-1]] >= 0 and not in_tree[forest.parent[new[-1]]]:
            new.append(int(forest.parent[new[-1]]))
        joint = forest.parent[new[-1]]
        good = _is_branch(forest, new, int(joint))
        # a rejected end takes its own neighbourhood with it, an accepted one all along its way
        covered = neighbours.query_ball_point(position[new if good else new[:1]], COVER_MM)
        for found in covered:
            alive[found] = False
        if good:
            in_tree[_zipped(forest, new, in_tree, position)] = True
    chosen = _parents_first(forest, np.flatnonzero(in_tree))
    renumber = np.full(len(forest.node), -1, np.intp)
    renumber[chosen] = np.arange(len(chosen))
    parent = np.where(forest.parent[chosen] >= 0, renumber[forest.parent[chosen]], -1)
    return PathTree(grid.points_lps(forest.node[chosen]), parent, forest.gap[chosen])
