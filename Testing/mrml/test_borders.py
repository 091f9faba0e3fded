"""Borders between AHA segments on a wall whose borders are known: a tube of one radius."""

from __future__ import annotations

import numpy as np

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.mrml.borders import RADIAL, RINGS, segment_borders

RADIUS_MM, HEIGHT_MM = 30.0, 90.0


def tube(turned_deg: float) -> Surface:
    """A tube about z; its angles count from ``turned_deg``, its levels from its lower rim."""
    angles, heights = np.deg2rad(np.arange(0.0, 360.0, 4.0)), np.linspace(0.0, HEIGHT_MM, 46)
    a, h = (grid.ravel() for grid in np.meshgrid(angles, heights))
    points = np.stack([RADIUS_MM * np.cos(a), RADIUS_MM * np.sin(a), h], axis=1)
    n = len(angles)
    i = (np.arange(len(heights) - 1)[:, None] * n + np.arange(n)[None]).ravel()
    right = i - i % n + (i + 1) % n
    triangles = np.concatenate([np.stack([i, right, i + n], 1), np.stack([right, right + n, i + n], 1)])
    phi = np.mod(np.rad2deg(a) - turned_deg, 360.0)
    return Surface(points, triangles.astype(np.int32), {"aha_phi_deg": phi, "aha_level": h / HEIGHT_MM})


def test_every_border_is_drawn_once_and_where_it_lies() -> None:
    for turned in (0.3, 33.0, 181.7):  # where the angle jumps from 360 to 0 lies elsewhere each time
        surface = tube(turned)
        found = segment_borders(surface)
        lines = np.concatenate([found[kind].lines_mm for kind in (RADIAL, RINGS)])
        middle, along = lines.mean(axis=1), lines[:, 1] - lines[:, 0]
        upright = np.abs(along[:, 2]) > 0.7 * np.linalg.norm(along, axis=1)
        phi = np.mod(np.rad2deg(np.arctan2(middle[:, 1], middle[:, 0])) - turned, 360.0)
        low = middle[:, 2] < HEIGHT_MM / 3
        clear = upright & (np.abs(middle[:, 2] - HEIGHT_MM / 3) > 2.5)  # a piece may reach from one ring into the next
        for kind, first, step in ((clear & ~low, 0.0, 60.0), (clear & low, 15.0, 90.0)):
            off = np.mod(phi[kind] - first + step / 2, step) - step / 2
            assert kind.any() and np.abs(off).max() < 2.0
        # six borders over two thirds of the height, four over the last
        assert abs(np.abs(along[upright, 2]).sum() - (6 * 2 / 3 + 4 / 3) * HEIGHT_MM) < 0.05 * HEIGHT_MM
        # rings at the lower rim, a third and two thirds
        rings = np.linalg.norm(along[~upright], axis=1).sum() / (2 * np.pi * (RADIUS_MM + 1.0))
        assert abs(rings - 3.0) < 0.05


def test_each_kind_of_border_runs_its_own_way() -> None:
    found = segment_borders(tube(33.0))
    for kind, upright in ((RADIAL, True), (RINGS, False)):
        along = found[kind].lines_mm[:, 1] - found[kind].lines_mm[:, 0]
        steep = np.abs(along[:, 2]) > 0.7 * np.linalg.norm(along, axis=1)
        length = np.linalg.norm(along, axis=1)
        assert length[steep == upright].sum() > 0.98 * length.sum()
        assert len(found[kind].points_mm) == 4 * len(along) and len(found[kind].triangles) == 2 * len(along)


def test_a_wall_without_segments_has_no_borders() -> None:
    plain = tube(0.0)
    assert segment_borders(Surface(plain.points_mm, plain.triangles, {})) == {}
