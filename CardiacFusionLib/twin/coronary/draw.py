"""The twin's coronary tree: branches on the epicardium in their grooves, in the heart frame.

Courses follow the usual anatomy: LM from the left ostium, LAD in the anterior interventricular groove and around the
apex, LCx in the left and RCA in the right atrioventricular groove, PDA in the inferior groove. Lumen sizes are the
normal adult means and standard deviations of Dodge 1992 (Circulation 86:232); shares of dominance those usual in
large series (about 80 % right, 10 % left, 10 % co-dominant).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.twin.coronary.bed import GROOVE_LEVELS, AvRing, groove_angles, lv_surface
from CardiacFusionLib.twin.coronary.plaque import add_plaques
from CardiacFusionLib.twin.coronary.route import STEP_MM, Router, equidistant, smooth_way
from CardiacFusionLib.twin.heart.anatomy import Heart

Points = NDArray[np.float64]

DOMINANCE = (("right", 0.8), ("left", 0.1), ("co-dominant", 0.1))
# lumen diameter in mm (proximal mean, SD, distal mean) of normal adults, after Dodge 1992
DIAMETER_MM = {
    "LM": (4.5, 0.4, 4.2),
    "LAD": (3.7, 0.3, 1.3),
    "D1": (2.2, 0.25, 1.1),
    "D2": (1.9, 0.2, 1.0),
    "LCx": (3.5, 0.3, 1.6),
    "OM1": (2.4, 0.25, 1.1),
    "OM2": (2.1, 0.2, 1.1),
    "RCA": (3.9, 0.35, 2.6),
    "PDA": (2.1, 0.2, 1.1),
    "PLB": (2.1, 0.2, 1.1),
}
NON_DOMINANT_SHARE = 0.72  # an RCA (or LCx) that does not reach the crux is so much thinner
RIGHT_AV_FIRST_DEG = 40.0  # the outflow tract fills the ring up to about here, counted from the anterior groove
FAT_CUSHION_MM = 0.8  # between the epicardium and the vessel's outer wall


@dataclass(frozen=True)
class _Course:
    """A branch before it has a lumen: ordered points (n, 3), heart frame mm, and what it springs from."""

    name: str
    parent: str | None
    points_mm: Points


def draw_tree(heart: Heart, rng: np.random.Generator, kind: str = "normal") -> CoronaryTree:
    """A coronary tree of the heart (heart frame, mm), with plaques and stenoses that fit ``kind``.

    ``kind``: "normal" (plaques below 45 % only), "one-vessel", "two-vessel" (that many of LAD, LCx, RCA carry a
    flow-limiting stenosis), "microvascular" (as normal). Deterministic for one state of ``rng``.
    """
    dominance = str(rng.choice([d for d, _ in DOMINANCE], p=[share for _, share in DOMINANCE]))
    bed = _Bed(heart)
    courses = _left_courses(bed, rng, dominance) + _right_courses(bed, rng, dominance)
    scale = rng.normal(1.0, 0.07)  # small and large people
    branches = tuple(_with_lumen(course, rng, dominance, scale) for course in courses)
    return add_plaques(CoronaryTree(branches, dominance=dominance, frame="heart"), rng, kind)


class _Bed:
    """The heart with its grooves, found once for all branches."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.anterior = groove_angles(heart, anterior=True)
        self.inferior = groove_angles(heart, anterior=False)
        self.ring = AvRing(heart)
        self.router = Router(heart)
        top = np.array([1.0])
        self.anterior_av = self.ring.angle_near(self.on_wall(self.groove(True, top), top)[0])
        # angles rise from the anterior groove over the septum: the crux lies beyond 180
        crux = self.ring.angle_near(self.on_wall(self.groove(False, top), top)[0])
        self.crux_av = self.anterior_av + float(np.mod(crux - self.anterior_av, 360.0))

    def groove(self, anterior: bool, level: Points) -> Points:
        """Angle of the anterior or inferior groove at levels (n,)."""
        return np.interp(level, GROOVE_LEVELS, self.anterior if anterior else self.inferior)

    def angle_at(self, vessel: Points, level: Points) -> Points:
        """Angle about the LV's axis at which a vessel (n, 3) down its wall passes the levels (m,)."""
        tip, base = self.heart.landmarks["lv_cavity_tip"][2], self.heart.landmarks["base"][2]
        down = vessel[: int(np.argmin(vessel[:, 2])) + 1]
        at = down[np.argmin(np.abs(down[:, None, 2] - (tip + level * (base - tip))), axis=0)]
        return np.rad2deg(np.unwrap(np.deg2rad(self.angle_of(at))))

    def angle_of(self, points: Points) -> Points:
        """Angle (n,) about the LV's axis of points (n, 3)."""
        across = points[:, :2] - self.heart.lv_centre(points[:, 2])
        return np.rad2deg(np.arctan2(-across[:, 1], across[:, 0]))

    def on_wall(self, angle_deg: Points, level: Points) -> Points:
        """Points (n, 3) just outside the LV epicardium."""
        return lv_surface(self.heart, angle_deg, level, lift_mm=FAT_CUSHION_MM + 1.2)

    def right_av_start(self, ostium: Points) -> float:
        """Ring angle where the right AV groove begins: past the ostium, behind the outflow tract and the great
        vessels, which lie across the ring beside the anterior groove."""
        beside = (self.ring.angle_near(ostium) - self.anterior_av + 180.0) % 360.0 - 180.0 + 12.0
        last = 0.6 * (self.crux_av - self.anterior_av)
        angles = self.anterior_av + np.arange(min(max(beside, RIGHT_AV_FIRST_DEG), last), last + 3.0, 3.0)
        return float(angles[int(np.argmax(self.router.is_free(self.ring.at(angles), depth_mm=0.5)))])

    def path(self, name: str, waypoints: Points, rng: np.random.Generator, wander_mm: float) -> Points:
        """A smooth vessel through the waypoints that stays outside the heart; the first point stays where it is."""
        curve = _wandering(smooth_way(self.router.through(waypoints)), rng, wander_mm)
        along = np.arange(len(curve)) * STEP_MM
        start, _, end = DIAMETER_MM[name]
        clearance = FAT_CUSHION_MM + 0.2 + np.linspace(start, end, len(curve)) / 2
        # ease in, so that a branch still begins on its parent
        clearance -= np.clip(1.0 - along / 4.0, 0.0, 1.0) * (clearance + 3.0)
        return equidistant(self.router.lifted(curve, clearance))


def _left_courses(bed: _Bed, rng: np.random.Generator, dominance: str) -> list[_Course]:
    ostium = np.asarray(bed.heart.landmarks["left_ostium"], dtype=float)
    top = np.array([0.94])
    lad_start = bed.on_wall(bed.groove(True, top) - 3.0, top)[0]
    lcx_first = bed.anterior_av - 32.0
    lcx_start = bed.ring.at(np.array([lcx_first]))[0]
    # the bifurcation lies in front of the left atrial appendage, on the way to the top of the anterior groove
    way = smooth_way(bed.router.through(np.stack([ostium, 0.6 * lad_start + 0.4 * lcx_start])))
    reach = int(max(5.0, min(float(rng.uniform(5, 12)), 0.6 * STEP_MM * len(way))) / STEP_MM)
    left_main = bed.path("LM", way[: max(3, reach)], rng, 0.2)
    fork = left_main[-1]

    # LAD: down the groove, then around the apex by a varying amount
    levels = np.linspace(0.94, 0.02, 11)
    groove = bed.on_wall(bed.groove(True, levels) + rng.uniform(-3, 1), levels)
    end = np.array([0.03, 0.05 + rng.uniform(0.0, 0.14)])
    around = bed.on_wall(bed.groove(False, end) + rng.uniform(-8, 8), end)
    apex = np.asarray(bed.heart.landmarks["apex"], dtype=float) - [0.0, 0.0, FAT_CUSHION_MM + 0.8]
    lad = bed.path("LAD", np.concatenate([fork[None], groove, apex[None], around]), rng, 0.6)
    diagonals = [
        _diagonal(bed, lad, rng, rng.uniform(0.74, 0.82), rng.uniform(48, 62), 0.32),
        _diagonal(bed, lad, rng, rng.uniform(0.48, 0.58), rng.uniform(34, 46), 0.14),
    ]

    # LCx: in the left groove from the fork, angles falling through lateral (0) towards the crux
    crux = bed.crux_av - 360.0
    end_deg = {"right": crux + rng.uniform(60, 80), "co-dominant": crux + rng.uniform(34, 44), "left": crux + 2.0}
    angles = np.linspace(lcx_first, end_deg[dominance], 10)
    lcx = bed.path("LCx", np.concatenate([fork[None], bed.ring.at(angles)]), rng, 0.5)
    courses = [
        _Course("LM", None, left_main),
        _Course("LAD", "LM", lad),
        _Course("D1", "LAD", diagonals[0]),
        _Course("D2", "LAD", diagonals[1]),
        _Course("LCx", "LM", lcx),
        _Course("OM1", "LCx", _marginal(bed, lcx, rng, rng.uniform(18, 30), rng.uniform(2, 14))),
        _Course("OM2", "LCx", _marginal(bed, lcx, rng, rng.uniform(-22, -10), rng.uniform(-38, -26))),
    ]
    if dominance in ("left", "co-dominant"):
        courses.append(_Course("PLB", "LCx", _posterolateral(bed, lcx, rng, dominance == "left")))
    if dominance == "left":
        courses.append(_Course("PDA", "LCx", _posterior_descending(bed, lcx, rng)))
    return courses


def _right_courses(bed: _Bed, rng: np.random.Generator, dominance: str) -> list[_Course]:
    ostium = np.asarray(bed.heart.landmarks["right_ostium"], dtype=float)
    crux = bed.crux_av
    start = bed.right_av_start(ostium)
    end_deg = {"left": crux - rng.uniform(35, 50), "right": crux + rng.uniform(12, 20), "co-dominant": crux}
    angles = np.linspace(start, end_deg[dominance], 9)
    rca = bed.path("RCA", np.concatenate([ostium[None], bed.ring.at(angles)]), rng, 0.6)
    courses = [_Course("RCA", None, rca)]
    if dominance != "left":
        courses.append(_Course("PDA", "RCA", _posterior_descending(bed, rca, rng)))
    if dominance == "right":
        courses.append(_Course("PLB", "RCA", _posterolateral(bed, rca, rng)))
    return courses


def _posterior_descending(bed: _Bed, parent: Points, rng: np.random.Generator) -> Points:
    """Down the inferior groove from the crux."""
    levels = np.linspace(0.88, rng.uniform(0.2, 0.32), 7)
    groove = bed.on_wall(bed.groove(False, levels) + rng.uniform(-1, 3), levels)
    return bed.path("PDA", np.concatenate([_nearest(parent, groove[0])[None], groove]), rng, 0.5)


def _posterolateral(bed: _Bed, parent: Points, rng: np.random.Generator, reaches_crux: bool = True) -> Points:
    """Over the inferolateral wall, from the end of the vessel that reaches past the crux or (LCx) short of it."""
    levels = np.linspace(0.9, rng.uniform(0.3, 0.45), 7)
    groove = bed.groove(False, np.array([0.9]))[0]
    beside = float(rng.uniform(18, 24))
    if not reaches_crux:  # an LCx that ends before the crux sends it down from its end, not back towards the RCA
        beside = max(beside, float((bed.angle_of(parent[-1:])[0] - groove + 180.0) % 360.0 - 180.0))
    start = groove + beside
    wall = bed.on_wall(np.linspace(start, start + rng.uniform(14, 24), 7), levels)
    return bed.path("PLB", np.concatenate([_nearest(parent, wall[0])[None], wall]), rng, 0.5)


def _diagonal(
    bed: _Bed, lad: Points, rng: np.random.Generator, start_level: float, spread_deg: float, end_level: float
) -> Points:
    """Leaves the LAD near ``start_level`` and runs ``spread_deg`` towards the lateral wall."""
    share = np.linspace(0.0, 1.0, 8)
    levels = start_level + (end_level - start_level) * share**1.15
    angles = bed.angle_at(lad, levels) - spread_deg * share**0.8
    wall = bed.on_wall(angles[1:], levels[1:])
    start = _nearest(lad, bed.on_wall(angles[:1], levels[:1])[0])
    return bed.path("D1", np.concatenate([start[None], wall]), rng, 0.5)


def _marginal(bed: _Bed, lcx: Points, rng: np.random.Generator, start_deg: float, end_deg: float) -> Points:
    """Leaves the LCx near ``start_deg`` and runs over the free wall towards ``end_deg``."""
    levels = np.linspace(0.86, rng.uniform(0.2, 0.35), 7)
    wall = bed.on_wall(np.linspace(start_deg, end_deg, 7), levels)
    return bed.path("OM1", np.concatenate([_nearest(lcx, wall[0])[None], wall]), rng, 0.6)


def _nearest(points: Points, to: Points) -> Points:
    return points[int(np.argmin(np.linalg.norm(points - to, axis=1)))]


def _wandering(curve: Points, rng: np.random.Generator, wander_mm: float) -> Points:
    """The curve with gentle tortuosity of SD ``wander_mm``; its ends stay where they are."""
    n = len(curve)
    wander = gaussian_filter1d(rng.normal(size=(n, 3)), sigma=6.0 / STEP_MM, axis=0, mode="nearest")
    wander *= wander_mm / max(float(wander.std()), 1e-9)
    ease = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) * STEP_MM / 8.0)
    return equidistant(curve + wander * ease[:, None])


def _with_lumen(course: _Course, rng: np.random.Generator, dominance: str, scale: float) -> Branch:
    mean, spread, distal = DIAMETER_MM[course.name]
    thin = (course.name == "RCA" and dominance == "left") or (course.name == "LCx" and dominance == "right")
    share = NON_DOMINANT_SHARE if course.name == "RCA" and thin else (0.92 if thin else 1.0)
    start = np.clip(rng.normal(mean, spread), mean - 2 * spread, mean + 2 * spread) * scale * share
    end = min(distal * scale * share, 0.95 * start)
    along = np.linspace(0.0, 1.0, len(course.points_mm))
    diameter = start + (end - start) * along**0.85
    return Branch(course.name, course.points_mm, diameter / 2.0, course.parent)
