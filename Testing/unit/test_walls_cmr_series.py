"""What the network of whole first passes is shown, and how its answer is used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane
from CardiacFusionLib.walls.cmr_series_input import (
    CHANNELS,
    EDGES_S,
    course_images,
    course_weights,
    read_course,
    read_linear,
)
from CardiacFusionLib.walls.phases_cmr import Phases

AXES = canonical_axes(MEAN_LONG_AXIS_LPS)


def test_a_course_of_any_frame_rate_follows_the_same_curve() -> None:
    middle = (EDGES_S[:-1] + EDGES_S[1:]) / 2
    for step in (0.4, 0.9, 1.3):
        times = np.arange(0.0, 70.0, step)
        weights = course_weights(times, 15.0, np.arange(4))
        assert weights.shape == (CHANNELS, len(times))
        assert weights.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert (weights @ times)[1:] == pytest.approx(15.0 + middle, abs=0.02)


def test_a_short_series_goes_on_with_its_last_frame_and_missed_beats_are_bridged() -> None:
    times = np.delete(np.arange(0.0, 26.0), [12, 17])
    weights = course_weights(times, 10.0, np.arange(3))
    assert (weights @ times)[-1] == pytest.approx(25.0)
    assert (weights @ times)[1 + 7] == pytest.approx(12.5, abs=0.02)  # two to three seconds after the peak


def test_proton_density_frames_do_not_count() -> None:
    weights = course_weights(np.arange(40.0), 5.0, np.arange(2, 4))
    assert np.all(weights[:, :2] == 0) and np.all(weights[0, 2:4] == 0.5)


def test_a_slice_keeps_its_own_times() -> None:
    times = np.arange(40.0)[:, None] + np.array([0.0, 0.5])
    array = np.broadcast_to(times[:, :, None, None], (40, 2, 4, 4)).astype(np.float32)
    poses = tuple(SlicePose((0.0, 0.0, 10.0 * k), AXES, (2.0, 2.0), 8.0) for k in range(2))
    phases = Phases(np.arange(5), np.arange(9, 12), np.arange(15, 18), np.arange(22, 28))
    course = course_images(Series(array, poses, times), phases)
    assert course.shape == (2, CHANNELS, 4, 4)
    assert course[0, 5:12].mean() == pytest.approx(course[1, 5:12].mean(), abs=1e-3)  # the same moment of the bolus


def test_all_channels_are_read_as_one_is() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((5, 30, 40)).astype(np.float32)
    rows, columns = rng.uniform(-3, 33, (20, 20)), rng.uniform(-3, 43, (20, 20))
    found = read_linear(images, rows, columns)
    for one, image in zip(found, images):
        assert one == pytest.approx(ndimage.map_coordinates(image, [rows, columns], order=1, mode="constant"), abs=1e-5)


def test_a_course_is_seen_as_the_phases_are() -> None:
    rng = np.random.default_rng(1)
    images = ndimage.gaussian_filter(rng.random((6, 60, 50)), (0, 2, 2)).astype(np.float32)
    pose = SlicePose((-40.0, 20.0, 5.0), AXES, (1.8, 1.8), 8.0)
    view = View(pose.points_lps(np.array([25.0, 30.0])) @ AXES[:, :2], 48, 15.0, 1.4, mirrored=True)
    expected = even_out(read_plane(images, pose, AXES, view), view.pixel_mm)
    assert read_course(images, pose, AXES, view) == pytest.approx(expected, abs=1e-3)
