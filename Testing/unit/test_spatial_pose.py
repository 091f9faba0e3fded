"""The heart frame: what its axes mean, and how two poses are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_shapes import directions
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose, axis_angle_deg, roll_angle_deg

# an upright heart: apex below, base above, anterior insertion in front (-y), septum on the right side (-x)
UPRIGHT = {
    "apex": np.array([0.0, 0, -45]),
    "base": np.array([0.0, 0, 45]),
    "rv_insertion_anterior": np.array([-20.0, -25, 10]),
    "rv_insertion_inferior": np.array([-20.0, 25, 4]),
}


def _turned(degrees: float, axis: str, pose: HeartPose) -> HeartPose:
    """The same heart with its heart frame turned about one of its own axes."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return HeartPose(matrix @ pose.lps_to_heart)


def test_an_upright_heart_has_the_identity_as_its_pose() -> None:
    assert np.allclose(HeartPose.from_landmarks(UPRIGHT).lps_to_heart, np.eye(4), atol=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(rotation=directions(right_handed=True), shift=st.tuples(*(st.floats(-300, 300),) * 3))
def test_wherever_the_heart_lies_its_landmarks_come_to_the_same_place(
    rotation: np.ndarray, shift: tuple[float, float, float]
) -> None:
    moved = {name: rotation @ point + shift for name, point in UPRIGHT.items()}
    pose = HeartPose.from_landmarks(moved)
    for name in LANDMARK_NAMES:
        assert np.allclose(pose.to_heart(moved[name]), UPRIGHT[name], atol=1e-9)
        assert np.allclose(pose.to_lps(UPRIGHT[name]), moved[name], atol=1e-9)
    assert np.allclose(pose.long_axis_lps, rotation[:, 2], atol=1e-12)


def test_the_frame_is_right_handed_with_the_septum_on_the_negative_side() -> None:
    pose = HeartPose.from_landmarks(UPRIGHT)
    assert np.linalg.det(pose.lps_to_heart[:3, :3]) == pytest.approx(1)
    assert pose.to_heart(UPRIGHT["rv_insertion_anterior"])[0] < 0
    assert pose.to_heart(UPRIGHT["apex"])[2] == pytest.approx(-45)


@pytest.mark.parametrize("degrees", [-150.0, -20.0, 0.0, 3.0, 90.0, 179.0])
def test_roll_is_read_as_it_was_given(degrees: float) -> None:
    pose = HeartPose.from_landmarks(
        {k: Rotation.from_euler("y", 50, degrees=True).apply(v) for k, v in UPRIGHT.items()}
    )
    rolled = _turned(degrees, "z", pose)
    assert abs(roll_angle_deg(pose, rolled)) == pytest.approx(abs(degrees), abs=1e-6)
    assert axis_angle_deg(pose, rolled) == pytest.approx(0, abs=1e-5)
    assert roll_angle_deg(rolled, pose) == pytest.approx(-roll_angle_deg(pose, rolled), abs=1e-6)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_tilted_long_axis_is_not_taken_for_roll(axis: str) -> None:
    pose = HeartPose.from_landmarks(UPRIGHT)
    tilted = _turned(12.0, axis, pose)
    assert axis_angle_deg(pose, tilted) == pytest.approx(12)
    assert roll_angle_deg(pose, tilted) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LANDMARK_NAMES)
def test_a_missing_or_lost_landmark_is_named(name: str) -> None:
    with pytest.raises(BadInputError, match=name):
        HeartPose.from_landmarks({k: v for k, v in UPRIGHT.items() if k != name})
    with pytest.raises(BadInputError, match=name):
        HeartPose.from_landmarks({**UPRIGHT, name: np.array([np.nan, 0, 0])})


def test_landmarks_that_span_no_frame_are_refused() -> None:
    with pytest.raises(BadInputError, match="10 mm apart"):
        HeartPose.from_landmarks({**UPRIGHT, "base": np.array([0.0, 0, -35])})
    with pytest.raises(BadInputError, match="coincide along the long axis"):
        HeartPose.from_landmarks({**UPRIGHT, "rv_insertion_inferior": np.array([-20.0, -25, -30])})


@pytest.mark.parametrize(
    "matrix",
    [np.diag([1.0, 1, 1.1, 1]), np.diag([1.0, 1, -1, 1]), np.full((4, 4), np.nan), np.eye(3), np.diag([1.0, 1, 1, 2])],
)
def test_what_is_no_rigid_transform_is_no_pose(matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pose"):
        HeartPose(matrix)
