"""Flow from curves: known answers, invariances, and agreement with a fit made one curve at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfusion_phantom import arterial_input, tissue_curve
from scipy.optimize import curve_fit

from CardiacFusionLib.perfusion.fermi import mbf_fermi
from CardiacFusionLib.perfusion.prior import Prior
from CardiacFusionLib.perfusion.response import response
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free
from CardiacFusionLib.perfusion.upslope import semiquantitative, steepest
from CardiacFusionLib.spatial.errors import BadInputError

TIMES = np.arange(0.0, 50.0, 0.9)
AIF = arterial_input(TIMES)


@pytest.mark.parametrize("flow", [0.4, 1.0, 2.5, 4.0])
@pytest.mark.parametrize(("rate", "shape"), [(0.15, 0.0), (0.3, 1.5), (0.6, 4.0)])
@pytest.mark.parametrize("delay_s", [0.0, 0.7, 2.1])
def test_a_known_flow_is_found_within_one_percent(flow: float, rate: float, shape: float, delay_s: float) -> None:
    fit = mbf_fermi(tissue_curve(TIMES, flow, rate, shape, delay_s), AIF, times_s=TIMES, fit_until_s=36.0)
    assert fit.mbf_ml_min_g[0] == pytest.approx(flow, rel=0.01)
    assert fit.delay_s[0] == pytest.approx(delay_s, abs=0.05)
    assert fit.residual[0] < 0.01


def test_tissue_that_keeps_all_its_agent_shows_the_flow_as_the_integral_of_the_input() -> None:
    fine = np.arange(0.0, 50.0, 0.01)
    kept = np.interp(TIMES, fine, np.cumsum(arterial_input(fine)) * 0.01 * 2.0 * 1.05 / 60.0)
    fit = mbf_fermi(kept, AIF, times_s=TIMES, fit_until_s=22.0)
    assert fit.mbf_ml_min_g[0] == pytest.approx(2.0, rel=0.01)


def test_the_tissue_may_be_read_at_other_times_than_the_input() -> None:
    gone = np.delete(TIMES + 0.4, [15, 22, 30])  # another slice, three missed beats
    fit = mbf_fermi(tissue_curve(gone, 1.8), AIF, times_s=gone, aif_times_s=TIMES, fit_until_s=36.0)
    assert fit.mbf_ml_min_g[0] == pytest.approx(1.8, rel=0.015)


def test_plasma_input_needs_the_haematocrit() -> None:
    tissue = tissue_curve(TIMES, 2.0)
    blood = mbf_fermi(tissue, AIF, times_s=TIMES).mbf_ml_min_g[0]
    plasma = mbf_fermi(tissue, AIF / (1 - 0.42), times_s=TIMES, haematocrit=0.42).mbf_ml_min_g[0]
    assert plasma == pytest.approx(blood, rel=1e-3)


@settings(max_examples=6, deadline=None)
@given(scale=st.floats(0.05, 50.0), tissue_scale=st.floats(0.3, 1.5))
def test_flow_follows_the_tissue_and_not_the_unit_of_concentration(scale: float, tissue_scale: float) -> None:
    tissue = tissue_curve(TIMES, 1.5)
    plain = mbf_fermi(tissue, AIF, times_s=TIMES)
    same = mbf_fermi(scale * tissue, scale * AIF, times_s=TIMES)
    more = mbf_fermi(tissue_scale * tissue, AIF, times_s=TIMES)
    assert same.mbf_ml_min_g[0] == pytest.approx(plain.mbf_ml_min_g[0], rel=2e-3)
    assert more.mbf_ml_min_g[0] == pytest.approx(tissue_scale * plain.mbf_ml_min_g[0], rel=2e-3)


@settings(max_examples=6, deadline=None)
@given(shift_s=st.floats(-100.0, 1000.0))
def test_flow_does_not_depend_on_when_the_clock_was_started(shift_s: float) -> None:
    tissue = np.stack([tissue_curve(TIMES, f) for f in (0.6, 2.4)])
    plain = mbf_fermi(tissue, AIF, times_s=TIMES)
    moved = mbf_fermi(tissue, AIF, times_s=TIMES + shift_s)
    np.testing.assert_allclose(moved.mbf_ml_min_g, plain.mbf_ml_min_g, rtol=1e-3)
    np.testing.assert_allclose(moved.delay_s, plain.delay_s, atol=0.02)


def test_a_later_tissue_curve_changes_the_delay_only() -> None:
    both = np.stack([tissue_curve(TIMES, 2.0, delay_s=d) for d in (0.5, 1.75)])
    fit = mbf_fermi(both, AIF, times_s=TIMES)
    assert fit.mbf_ml_min_g[1] == pytest.approx(fit.mbf_ml_min_g[0], rel=0.01)
    assert fit.delay_s[1] - fit.delay_s[0] == pytest.approx(1.25, abs=0.05)


def test_all_pixels_at_once_agree_with_curve_fit_one_by_one() -> None:
    rng = np.random.default_rng(3)
    flows = rng.uniform(0.5, 3.5, 12)
    tissue = np.stack([tissue_curve(TIMES, f, 0.1 + 0.06 * f) for f in flows]) + rng.normal(0, 0.004, (12, TIMES.size))
    grid = np.arange(0.0, TIMES[-1] + 0.1, 0.1)
    fine = arterial_input(grid)

    def model(t: np.ndarray, flow: float, rate: float, shape: float, delay: float) -> np.ndarray:
        whole = np.convolve(fine, response(grid, rate, shape)[0])[: grid.size] * 0.1
        return flow * 1.05 / 60 * np.interp(t - delay, grid, whole, left=0.0)

    lower, upper = [0, 0.03, -2, 0], [8, 2.5, 10, 4]
    single = [curve_fit(model, TIMES, y, p0=[1.5, 0.25, 1.0, 1.0], bounds=(lower, upper))[0][0] for y in tissue]
    batched = mbf_fermi(tissue, AIF, times_s=TIMES).mbf_ml_min_g
    assert np.median(np.abs(batched / np.array(single) - 1)) < 0.02


def test_noise_gives_a_standard_error_that_is_about_right() -> None:
    rng = np.random.default_rng(0)
    noisy = tissue_curve(TIMES, 1.5, 0.2, 1.5) + rng.normal(0, 0.01, (300, TIMES.size))
    fit = mbf_fermi(noisy, AIF, times_s=TIMES, fit_until_s=36.0)
    assert np.median(fit.standard_error) == pytest.approx(fit.mbf_ml_min_g.std(), rel=0.5)


def test_a_prior_steadies_noisy_pixels_without_moving_their_mean() -> None:
    rng = np.random.default_rng(0)
    clean = tissue_curve(TIMES, 2.0, 0.25, 1.5)
    truth = mbf_fermi(clean, AIF, times_s=TIMES)
    prior = Prior((float(np.log(truth.volume[0])), 0.2), (1.5, 0.8), (1.0, 0.3))
    noisy = clean + rng.normal(0, 0.06, (300, TIMES.size))
    alone = mbf_fermi(noisy, AIF, times_s=TIMES, fit_until_s=36.0).mbf_ml_min_g
    leaning = mbf_fermi(noisy, AIF, times_s=TIMES, fit_until_s=36.0, prior=prior).mbf_ml_min_g
    assert leaning.std() < 0.5 * alone.std()
    assert leaning.mean() == pytest.approx(2.0, rel=0.03)


def test_the_model_free_flow_agrees_with_the_fermi_flow() -> None:
    flows = np.array([0.7, 1.5, 2.5, 3.5])
    tissue = np.stack([tissue_curve(TIMES, f, 0.1 + 0.06 * f, 1.0) for f in flows])
    noisy = tissue + np.random.default_rng(1).normal(0, 0.005, tissue.shape)
    fermi = mbf_fermi(noisy, AIF, times_s=TIMES, fit_until_s=36.0)
    free = mbf_model_free(noisy, AIF, times_s=TIMES, fit_until_s=36.0, delay_s=fit_delay(fermi))
    assert np.median(np.abs(free.mbf_ml_min_g / flows - 1)) < 0.08


def fit_delay(fit: object) -> np.ndarray:
    return np.asarray(fit.delay_s)  # type: ignore[attr-defined]


def test_no_flow_is_no_flow() -> None:
    fit = mbf_fermi(np.zeros((3, TIMES.size)), AIF, times_s=TIMES)
    assert np.all(fit.mbf_ml_min_g < 0.01)


def test_half_the_flow_has_half_the_upslope_index() -> None:
    tissue = np.stack([tissue_curve(TIMES, f, 0.05, 1.0) for f in (1.0, 2.0)])
    result = semiquantitative(tissue, AIF, TIMES, start_s=9.0, end_s=30.0)
    assert result.upslope[1] == pytest.approx(2 * result.upslope[0], rel=1e-6)
    assert np.all(result.time_to_peak_s > 4.0)


def test_the_slope_of_a_line_is_its_slope_whatever_the_frame_times() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 30))
    assert steepest(3.0 * times[None] + 2.0, times)[0] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"tissue": np.ones((2, 10)), "aif": np.ones(12), "dt_s": 1.0}, "belong together"),
        ({"tissue": np.full((2, 10), np.nan), "aif": np.ones(10), "dt_s": 1.0}, "NaN"),
        ({"tissue": np.ones((2, 10)), "aif": np.ones(10)}, "dt_s"),
        ({"tissue": np.ones((2, 10)), "aif": np.ones(10), "dt_s": 0.0}, "above zero"),
        ({"tissue": np.ones((2, 10)), "aif": -np.ones(10), "dt_s": 1.0}, "never rises"),
        ({"tissue": np.ones((2, 10)), "aif": np.ones(10), "times_s": np.arange(10)[::-1]}, "do not rise"),
        ({"tissue": np.ones((2, 10)), "aif": np.ones(10), "dt_s": 1.0, "haematocrit": 42.0}, "fraction"),
        ({"tissue": np.ones((2, 10)), "aif": np.ones(10), "dt_s": 1.0, "fit_until_s": 3.0}, "frames"),
    ],
)
def test_curves_that_cannot_be_used_are_refused_with_a_reason(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(BadInputError, match=word):
        mbf_fermi(**arguments)  # type: ignore[arg-type]
