"""Training slices: the anatomy of a short axis in any contrast."""

import numpy as np
import pytest

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.twin.cmr.training import CHANNELS, cmr_training_slice, label_slice, upright_plane
from CardiacFusionLib.twin.heart.anatomy import Heart


@pytest.fixture(scope="module")
def samples():
    return [cmr_training_slice(seed, size=96, spacing_mm=2.0) for seed in range(12)]


def test_a_sample_has_five_contrasts_and_four_labels(samples):
    for s in samples:
        assert s.channels.shape == (len(CHANNELS), 96, 96)
        assert s.channels.dtype == np.float32
        assert np.all(np.isfinite(s.channels))
        assert s.labels.dtype == np.uint8
        assert s.labels.max() <= 3


def test_the_same_seed_gives_the_same_sample(samples):
    again = cmr_training_slice(3, size=96, spacing_mm=2.0)
    assert np.array_equal(again.channels, samples[3].channels)
    assert np.array_equal(again.labels, samples[3].labels)


def test_slices_reach_from_apex_to_base(samples):
    levels = np.array([s.level for s in samples])
    assert levels.min() < 0.3
    assert levels.max() > 0.8


def test_blood_is_brighter_than_muscle_when_the_bolus_passes(samples):
    mid = [s for s in samples if 0.2 < s.level < 0.8]
    assert mid
    for s in mid:
        lv = s.channels[CHANNELS.index("lv_peak")]
        assert lv[s.labels == Label.LV_CAVITY].mean() > 1.3 * lv[s.labels == Label.MYOCARDIUM].mean()
        cine = s.channels[CHANNELS.index("cine")]
        assert cine[s.labels == Label.LV_CAVITY].mean() > cine[s.labels == Label.MYOCARDIUM].mean()


def test_muscle_encloses_the_cavity_in_the_middle_of_the_ventricle():
    heart = Heart.draw(np.random.default_rng(2))
    labels = label_slice(heart, upright_plane(0.0, 128, 1.0), 128)
    cavity = np.argwhere(labels == Label.LV_CAVITY)
    right = np.argwhere(labels == Label.RV_CAVITY)
    assert len(cavity) > 400
    # RV to the viewer's left
    assert right[:, 1].mean() < cavity[:, 1].mean() - 15
    grown = np.zeros_like(labels, bool)
    grown[1:, :] |= labels[:-1, :] == Label.LV_CAVITY
    grown[:-1, :] |= labels[1:, :] == Label.LV_CAVITY
    rim = grown & (labels != Label.LV_CAVITY)
    assert (labels[rim] == Label.MYOCARDIUM).mean() > 0.95


def test_landmarks_lie_at_the_ends_of_the_septum(samples):
    seen = 0
    for s in samples:
        if {"rv_insertion_anterior", "rv_insertion_inferior"} <= set(s.landmarks) and 0.3 < s.level < 0.8:
            seen += 1
            # back to the heart frame: the anterior one has the smaller y
            plane = s.plane
            y = {
                name: float((plane[:, :3] @ np.array([*s.landmarks[name], 0.0]) + plane[:, 3])[1])
                for name in ("rv_insertion_anterior", "rv_insertion_inferior")
            }
            assert y["rv_insertion_anterior"] < y["rv_insertion_inferior"]
    assert seen >= 2
