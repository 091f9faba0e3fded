"""The CT wall stage with its shipped weights, on a twin whose every label is known."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from chamber_phantom import pose, volume

from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_training_sample
from CardiacFusionLib.walls.ct import _cleaned, _plausible, segment_ct
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
    _, _, walls = segmented()
    turned = walls.pose.lps_to_heart[:3, :3] @ walls.labels.direction
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
