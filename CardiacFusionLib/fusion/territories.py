"""Which branch supplies which part of the wall, and how much muscle lies behind a narrowing.

``aha``: the fixed map of the 17 segments. ``patient``: every point of the wall belongs to the branch that is nearest
*along the wall*: distances are geodesics over the mid-wall mesh from where the branches lie on it.

Rules. The LM and the RCA above the crux supply no left ventricle. The septum is shared by the branches of its two
grooves by distance like any other wall, so LAD and PDA meet half way, as in the AHA map (perforators are not seen in
CT). The tip belongs to whichever vessel gets there: no special rule. A branch farther than ``REACH_MM`` from the outer
wall supplies nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.fusion.surface import VESSEL_CODE, WallLattice, insertions_deg
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.tree import CoronaryTree, Stenosis, upstream, vessel_of

Array = NDArray[np.float64]

REACH_MM = 14.0  # groove fat is up to a centimetre thick (Iacobellis 2009); beyond, the branch lies on the right heart
RCA_CRUX_DEG = 25.0  # of the RCA's trunk, only what lies this near the inferior groove feeds the LV


@dataclass(frozen=True)
class Supply:
    """The nearest branch of each point of the surface."""

    branch: NDArray[np.intp]  # (n,) index into ``names``, -1 where no branch reaches
    names: tuple[str, ...]
    arc_mm: Array  # (n,) arc length on that branch of the feeding point
    distance_mm: Array  # (n,) along the wall
    vessel: NDArray[np.int8]  # (n,) 0 none, 1 LAD, 2 LCx, 3 RCA


def _edges(surface: Surface) -> csr_array:
    """Symmetric graph of the mesh with edge lengths in mm."""
    t = np.sort(surface.triangles, axis=1).astype(np.int64)
    n = len(surface.points_mm)
    # every edge with the far corner of its triangle, the two triangles of an edge one after the other
    edges = np.concatenate([t[:, [0, 1]], t[:, [0, 2]], t[:, [1, 2]]])
    far = np.concatenate([t[:, 2], t[:, 1], t[:, 0]])
    key = edges[:, 0] * n + edges[:, 1]
    order = np.argsort(key, kind="stable")
    edges, far, key = edges[order], far[order], key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    # second neighbours across each edge: shortest ways then bend less than on the edges alone
    two = first[np.diff(first, append=len(key)) == 2]
    across = np.stack([far[two], far[two + 1]], axis=1)
    pairs = np.concatenate([edges[first], across[across[:, 0] != across[:, 1]]])
    length = np.linalg.norm(surface.points_mm[pairs[:, 0]] - surface.points_mm[pairs[:, 1]], axis=1)
    length = np.maximum(length, 1e-3)
    return csr_array((length, (pairs[:, 0], pairs[:, 1])), shape=(n, n))


def feeding_points(tree: CoronaryTree, lattice: WallLattice, pose: HeartPose) -> tuple[Array, NDArray[np.intp], Array]:
    """Points (k, 3) in the heart frame of all stretches that feed the LV, their branch index, and arc length (mm)."""
    anterior, septum = insertions_deg(lattice, pose)
    points, owner, arcs = [], [], []
    for i, branch in enumerate(tree.branches):
        if vessel_of(tree, branch.name) is None:
            continue
        p = branch.points_mm if tree.frame == "heart" else pose.to_heart(branch.points_mm)
        keep = np.ones(len(p), bool)
        if branch.name == "RCA":
            if not any(b.parent == "RCA" and b.name in ("PDA", "PLB") for b in tree.branches):
                continue
            away = np.mod(lattice.angle_deg(p) - anterior - septum + 180.0, 360.0) - 180.0
            keep = (np.abs(away) < RCA_CRUX_DEG) & (branch.arc_mm > 0.6 * branch.length_mm)
        points.append(p[keep])
        owner.append(np.full(int(keep.sum()), i))
        arcs.append(branch.arc_mm[keep])
    if not points:
        return np.zeros((0, 3)), np.zeros(0, np.intp), np.zeros(0)
    return np.concatenate(points), np.concatenate(owner).astype(np.intp), np.concatenate(arcs)


def patient_supply(surface: Surface, lattice: WallLattice, tree: CoronaryTree, pose: HeartPose) -> Supply:
    """The branch nearest along the wall for each point of ``surface`` (heart frame)."""
    names = tuple(b.name for b in tree.branches)
    n = len(surface.points_mm)
    nothing = Supply(np.full(n, -1, np.intp), names, np.zeros(n), np.full(n, np.inf), np.zeros(n, np.int8))
    points, owner, arc = feeding_points(tree, lattice, pose)
    if not len(points):
        return nothing
    outer = lattice.outer_mm.reshape(-1, 3)[:n]
    # reach from the tree to the wall's outside, then along the wall; the offset over fat costs as much as a way on it
    off, vertex = cKDTree(outer).query(points)
    near = off <= REACH_MM
    if not near.any():
        return nothing
    points, owner, arc, off, vertex = points[near], owner[near], arc[near], off[near], vertex[near]
    graph = _edges(surface)
    # one virtual source per feeding point, joined to its vertex
    k = len(points)
    rows = np.arange(n, n + k)
    joined = csr_array(
        (
            np.concatenate([graph.tocoo().data, np.maximum(off, 0.05)]),
            (np.concatenate([graph.tocoo().row, rows]), np.concatenate([graph.tocoo().col, vertex])),
        ),
        shape=(n + k, n + k),
    )
    distance, _, source = dijkstra(joined, directed=False, indices=rows, return_predecessors=True, min_only=True)
    distance, source = distance[:n], source[:n]
    reached = np.isfinite(distance) & (source >= n)
    feed = np.where(reached, source - n, 0)
    branch = np.where(reached, owner[feed], -1)
    code = np.array([VESSEL_CODE.get(vessel_of(tree, name) or "", 0) for name in names] + [0], dtype=np.int8)
    return Supply(branch, names, np.where(reached, arc[feed], 0.0), distance, code[branch])


def behind(stenosis: Stenosis, supply: Supply, tree: CoronaryTree) -> NDArray[np.bool_]:
    """Points of the surface whose blood passes the narrowing."""
    result = np.zeros(len(supply.branch), bool)
    for i, name in enumerate(supply.names):
        mine = supply.branch == i
        if name == stenosis.branch:
            result |= mine & (supply.arc_mm >= stenosis.position_mm)
        elif any(b == stenosis.branch and arc >= stenosis.position_mm for b, arc in upstream(tree, name)):
            result |= mine
    return result
