"""An adult heart is believed, what cannot be a left ventricle is not, and the sentence says why."""

from __future__ import annotations

import numpy as np
import pytest
from heart_phantom import Heart, ct_walls, usual_pose

from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.quality import MAX_PENALTY, Level, Range, score_of
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.plausibility import RANGES, agreement, judge, verdict, wall_measures

ADULT = {
    "cavity_ml": 120.0, "wall_ml": 130.0, "rv_share": 1.1, "atrium_ml": 80.0, "length_mm": 95.0, "slenderness": 1.5,
    "thickness_mm": 10.0, "thickness_sd_mm": 0.5, "closed": 0.98, "contrast_hu": 300.0, "blood_spread": 0.1,
    "wall_hu": 110.0, "wall_spread": 0.15, "sharpness": 0.5, "soft_outside": 0.7, "cut_share": 0.0,
    "axis_disagreement_deg": 2.0, "roll_disagreement_deg": 4.0, "shift_disagreement_mm": 3.0, "unusual_axis_deg": 15.0,
    "doubts": 0.0, "slab_steps_mm": 0.8,
}  # fmt: skip


def phantom(noise_hu: float = 10.0) -> tuple[Volume, Volume]:
    """A CT (HU) and its labels on one upright 2 mm grid; fat lies about the heart."""
    labels = ct_walls(Heart(), usual_pose()).labels
    tones = np.array([-80.0, 380.0, 110.0, 320.0])
    rng = np.random.default_rng(0)
    image = tones[labels.array] + rng.normal(0, noise_hu, labels.array.shape)
    return labels.with_array(image.astype(np.float32)), labels


def test_every_measure_has_a_range_and_an_adult_heart_lies_in_all() -> None:
    assert set(ADULT) == set(RANGES)
    found = verdict(ADULT)
    assert found.score == 1.0
    assert found.quality.level is Level.GOOD


@pytest.mark.parametrize(
    ("measure", "value", "said"),
    [
        ("cavity_ml", 8.0, "8 ml"),
        ("thickness_mm", 30.0, "30 mm thick"),
        ("closed", 0.5, "50% of its cavity"),
        ("contrast_hu", -40.0, "-40 HU"),
        ("cut_share", 0.3, "outside the picture"),
        ("slab_steps_mm", 12.0, "shifted against each other by 12 mm"),
        ("sharpness", float("nan"), "no sharpness"),
    ],
)
def test_what_no_heart_has_makes_the_result_unusable_and_says_so(measure: str, value: float, said: str) -> None:
    found = verdict(ADULT | {measure: value})
    assert found.quality.level is Level.UNUSABLE
    assert said in found.quality.flags[0].reason


def test_what_is_only_unusual_is_doubtful() -> None:
    found = verdict(ADULT | {"thickness_mm": 19.0})
    assert found.quality.level is Level.DOUBTFUL
    assert "19 mm thick" in found.quality.flags[0].reason


def test_a_heart_wrapped_in_fluid_is_doubtful_even_where_its_pose_is_in_doubt() -> None:
    assert verdict(ADULT | {"soft_outside": 0.0, "doubts": 2.0}).quality.level is Level.DOUBTFUL
    assert verdict(ADULT | {"soft_outside": 0.0, "doubts": 4.0}).quality.level is Level.UNUSABLE


def test_the_farther_out_the_lower_the_score() -> None:
    scores = [verdict(ADULT | {"roll_disagreement_deg": d}).score for d in (10.0, 20.0, 30.0, 60.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0


def test_measures_of_a_drawn_heart_are_its_own() -> None:
    ct, labels = phantom()
    found = wall_measures(ct, labels)
    assert found["contrast_hu"] == pytest.approx(270, abs=10)
    assert found["wall_hu"] == pytest.approx(110, abs=10)
    assert found["thickness_mm"] == pytest.approx(10, abs=1.5)
    assert found["length_mm"] == pytest.approx(90, abs=8)
    assert found["closed"] > 0.95
    assert found["cut_share"] == 0.0
    assert found["soft_outside"] > 0.9


def test_blurred_borders_and_a_cut_scan_are_seen() -> None:
    from scipy import ndimage

    ct, labels = phantom()
    sharp = wall_measures(ct, labels)["sharpness"]
    blurred = wall_measures(ct.with_array(ndimage.gaussian_filter(ct.array, 3.0)), labels)["sharpness"]
    assert blurred < 0.8 * sharp
    cut = ct.array.copy()
    cut[:36] = -1024
    assert wall_measures(ct.with_array(cut), labels)["cut_share"] > 0.2


def test_labels_without_a_ventricle_are_unusable() -> None:
    ct, labels = phantom()
    pose = usual_pose()
    empty = labels.with_array(np.zeros_like(labels.array))
    found = judge(ct, empty, pose, Reorientation(pose, pose, empty))
    assert found.quality.level is Level.UNUSABLE


def test_readings_of_the_pose_that_differ_are_measured() -> None:
    pose, other = usual_pose(), usual_pose(shift=(6.0, 0.0, 0.0), roll_deg=12.0)
    _, labels = phantom()
    found = agreement(pose, Reorientation(pose, other, labels))
    assert found["roll_disagreement_deg"] == pytest.approx(12.0)
    assert found["shift_disagreement_mm"] == pytest.approx(6.0)
    assert found["unusual_axis_deg"] == pytest.approx(0.0, abs=1e-4)


def test_a_range_costs_nothing_inside_and_is_bounded_outside() -> None:
    assert Range(1, 2, 0.5).penalty(1.5) == 0
    assert Range(1, 2, 0.5).penalty(3.0) == 2
    assert Range(1, 2, 0.5).penalty(float("nan")) == MAX_PENALTY
    assert Range(1, 10, np.log(2), log=True).penalty(20.0) == pytest.approx(1)
    assert Range(1, 10, 1, log=True).penalty(0.0) == MAX_PENALTY
    assert score_of([]) == 1.0
