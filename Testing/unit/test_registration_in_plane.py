"""A slice out of its place in the plane is laid back upon the CT's section before anything is bent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from heart_phantom import Heart, cmr, ct_walls, usual_pose
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.mrml.perfusion_places import slice_to_heart
from CardiacFusionLib.registration.deformation import grid_xy_mm, wall_dice, warp_maps
from CardiacFusionLib.registration.in_plane import REACH_MM, in_plane_offset
from CardiacFusionLib.registration.pairing import pair_slices
from CardiacFusionLib.registration.stage import register
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply

CT = ct_walls(Heart(), usual_pose())


def section(x: float = 0.0, y: float = 0.0, radius: float = 25.0, wall: float = 9.0) -> np.ndarray:
    """A round LV with the RV on its left side, labels on the common grid."""
    xy = grid_xy_mm() - (x, y)
    labels = np.zeros(xy.shape[:2], np.uint8)
    labels[np.hypot(xy[..., 0] + 25.0, xy[..., 1]) < 25.0] = 3
    labels[np.hypot(*np.moveaxis(xy, -1, 0)) < radius + wall] = 2
    labels[np.hypot(*np.moveaxis(xy, -1, 0)) < radius] = 1
    return labels


@given(st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=12)
def test_the_offset_of_a_shifted_slice_is_found(x: int, y: int) -> None:
    assert in_plane_offset(section(), section(x, y)) == pytest.approx((x, y), abs=1.5)


def test_a_contracted_ring_is_not_drawn_to_one_side() -> None:
    assert np.hypot(*in_plane_offset(section(), section(radius=17.0, wall=13.0))) <= 1.5


def test_no_left_ventricle_no_offset_and_never_beyond_reach() -> None:
    assert np.all(in_plane_offset(section(), np.zeros((128, 128), np.uint8)) == 0)
    assert np.hypot(*in_plane_offset(section(), section(30.0, 0.0))) <= REACH_MM


def another_breath_hold():
    """A stack whose last slice was taken in another breath-hold, 13 mm beside the others; its walls and pairing."""
    series, walls = cmr(Heart(scale=0.94), usual_pose(shift=(20.0, -15.0, 30.0)), [20.0, 0.0, -20.0])
    axes = series.poses[2].direction
    origin = tuple(np.asarray(series.poses[2].origin_mm) + 13.0 * axes[:, 0])
    poses = (*series.poses[:2], replace(series.poses[2], origin_mm=origin))
    return replace(series, poses=poses), walls, pair_slices(series, walls, CT)


@pytest.fixture(scope="module")
def misplaced():
    series, walls, pairing = another_breath_hold()
    return register(CT.labels, CT, series, walls, pairing)


def test_a_slice_of_another_breath_hold_meets_its_wall_and_is_named(misplaced) -> None:
    bare = wall_dice(misplaced.ct_labels[2], misplaced.cmr_labels[2])
    assert misplaced.wall_dice_before[2] > bare + 0.2
    assert misplaced.wall_dice_after[2] > 0.85
    named = [f.reason for f in misplaced.quality.flags if f.name == "slice_offset"]
    assert len(named) == 1 and "slice 3" in named[0]
    # the other slices stay: nothing is shifted that lies right
    assert misplaced.wall_dice_after[:2].min() > 0.85


def test_offset_and_bending_lead_back_together(misplaced) -> None:
    for there, back in zip(misplaced.displacement_mm, misplaced.inverse_mm):
        round_trip = there + warp_maps(back, there)
        assert np.abs(round_trip[:, 30:-30, 30:-30]).mean() < 0.4


def test_the_measured_slice_is_shown_where_its_wall_lies(misplaced) -> None:
    """In the scene the slice itself, not only what is carried onto the wall, goes to the CT's ventricle."""
    series, walls, _ = another_breath_hold()
    xy = grid_xy_mm()
    for k in (1, 2):
        cavity = walls.labels[k] == Label.LV_CAVITY
        middle = series.poses[k].grid_lps(cavity.shape)[cavity].mean(axis=0)
        true = xy[misplaced.ct_labels[k] == Label.LV_CAVITY].mean(axis=0)
        x, y, z = apply(slice_to_heart(misplaced, series, series, k), middle)
        assert np.hypot(*(np.array([x, y]) - true)) < 2.5
        assert z == pytest.approx(misplaced.pairing.z_mm[k], abs=0.5)
    rest = replace(series, state="rest")  # another breath-hold: only lifted
    unshifted = apply(slice_to_heart(misplaced, series, rest, 2), middle)
    assert np.hypot(*(unshifted[:2] - true)) > 8.0
