"""From brightness to contrast agent, and finding the bolus in it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfusion_phantom import SEQUENCE, arterial_input, gamma_variate, make_phantom

from CardiacFusionLib.perfusion.aif import aif_flags, find_aif
from CardiacFusionLib.perfusion.bolus import find_bolus, leading_frames_to_skip
from CardiacFusionLib.perfusion.concentration import concentration
from CardiacFusionLib.perfusion.gamma import first_pass
from CardiacFusionLib.perfusion.noise import above_noise, noise_sd
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.mr_signal import concentration_from_ratio, sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose

SCANNER = {"ti_ms": 100.0, "tr_ms": 2.2, "flip_deg": 12.0}


@settings(max_examples=40, deadline=None)
@given(amount=st.floats(0.0, 9.0), t1=st.floats(900.0, 2000.0), ti=st.floats(60.0, 160.0))
def test_concentration_is_the_inverse_of_the_signal_equation(amount: float, t1: float, ti: float) -> None:
    scanner = {**SCANNER, "ti_ms": ti}
    signal = sr_flash_signal(t1_with_contrast_ms(np.array([0.0, amount]), t1), **scanner)
    found = concentration_from_ratio(signal / signal[0], t1, **scanner)
    assert found[1] == pytest.approx(amount, abs=2e-3)


def test_without_pulses_before_the_centre_the_signal_is_plain_saturation_recovery() -> None:
    signal = sr_flash_signal(1000.0, ti_ms=100.0, tr_ms=2.2, flip_deg=12.0, pulses_before_centre=0)
    assert float(signal) == pytest.approx((1 - np.exp(-0.1)) * np.sin(np.deg2rad(12.0)))


def test_noise_below_the_baseline_stays_centred_on_zero() -> None:
    ratio = 1 + np.random.default_rng(0).normal(0, 0.02, 20000)
    assert abs(concentration_from_ratio(ratio, 1050.0, **SCANNER).mean()) < 2e-4


def test_a_scanner_that_cannot_exist_is_refused() -> None:
    with pytest.raises(BadInputError, match="TI"):
        sr_flash_signal(1000.0, ti_ms=-1.0, tr_ms=2.2, flip_deg=12.0)


def test_coil_sensitivity_does_not_change_the_concentration() -> None:
    signal = sr_flash_signal(t1_with_contrast_ms(arterial_input(np.arange(40.0)), 1650.0), **SCANNER)
    both = concentration(np.stack([signal, 7.5 * signal]), slice(0, 8), SEQUENCE, "blood")
    np.testing.assert_allclose(both.curves[0], both.curves[1], atol=1e-9)
    assert not both.relative


def test_an_unknown_sequence_gives_relative_values() -> None:
    result = concentration(np.linspace(1, 3, 30)[None], slice(0, 1), Sequence(), "myocardium")
    assert result.relative and result.curves[0, -1] > 0


def test_the_noise_floor_of_dark_blood_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    frames = np.abs(50.0 + rng.normal(0, 10, (40, 60, 60)) + 1j * rng.normal(0, 10, (40, 60, 60)))
    assert noise_sd(frames) == pytest.approx(10.0, rel=0.15)
    assert frames.mean() > 50.8
    assert above_noise(frames, 10.0).mean() == pytest.approx(50.0, abs=0.25)


@pytest.mark.parametrize("arrival_s", [5.0, 9.3, 14.8])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_foot_peak_and_end_of_the_first_pass_are_found_within_a_frame(arrival_s: float, noise: float) -> None:
    times = np.arange(0.0, 60.0, 1.0)
    curve = arterial_input(times, arrival_s) + np.random.default_rng(1).normal(0, noise, 60)
    bolus = find_bolus(curve, times)
    assert abs(times[bolus.foot] - arrival_s) <= 1.2
    assert abs(times[bolus.peak] - (arrival_s + 4.0)) <= 1.1
    assert 8.0 <= times[bolus.end] - arrival_s <= 16.0


def test_proton_density_frames_at_the_start_are_left_out() -> None:
    signal = np.concatenate([[900.0, 880.0], 50.0 + 300.0 * arterial_input(np.arange(48.0)) / 4.0])
    assert leading_frames_to_skip(signal) == 2
    assert find_bolus(signal, np.arange(50.0)).foot >= 8
    assert leading_frames_to_skip(signal[2:]) == 0


def test_a_series_without_contrast_agent_has_no_bolus() -> None:
    rng = np.random.default_rng(0)
    for drift in (0.0, 0.1):
        with pytest.raises(StageError, match="no bolus"):
            find_bolus(100.0 + rng.normal(0, 3, 50) + drift * np.arange(50), np.arange(50.0))


def test_the_input_is_read_from_the_left_ventricle() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    aif = find_aif(phantom.series, phantom.walls)
    truth = arterial_input(aif.times_s)
    assert np.all(phantom.walls.labels[aif.mask] == 1)
    assert aif.curve[aif.peak] == pytest.approx(truth.max(), rel=0.05)
    assert np.abs(aif.curve - truth).max() < 0.2
    assert not aif.saturated and not aif_flags(aif, phantom.series)


def test_a_user_may_draw_the_region_or_give_the_curve() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    region = np.zeros(phantom.walls.labels.shape, bool)
    region[1, 34:38, 34:38] = True
    drawn = find_aif(phantom.series, phantom.walls, mask=region)
    assert np.array_equal(drawn.mask, region)
    given_curve = find_aif(phantom.series, phantom.walls, curve=drawn.curve)
    np.testing.assert_array_equal(given_curve.curve, drawn.curve)
    with pytest.raises(BadInputError, match="region"):
        find_aif(phantom.series, phantom.walls, mask=region[:1])
    with pytest.raises(BadInputError, match="input"):
        find_aif(phantom.series, phantom.walls, curve=np.ones(3))


def test_dual_sequence_frames_are_preferred_and_the_later_pool_is_the_left_one() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    low = phantom.series.array[:, 0, ::2, ::2]
    dual = replace(phantom.series, aif_frames=low, aif_pose=_pose_of(low, phantom.series), aif_sequence=SEQUENCE)
    aif = find_aif(dual, phantom.walls)
    truth = arterial_input(aif.times_s)
    assert aif.curve[aif.peak] == pytest.approx(truth.max(), rel=0.06)
    assert not aif.mask.any()


def _pose_of(low: np.ndarray, series: Series) -> SlicePose:
    """The place of low-resolution frames that cover the field of the first slice."""
    pose, shrunk = series.poses[0], series.array.shape[3] / low.shape[2]
    return replace(pose, spacing_mm=(pose.spacing_mm[0] * shrunk, pose.spacing_mm[1] * shrunk))


def _short_saturation(series: Series, labels: np.ndarray, scanner: dict[str, float]) -> np.ndarray:
    """Arterial-input frames of the phantom with a readout of their own."""
    times = series.times_s[:, 0]
    frames = np.full((len(times), *labels.shape[1:]), 0.02)
    for label, curve in (
        (Label.LV_CAVITY, arterial_input(times)),
        (Label.RV_CAVITY, arterial_input(times, 4.5, 5.0)),
    ):
        frames[:, labels[0] == label] = sr_flash_signal(t1_with_contrast_ms(curve, 1650.0), **scanner)[:, None]
    noise = np.random.default_rng(0).normal(0, 2e-4, frames.shape)
    return (frames + noise).astype(np.float32)[:, ::2, ::2]


def test_arterial_input_frames_are_read_with_their_own_saturation_time() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    scanner = {"ti_ms": 24.0, "tr_ms": 1.8, "flip_deg": 8.0}
    low = _short_saturation(phantom.series, phantom.walls.labels, scanner)
    dual = replace(phantom.series, aif_frames=low, aif_pose=_pose_of(low, phantom.series))
    read = find_aif(replace(dual, aif_sequence=Sequence(**scanner)), phantom.walls)
    truth = arterial_input(read.times_s).max()
    assert not read.mask.any() and read.curve.max() == pytest.approx(truth, rel=0.05)
    # the muscle's readout in its place would be far off, so frames that do not say theirs are not used, and named
    wrong = find_aif(replace(dual, aif_sequence=SEQUENCE), phantom.walls)
    assert abs(wrong.curve.max() / truth - 1) > 0.2
    unsaid = find_aif(dual, phantom.walls)
    assert unsaid.mask.any() and unsaid.curve.max() == pytest.approx(truth, rel=0.06)
    assert "aif_frames_unused" in [f.name for f in aif_flags(unsaid, dual)]
    # without any parameters all is relative, and the frames that do not saturate serve
    relative = replace(dual, sequence=Sequence())
    assert not find_aif(relative, phantom.walls).mask.any()
    assert "aif_frames_unused" not in [f.name for f in aif_flags(unsaid, relative)]


def test_a_cut_off_bolus_and_a_clipped_peak_are_named() -> None:
    phantom = make_phantom(1, breathing_mm=0.0)
    series = phantom.series
    assert "bolus_cut_off" not in [f.name for f in aif_flags(find_aif(series, phantom.walls), series)]
    cut = replace(series, array=series.array[:20], times_s=series.times_s[:20])
    early = replace(cut, array=np.concatenate([series.array[:4], series.array[:16]]))
    aif = find_aif(early, phantom.walls)
    assert "bolus_cut_off" in [f.name for f in aif_flags(aif, early)]
    clipped = series.with_array(np.minimum(series.array, 0.6 * series.array.max()))
    aif = find_aif(clipped, phantom.walls)
    assert aif.saturated and "aif_saturated" in [f.name for f in aif_flags(aif, clipped)]


def test_the_first_pass_is_found_again_under_recirculation_and_above_a_clipped_top() -> None:
    times = np.arange(0.0, 50.0, 0.8)
    truth = gamma_variate(times, 9.0, 4.0, 4.0)
    curve = arterial_input(times)
    bolus = find_bolus(curve, times)
    mask = np.zeros((1, 2, 2), bool)
    whole = first_pass(Aif(curve, times, bolus.foot, bolus.peak, bolus.end, mask))
    assert whole is not None and whole.residual < 0.05
    assert whole.height == pytest.approx(4.0, rel=0.08)
    assert whole.area == pytest.approx(np.trapezoid(truth, times), rel=0.15)
    clipped = np.minimum(curve, 3.0)
    again = first_pass(Aif(clipped, times, bolus.foot, bolus.peak, bolus.end, mask, saturated=True))
    assert again is not None and again.height > 3.3
    few = first_pass(Aif(curve, times, bolus.peak - 1, bolus.peak, bolus.peak + 1, mask))
    assert few is None
