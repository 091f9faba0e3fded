"""Parallel slices agree on where the left ventricle runs."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.cmr_stack import Sighting, axis_line, near_axis, sight

AXES = canonical_axes(MEAN_LONG_AXIS_LPS)
DEPTHS = [0.0, 10.0, 20.0, 30.0, 40.0]


def ring(depth: float, centre: tuple[float, float], weight: float = 0.8, radius: float = 28.0) -> Sighting:
    return Sighting(depth, np.array(centre), radius, weight)


def test_the_line_runs_through_the_slices_that_agree() -> None:
    line = axis_line([ring(d, (2.0 + 0.1 * d, -5.0)) for d in DEPTHS], DEPTHS)
    assert line is not None
    assert line[0] == pytest.approx(np.array([[2.0 + 0.1 * d, -5.0] for d in DEPTHS]), abs=0.1)


def test_two_slices_that_took_the_bowel_for_a_heart_do_not_move_the_line() -> None:
    seen = [ring(0.0, (10.0, 70.0), 0.7, 45.0), ring(10.0, (12.0, 68.0), 0.6, 40.0)]
    seen += [ring(d, (2.0, -5.0)) for d in DEPTHS[2:]]
    line = axis_line(seen, DEPTHS)
    assert line is not None
    assert np.linalg.norm(line[0] - [2.0, -5.0], axis=1).max() < 1.0
    assert line[1] == pytest.approx(28.0)


def test_without_a_ventricle_there_is_no_line() -> None:
    assert axis_line([None, None], [0.0, 10.0]) is None


def test_labels_far_from_the_axis_become_background_and_probabilities_still_add_up() -> None:
    pose = SlicePose((0.0, 0.0, 0.0), AXES, (2.0, 2.0), 8.0)
    seen = np.zeros((4, 64, 64), np.float32)
    seen[Label.BACKGROUND] = 1.0
    for column in (10, 50):
        seen[:, 28:36, column : column + 8] = np.array([0.1, 0.9, 0.0, 0.0], np.float32)[:, None, None]
    centre = pose.points_lps(np.array([14.0, 32.0])) @ AXES[:, :2]
    kept = near_axis(seen, pose, AXES, centre, 10.0)
    assert kept.sum(axis=0) == pytest.approx(1.0)
    assert kept[Label.LV_CAVITY, 30, 14] == pytest.approx(0.9)
    assert kept[Label.LV_CAVITY, 30, 54] < 0.01


def test_a_slice_is_sighted_at_its_centre() -> None:
    pose = SlicePose((0.0, 0.0, 0.0), AXES, (2.0, 2.0), 8.0)
    y, x = np.mgrid[0:64, 0:64]
    labels = np.where(np.hypot(x - 40, y - 20) < 10, Label.LV_CAVITY, 0).astype(np.uint8)
    found = sight(labels, 0.9, 1.0, pose, AXES)
    assert found is not None
    assert found.centre_uv_mm == pytest.approx(pose.points_lps(np.array([40.0, 20.0])) @ AXES[:, :2], abs=0.2)
    assert found.radius_mm == pytest.approx(20.0, rel=0.05)
