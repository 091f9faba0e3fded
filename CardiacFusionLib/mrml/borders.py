"""Borders of the AHA segments as sheets through the wall, and of the territories as lines on it.

A sheet cut by a slice is a line: over the short axis the borders between the segments of a ring, over the long axes
those between the rings. Each kind is drawn there alone: a slice that runs along a sheet would cut it into a zigzag.
Sheets stand on the mid-wall surface and reach through the wall along its normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.fusion.result import Surface

Array = NDArray[np.float64]

# (first angle, step, lowest level, highest level) of the radial borders; angles from the anterior RV insertion
_RADIAL = ((0.0, 60.0, 1 / 3, 1.0), (15.0, 90.0, 0.0, 1 / 3))
_RINGS = (0.0, 1 / 3, 2 / 3)
RADIAL, RINGS = "radial", "rings"
DENSITY_G_ML = 1.05  # myocardium; the surface keeps mass and area, their quotient is the thickness
USUAL_THICKNESS_MM = 9.0
OVERHANG_MM = 0.8  # a border reaches a little beyond the wall, so that it is seen to end there


def normals(surface: Surface) -> Array:
    """Unit normals (n, 3) of the surface's points, away from the cavity whichever way the triangles run."""
    p, t = surface.points_mm, surface.triangles
    face = np.cross(p[t[:, 1]] - p[t[:, 0]], p[t[:, 2]] - p[t[:, 0]])
    total = np.stack([np.bincount(t.ravel(), np.repeat(face[:, k], 3), minlength=len(p)) for k in range(3)], axis=1)
    outward = np.sign(np.sum(total * (p - p.mean(axis=0)))) or 1.0
    return outward * total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def thickness_mm(surface: Surface) -> Array:
    """Wall thickness (n,) from mass and area; a usual one where the surface does not hold them."""
    if not {"mass_g", "area_mm2"} <= set(surface.values):
        return np.full(len(surface.points_mm), USUAL_THICKNESS_MM)
    mass, area = (np.asarray(surface.values[k], float) for k in ("mass_g", "area_mm2"))
    measured = 1000.0 * mass / DENSITY_G_ML / np.maximum(area, 1e-6)
    return np.where(measured > 1.0, measured, USUAL_THICKNESS_MM)


def _uneven(surface: Surface, kind: NDArray[np.generic], among: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
    """Numbers of the triangles (of those ``among``) whose points are not all of one kind (n,)."""
    a, b, c = (surface.triangles if among is None else surface.triangles[among]).T
    found = np.flatnonzero((kind[a] != kind[b]) | (kind[a] != kind[c]))
    return found if among is None else among[found]


def _cut(surface: Surface, level_set: Array, near: NDArray[np.bool_], among: NDArray[np.intp] | None = None) -> Array:
    """Where ``level_set`` (n,) is zero on the triangles (of those ``among``) whose points are all ``near``: (k, 7), a
    row a straight piece: the barycentric weights of its two ends, and the triangle's number."""
    owners = _uneven(surface, level_set > 0, among)
    owners = owners[near[surface.triangles[owners]].all(axis=1)]
    v = level_set[surface.triangles[owners]]
    # of the three edges of a crossed triangle exactly two are cut: those from its lonely corner to the others
    over = v > 0
    lonely = np.argmax(over == (over.sum(axis=1) == 1)[:, None], axis=1)
    rows = np.arange(len(v))
    ends = np.zeros((len(v), 2, 3))
    for end, step in ((0, 1), (1, 2)):
        other = (lonely + step) % 3
        share = v[rows, lonely] / (v[rows, lonely] - v[rows, other])
        ends[rows, end, lonely], ends[rows, end, other] = 1 - share, share
    return np.concatenate([ends.reshape(-1, 6), owners[:, None].astype(float)], axis=1)


def _ends(surface: Surface, cuts: Array, *fields: Array) -> list[Array]:
    """Each of ``fields`` (n, ...) at both ends of every piece of a cut: (k, 2, ...)."""
    weights, triangles = cuts[:, :6].reshape(-1, 2, 3), surface.triangles[cuts[:, 6].astype(int)]
    return [np.einsum("kew,kw...->ke...", weights, np.asarray(field, float)[triangles]) for field in fields]


@dataclass(frozen=True)
class BorderFields:
    """What borders are drawn from; the same for a wall whichever way it is cut into segments."""

    through_mm: Array  # (n, 3) half way through the wall along its normal, and a little beyond
    lifted_mm: Array  # (n, 3) points outside the mid-wall surface, for lines on it

    @staticmethod
    def of(surface: Surface, lift_mm: float = 1.0) -> BorderFields:
        """Of a surface with mass and area."""
        outward = normals(surface)
        through = outward * (thickness_mm(surface) / 2 + OVERHANG_MM)[:, None]
        return BorderFields(through, surface.points_mm + outward * lift_mm)


def _radial_cuts(surface: Surface) -> Array:
    """All pieces of the borders between the segments of one ring, as rows of :func:`_cut`."""
    phi, level = (np.asarray(surface.values[k], float) for k in ("aha_phi_deg", "aha_level"))
    found, everywhere = [], np.ones(len(level), bool)
    for first, step, low, high in _RADIAL:
        # all borders of a ring at once: each point lies so far from the border nearest to it
        nearest = np.round((phi - first) / step)
        off = phi - first - step * nearest
        own = np.mod(nearest, 360.0 / step)
        met = _uneven(surface, off > 0)
        met = met[(own[surface.triangles[met]] == own[surface.triangles[met, :1]]).all(axis=1)]
        cut = _cut(surface, off, everywhere, met)
        height = (
            np.einsum("kew,kw->k", cut[:, :6].reshape(-1, 2, 3), level[surface.triangles[cut[:, 6].astype(int)]]) / 2
        )
        found.append(cut[(height >= low) & (height <= high)])
    return np.concatenate(found)


def _ring_cuts(surface: Surface) -> Array:
    """All pieces of the borders between rings, as rows of :func:`_cut`."""
    level = np.asarray(surface.values["aha_level"], float)
    everywhere = np.ones(len(level), bool)
    return np.concatenate([_cut(surface, level - border, everywhere) for border in _RINGS])


@dataclass(frozen=True)
class Borders:
    """Borders of one kind: sheets through the wall as ``points_mm`` (m, 3) with ``triangles``, and the same borders as
    pieces ``lines_mm`` (k, 2, 3) on the wall."""

    points_mm: Array
    triangles: NDArray[np.int32]
    lines_mm: Array


def segment_borders(surface: Surface, fields: BorderFields | None = None) -> dict[str, Borders]:
    """The borders between segments by kind, ``RADIAL`` and ``RINGS``; none without AHA coordinates."""
    if not {"aha_phi_deg", "aha_level"} <= set(surface.values):
        return {}
    fields = fields or BorderFields.of(surface)
    return {
        kind: _borders(surface, fields, cuts(surface)) for kind, cuts in ((RADIAL, _radial_cuts), (RINGS, _ring_cuts))
    }


def _borders(surface: Surface, fields: BorderFields, cuts: Array) -> Borders:
    at, out, lifted = _ends(surface, cuts, surface.points_mm, fields.through_mm, fields.lifted_mm)
    corners = np.stack([at[:, 0] - out[:, 0], at[:, 1] - out[:, 1], at[:, 1] + out[:, 1], at[:, 0] + out[:, 0]], axis=1)
    base = 4 * np.arange(len(corners))[:, None]
    triangles = np.concatenate([base + np.array([0, 1, 2]), base + np.array([0, 2, 3])]).astype(np.int32)
    return Borders(corners.reshape(-1, 3), triangles, lifted)


def territory_lines(surface: Surface, name: str = "territory_patient", lift_mm: float = 0.6) -> Array:
    """Pieces (k, 2, 3) of the borders between territories, ``lift_mm`` outside the mid-wall surface."""
    if name not in surface.values:
        return np.zeros((0, 2, 3))
    owner = np.asarray(surface.values[name]).astype(int)
    lifted = surface.points_mm + normals(surface) * lift_mm
    lines = []
    for vessel in (1, 2, 3):
        mine = np.where(owner == vessel, 1.0, -1.0)
        t = surface.triangles
        met = np.zeros(len(owner), bool)  # each border is drawn once: by the vessel with the lower number
        touching = t[(owner[t] >= vessel).all(axis=1)]
        met[touching.ravel()] = True
        (at,) = _ends(surface, _cut(surface, mine, met), lifted)
        lines.append(at)
    return np.concatenate(lines)
