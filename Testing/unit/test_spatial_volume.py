"""Volume, Series and resampling: geometry that holds, and bad geometry that is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from io_shapes import directions, series, volumes

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.resample import heart_grid, resample_to, sample
from CardiacFusionLib.spatial.series import MIN_FRAMES, Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

_few = settings(max_examples=30, deadline=None, derandomize=True)


@_few
@given(volume=volumes())
def test_points_and_indices_are_inverse(volume: Volume) -> None:
    index = np.array([1.0, 0.5, 0.25, 1])
    assert np.allclose(volume.lps_to_index @ volume.index_to_lps @ index, index, atol=1e-9)
    assert np.allclose(volume.grid_lps()[0, 0, 0], volume.origin_mm)
    assert np.allclose(volume.grid_lps().mean(axis=(0, 1, 2)), volume.centre_mm, atol=1e-6)


@_few
@given(volume=volumes())
def test_a_volume_goes_through_simpleitk_unchanged(volume: Volume) -> None:
    back = Volume.from_sitk(volume.to_sitk())
    assert np.array_equal(back.array, volume.array)
    assert np.allclose(back.index_to_lps, volume.index_to_lps, atol=1e-9)


@_few
@given(volume=volumes())
def test_a_voxel_read_at_its_own_point_gives_its_own_value(volume: Volume) -> None:
    assert np.allclose(sample(volume, volume.grid_lps(), outside=-9999), volume.array, atol=1e-2)
    assert np.array_equal(sample(volume, volume.grid_lps(), order=0, outside=-9999), volume.array)
    assert sample(volume, np.array([1e4, 0, 0]), outside=-1024.0) == -1024


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rotation=directions(right_handed=True))
def test_an_upright_grid_shows_a_linear_image_as_it_is(rotation: np.ndarray) -> None:
    """Values that rise by 1 a millimetre along the heart's z axis rise along the grid's z axis, wherever it lies."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, rotation @ np.array([3.0, 200, -50])
    pose = HeartPose(matrix)
    grid = heart_grid(pose, (5, 6, 7), 2.0, (1.0, 2.0, 3.0))
    heart = pose.to_heart(grid.grid_lps())
    assert np.allclose(heart.mean(axis=(0, 1, 2)), [1, 2, 3], atol=1e-9)
    assert np.allclose(np.diff(heart[..., 2], axis=0), 2.0) and np.allclose(np.diff(heart[..., 0], axis=2), 2.0)
    big = heart_grid(HeartPose(np.eye(4)), (24, 24, 24), 2.0, tuple(pose.to_lps(np.array([1.0, 2, 3]))))
    source = big.with_array(np.zeros(big.array.shape, np.float32))
    source = Volume(
        pose.to_heart(source.grid_lps())[..., 2].astype(np.float32), big.spacing_mm, big.origin_mm, big.direction
    )
    assert np.allclose(resample_to(source, grid).array, heart[..., 2], atol=1e-3)
    assert np.allclose(sample(source, grid.grid_lps()), heart[..., 2], atol=1e-3)


def test_labels_stay_labels_when_resampled() -> None:
    rng = np.random.default_rng(0)
    labels = Volume(rng.integers(0, 8, (6, 7, 8)).astype(np.uint8), (1, 1, 1), (0, 0, 0), np.eye(3))
    grid = Volume(np.zeros((9, 9, 9), np.uint8), (0.7, 0.7, 0.7), (0, 0, 0), np.eye(3))
    result = resample_to(labels, grid, order=0)
    assert result.array.dtype == np.uint8 and set(np.unique(result.array)) <= set(range(8))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"spacing_mm": (1, 0, 1)}, "above zero"),
        ({"spacing_mm": (1, float("nan"), 1)}, "above zero"),
        ({"origin_mm": (0, float("inf"), 0)}, "origin"),
        ({"direction": np.array([[1, 0, 0.2], [0, 1, 0], [0, 0, 1.0]])}, "sheared"),
        ({"direction": np.full((3, 3), np.nan)}, "finite"),
        ({"array": np.zeros((4, 4))}, "three dimensions"),
    ],
)
def test_bad_geometry_is_refused(change: dict[str, object], word: str) -> None:
    good = Volume(np.zeros((2, 3, 4)), (1, 1, 1), (0, 0, 0), np.eye(3))
    with pytest.raises(BadInputError, match=word):
        replace(good, **change)


def _series(frames: int = 24, **changes: object) -> Series:
    poses = tuple(SlicePose((0, 0, 10.0 * i), np.eye(3), (2, 2), 8) for i in range(2))
    given = {"array": np.ones((frames, 2, 3, 4), np.float32), "poses": poses, "times_s": np.arange(float(frames))}
    return Series(**{**given, **changes})  # type: ignore[arg-type]


def _tilted(degrees: float) -> SlicePose:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return SlicePose((0, 0, 10), np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), (2, 2), 8)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"frames": MIN_FRAMES - 1}, "only 19 frames"),
        ({"array": np.ones((24, 3, 4), np.float32)}, "time, slice, y, x"),
        ({"array": np.full((24, 2, 3, 4), np.nan, np.float32)}, "NaN"),
        ({"times_s": np.r_[0:20, 21.0, 20, 22, 23]}, "do not rise"),
        ({"times_s": np.r_[0:23, 22.0]}, "do not rise"),
        ({"times_s": np.arange(23.0)}, "one time a frame"),
        ({"poses": (_tilted(0),)}, "slice positions"),
        ({"poses": (_tilted(0), _tilted(4))}, "not parallel"),
        ({"state": "cold"}, "'stress' or 'rest'"),
        ({"aif_frames": np.ones((24, 2, 2), np.float32)}, "arterial-input"),
        ({"aif_frames": np.ones((9, 2, 2), np.float32), "aif_pose": _tilted(0)}, "arterial-input"),
    ],
)
def test_a_series_that_cannot_be_followed_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(BadInputError, match=word):
        _series(**changes)  # type: ignore[arg-type]


def test_slices_a_fraction_of_a_degree_apart_are_taken() -> None:
    assert _series(poses=(_tilted(0), _tilted(0.5))).slice_count == 2


@_few
@given(examination=series(right_handed=False))
def test_a_slice_lies_where_its_pose_says(examination: Series) -> None:
    pose, image = examination.poses[0], examination.array[0, 0]
    points = pose.grid_lps(image.shape)
    assert np.allclose(pose.pixels(points + 3.0 * pose.normal), np.indices(image.shape)[::-1].transpose(1, 2, 0))
    assert np.allclose(examination.slice_volume(image, 0).grid_lps()[0], points, atol=1e-9)


def test_the_worst_flag_is_the_level_of_the_whole() -> None:
    flag = Flag("aif", "saturated", Level.DOUBTFUL, "The input is saturated.")
    assert Quality().level == Level.GOOD
    assert (Quality() + Quality.of([flag])).level == Level.DOUBTFUL
    worst = Flag("walls", "empty", Level.UNUSABLE, "No wall was found.")
    assert Quality.of([flag, worst]).level == Level.UNUSABLE
