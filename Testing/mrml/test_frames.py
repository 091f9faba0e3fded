"""LPS and RAS meet in one file, and what goes through it comes back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from CardiacFusionLib.mrml import frames
from CardiacFusionLib.spatial.volume import Volume

turns = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.3, 10)] * 3)
origins = st.tuples(*[st.floats(-300, 300)] * 3)


@given(turns, spacings, origins, st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_oblique_or_mirrored_volume_comes_back_from_its_ijk_to_ras(turn, spacing, origin, mirrored) -> None:
    direction = Rotation.from_euler("zyx", turn, degrees=True).as_matrix()
    if mirrored:
        direction = direction * np.array([1.0, 1.0, -1.0])
    volume = Volume(np.zeros((2, 3, 4), np.int16), spacing, origin, direction)
    back = frames.volume_from_ijk_to_ras(volume.array, frames.ijk_to_ras(volume))
    np.testing.assert_allclose(back.index_to_lps, volume.index_to_lps, atol=1e-9)


@given(turns, origins)
@settings(max_examples=20, deadline=None)
def test_a_transform_moves_ras_points_as_it_moves_the_same_lps_points(turn, shift) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", turn, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    point = np.array([12.0, -30.0, 7.0])
    moved_lps = matrix[:3, :3] @ point + matrix[:3, 3]
    ras = frames.transform_ras(matrix)
    moved_ras = ras[:3, :3] @ frames.points_ras(point) + ras[:3, 3]
    np.testing.assert_allclose(frames.points_lps(moved_ras), moved_lps, atol=1e-9)
    np.testing.assert_allclose(frames.transform_lps(ras), matrix, atol=1e-12)


def test_left_is_the_negative_right_and_head_stays_up() -> None:
    np.testing.assert_array_equal(frames.points_ras(np.array([1.0, 2.0, 3.0])), [-1.0, -2.0, 3.0])
