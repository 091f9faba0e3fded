"""Where the RV meets the LV, whatever way the picture was stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes, slice_landmarks
from CardiacFusionLib.spatial.series import SlicePose

SIZE, SPACING = 120, 1.6
INNER, OUTER = 22.0, 31.0
RV_FROM_DEG, RV_TO_DEG = 125.0, 255.0  # the RV touches the wall between these angles (x right, y down; 180 = septum)


def short_axis_picture(centre=(6.0, 4.0), outer=OUTER, rv_reach=24.0) -> np.ndarray:
    """A ring with a crescent on the viewer's left: labels (y, x) in the standard short-axis view."""
    half = (SIZE - 1) / 2
    y, x = (np.mgrid[0:SIZE, 0:SIZE] - half) * SPACING
    radius = np.hypot(x - centre[0], y - centre[1])
    angle = np.mod(np.degrees(np.arctan2(y - centre[1], x - centre[0])), 360)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    crescent = (angle > RV_FROM_DEG) & (angle < RV_TO_DEG) & (radius < outer + rv_reach)
    labels[crescent] = 3
    labels[radius < outer] = 2
    labels[radius < INNER] = 1
    return labels


def standard_pose(axes: np.ndarray) -> SlicePose:
    """A pose whose picture is the standard view of the given axes."""
    half = (SIZE - 1) / 2 * SPACING
    return SlicePose(tuple(-axes[:, 0] * half - axes[:, 1] * half), axes, (SPACING, SPACING), 8.0)


def stored_otherwise(labels: np.ndarray, pose: SlicePose, transpose: bool, flip_x: bool, flip_y: bool):
    """The same slice with rows and columns exchanged or reversed, geometry kept true."""
    x, y, n = pose.direction.T
    origin = np.asarray(pose.origin_mm)
    if flip_x:
        labels, origin, x = labels[:, ::-1], origin + x * (SIZE - 1) * SPACING, -x
    if flip_y:
        labels, origin, y = labels[::-1], origin + y * (SIZE - 1) * SPACING, -y
    if transpose:
        labels, x, y = labels.T, y, x
    return np.ascontiguousarray(labels), SlicePose(
        tuple(origin), np.stack([x, y, np.cross(x, y)], 1), (SPACING,) * 2, 8
    )


def test_the_insertions_lie_at_the_ends_of_the_rv_on_the_epicardium() -> None:
    axes = canonical_axes(MEAN_LONG_AXIS_LPS)
    marks = slice_landmarks(short_axis_picture(), standard_pose(axes))
    plane = {name: point @ axes[:, :2] for name, point in marks.items()}
    assert plane["lv_centre"] == pytest.approx([6.0, 4.0], abs=0.3)
    for name, degrees in (("rv_insertion_anterior", RV_TO_DEG), ("rv_insertion_inferior", RV_FROM_DEG)):
        expected = np.array([6.0, 4.0]) + OUTER * np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
        assert np.linalg.norm(plane[name] - expected) < 2.5, name


def test_the_anterior_insertion_is_the_higher_one_in_the_patient() -> None:
    axes = canonical_axes(MEAN_LONG_AXIS_LPS)
    marks = slice_landmarks(short_axis_picture(), standard_pose(axes))
    assert marks["rv_insertion_anterior"][2] > marks["rv_insertion_inferior"][2]


@settings(max_examples=10, deadline=None)
@given(
    transpose=st.booleans(),
    flip_x=st.booleans(),
    flip_y=st.booleans(),
    tilt=st.tuples(st.floats(-25, 25), st.floats(-25, 25)),
    roll=st.floats(-40, 40),
)
def test_flipped_and_permuted_pictures_give_the_same_patient_points(transpose, flip_x, flip_y, tilt, roll) -> None:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", [*tilt, 0], degrees=True).as_matrix()
    spin = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    axes = turn @ canonical_axes(MEAN_LONG_AXIS_LPS) @ spin
    labels, pose = short_axis_picture(), standard_pose(axes)
    expected = slice_landmarks(labels, pose)
    found = slice_landmarks(*stored_otherwise(labels, pose, transpose, flip_x, flip_y))
    assert set(found) == set(expected) == {"lv_centre", "rv_insertion_anterior", "rv_insertion_inferior"}
    for name, point in expected.items():
        assert np.linalg.norm(found[name] - point) < 2.0, name


def test_without_an_rv_only_the_centre_is_given() -> None:
    labels = short_axis_picture()
    labels[labels == 3] = 0
    assert set(slice_landmarks(labels, standard_pose(canonical_axes(MEAN_LONG_AXIS_LPS)))) == {"lv_centre"}


def test_an_empty_slice_has_no_landmarks() -> None:
    empty = np.zeros((SIZE, SIZE), np.uint8)
    assert slice_landmarks(empty, standard_pose(canonical_axes(MEAN_LONG_AXIS_LPS))) == {}


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.2))
def test_standard_axes_are_right_handed_and_do_not_ask_which_side_of_the_film_one_looks_at(normal) -> None:
    n = np.asarray(normal) / np.linalg.norm(normal)
    axes = canonical_axes(n)
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    if abs(n @ MEAN_LONG_AXIS_LPS) > 1e-6:
        assert canonical_axes(-n) == pytest.approx(axes)
