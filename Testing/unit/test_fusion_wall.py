"""The wall's surface, its segments and territories on a heart of known shape."""

from __future__ import annotations

import numpy as np
import pytest
from coronary_phantom import ANTERIOR_DEG, ct_of, drawn_tree

from CardiacFusionLib.fusion.surface import vertex_areas, wall_lattice, wall_surface
from CardiacFusionLib.fusion.territories import patient_supply
from CardiacFusionLib.spatial.labels import Label

LAD, LCX, RCA = 1, 2, 3


@pytest.fixture(scope="module")
def wall():
    _, walls = ct_of(None, 1.5)
    lattice = wall_lattice(walls.labels, walls.pose)
    return walls, lattice, wall_surface(lattice, walls.pose)


def test_the_surface_weighs_what_the_wall_weighs(wall) -> None:
    walls, _, surface = wall
    muscle_g = (walls.labels.array == Label.MYOCARDIUM).sum() * walls.labels.voxel_volume_ml * 1.05
    assert np.asarray(surface.values["mass_g"]).sum() == pytest.approx(muscle_g, rel=0.2)


def test_areas_of_a_unit_square_are_shared_by_its_corners() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    areas = vertex_areas(points, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    assert areas.sum() == pytest.approx(1.0)
    assert areas[0] == pytest.approx(1 / 3) and areas[1] == pytest.approx(1 / 6)


def test_septal_segments_face_the_right_ventricle(wall) -> None:
    _, _, surface = wall
    segment = np.asarray(surface.values["segment"])
    x = surface.points_mm[:, 0]
    for septal in (8, 9):
        assert x[segment == septal].mean() < -10
    for lateral in (11, 12):
        assert x[segment == lateral].mean() > 5
    assert {*range(1, 17)} <= set(segment.astype(int).tolist())


def test_each_artery_supplies_the_muscle_under_it(wall) -> None:
    walls, lattice, surface = wall
    tree = drawn_tree().transformed(walls.pose.heart_to_lps, "lps")
    supply = patient_supply(surface, lattice, tree, walls.pose)
    code = np.asarray(supply.vessel)
    p = surface.points_mm
    angle = np.degrees(np.arctan2(-p[:, 1], p[:, 0])) % 360
    middle = np.abs(p[:, 2]) < 12
    groove = middle & (np.abs(angle - ANTERIOR_DEG) < 10)
    lateral = middle & ((angle < 10) | (angle > 350))
    assert np.mean(code[groove] == LAD) > 0.9
    assert np.mean(code[lateral] == LCX) > 0.9
    inferior = middle & (np.abs(angle - 243) < 8)
    assert np.mean(code[inferior] == RCA) > 0.9
