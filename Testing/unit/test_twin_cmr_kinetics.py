"""The bolus through the twin: right heart, lungs, left heart, muscle; and brightness that can be read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.spatial.mr_signal import T1_BLOOD_MS, concentration_from_ratio
from CardiacFusionLib.twin.cmr.series import SEQUENCE, _signal
from CardiacFusionLib.twin.cmr.tissue import column, pools
from CardiacFusionLib.twin.flow.kinetics import (
    FINE_STEP_S,
    TISSUE_DENSITY_G_ML,
    Bolus,
    blood_curves,
    fermi_residue,
    tissue_curves,
)
from CardiacFusionLib.twin.heart.tissues import Tissue


@pytest.fixture(scope="module", params=[("stress", 1), ("rest", 2), ("stress", 3)])
def bolus(request):
    return Bolus.draw(np.random.default_rng(request.param[1]), request.param[0])


def test_the_bolus_reaches_right_heart_then_left_then_muscle(bolus):
    blood = blood_curves(bolus, 60.0)
    muscle = tissue_curves(bolus, blood).table[60]
    peaks = [blood.times_s[np.argmax(c)] for c in (blood.rv, blood.lung, blood.lv, muscle)]
    assert np.all(np.diff(peaks) > 0)
    assert 2.0 < peaks[2] - peaks[0] < 9.0
    assert blood.lv.max() == pytest.approx(bolus.lv_peak_mmol_l)
    assert blood.rv.max() > blood.lv.max()  # the lungs spread it
    assert blood.rv[: int(5.5 / FINE_STEP_S)].max() < 1e-3  # a baseline before it comes


def test_blood_recirculates_and_stays_enhanced(bolus):
    blood = blood_curves(bolus, 60.0)
    late = blood.lv[-int(10 / FINE_STEP_S) :]
    assert 0.05 < late.mean() / blood.lv.max() < 0.4


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 4.0), st.floats(0.15, 0.25), st.floats(0.3, 0.6))
def test_the_fermi_residue_starts_at_one_and_has_the_area_of_volume_over_flow(mbf, volume, sharpness):
    t = np.arange(0, 400, 0.05)
    residue = fermi_residue(t, mbf, volume, sharpness)
    assert residue[0] == pytest.approx(1.0, abs=1e-6)
    assert np.all(np.diff(residue) <= 1e-12)
    assert np.sum(residue) * 0.05 == pytest.approx(volume / (mbf * TISSUE_DENSITY_G_ML / 60), rel=0.02)


def test_muscle_fills_at_the_rate_of_its_flow(bolus):
    blood = blood_curves(bolus, 60.0)
    muscle = tissue_curves(bolus, blood)
    # before anything leaves, content = flow x what arrived
    soon = bolus.arrival_s + bolus.lung_delay_s + bolus.tissue_delay_s + 1.2
    arrived = np.interp(blood.times_s - bolus.tissue_delay_s, blood.times_s, blood.lv, left=0.0)
    content = np.sum(arrived[blood.times_s <= soon]) * FINE_STEP_S
    found = muscle.at(np.array([1.0]), soon)[0]
    assert found == pytest.approx(TISSUE_DENSITY_G_ML / 60 * content, rel=0.1)


def test_more_flow_enhances_more_and_no_flow_not_at_all(bolus):
    muscle = tissue_curves(bolus, blood_curves(bolus, 60.0))
    peaks = muscle.table.max(axis=1)
    assert peaks[0] == 0.0
    assert np.all(np.diff(peaks) > 0)


def test_brightness_of_blood_gives_its_concentration_back():
    given_ = np.linspace(0.0, 5.0, 11)
    signal = _signal(given_, T1_BLOOD_MS)
    found = concentration_from_ratio(
        signal / signal[0], T1_BLOOD_MS, ti_ms=SEQUENCE.ti_ms, tr_ms=SEQUENCE.tr_ms, flip_deg=SEQUENCE.flip_deg
    )
    assert np.allclose(found, given_, atol=0.05)


def test_every_tissue_has_its_mr_properties():
    assert np.all(column("t1_ms") > 100)
    assert column("density")[Tissue.LUNG] < 0.3
    assert pools()[Tissue.MYOCARDIUM] == "myocardium"
    assert pools()[Tissue.RV_CAVITY] == "rv"
