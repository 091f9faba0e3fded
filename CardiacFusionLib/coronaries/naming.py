"""Names of the coronary branches from their course in the heart frame and the topology of the tree.

Corridors: the anterior groove (LAD), the atrioventricular groove on the side of the free wall (LCx) and of the right
heart (RCA), the inferior groove (PDA), the inferolateral wall (PLB). Every end of the tree has one way to its ostium;
the way with the longest stretch in a corridor carries its name. What is common to LAD and LCx is the LM. A way that
stays in no corridor gets no vessel name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.spatial.aha import insertion_angle_deg
from CardiacFusionLib.spatial.pose import HeartPose

Nodes = NDArray[np.intp]
Points = NDArray[np.float64]

GROOVE_DEG = 26.0  # half width of an interventricular groove seen from the long axis
# an artery in the AV groove keeps above this share of the long axis: the mitral ring's groove (LCx) lies at the base,
# the tricuspid ring's (RCA) up to two centimetres lower
LEFT_AV_LEVEL = 0.88
RIGHT_AV_LEVEL = 0.74
MIN_CORRIDOR_MM = {"LAD": 12.0, "LCx": 10.0, "RCA": 16.0, "PDA": 14.0, "PLB": 12.0}
# an artery from the wrong sinus runs so far in its groove, and less in the other one (over which it crosses): a
# dominant artery's end that comes round the crux has run through all of its own
STRANGER_MM, MAX_OTHER_SHARE = 35.0, 0.6
FACING_MM = 10.0  # an ostium this far to one side of the root's middle is surely of that side
CRUX_DEG = 50.0  # this near the inferior groove a way in the AV groove is at the crux
TOP_LEVEL = 0.97  # the AV groove at the crux lies at the base or lower
GROOVE_DEPTH = 0.08  # of the long axis: what lies so much lower has left the groove
LM_WIDTH_MM = 3.0  # ways nearer than this at the start run in one lumen (LM diameter 4.5 mm, Dodge 1992)
MAX_LM_MM = 20.0
MIN_SIDE_MM = 9.0
SIDE = "side"  # what branches without a vessel name are called
MIN_UNNAMED_MM = 15.0  # a branch without a name is kept from this length on
MAX_SIDE_BRANCHES = 2  # D1-2, OM1-2; more are kept as unnamed side branches


@dataclass(frozen=True)
class Place:
    """Where each point of a tree lies, seen from the long axis."""

    from_anterior_deg: NDArray[np.float64]  # signed; positive towards the septum, negative over the free wall
    septum_deg: float
    level: NDArray[np.float64]  # 0 apex .. 1 base

    @property
    def from_inferior_deg(self) -> NDArray[np.float64]:
        """Signed angle from the inferior groove: positive over the inferolateral wall, negative towards the septum."""
        return wrapped(self.from_anterior_deg - self.septum_deg)

    @property
    def on_free_wall(self) -> NDArray[np.bool_]:
        """The side of the left free wall: neither groove nor right heart."""
        turned = np.mod(self.from_anterior_deg, 360.0)
        return (turned > self.septum_deg) & (turned < 360.0)


@dataclass(frozen=True)
class NamedPath:
    """One named branch: points of the tree from proximal (its fork on the parent) to distal."""

    name: str
    parent: str | None
    nodes: Nodes


def wrapped(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in -180..180."""
    return np.mod(angle_deg + 180.0, 360.0) - 180.0


def place_of(points_lps: NDArray[np.float64], pose: HeartPose) -> Place:
    """Angles from the grooves and level of points (n, 3) LPS mm; the pose must carry its landmarks."""
    points = pose.to_heart(points_lps)
    landmark = {k: pose.to_heart(v) for k, v in pose.landmarks.items()}
    anterior = float(insertion_angle_deg(landmark["rv_insertion_anterior"]))
    inferior = float(insertion_angle_deg(landmark["rv_insertion_inferior"]))
    low, high = float(landmark["apex"][2]), float(landmark["base"][2])
    return Place(
        wrapped(insertion_angle_deg(points) - anterior),
        float(np.mod(inferior - anterior, 360.0)),
        (points[:, 2] - low) / (high - low),
    )


def _along(tree: PathTree) -> NDArray[np.float64]:
    """Length (n,) of the step from each point's parent to it."""
    step = np.linalg.norm(tree.points_mm - tree.points_mm[tree.parent], axis=1)
    return np.where(tree.parent >= 0, step, 0.0)


def _common(a: Nodes, b: Nodes) -> int:
    """Number of leading points that two ways share."""
    n = min(len(a), len(b))
    differ = np.flatnonzero(a[:n] != b[:n])
    return int(differ[0]) if len(differ) else n


@dataclass
class _Naming:
    tree: PathTree
    place: Place
    facing_mm: NDArray[np.float64]  # heart x of each point against the middle of the aortic root

    def __post_init__(self) -> None:
        p = self.place
        self.step = _along(self.tree)
        self.ways = {int(leaf): self.tree.way(int(leaf)) for leaf in self.tree.leaves}
        apical = p.level < 0.12  # angles mean little at the tip
        groove = np.abs(p.from_anterior_deg) < GROOVE_DEG
        wall = p.level < 1.12
        left_av, right_av = p.level > LEFT_AV_LEVEL, p.level > RIGHT_AV_LEVEL
        right = (p.from_anterior_deg > 12.0) & (p.from_anterior_deg < p.septum_deg + 30.0)
        self.corridor = {
            "LAD": (groove & wall) | apical,
            "LCx": p.on_free_wall & left_av & ~groove,
            "RCA": right & right_av,
            "PDA": (np.abs(p.from_inferior_deg) < GROOVE_DEG) & (p.level < 0.9) & ~apical,
            "PLB": (p.from_inferior_deg > 6.0) & (p.from_inferior_deg < 80.0) & (p.level < 0.93) & ~apical,
        }

    def inside(self, corridor: str, nodes: Nodes) -> float:
        return float(self.step[nodes][self.corridor[corridor][nodes]].sum())

    def length(self, nodes: Nodes) -> float:
        return float(self.step[nodes].sum())

    def is_left(self, root: int) -> bool:
        """Does the tree of this ostium belong to the left coronary artery? From where it faces and where it runs."""
        nodes = np.unique(np.concatenate([w for w in self.ways.values() if int(w[0]) == root]))
        left, right = self.inside("LAD", nodes) + self.inside("LCx", nodes), self.inside("RCA", nodes)
        course = (left - right) / max(left + right, 20.0)
        side = float(np.clip(self.facing_mm[root] / FACING_MM, -1.0, 1.0))
        return course + 0.8 * side > 0

    def best(self, corridor: str, leaves: list[int], after: Nodes | None = None, strict: float = 0.5) -> int | None:
        """The leaf whose way runs longest in a corridor; what lies outside (beyond ``after``) counts against it."""
        scored = []
        for leaf in leaves:
            way = self.ways[leaf]
            if after is not None:
                way = way[_common(way, after) :]
            hit = self.inside(corridor, way)
            first = np.flatnonzero(self.corridor[corridor][way])
            late = self.length(way[first[0] :]) if len(first) else 0.0
            scored.append((hit - strict * (late - hit), hit, leaf))
        good = [s for s in scored if s[1] >= MIN_CORRIDOR_MM[corridor] and s[0] > 0]
        return max(good)[2] if good else None


def name_branches(tree: PathTree, pose: HeartPose, root_centre_mm: Points) -> tuple[list[NamedPath], str]:
    """Named branches, parents before children, and the dominance ("right", "left", "co-dominant", "unknown").

    ``root_centre_mm`` (3,): middle of the aortic root, LPS.
    """
    if not len(tree.points_mm):
        return [], "unknown"
    facing = pose.to_heart(tree.points_mm)[:, 0] - float(pose.to_heart(root_centre_mm)[0])
    work = _Naming(tree, place_of(tree.points_mm, pose), facing)
    named = _left(work) + _right(work)
    named = _inferior(work, named)
    named += _sides(work, named)
    return named, _dominance(named)


def _left(work: _Naming) -> list[NamedPath]:
    leaves = [leaf for leaf, way in work.ways.items() if work.is_left(int(way[0]))]
    lad = work.best("LAD", leaves)
    # an LCx way must leave the LAD's way: a diagonal's start also lies high on the free wall
    lcx = work.best("LCx", [leaf for leaf in leaves if leaf != lad], None if lad is None else work.ways[lad])
    if lcx is None:
        lcx = work.best("LCx", _strangers(work, "LCx", "RCA", leaves))
    named: list[NamedPath] = []
    if lad is not None and lcx is not None:
        a, b = work.ways[lad], work.ways[lcx]
        shared = _common(a, b)
        last, other = _fork(work, a, b, shared) if shared else (0, 0)
        if last > 1:
            named.append(NamedPath("LM", None, a[:last]))
            return [
                *named,
                NamedPath("LAD", "LM", a[last - 1 :]),
                NamedPath("LCx", "LM", _in_groove(work, b)[other - 1 :]),
            ]
    if lad is not None:
        named.append(NamedPath("LAD", None, work.ways[lad]))
    if lcx is not None:
        named.append(NamedPath("LCx", None, _in_groove(work, work.ways[lcx])))
    return named


def _fork(work: _Naming, a: Nodes, b: Nodes, shared: int) -> tuple[int, int]:
    """How many points of two ways lie in one lumen, given how many they share: two ways may part inside a wide LM."""
    points = work.tree.points_mm
    last, other = shared, shared  # ways that share but the door may still run side by side
    while last < len(a) - 1 and work.length(a[:last]) < MAX_LM_MM:
        apart = np.linalg.norm(points[b[shared - 1 : other + 4]] - points[a[last]], axis=1)
        if apart.min() > LM_WIDTH_MM:
            break
        other = max(other, shared + int(np.argmin(apart)))
        last += 1
    return last, other


def _in_groove(work: _Naming, way: Nodes) -> Nodes:
    """The LCx ends where it leaves the AV groove for good; what goes on over the wall is a marginal."""
    inside = np.flatnonzero(work.corridor["LCx"][way])
    return way[: int(inside[-1]) + 1]


def _strangers(work: _Naming, corridor: str, other: str, own: list[int]) -> list[int]:
    """Ways from the other side's ostium (not in ``own``) that run in ``corridor``, asked where no own way does.

    An LCx from the right sinus or an RCA from the left one is a known anomaly. What comes round the crux out of the
    ``other`` groove is none.
    """
    return [
        leaf
        for leaf, way in work.ways.items()
        if leaf not in own
        and work.inside(corridor, way) >= STRANGER_MM
        and work.inside(other, way) < MAX_OTHER_SHARE * work.inside(corridor, way)
    ]


def _right(work: _Naming) -> list[NamedPath]:
    leaves = [leaf for leaf, way in work.ways.items() if not work.is_left(int(way[0]))]
    rca = work.best("RCA", leaves, strict=0.15)
    if rca is None:
        rca = work.best("RCA", _strangers(work, "RCA", "LCx", leaves), strict=0.15)
    return [] if rca is None else [NamedPath("RCA", None, work.ways[rca])]


def _inferior(work: _Naming, named: list[NamedPath]) -> list[NamedPath]:
    """PDA and PLB from the ends of RCA and LCx; the trunk ends where the farthest way in the groove leaves it."""
    found = _posterior_pair(work, [p for p in named if p.name in ("RCA", "LCx")])
    result = []
    for trunk in named:
        hanging = {name: leaf for name, (_, owner, leaf) in found.items() if owner == trunk.name}
        if not hanging:
            result.append(trunk)
            continue
        start = int(trunk.nodes[0])
        ways = [work.ways[leaf] for leaf in hanging.values()]
        own = [w for w in work.ways.values() if int(trunk.nodes[-1]) in w][:1]
        ends = [w[: _leaves_groove(work, w) + 1] for w in [*ways, *own]]
        ends = [e[list(e).index(start) :] if start in e else e for e in ends]
        nodes = max(ends, key=work.length)
        result.append(NamedPath(trunk.name, trunk.parent, nodes))
        for name, leaf in hanging.items():
            way = work.ways[leaf]
            fork = int(np.flatnonzero(np.isin(way, nodes))[-1])
            result.append(NamedPath(name, trunk.name, way[fork:]))
    return result


def _posterior_pair(work: _Naming, trunks: list[NamedPath]) -> dict[str, tuple[float, str, int]]:
    """PDA and PLB -> (score, trunk, leaf): the two different ends that fit best together, the PDA nearer the septum."""
    scored: dict[str, list[tuple[float, str, int]]] = {"PDA": [], "PLB": []}
    side: dict[int, float] = {}
    for trunk in trunks:
        # ways that run through the middle of the trunk hang on it
        marker = int(trunk.nodes[len(trunk.nodes) // 3])
        for leaf, way in work.ways.items():
            if marker not in way:
                continue
            tail = way[_leaves_groove(work, way) :]
            side[leaf] = float(np.median(work.place.from_inferior_deg[tail]))
            for name, fits in scored.items():
                hit = work.inside(name, tail)
                score = hit - 0.7 * (work.length(tail) - hit)
                if hit >= MIN_CORRIDOR_MM[name] and score > 0:
                    fits.append((score, trunk.name, leaf))
    choices: list[dict[str, tuple[float, str, int]]] = [{}]
    choices += [{name: fit} for name, fits in scored.items() for fit in fits]
    choices += [
        {"PDA": a, "PLB": b} for a in scored["PDA"] for b in scored["PLB"] if a[2] != b[2] and side[a[2]] < side[b[2]]
    ]
    return max(choices, key=lambda choice: sum(fit[0] for fit in choice.values()))


def _leaves_groove(work: _Naming, way: Nodes) -> int:
    """Index into ``way`` of the last point that lies in the AV groove, whose height is the way's own near the crux."""
    level = work.place.level[way]
    crux = np.abs(work.place.from_inferior_deg[way]) < CRUX_DEG
    top = min(float(level[crux].max()), TOP_LEVEL) if crux.any() else TOP_LEVEL
    high = np.flatnonzero(level >= top - GROOVE_DEPTH)
    return int(high[-1]) if len(high) else 0


def _sides(work: _Naming, named: list[NamedPath]) -> list[NamedPath]:
    """Diagonals and marginals by their trunk and where they run; others stay "side N"."""
    used = {int(n) for p in named for n in p.nodes}
    sides: list[tuple[str, float, Nodes]] = []
    ends = [leaf for leaf in work.ways if leaf not in used]
    for leaf in sorted(ends, key=lambda f: -work.length(work.ways[f])):
        way = work.ways[leaf]
        inside = [i for i, n in enumerate(way) if int(n) in used]
        if not inside or work.length(way[inside[-1] :]) < MIN_SIDE_MM:
            continue
        nodes = way[inside[-1] :]
        fork = int(nodes[0])
        owner = next((p for p in named if fork in p.nodes[1:] or (p.parent is None and fork in p.nodes)), None)
        if owner is None:
            continue
        at = float(work.step[owner.nodes[: list(owner.nodes).index(fork) + 1]].sum())
        sides.append((owner.name, at, nodes))
        used |= {int(n) for n in nodes}
    result = []
    for trunk, prefix in (("LAD", "D"), ("LCx", "OM")):
        mine = sorted((s for s in sides if s[0] == trunk and _over_free_wall(work, s[2])), key=lambda s: s[1])
        # the longest ones are the ones a reader names; they are numbered from proximal to distal
        kept = sorted(mine, key=lambda s: -work.length(s[2]))[:MAX_SIDE_BRANCHES]
        for number, side in enumerate(sorted(kept, key=lambda s: s[1]), start=1):
            result.append(NamedPath(f"{prefix}{number}", trunk, side[2]))
            sides = [s for s in sides if s is not side]
    sides = [s for s in sides if work.length(s[2]) >= MIN_UNNAMED_MM]
    for spare, (owner_name, _, nodes) in enumerate(sorted(sides, key=lambda s: -work.length(s[2])), start=1):
        result.append(NamedPath(f"{SIDE} {spare}", owner_name, nodes))
    return result


def _over_free_wall(work: _Naming, nodes: Nodes) -> bool:
    """The outer half of the branch lies over the left free wall and away from the AV groove's height."""
    outer = nodes[len(nodes) // 2 :]
    p = work.place
    return bool(np.mean(p.on_free_wall[outer]) > 0.6 and np.median(p.level[outer]) < 0.95)


def _dominance(named: list[NamedPath]) -> str:
    owner = {p.name: p.parent for p in named if p.name in ("PDA", "PLB")}
    pda, plb = owner.get("PDA"), owner.get("PLB")
    if pda == "LCx":
        return "left"
    if pda == "RCA":
        return "co-dominant" if plb == "LCx" else "right"
    return "unknown"
