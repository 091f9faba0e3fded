"""The twin's coronary arteries run where a heart's do, and their narrowings are what the list says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.training.evaluation.fine_coronaries import conflicts, patient_of
from CardiacFusionLib.twin.coronary.bed import distance_to_heart, lv_surface
from CardiacFusionLib.twin.coronary.draw import draw_tree
from CardiacFusionLib.twin.coronary.plaque import FLOW_LIMITING_PERCENT, KINDS, add_plaques, narrowed
from CardiacFusionLib.twin.coronary.route import Router, smooth_way
from CardiacFusionLib.twin.flow.field import culprits, vessel_of
from CardiacFusionLib.twin.heart.anatomy import Heart


@pytest.fixture(scope="module")
def heart():
    return Heart.draw(np.random.default_rng(21))


@pytest.fixture(scope="module")
def tree(heart):
    return draw_tree(heart, np.random.default_rng(4), "one-vessel")


def straight(name="LAD", parent="LM", radius=1.8, length=100.0):
    points = np.stack([np.zeros(201), np.zeros(201), -np.linspace(0, length, 201)], axis=1)
    return CoronaryTree((Branch(name, points, np.full(201, radius), parent),), frame="heart")


def test_the_three_vessels_and_their_branches_are_there(tree):
    names = {b.name for b in tree.branches}
    assert {"LM", "LAD", "D1", "D2", "LCx", "OM1", "OM2", "RCA"} <= names
    assert tree.dominance in ("right", "left", "co-dominant")
    assert {b.name: b.parent for b in tree.branches if b.name in ("LAD", "LCx", "D1", "OM1")} == {
        "LAD": "LM", "LCx": "LM", "D1": "LAD", "OM1": "LCx",
    }  # fmt: skip


def test_every_branch_begins_on_its_parent(tree):
    for branch in tree.branches:
        if branch.parent is not None:
            gap = np.linalg.norm(tree.branch(branch.parent).points_mm - branch.points_mm[0], axis=1).min()
            assert gap < 0.6, branch.name


def test_the_left_main_and_the_rca_begin_at_their_ostia(heart, tree):
    for name, ostium in (("LM", "left_ostium"), ("RCA", "right_ostium")):
        assert np.linalg.norm(tree.branch(name).points_mm[0] - heart.landmarks[ostium]) < 0.5


def test_arteries_lie_on_the_heart_not_in_its_chambers(heart, tree):
    for branch in tree.branches:
        beyond_ostium = branch.points_mm[10:]
        distance = distance_to_heart(heart, beyond_ostium)
        assert (distance < 0).mean() < 0.05, branch.name
        if branch.name not in ("LM", "RCA"):
            assert np.median(distance) < 9.0, branch.name


def test_the_lad_runs_anterior_to_the_apex_and_the_circumflex_lateral(heart, tree):
    lad, lcx = tree.branch("LAD").points_mm, tree.branch("LCx").points_mm
    assert np.linalg.norm(lad - heart.landmarks["apex"], axis=1).min() < 8.0
    middle = lad[np.abs(lad[:, 2]) < 5.0]
    assert np.all(middle[:, 1] < 0)  # -y is anterior
    assert lcx[:, 0].max() > 15.0  # +x is lateral
    assert lcx[:, 2].min() > -15.0  # it stays near the base


@pytest.mark.parametrize("seed", [1005, 1018, 1023])  # hearts whose great vessels lie across the arteries' way
def test_no_artery_runs_through_a_chamber_or_another_or_turns_back(seed):
    patient = patient_of(seed)
    assert conflicts(patient) == []
    for branch in patient.tree.branches:
        direction = np.gradient(branch.points_mm[8:], axis=0)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        assert (direction[:-4] * direction[4:]).sum(axis=1).min() > 0.0, branch.name  # within 2 mm


@pytest.mark.parametrize(("name", "shortest", "longest"), [("LM", 4, 20), ("LAD", 100, 200), ("RCA", 90, 240)])
def test_lengths_are_those_of_human_arteries(tree, name, shortest, longest):
    assert shortest < tree.branch(name).arc_mm[-1] < longest


def test_a_way_blocked_by_the_heart_goes_round_it(heart):
    a, b = lv_surface(heart, np.array([-80.0, 80.0]), np.array([0.5, 0.5]), lift_mm=6.0)  # over the free wall
    straight_on = a + np.linspace(0, 1, 121)[:, None] * (b - a)
    way = smooth_way(Router(heart).through(np.stack([a, b])))
    assert distance_to_heart(heart, straight_on).min() < -5.0
    assert distance_to_heart(heart, way).min() > -1.0
    assert np.allclose(way[[0, -1]], [a, b])


def test_lumens_taper(tree):
    for branch in tree.branches:
        assert branch.radius_mm[-1] < branch.radius_mm[0]
    assert 1.6 < tree.branch("LM").radius_mm.max() < 3.2


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_says_how_many_vessels_limit_flow(tree, kind):
    clean = CoronaryTree(tree.branches, dominance="right", frame="heart")
    wanted = {"one-vessel": 1, "two-vessel": 2}.get(kind, 0)
    for seed in range(6):
        assert len(culprits(add_plaques(clean, np.random.default_rng(seed), kind))) == wanted


def test_an_unknown_kind_is_refused(tree):
    with pytest.raises(ValueError, match="three-vessel"):
        add_plaques(tree, np.random.default_rng(0), "three-vessel")


@settings(max_examples=25, deadline=None)
@given(st.floats(20, 80), st.floats(10, 95), st.floats(3, 15))
def test_a_listed_stenosis_is_the_narrowing_in_the_lumen(position, percent, length):
    tree = narrowed(straight(), "LAD", position, percent, length)
    stenosis, branch = tree.stenoses[0], tree.branches[0]
    assert branch.radius_mm.min() == pytest.approx(1.8 * (1 - percent / 100), rel=1e-6)
    assert 2 * branch.radius_mm.min() == pytest.approx(stenosis.minimal_diameter_mm)
    assert stenosis.position_mm == pytest.approx(position, abs=0.3)
    half_depth = branch.arc_mm[branch.radius_mm < 1.8 * (1 - percent / 200)]
    assert half_depth.max() - half_depth.min() == pytest.approx(length, abs=1.1)


def test_mild_plaques_of_a_normal_heart_limit_no_flow(heart):
    tree = draw_tree(heart, np.random.default_rng(9), "normal")
    assert all(s.diameter_percent < FLOW_LIMITING_PERCENT for s in tree.stenoses)


def test_a_posterior_descending_artery_belongs_to_the_side_it_springs_from():
    points = np.zeros((3, 3))
    radius = np.ones(3)
    left = CoronaryTree((Branch("LCx", points, radius, "LM"), Branch("PDA", points, radius, "LCx")))
    right = CoronaryTree((Branch("RCA", points, radius), Branch("PDA", points, radius, "RCA")))
    assert vessel_of(left, "PDA") == "LCx"
    assert vessel_of(right, "PDA") == "RCA"


def test_the_same_seed_gives_the_same_tree(heart, tree):
    again = draw_tree(heart, np.random.default_rng(4), "one-vessel")
    assert again.dominance == tree.dominance
    for a, b in zip(again.branches, tree.branches):
        assert np.array_equal(a.points_mm, b.points_mm)
        assert np.array_equal(a.radius_mm, b.radius_mm)
