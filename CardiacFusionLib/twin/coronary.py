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
from scipy.interpolate import PchipInterpolator, make_interp_spline
from scipy.ndimage import gaussian_filter1d

from CardiacFusionLib.spatial.aha import insertion_angle_deg
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.twin.anatomy import Heart
from CardiacFusionLib.twin.plaque import add_plaques

Points = NDArray[np.float64]

STEP_MM = 0.5  # distance between centreline points
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
    courses = _left_courses(heart, rng, dominance) + _right_courses(heart, rng, dominance)
    scale = rng.normal(1.0, 0.07)  # small and large people
    branches = tuple(_with_lumen(course, rng, dominance, scale) for course in courses)
    return add_plaques(CoronaryTree(branches, dominance=dominance, frame="heart"), rng, kind)


def _left_courses(heart: Heart, rng: np.random.Generator, dominance: str) -> list[_Course]:
    anterior, inferior = _groove_angles(heart)
    ostium = np.asarray(heart.landmarks["left_ostium"], dtype=float)
    lad_start = _on_surface(heart, np.array([anterior - 4.0]), np.array([0.97]))[0]
    lcx_start = _in_av_groove(heart, np.array([anterior - 45.0]))[0]
    # the bifurcation lies in front of the left atrial appendage, on the way to the top of the anterior groove
    fork = ostium + (0.6 * lad_start + 0.4 * lcx_start - ostium) * rng.uniform(0.35, 0.5)
    left_main = _smooth_path(np.stack([ostium, ostium + 0.5 * (fork - ostium), fork]), rng, 0.2)

    # LAD: down the groove, then around the apex by a varying amount
    levels = np.linspace(0.97, 0.02, 12)
    groove = _on_surface(heart, anterior + rng.uniform(-3, 3) + 6.0 * np.sin(levels * 5 + rng.uniform(0, 6)), levels)
    wrap = rng.uniform(0.0, 0.16)
    around = _on_surface(heart, np.full(2, inferior), np.array([0.03, 0.05 + wrap]))
    tip = _apex_point(heart)
    lad = _smooth_path(np.concatenate([fork[None], groove, tip[None], around]), rng, 0.7)

    diagonal_angles = (anterior - rng.uniform(48, 62), anterior - rng.uniform(34, 46))
    d1 = _side_branch(heart, lad, rng, start_level=rng.uniform(0.74, 0.82), end=(diagonal_angles[0], 0.32))
    d2 = _side_branch(heart, lad, rng, start_level=rng.uniform(0.48, 0.58), end=(diagonal_angles[1], 0.14))

    # LCx: in the left groove from the fork towards the crux
    crux = inferior - 360.0  # angles fall from the anterior groove through lateral (0) to inferior (-90 and beyond)
    reach = {"right": crux + rng.uniform(75, 95), "co-dominant": crux + rng.uniform(22, 30), "left": crux + 4.0}
    angles = np.linspace(anterior - 45.0, reach[dominance], 10)
    lcx = _smooth_path(np.concatenate([fork[None], _in_av_groove(heart, angles)]), rng, 0.5)
    om1 = _off_groove(heart, lcx, rng, rng.uniform(18, 30), rng.uniform(2, 14), rng.uniform(0.2, 0.3))
    om2 = _off_groove(heart, lcx, rng, rng.uniform(-22, -10), rng.uniform(-38, -26), rng.uniform(0.22, 0.35))
    courses = [
        _Course("LM", None, left_main),
        _Course("LAD", "LM", lad),
        _Course("D1", "LAD", d1),
        _Course("D2", "LAD", d2),
        _Course("LCx", "LM", lcx),
        _Course("OM1", "LCx", om1),
        _Course("OM2", "LCx", om2),
    ]
    if dominance in ("left", "co-dominant"):
        courses.append(_Course("PLB", "LCx", _posterolateral(heart, lcx, rng, crux)))
    if dominance == "left":
        courses.append(_Course("PDA", "LCx", _posterior_descending(heart, lcx, rng, crux)))
    return courses


def _right_courses(heart: Heart, rng: np.random.Generator, dominance: str) -> list[_Course]:
    anterior, inferior = _groove_angles(heart)
    ostium = np.asarray(heart.landmarks["right_ostium"], dtype=float)
    end = {"left": inferior - rng.uniform(45, 60), "right": inferior + rng.uniform(14, 22), "co-dominant": inferior + 2}
    angles = np.linspace(anterior + 28.0, end[dominance], 12)
    rca = _smooth_path(np.concatenate([ostium[None], _in_av_groove(heart, angles)]), rng, 0.7)
    courses = [_Course("RCA", None, rca)]
    if dominance != "left":
        courses.append(_Course("PDA", "RCA", _posterior_descending(heart, rca, rng, inferior)))
    if dominance == "right":
        courses.append(_Course("PLB", "RCA", _posterolateral(heart, rca, rng, inferior)))
    return courses


def _posterior_descending(heart: Heart, parent: Points, rng: np.random.Generator, crux_deg: float) -> Points:
    """Down the inferior groove from the crux."""
    levels = np.linspace(0.9, rng.uniform(0.2, 0.32), 7)
    groove = _on_surface(heart, crux_deg + rng.uniform(-3, 3) + 4.0 * np.sin(levels * 6), levels)
    return _smooth_path(np.concatenate([_nearest(parent, groove[0])[None], groove]), rng, 0.5)


def _posterolateral(heart: Heart, parent: Points, rng: np.random.Generator, crux_deg: float) -> Points:
    """Over the inferolateral wall, from the end of the vessel that reaches past the crux."""
    start = crux_deg + rng.uniform(14, 20)
    levels = np.linspace(0.93, rng.uniform(0.3, 0.45), 7)
    wall = _on_surface(heart, np.linspace(start, start + rng.uniform(14, 24), 7), levels)
    return _smooth_path(np.concatenate([_nearest(parent, wall[0])[None], wall]), rng, 0.5)


def _side_branch(
    heart: Heart, lad: Points, rng: np.random.Generator, start_level: float, end: tuple[float, float]
) -> Points:
    """A diagonal: leaves the LAD near ``start_level`` and runs to ``end`` (angle, level)."""
    anterior, _ = _groove_angles(heart)
    start = _nearest(lad, _on_surface(heart, np.array([anterior]), np.array([start_level]))[0])
    share = np.linspace(0.12, 1.0, 7)
    angles = anterior + (end[0] - anterior) * share**0.8
    levels = start_level + (end[1] - start_level) * share**1.15
    return _smooth_path(np.concatenate([start[None], _on_surface(heart, angles, levels)]), rng, 0.5)


def _off_groove(
    heart: Heart, lcx: Points, rng: np.random.Generator, start_deg: float, end_deg: float, end_level: float
) -> Points:
    """A marginal: leaves the LCx near ``start_deg`` and runs over the free wall to (``end_deg``, ``end_level``)."""
    levels = np.linspace(0.88, end_level, 7)
    wall = _on_surface(heart, np.linspace(start_deg, end_deg, 7), levels)
    return _smooth_path(np.concatenate([_nearest(lcx, wall[0])[None], wall]), rng, 0.6)


def _groove_angles(heart: Heart) -> tuple[float, float]:
    """Angles of the anterior and the inferior interventricular groove in degrees, anterior < inferior."""
    anterior = float(insertion_angle_deg(np.asarray(heart.landmarks["rv_insertion_anterior"])))
    inferior = float(insertion_angle_deg(np.asarray(heart.landmarks["rv_insertion_inferior"])))
    return anterior, anterior + float(np.mod(inferior - anterior, 360.0))


def _on_surface(heart: Heart, angle_deg: NDArray[np.float64], level: NDArray[np.float64]) -> Points:
    """Points (n, 3) just outside the LV epicardium."""
    points = np.asarray(heart.epicardial_point(angle_deg, level), dtype=float)
    step = 2.0
    along = heart.epicardial_point(angle_deg + step, level) - heart.epicardial_point(angle_deg - step, level)
    down = heart.epicardial_point(angle_deg, level + 0.02) - heart.epicardial_point(angle_deg, level - 0.02)
    normal = np.cross(along, down)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    outward = points * [1.0, 1.0, 0.0]
    normal *= np.where(np.sum(normal * outward, axis=-1, keepdims=True) < 0, -1.0, 1.0)
    return points + normal * (FAT_CUSHION_MM + 1.2)


def _in_av_groove(heart: Heart, angle_deg: NDArray[np.float64]) -> Points:
    return np.asarray(heart.av_groove_point(angle_deg), dtype=float)


def _apex_point(heart: Heart) -> Points:
    """Just outside the epicardial apex."""
    apex = np.asarray(heart.landmarks["apex"], dtype=float)
    return apex + np.array([0.0, 0.0, -(FAT_CUSHION_MM + 0.8)])


def _nearest(points: Points, to: Points) -> Points:
    return points[int(np.argmin(np.linalg.norm(points - to, axis=1)))]


def _smooth_path(waypoints: Points, rng: np.random.Generator, wander_mm: float) -> Points:
    """A smooth curve through the waypoints, ``STEP_MM`` apart, with gentle tortuosity of SD ``wander_mm``."""
    keep = np.concatenate([[True], np.linalg.norm(np.diff(waypoints, axis=0), axis=1) > 0.3])
    waypoints = waypoints[keep]
    # centripetal parameter: no loops between unevenly spaced waypoints
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(waypoints, axis=0), axis=1)))])
    dense = np.linspace(0.0, knots[-1], 60 * len(waypoints))
    curve = (
        PchipInterpolator(knots, waypoints, axis=0)(dense)
        if len(waypoints) < 4
        else make_interp_spline(knots, waypoints, k=3)(dense)
    )
    curve = _equidistant(curve)
    n = len(curve)
    wander = gaussian_filter1d(rng.normal(size=(n, 3)), sigma=6.0 / STEP_MM, axis=0, mode="nearest")
    wander *= wander_mm / max(float(wander.std()), 1e-9)
    ease = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) * STEP_MM / 8.0)  # ends stay where they are
    return _equidistant(curve + wander * ease[:, None])


def _equidistant(curve: Points) -> Points:
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    wanted = np.linspace(0.0, arc[-1], max(3, int(np.ceil(arc[-1] / STEP_MM)) + 1))
    return np.stack([np.interp(wanted, arc, curve[:, k]) for k in range(3)], axis=1)


def _with_lumen(course: _Course, rng: np.random.Generator, dominance: str, scale: float) -> Branch:
    mean, spread, distal = DIAMETER_MM[course.name]
    thin = (course.name == "RCA" and dominance == "left") or (course.name == "LCx" and dominance == "right")
    share = NON_DOMINANT_SHARE if course.name == "RCA" and thin else (0.92 if thin else 1.0)
    start = np.clip(rng.normal(mean, spread), mean - 2 * spread, mean + 2 * spread) * scale * share
    end = min(distal * scale * share, 0.95 * start)
    along = np.linspace(0.0, 1.0, len(course.points_mm))
    diameter = start + (end - start) * along**0.85
    return Branch(course.name, course.points_mm, diameter / 2.0, course.parent)
