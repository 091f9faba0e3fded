"""CMR slices find their place in the CT heart."""

from __future__ import annotations

import numpy as np
import pytest
from heart_phantom import HALF_LENGTH, Heart, cmr, ct_walls, usual_pose

from CardiacFusionLib.registration.pairing import levels_of, pair_slices
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.walls.result import CmrWalls, Located, LongAxis

CT = ct_walls(Heart(), usual_pose())
ELSEWHERE = usual_pose(shift=(20.0, -15.0, 30.0), roll_deg=17.0)  # the patient lies differently in the other scanner


def test_three_slices_find_their_heights_and_the_roll() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [25.0, 2.0, -21.0])
    pairing = pair_slices(series, walls, CT)
    assert pairing.z_mm == pytest.approx([25.0, 2.0, -21.0], abs=5.0)
    assert axis_angle_deg(pairing.cmr_pose, ELSEWHERE) < 0.1
    assert abs(roll_angle_deg(ELSEWHERE, pairing.cmr_pose)) < 3.0
    centre = pairing.cmr_pose.to_heart(ELSEWHERE.to_lps(np.zeros(3)))
    assert np.hypot(*centre[:2]) < 1.0


def test_a_contracted_heart_is_still_found() -> None:
    series, walls = cmr(Heart(scale=0.9), ELSEWHERE, [25.0, 2.0, -21.0])
    assert pair_slices(series, walls, CT).z_mm == pytest.approx([25.0, 2.0, -21.0], abs=9.0)


def test_it_does_not_matter_in_which_order_or_direction_the_slices_were_stored() -> None:
    heights = [25.0, 2.0, -21.0]
    expected = pair_slices(*cmr(Heart(), ELSEWHERE, heights), CT)
    series, walls = cmr(Heart(), ELSEWHERE, heights[::-1], mirrored=True)
    found = pair_slices(series, walls, CT)
    assert found.z_mm[::-1] == pytest.approx(expected.z_mm, abs=0.5)
    assert axis_angle_deg(found.cmr_pose, expected.cmr_pose) < 0.1
    assert abs(roll_angle_deg(expected.cmr_pose, found.cmr_pose)) < 2.0


def test_a_single_slice_is_placed_too() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [0.0])
    pairing = pair_slices(series, walls, CT)
    assert pairing.z_mm == pytest.approx([0.0], abs=10.0)


def test_a_full_stack_with_empty_ends_finds_its_heights() -> None:
    heights = np.arange(55.0, -60.0, -10.0)
    pairing = pair_slices(*cmr(Heart(), ELSEWHERE, heights), CT)
    assert pairing.z_mm == pytest.approx(heights, abs=7.0)


def test_levels_run_from_the_tip_of_the_cavity_to_the_base() -> None:
    pairing = pair_slices(*cmr(Heart(), ELSEWHERE, [25.0, 2.0, -21.0]), CT)
    levels = levels_of(pairing, CT)
    assert np.all(np.diff(levels) < 0)
    tip = -HALF_LENGTH + 4.0
    assert levels == pytest.approx((pairing.z_mm - tip) / (HALF_LENGTH - tip), abs=0.06)


def test_without_insertions_the_roll_is_called_a_guess() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [25.0, 2.0, -21.0])
    bare = CmrWalls(walls.labels, tuple({"lv_centre": m["lv_centre"]} for m in walls.landmarks))
    assert "roll" in {flag.name for flag in pair_slices(series, bare, CT).quality.flags}


def test_slices_without_a_ventricle_cannot_be_paired() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [90.0, 80.0])
    with pytest.raises(StageError, match="no CMR slice shows a left ventricle"):
        pair_slices(series, walls, CT)


def seen_ends(of: HeartPose, stretch: float = 1.0) -> LongAxis:
    """Long-axis views that show the phantom's apex and base, its length divided by ``stretch``."""
    ends = {n: np.array([0.0, 0.0, z / stretch]) for n, z in (("apex", -HALF_LENGTH), ("base", HALF_LENGTH))}
    return LongAxis((), {name: Located(of.to_lps(place), 2.0, 2.0) for name, place in ends.items()})


def test_long_axis_views_tell_the_height_of_a_single_slice() -> None:
    """Another phase of the beat makes the slice look as if it lay elsewhere; the views know better."""
    series, walls = cmr(Heart(scale=0.8), ELSEWHERE, [18.0])
    alone = abs(pair_slices(series, walls, CT).z_mm[0] - 18.0)
    found = pair_slices(series, walls, CT, long_axis=seen_ends(ELSEWHERE))
    assert abs(found.z_mm[0] - 18.0) < min(3.0, alone - 3.0)


def test_views_of_a_shorter_heart_stretch_the_stack() -> None:
    stretch = 1.12
    heights = np.array([24.0, 0.0, -24.0])
    series, walls = cmr(Heart(), ELSEWHERE, heights / stretch)
    found = pair_slices(series, walls, CT, long_axis=seen_ends(ELSEWHERE, stretch))
    assert found.z_mm == pytest.approx(heights, abs=4.0)


def test_views_that_show_nothing_change_nothing() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [25.0, 2.0, -21.0])
    bare = pair_slices(series, walls, CT)
    assert np.array_equal(pair_slices(series, walls, CT, long_axis=LongAxis(())).z_mm, bare.z_mm)
