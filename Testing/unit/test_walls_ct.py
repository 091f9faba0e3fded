"""The CT wall stage with its shipped weights, on a twin whose every label is known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from chamber_phantom import pose, volume

from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg, rolled
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_training_sample
from CardiacFusionLib.walls.ct import (
    BASE_SHARE,
    ROLL_SHARES,
    _cleaned,
    _dark_right_heart,
    _plausible,
    _read_again,
    _right_contrast_hu,
    segment_ct,
)
from CardiacFusionLib.walls.result import CtWalls

UNSEEN = 810_000_004


@lru_cache(maxsize=1)
def segmented() -> tuple[CtSample, Reorientation, CtWalls]:
    sample = ct_training_sample(UNSEEN, (80, 80, 80), 2.25)
    found = reorient(sample.volume)
    return sample, found, segment_ct(sample.volume, found)


def dice(a: np.ndarray, b: np.ndarray, label: Label) -> float:
    return float(2 * ((a == label) & (b == label)).sum() / ((a == label).sum() + (b == label).sum()))


def test_cavity_and_wall_are_where_they_are() -> None:
    sample, _, walls = segmented()
    truth = resample_to(sample.volume.with_array(sample.labels), walls.labels, order=0).array
    assert dice(truth, walls.labels.array, Label.LV_CAVITY) > 0.88
    assert dice(truth, walls.labels.array, Label.MYOCARDIUM) > 0.70
    assert dice(truth, walls.labels.array, Label.RV_CAVITY) > 0.70


def test_the_grid_stands_upright_and_reaches_from_below_the_apex_to_the_ascending_aorta() -> None:
    _, given, walls = segmented()
    turned = given.pose.lps_to_heart[:3, :3] @ walls.labels.direction
    np.testing.assert_allclose(turned, np.eye(3), atol=1e-6)
    heart = walls.pose.to_heart(walls.labels.index_to_lps[:3, 3])
    assert heart[2] < walls.pose.to_heart(walls.pose.landmarks["apex"])[2] - 10
    aorta = np.argwhere(walls.labels.array == Label.AORTA)[:, 0] * walls.labels.spacing_mm[2] + heart[2]
    assert aorta.max() > walls.pose.to_heart(walls.pose.landmarks["base"])[2] + 20


def test_refining_keeps_the_pose_near_and_the_landmarks_on_it() -> None:
    sample, found, walls = segmented()
    assert axis_angle_deg(found.pose, walls.pose) < 10.0
    assert axis_angle_deg(sample.pose, walls.pose) < 8.0
    assert abs(roll_angle_deg(sample.pose, walls.pose)) < 15.0
    np.testing.assert_allclose(walls.pose.to_heart(walls.pose.landmarks["apex"])[:2], 0, atol=1e-6)


def test_the_ventricle_is_one_piece_without_holes() -> None:
    labels = volume(pose((0, 0, 0)), 4.0)
    array = labels.array.copy()
    wall = np.argwhere(array == Label.MYOCARDIUM)
    array[tuple(wall[len(wall) // 2])] = Label.BACKGROUND
    array[0, 0, 0] = Label.LV_CAVITY
    cleaned = _cleaned(labels.with_array(array)).array
    assert cleaned[0, 0, 0] == Label.BACKGROUND
    np.testing.assert_array_equal(cleaned == Label.LV_CAVITY, labels.array == Label.LV_CAVITY)


@pytest.mark.parametrize(("scale", "level"), [(1.0, Level.GOOD), (0.6, Level.DOUBTFUL), (1.6, Level.DOUBTFUL)])
def test_a_ventricle_of_impossible_size_is_doubted(scale: float, level: Level) -> None:
    labels = volume(pose((0, 0, 0)), 4.0)
    scaled = type(labels)(labels.array, (4.0 * scale,) * 3, labels.origin_mm, labels.direction)
    assert _plausible(scaled).level is level


@pytest.mark.parametrize(
    ("off_deg", "contrast_hu", "share"),
    [(-5.0, 250.0, ROLL_SHARES[1]), (6.0, 10.0, ROLL_SHARES[0]), (9.0, 250.0, ROLL_SHARES[1] / 2)],
)
def test_the_roll_is_drawn_to_the_labels_and_nothing_else_of_the_pose(
    off_deg: float, contrast_hu: float, share: float
) -> None:
    truth = pose((0, 0, 0))
    labels = volume(truth, 2.0)
    true = geometric_pose(labels)
    found, doubts = _read_again(labels, rolled(true, off_deg), contrast_hu)
    assert not doubts
    assert roll_angle_deg(true, found) == pytest.approx((1 - share) * off_deg, abs=0.1)
    assert axis_angle_deg(true, found) < 1e-3
    for name in ("apex", "base"):
        np.testing.assert_allclose(found.landmarks[name], true.landmarks[name], atol=1e-6)


def test_the_base_is_drawn_sideways_to_the_annulus_of_the_labels() -> None:
    labels = volume(pose((0, 0, 0)), 2.0)
    true = geometric_pose(labels)
    off = true.to_lps(true.to_heart(true.landmarks["base"]) + np.array([3.0, -4.0, 2.0]))
    wrong = HeartPose.from_landmarks({**true.landmarks, "base": off}, 1.0)
    found, doubts = _read_again(labels, wrong, 300.0)
    assert not doubts
    away = wrong.to_heart(found.landmarks["base"]) - wrong.to_heart(true.landmarks["base"])
    before = wrong.to_heart(off) - wrong.to_heart(true.landmarks["base"])
    np.testing.assert_allclose(away, before * [1 - BASE_SHARE, 1 - BASE_SHARE, 1.0], atol=1e-6)
    np.testing.assert_allclose(found.landmarks["apex"], true.landmarks["apex"], atol=1e-6)
    assert axis_angle_deg(true, found) < 0.6 * axis_angle_deg(true, wrong)


def test_without_an_atrium_the_base_stays() -> None:
    labels = volume(pose((0, 0, 0)), 2.0)
    true = geometric_pose(labels)
    cut = labels.with_array(np.where(labels.array == Label.LEFT_ATRIUM, 0, labels.array).astype(np.uint8))
    off = true.to_lps(true.to_heart(true.landmarks["base"]) + np.array([3.0, -4.0, 0.0]))
    wrong = HeartPose.from_landmarks({**true.landmarks, "base": off}, 1.0)
    found, _ = _read_again(cut, wrong, 300.0)
    np.testing.assert_allclose(found.landmarks["base"], off, atol=1e-6)


@pytest.mark.parametrize("off_deg", [-13.0, 40.0])
def test_a_roll_far_from_the_labels_is_kept_and_doubted(off_deg: float) -> None:
    labels = volume(pose((0, 0, 0)), 2.0)
    wrong = rolled(geometric_pose(labels), off_deg)
    found, doubts = _read_again(labels, wrong, 300.0)
    assert found is wrong and [flag.name for flag in doubts] == ["landmarks_kept"]


def test_the_contrast_of_the_right_ventricle_is_read_from_the_picture() -> None:
    labels = volume(pose((20, 10, 0)), 3.0)
    hu = np.zeros(labels.array.shape, np.float32)
    hu[labels.array == Label.RV_CAVITY] = 160.0
    hu[labels.array == Label.MYOCARDIUM] = 100.0
    assert _right_contrast_hu(labels.with_array(hu), labels) == pytest.approx(60.0)
    without = labels.with_array(np.where(labels.array == Label.RV_CAVITY, 0, labels.array).astype(np.uint8))
    assert _right_contrast_hu(labels.with_array(hu), without) == 0.0


def test_a_right_heart_without_contrast_is_remarked_on_and_not_doubted() -> None:
    labels = volume(pose((0, 0, 0)), 4.0)
    (dim,), (dark,) = _dark_right_heart(labels, 12.4), _dark_right_heart(labels, -30.0)
    assert "only 12 HU brighter than muscle" in dim.reason and "no brighter than muscle" in dark.reason
    assert dim.level is dark.level is Level.GOOD and "insertions" in dark.reason
    assert not _dark_right_heart(labels, 150.0)
    without = labels.with_array(np.where(labels.array == Label.RV_CAVITY, 0, labels.array).astype(np.uint8))
    assert not _dark_right_heart(without, 0.0)  # its volume is doubted already


def test_a_twin_washed_out_gets_the_remark() -> None:
    sample, found, walls = segmented()
    names = {flag.name for flag in walls.quality.flags}
    assert "right_heart_dark" not in names
    labels = resample_to(walls.labels, sample.volume, order=0).array
    muscle = float(np.median(sample.volume.array[labels == Label.MYOCARDIUM]))
    flushed = np.where(labels == Label.RV_CAVITY, muscle, sample.volume.array).astype(np.float32)
    again = segment_ct(sample.volume.with_array(flushed), found)
    (remark,) = [flag for flag in again.quality.flags if flag.name == "right_heart_dark"]
    assert remark.word == "note"
