"""The second witness of the pose: joins where picture and labels agree, doubts where they do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from CardiacFusionLib.models.heatmaps import Seen
from CardiacFusionLib.models.manifest import models_folder
from CardiacFusionLib.reorientation import second_witness
from CardiacFusionLib.reorientation.landmarks import MODEL, NAMES, see_landmarks
from CardiacFusionLib.reorientation.second_witness import (
    APART_SDS,
    POSE_SD_MM,
    SURE,
    contradictions,
    joined,
    seen_sd_mm,
    witnessed,
)
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_heart_frame_sample

UNSEEN_SEED = 810_000_003  # far from the seeds of training
CT = Volume(np.zeros((4, 4, 4), np.float32), (4.0,) * 3, (0, 0, 0), np.eye(3))


def pose() -> HeartPose:
    return HeartPose.from_landmarks(
        {
            "apex": np.array([0.0, 0.0, -45.0]),
            "base": np.array([0.0, 0.0, 45.0]),
            "rv_insertion_anterior": np.array([-25.0, -15.0, 0.0]),
            "rv_insertion_inferior": np.array([-25.0, 15.0, 0.0]),
        },
        0.9,
    )


def seen(apex_off: tuple[float, ...] = (0, 0, 0), base_off: tuple[float, ...] = (0, 0, 0), belief: float = 0.9):
    at = pose().landmarks
    return {
        "apex": Seen(at["apex"] + np.array(apex_off, float), belief),
        "base": Seen(at["base"] + np.array(base_off, float), belief),
    }


@pytest.mark.parametrize("belief", [SURE, 0.97])
def test_the_joined_pose_lies_nearer_to_the_surer_witness(belief: float) -> None:
    found = joined(pose(), seen((4.0, 0.0, 0.0), (0.0, 0.0, 2.0), belief))
    share = {n: POSE_SD_MM[n] ** 2 / (POSE_SD_MM[n] ** 2 + seen_sd_mm(n, belief) ** 2) for n in NAMES}
    assert share["base"] > share["apex"]  # the picture's apex is the less certain one
    assert (share["base"] > 0.5) == (belief > SURE)
    np.testing.assert_allclose(found.landmarks["apex"], [4.0 * share["apex"], 0, -45])
    np.testing.assert_allclose(found.landmarks["base"], [0, 0, 45 + 2.0 * share["base"]])
    assert found.confidence == 0.9
    tilt = np.degrees(np.arctan2(4.0 * share["apex"], 90.0 + 2.0 * share["base"]))
    assert axis_angle_deg(pose(), found) == pytest.approx(tilt, abs=1e-6)
    np.testing.assert_allclose(found.to_heart(found.landmarks["apex"])[:2], 0, atol=1e-9)


def test_a_landmark_seen_elsewhere_is_doubted_in_a_sentence_and_the_pose_stays(monkeypatch) -> None:
    told = seen(base_off=(13.0, 0, 0))
    monkeypatch.setattr(second_witness, "see_landmarks", lambda ct, pose: told)
    monkeypatch.setattr(second_witness, "read_manifest", lambda: {MODEL: None})
    kept, quality = witnessed(CT, pose())
    (flag,) = quality.flags
    assert (flag.stage, flag.name, flag.level) == ("reorient", "landmarks_apart", Level.DOUBTFUL)
    assert "mitral valve 13 mm" in flag.reason
    np.testing.assert_array_equal(kept.lps_to_heart, pose().lps_to_heart)


def test_the_less_is_believed_the_farther_apart_both_may_lie() -> None:
    limit = APART_SDS * np.hypot(POSE_SD_MM["apex"], seen_sd_mm("apex", 0.95))
    assert contradictions(pose(), seen(apex_off=(limit + 0.1, 0, 0), belief=0.95)).flags
    assert not contradictions(pose(), seen(apex_off=(limit - 0.1, 0, 0), belief=0.95)).flags
    assert not contradictions(pose(), seen(apex_off=(limit + 0.1, 0, 0), belief=0.8)).flags


def test_a_landmark_that_is_hardly_believed_in_neither_joins_nor_contradicts() -> None:
    told = seen((9.0, 0, 0), (0, 0, 3.0))
    told["apex"] = Seen(told["apex"].place, 0.2)
    assert not contradictions(pose(), told).flags
    found = joined(pose(), told)
    np.testing.assert_array_equal(found.landmarks["apex"], pose().landmarks["apex"])
    assert found.landmarks["base"][2] > 45


def test_without_its_weights_the_pose_stays_as_it_is(monkeypatch, tmp_path) -> None:
    listed = json.loads((models_folder() / "manifest.json").read_text())
    listed["models"] = [one for one in listed["models"] if one["name"] != MODEL]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    monkeypatch.setenv("CARDIACFUSION_MODELS", str(tmp_path))
    given = pose()
    kept, quality = witnessed(CT, given)
    assert kept is given
    assert not quality.flags


def drawn() -> CtSample:
    """A twin upright in its true frame (no error of the pose), 3 mm."""
    return ct_heart_frame_sample(UNSEEN_SEED, (64, 52, 52), 3.0, 0.0, 0.0)


def test_the_shipped_network_sees_apex_and_base_of_an_unseen_twin_even_from_a_wrong_frame() -> None:
    sample = drawn()
    truth = sample.pose
    turn = np.eye(4)
    c, s = np.cos(np.deg2rad(10)), np.sin(np.deg2rad(10))
    turn[:3, :3] = [[1, 0, 0], [0, c, -s], [0, s, c]]
    turn[:3, 3] = [5.0, -6.0, 4.0]
    wrong = HeartPose(turn @ truth.lps_to_heart)
    for frame, limit_mm in ((truth, 5.0), (wrong, 7.0)):
        found = see_landmarks(sample.volume, frame)
        for name in NAMES:
            assert found[name].belief > 0.5
            assert np.linalg.norm(found[name].place - truth.landmarks[name]) < limit_mm


def test_a_pose_that_the_labels_got_wrong_is_doubted_by_the_picture() -> None:
    sample = drawn()
    off = np.array([12.0, 0.0, 0.0])
    wrong = HeartPose.from_landmarks({name: place + off for name, place in sample.pose.landmarks.items()})
    kept, quality = witnessed(sample.volume, wrong)
    assert "landmarks_apart" in [f.name for f in quality.flags]
    assert kept is wrong
    assert not witnessed(sample.volume, sample.pose)[1].flags
