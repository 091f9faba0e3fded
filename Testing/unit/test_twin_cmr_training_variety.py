"""Training slices go beyond the twin: other shapes, other surroundings, real frames beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.twin.cmr.shapes import CLOSED_CAVITY_MM, CLOSED_WALL_MM, MAX_CAVITY_MM, WALL_MM, draw_bend
from CardiacFusionLib.twin.cmr.surroundings import decoys, other_world, smooth_field

CENTRE = np.array([3.0, -2.0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_bend_never_folds_and_leaves_the_distance_alone(seed: int) -> None:
    bend = draw_bend(np.random.default_rng(seed), CENTRE, 1500.0, 1400.0, None, usual=0.0)
    assert bend is not None
    step = np.arange(-150.0, 150.5, 1.5)
    points = np.stack([*np.meshgrid(step, step), np.zeros((len(step),) * 2)], axis=-1)
    points[..., :2] += CENTRE + 0.25  # not on the very middle, where the angle is not known
    source = bend(points)
    down, right = np.diff(source, axis=0)[:, :-1], np.diff(source, axis=1)[:-1]
    assert (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).min() > -1e-6
    far = np.hypot(*(points[..., :2] - CENTRE).transpose(2, 0, 1)) > bend.drawn[-1]
    assert source[far] == pytest.approx(points[far])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cavity=st.floats(100, 4000), wall=st.floats(300, 2500))
def test_bent_hearts_stay_within_what_adults_have(seed: int, cavity: float, wall: float) -> None:
    bend = draw_bend(np.random.default_rng(seed), CENTRE, cavity, wall, CENTRE - 40, usual=0.0)
    if bend is not None:
        inner, outer, _ = bend.drawn
        assert inner <= MAX_CAVITY_MM + 1e-9
        assert WALL_MM[0] - 1e-9 <= outer - inner <= CLOSED_WALL_MM[1] + 1e-9
        assert outer - inner <= WALL_MM[1] + 1e-9 or inner <= CLOSED_CAVITY_MM[1]


def test_some_bent_hearts_are_nearly_closed() -> None:
    bends = [draw_bend(np.random.default_rng(seed), CENTRE, 1500.0, 1800.0, None, usual=0.0) for seed in range(200)]
    drawn = np.array([bend.drawn for bend in bends if bend is not None])
    closed = (drawn[:, 0] < CLOSED_CAVITY_MM[1]) & (drawn[:, 1] - drawn[:, 0] > CLOSED_WALL_MM[0])
    assert 0.05 < closed.mean() < 0.3


def test_random_surroundings_leave_the_heart_alone() -> None:
    size = 96
    y, x = np.mgrid[0:size, 0:size]
    outside = np.hypot(x - 48, y - 48) > 22
    images = np.where(outside, 0.2, 1.0)[None].repeat(5, axis=0)
    changed = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        varied = decoys(other_world(images, outside, rng), outside, np.ones(5), rng, 1.6)
        deep = np.hypot(x - 48, y - 48) < 18
        assert varied[:, deep] == pytest.approx(images[:, deep])
        assert np.all(np.isfinite(varied))
        changed += float(np.abs(varied - images).mean()) > 0.01
    assert changed >= 3


def test_smooth_fields_are_standardised_whatever_their_scale() -> None:
    for sigma in (0.8, 3.0, 12.0, 30.0):
        field = smooth_field(np.random.default_rng(1), 128, sigma)
        assert field.shape == (128, 128)
        assert 0.5 < field.std() < 1.6
