"""What the network of whole first passes is shown, and how its answer is used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from CardiacFusionLib.models.heatmaps import Seen
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls import cmr_insertions, cmr_series
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane
from CardiacFusionLib.walls.cmr_insertions import NAMES, agreed, with_insertions
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


class CourseReader(torch.nn.Module):
    """Calls cavity what is bright in channel 6, wall what is bright in channel 7, RV what is bright in channel 8; the
    insertions are the brightest places of channels 9 and 10."""

    def __init__(self) -> None:
        super().__init__()
        self.dummy = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        classes = torch.cat([16.0 * x[:, 5:6], 8.0 * x[:, 6:9]], dim=1)  # channel 5 is dark everywhere
        return torch.cat([classes, 8.0 * x[:, 9:11], torch.zeros_like(x[:, 9:11])], dim=1)


SHAPE, SPACING = (96, 90), 1.8
POSE = SlicePose((7.0, -30.0, 25.0), AXES, (SPACING, SPACING), 8.0)
MARKS_XY = np.array([[38.0, 30.0], [36.0, 58.0]])


def course() -> np.ndarray:
    """A course whose channels show cavity, wall, RV and both insertions apart."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(x - 46.0, y - 45.0)
    images = np.full((CHANNELS, *SHAPE), 0.02, np.float32)
    images[6][radius < 11] = 1.0
    images[7][(radius >= 11) & (radius < 17)] = 1.0
    images[8][(np.hypot(x - 26.0, y - 45.0) < 13) & (radius >= 17)] = 1.0
    for channel, (mx, my) in zip((9, 10), MARKS_XY):
        images[channel] += np.exp(-0.5 * ((x - mx) ** 2 + (y - my) ** 2) / 2.0**2)
    return images


def test_both_views_tell_the_same_outline_and_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmr_series, "load", lambda name: CourseReader())
    window = View(POSE.points_lps(np.array([46.0, 45.0])) @ AXES[:, :2])
    seen = cmr_series.see_series(course(), POSE, AXES, window)
    inside = seen.probabilities.sum(axis=0) > 0.9
    labels = seen.probabilities.argmax(axis=0)
    for channel, label in zip((6, 7, 8), (1, 2, 3)):
        wanted = (course()[channel] > 0.5) & inside
        assert 2 * (wanted & (labels == label)).sum() > 0.9 * (wanted.sum() + (labels == label).sum())
    assert not inside[0, 0] and seen.probabilities.max() <= 1.0 + 1e-5
    for name, place in zip(NAMES, MARKS_XY):
        assert seen.marks[name].place == pytest.approx(POSE.points_lps(place), abs=1.0), name


def test_views_that_disagree_make_a_place_less_believed() -> None:
    near, far = np.zeros(3), np.array([30.0, 0.0, 0.0])
    assert cmr_series.both([Seen(near, 0.9), Seen(near, 0.7)]).belief == pytest.approx(0.8)
    alone = cmr_series.both([Seen(near, 0.9), Seen(far, 0.7)])
    assert alone.belief == pytest.approx(0.45) and np.array_equal(alone.place, near)


def test_the_place_most_witnesses_agree_on_is_told_and_not_one_between_two_places() -> None:
    here, beside, far = np.zeros(3), np.array([4.0, 0.0, 0.0]), np.array([25.0, 0.0, 0.0])
    found = agreed([Seen(far, 0.9), Seen(here, 0.6), Seen(beside, 0.6)])
    assert found.place == pytest.approx([2.0, 0.0, 0.0]) and found.belief == pytest.approx(1.2)


def _with(course_marks: dict[str, Seen], monkeypatch: pytest.MonkeyPatch, network: float = 0.9) -> dict:
    """Insertions where the outline says 0, the insertion network 6 mm (with belief ``network``)."""
    monkeypatch.setattr(cmr_insertions, "read_manifest", lambda: {cmr_insertions.MODEL: None})
    shown = {name: Seen(np.array([6.0, 0.0, 0.0]), network) for name in NAMES}
    monkeypatch.setattr(cmr_insertions, "see_insertions", lambda image, labels, pose: shown)
    labels = np.full(SHAPE, 3, np.uint8)
    outlined = [{name: np.zeros(3) for name in NAMES}]
    return dict(with_insertions(outlined, [course()[:4]], [labels], [POSE], [course_marks])[0])


def test_a_course_is_heard_beside_the_outline_and_the_insertion_network(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _with({NAMES[0]: Seen(np.array([3.0, 0.0, 0.0]), 0.8)}, monkeypatch)
    expected = (0.9 * 6 + 0.8 * 3) / (0.9 + 0.8 + cmr_insertions.OUTLINE_WEIGHT)
    assert told[NAMES[0]] == pytest.approx([expected, 0.0, 0.0])


def test_without_a_course_the_sure_network_alone_takes_the_outlines_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _with({}, monkeypatch)[NAMES[1]] == pytest.approx([6.0, 0.0, 0.0])
    assert _with({}, monkeypatch, 0.7)[NAMES[1]] == pytest.approx([0.0, 0.0, 0.0])
