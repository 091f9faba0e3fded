"""Blood pools from a whole first pass: what the network sees, and whether it tells LV from RV."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfusion_phantom import make_phantom

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.perfusion.pool_input import PIXEL_MM, QUIET_S, SECONDS, SIZE, from_grid, onto_grid, pool_channels
from CardiacFusionLib.perfusion.pools import blood_pools, pool_flags
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.twin.cmr.first_pass import LEFT, RIGHT, draw_anatomy, draw_bolus, draw_first_pass
from CardiacFusionLib.twin.flow.kinetics import blood_curves

UNSEEN = (70_002, 70_004, 70_005, 70_007)  # show both ventricles; training counts up from zero and stays far below


def test_channels_are_the_rise_second_by_second_whatever_the_unit() -> None:
    times = np.arange(40) * 0.5
    rise = np.clip(times - 8.0, 0.0, None)
    frames = 5.0 + rise[:, None, None] * np.array([[1.0, 0.5], [0.0, 0.0]])
    seen = pool_channels(frames, times)
    assert seen.shape == (SECONDS, 2, 2)
    assert np.all(seen[: int(QUIET_S)] == 0)
    top = seen[:, 0, 0].max()
    second = np.minimum(np.arange(SECONDS), times[-1])
    np.testing.assert_allclose(seen[:, 0, 0] / top, np.clip(second - 8.0, 0, None) / rise.max(), atol=1e-5)
    np.testing.assert_allclose(seen[:, 0, 1], 0.5 * seen[:, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pool_channels(3.0 * frames, times + 100.0), seen, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(spacing=st.floats(1.2, 3.0), x=st.floats(-30, 30), y=st.floats(-30, 30))
def test_the_grid_lies_about_the_middle_of_the_picture(spacing: float, x: float, y: float) -> None:
    shape = (round(200 / spacing), round(220 / spacing))
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    disc = (np.hypot(rows[:, None] * spacing - y, columns[None] * spacing - x) < 24.0).astype(np.float32)
    seen = onto_grid(disc[None], (spacing, spacing))[0]
    place = (np.argwhere(seen > 0.5).mean(axis=0) - (SIZE - 1) / 2) * PIXEL_MM
    assert place == pytest.approx([y, x], abs=1.0)
    back = from_grid(seen[None], disc.shape, (spacing, spacing))[0]
    inside = disc > 0
    assert np.mean((back > 0.5) == inside) > 0.98


@pytest.mark.parametrize("seed", UNSEEN)
def test_blood_of_the_left_and_right_ventricle_is_told_apart(seed: int) -> None:
    anatomy = draw_anatomy(seed, SIZE, PIXEL_MM)
    drawn = draw_first_pass(anatomy, np.random.default_rng(seed))
    left, right = blood_pools([(drawn.frames, drawn.times_s)], (PIXEL_MM, PIXEL_MM))[0]
    assert np.mean((left > right)[drawn.pools == LEFT]) > 0.9
    assert np.mean((left > right)[drawn.pools == RIGHT]) < 0.1
    mirrored, _ = blood_pools([(drawn.frames[:, ::-1, ::-1], drawn.times_s)], (PIXEL_MM, PIXEL_MM))[0]
    assert np.mean((mirrored[::-1, ::-1] > 0.5) == (left > 0.5)) > 0.97


def test_an_input_read_in_the_right_ventricle_is_named() -> None:
    phantom = make_phantom(1, breathing_mm=0.0, size=96)
    series = phantom.series
    good = find_aif(series, phantom.walls)
    assert pool_flags(good, series) == []
    wrong = find_aif(series, phantom.walls, mask=phantom.walls.labels == Label.RV_CAVITY)
    assert [f.name for f in pool_flags(wrong, series)] == ["input_not_lv"]
    given_curve = find_aif(series, phantom.walls, curve=good.curve)
    assert pool_flags(given_curve, series) == []


def test_arterial_input_frames_without_a_left_ventricle_are_refused() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    flat = np.repeat(phantom.series.array[:1, 0], phantom.series.frame_count, axis=0)
    rng = np.random.default_rng(0)
    noise = (flat + rng.normal(0, 1e-3, flat.shape)).astype(np.float32)
    with pytest.raises(StageError):
        find_aif(
            replace(
                phantom.series,
                aif_frames=noise,
                aif_pose=phantom.series.poses[0],
                aif_sequence=phantom.series.sequence,
            ),
            phantom.walls,
        )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), state=st.sampled_from(["stress", "rest"]))
def test_contrast_reaches_the_right_ventricle_first_in_any_circulation(seed: int, state: str) -> None:
    blood = blood_curves(draw_bolus(state, np.random.default_rng(seed)), 60.0)
    assert blood.times_s[np.argmax(blood.rv)] + 1.5 < blood.times_s[np.argmax(blood.lv)]
