"""True flow of the twin: a narrowing starves its own wall under stress, the endocardium first."""

import numpy as np
import pytest

from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.twin.coronary.draw import draw_tree
from CardiacFusionLib.twin.coronary.plaque import narrowed
from CardiacFusionLib.twin.flow.field import VESSELS, FlowField, Reserve, Supply, reserve_share, rest_share
from CardiacFusionLib.twin.heart.anatomy import Heart

ANGLES, LEVELS = (a.ravel() for a in np.meshgrid(np.arange(0.0, 360.0, 10.0), np.linspace(0.1, 0.9, 6)))
MIDDLE = np.full(ANGLES.shape, 0.5)


@pytest.fixture(scope="module")
def heart():
    return Heart.draw(np.random.default_rng(33))


@pytest.fixture(scope="module")
def open_tree(heart):
    tree = draw_tree(heart, np.random.default_rng(1), "normal")
    return CoronaryTree(tree.branches, (), tree.dominance, "heart")


def field(heart, tree, kind="normal", seed=0):
    return FlowField(heart, Supply.of(heart, tree), Reserve.draw(np.random.default_rng(seed), kind))


def test_reserve_follows_gould():
    assert np.all(reserve_share(np.array([0.0, 30.0, 40.0])) == 1.0)
    assert np.all(reserve_share(np.array([88.0, 95.0, 100.0])) == 0.0)
    assert np.all(np.diff(reserve_share(np.linspace(0, 100, 50))) <= 0)
    assert 0.3 < reserve_share(70.0) < 0.7
    assert rest_share(80.0) == 1.0
    assert rest_share(100.0) == pytest.approx(0.35)


def test_each_vessel_feeds_a_fair_part_of_the_wall(heart, open_tree):
    vessel = field(heart, open_tree).vessel(ANGLES, LEVELS)
    shares = {VESSELS[k]: float((vessel == k).mean()) for k in range(3)}
    assert 0.3 < shares["LAD"] < 0.6
    assert shares["LCx"] > 0.1


def test_a_stenosed_lad_lowers_stress_flow_in_the_anterior_wall_only(heart, open_tree):
    healthy = field(heart, open_tree)
    ill = field(heart, narrowed(open_tree, "LAD", 12.0, 88.0, 10.0))
    ratio = ill.mbf(MIDDLE, ANGLES, LEVELS, "stress") / healthy.mbf(MIDDLE, ANGLES, LEVELS, "stress")
    anterior = (np.abs(ANGLES - 120) < 15) & (LEVELS < 0.6)
    inferolateral = (np.abs(ANGLES - 320) < 15) & (LEVELS > 0.2)  # the LAD goes round the apex
    assert ratio[anterior].mean() < 0.65
    assert ratio[inferolateral].mean() > 0.95
    rest = ill.mbf(MIDDLE, ANGLES, LEVELS, "rest") / healthy.mbf(MIDDLE, ANGLES, LEVELS, "rest")
    assert rest.min() > 0.8


def test_the_endocardium_starves_first(heart, open_tree):
    ill = field(heart, narrowed(open_tree, "LAD", 12.0, 86.0, 10.0))
    where = (np.abs(ANGLES - 120) < 15) & (LEVELS < 0.6)
    endo = ill.mbf(MIDDLE * 0.2, ANGLES, LEVELS, "stress")[where]
    epi = ill.mbf(MIDDLE * 1.8, ANGLES, LEVELS, "stress")[where]
    assert endo.mean() < 0.95 * epi.mean()


def test_normal_flow_lies_in_the_known_range(heart, open_tree):
    for seed in range(5):
        flow = field(heart, open_tree, seed=seed)
        assert 0.7 < flow.mbf(MIDDLE, ANGLES, LEVELS, "rest").mean() < 1.3
        assert 1.7 < flow.mbf(MIDDLE, ANGLES, LEVELS, "stress").mean() < 3.4


def test_microvascular_disease_lowers_the_whole_wall(heart, open_tree):
    for seed in range(5):
        flow = field(heart, open_tree, "microvascular", seed)
        stress = flow.mbf(MIDDLE, ANGLES, LEVELS, "stress")
        assert stress.max() < 2.1
        assert stress.std() / stress.mean() < 0.12


def test_flow_is_the_same_all_the_way_round(heart, open_tree):
    flow = field(heart, open_tree)
    level = np.full(5, 0.5)
    at = np.array([0.0, 90.0, 180.0, 270.0, 359.0])
    assert np.allclose(flow.mbf(level, at, level, "stress"), flow.mbf(level, at - 360.0, level, "stress"), rtol=1e-6)
