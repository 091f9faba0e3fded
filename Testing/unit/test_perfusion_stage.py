"""The perfusion stage on a small moving heart whose flow is known."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from perfusion_phantom import Phantom, make_phantom

from CardiacFusionLib.perfusion.figures import curves_figure, maps_figure, save
from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.segments import segment_labels, slice_levels
from CardiacFusionLib.perfusion.stage import quantify, with_rest
from CardiacFusionLib.perfusion.wall import wall_coordinates
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.series import Sequence
from CardiacFusionLib.walls.result import CmrWalls

ISCHAEMIC = {1, 7, 13}  # the anterior wall of the phantom


@cache
def still(state: str = "stress") -> Phantom:
    normal, ischaemic = (2.5, 1.0) if state == "stress" else (1.0, 0.9)
    return make_phantom(2, breathing_mm=0.0, normal=normal, ischaemic=ischaemic, state=state)


@cache
def quantified(state: str = "stress") -> Perfusion:
    return quantify(still(state).series, still(state).walls)


def test_flow_of_healthy_and_ischaemic_segments_is_found() -> None:
    table = quantified().segments.set_index("segment")
    assert set(table.index) == set(range(1, 17))
    healthy = table.loc[[3, 4, 5, 9, 10, 11, 15, 16], "mbf_ml_min_g"]
    assert healthy.mean() == pytest.approx(2.5, rel=0.05)  # the input of these few noisy pixels is 4 % high
    assert np.all(np.abs(healthy / healthy.mean() - 1) < 0.06)
    assert table.loc[7, "mbf_curve"] == pytest.approx(1.0, rel=0.1)
    assert not quantified().maps.relative and not quantified().quality.flags


def test_the_ischaemic_wall_is_the_lowest_and_counts_as_ischaemic() -> None:
    table = quantified().segments.set_index("segment")
    assert set(table["mbf_ml_min_g"].nsmallest(3).index) == ISCHAEMIC
    assert table.loc[[1, 7], "ischaemic_share"].min() > 0.7
    assert table.loc[[3, 4, 5, 9, 10, 11], "ischaemic_share"].max() < 0.25
    assert table["upslope"].idxmin() in ISCHAEMIC
    assert table.loc[7, "time_to_peak_s"] > table.loc[10, "time_to_peak_s"]


def test_maps_lie_in_the_wall_and_nowhere_else() -> None:
    result = quantified()
    wall = result.walls.labels == 2
    for name, values in result.maps.maps.items():
        assert values.dtype == np.float32
        assert not np.any(np.isfinite(values) & ~wall), name
        assert np.isfinite(values[wall]).mean() > 0.85, name
        assert name in result.maps.units
    assert np.array_equal(result.segment_labels > 0, wall)
    both = np.stack([result.maps.maps["mbf"][wall], result.maps.maps["mbf_model_free"][wall]])
    assert np.nanmedian(both[1] / both[0]) == pytest.approx(1.0, abs=0.08)


def test_pixels_that_are_partly_blood_carry_no_flow() -> None:
    result = quantified()
    flow, wall = result.maps.maps["mbf"], result.walls.labels == 2
    depth = wall_coordinates(result.walls, result.series.poses).depth
    assert np.nanmax(flow) < 2 * 2.5
    lost = wall & ~np.isfinite(flow)
    assert lost.any() and np.all((depth[lost] <= 0.2) | (depth[lost] >= 0.8))


def test_an_unknown_sequence_gives_maps_that_call_themselves_relative() -> None:
    phantom = still()
    result = quantify(replace(phantom.series, sequence=Sequence()), phantom.walls)
    assert result.maps.relative and result.maps.units["mbf"] == "relative"
    assert "relative" in [f.name for f in result.quality.flags]
    table = result.segments.set_index("segment")
    assert set(table["mbf_ml_min_g"].nsmallest(3).index) == ISCHAEMIC


def test_brighter_pictures_and_a_later_clock_change_nothing() -> None:
    phantom = still()
    other = replace(phantom.series, array=phantom.series.array * 7.0, times_s=phantom.series.times_s + 300.0)
    again = quantify(other, phantom.walls)
    np.testing.assert_allclose(again.segments["mbf_ml_min_g"], quantified().segments["mbf_ml_min_g"], rtol=0.01)


def test_the_same_series_twice_gives_the_same_numbers_to_the_last_bit() -> None:
    again = quantify(still().series, still().walls)
    assert again.segments.equals(quantified().segments)
    np.testing.assert_array_equal(again.maps.maps["mbf"], quantified().maps.maps["mbf"])


def test_rest_gives_a_reserve_by_segment_and_by_pixel() -> None:
    both = with_rest(quantified(), quantified("rest"))
    table = both.segments.set_index("segment")
    assert table.loc[10, "mpr"] == pytest.approx(2.5, rel=0.07)
    assert table.loc[7, "mpr"] == pytest.approx(1.1, abs=0.25)
    wall = both.walls.labels == 2
    assert np.isfinite(both.maps.maps["mpr"][wall]).mean() > 0.85
    far = (both.segment_labels == 10) & wall
    assert np.nanmedian(both.maps.maps["mpr"][far]) == pytest.approx(2.5, rel=0.1)
    assert both.maps.units["mpr"] == "1"


def test_rest_given_as_stress_is_refused_or_named() -> None:
    with pytest.raises(BadInputError, match="marked as the other"):
        with_rest(quantified("rest"), quantified())
    as_stress = replace(quantified("rest"), series=replace(still("rest").series, state="stress"))
    as_rest = replace(quantified(), series=replace(still().series, state="rest"))
    assert "reserve_below_one" in [f.name for f in with_rest(as_stress, as_rest).quality.flags]


def test_no_wall_no_bolus_and_foreign_walls_end_in_one_sentence() -> None:
    phantom = still()
    empty = CmrWalls(np.zeros_like(phantom.walls.labels), phantom.walls.landmarks)
    with pytest.raises(StageError, match="myocardium"):
        quantify(phantom.series, empty)
    flat = phantom.series.with_array(np.repeat(phantom.series.array[:1], phantom.series.frame_count, axis=0))
    with pytest.raises(StageError, match="no bolus"):
        quantify(flat, phantom.walls)
    with pytest.raises(BadInputError, match="segment this series again"):
        quantify(phantom.series, CmrWalls(phantom.walls.labels[:, ::2], phantom.walls.landmarks))


def test_missed_beats_in_the_first_pass_are_named_with_their_place() -> None:
    phantom = still()
    times = phantom.series.times_s.copy()
    times[14:] += 1.2
    flags = quantify(replace(phantom.series, times_s=times), phantom.walls).quality.flags
    assert any(f.name == "rhythm_gaps" and "after frame 14" in f.reason for f in flags)


def test_breathing_is_taken_out_and_what_was_taken_out_is_kept() -> None:
    phantom = make_phantom(5, breathing_mm=12.0, slices=2)
    corrected, motion = correct_motion(phantom.series)
    left = phantom.shift_mm - motion.shift_mm
    left = left - np.median(left, axis=0)
    before = phantom.shift_mm - np.median(phantom.shift_mm, axis=0)
    assert np.sqrt((before**2).sum(-1).mean()) > 4.0
    assert np.sqrt((left**2).sum(-1).mean()) < 1.3
    assert corrected.array.shape == phantom.series.array.shape and corrected.array.dtype == np.float32
    assert motion.displacement_mm is not None and not motion.quality.flags
    # a pixel at the border of the wall flickers with every breath; held still it does not
    edge = (phantom.walls.labels[0] == 2) & (np.roll(phantom.walls.labels[0], 2, axis=0) == 1)
    flicker = [np.abs(np.diff(s.array[25:, 0][:, edge], n=2, axis=0)).mean() for s in (phantom.series, corrected)]
    assert flicker[1] < 0.5 * flicker[0]


def test_a_heart_that_does_not_move_is_left_alone() -> None:
    _, motion = correct_motion(still().series, non_rigid=False)
    assert np.abs(motion.shift_mm).max() < 0.8
    assert motion.displacement_mm is None


def test_segments_start_at_the_anterior_insertion_and_go_through_the_septum() -> None:
    phantom = still()
    labels = segment_labels(phantom.walls, phantom.series.poses, np.array([0.8, 0.5, 0.2]))
    y, x = np.mgrid[: labels.shape[1], : labels.shape[2]] - 36.0

    def main(part: np.ndarray, s: int) -> int:
        values = labels[s][part & (labels[s] > 0)]
        return int(np.bincount(values).argmax())

    up, down, left, right = (y < -abs(x) * 3), (y > abs(x) * 3), (x < -abs(y) * 3), (x > abs(y) * 3)
    assert main(up, 0) == 1 and main(down, 0) == 4 and main(up, 1) == 7 and main(down, 1) == 10
    assert {main(left & (y < 0), 1), main(left & (y > 0), 1)} == {8, 9}
    assert main(left & (y < 0), 1) == 8 and main(right & (y > 0), 1) == 11 and main(right & (y < 0), 1) == 12
    assert [main(p, 2) for p in (up, left, down, right)] == [13, 14, 15, 16]


def test_a_mirrored_picture_keeps_its_segments() -> None:
    phantom = still()
    plain = segment_labels(phantom.walls, phantom.series.poses)
    poses, marks = [], []
    width = phantom.walls.labels.shape[2]
    for pose, named in zip(phantom.series.poses, phantom.walls.landmarks):
        flip = np.diag([-1.0, 1.0, -1.0])
        origin = np.asarray(pose.origin_mm) + (width - 1) * pose.spacing_mm[0] * pose.direction[:, 0]
        poses.append(replace(pose, origin_mm=tuple(origin), direction=pose.direction @ flip))
        marks.append(named)
    mirrored = CmrWalls(phantom.walls.labels[:, :, ::-1], tuple(marks))
    np.testing.assert_array_equal(segment_labels(mirrored, tuple(poses))[:, :, ::-1], plain)


def test_the_base_is_where_the_ventricle_is_large_in_whatever_order_slices_come() -> None:
    phantom = still()
    poses = phantom.series.poses
    levels, flags = slice_levels(phantom.walls, poses)
    assert levels[0] > 2 / 3 > levels[1] > 1 / 3 > levels[2] and not flags
    turned = CmrWalls(phantom.walls.labels[::-1], phantom.walls.landmarks[::-1])
    np.testing.assert_allclose(slice_levels(turned, poses[::-1])[0], levels[::-1])
    same = CmrWalls(np.repeat(phantom.walls.labels[:1], 3, axis=0), phantom.walls.landmarks)
    assert [f.name for f in slice_levels(same, poses)[1]] == ["slice_levels_guessed"]
    with pytest.raises(BadInputError, match="level"):
        slice_levels(phantom.walls, poses, np.array([0.5]))


def test_a_slice_without_insertions_borrows_them_and_none_at_all_is_flagged() -> None:
    phantom = still()
    plain = wall_coordinates(phantom.walls, phantom.series.poses)
    one = (phantom.walls.landmarks[0], {}, phantom.walls.landmarks[2])
    borrowed = wall_coordinates(CmrWalls(phantom.walls.labels, one), phantom.series.poses)
    wall = phantom.walls.labels[1] == 2
    away = np.abs((borrowed.angle_deg[1][wall] - plain.angle_deg[1][wall] + 180) % 360 - 180)
    assert np.median(away) < 3 and not borrowed.flags
    none = wall_coordinates(CmrWalls(phantom.walls.labels, ({}, {}, {})), phantom.series.poses)
    assert [f.name for f in none.flags] == ["no_rv_insertions"]
    away = np.abs((none.angle_deg[1][wall] - plain.angle_deg[1][wall] + 180) % 360 - 180)
    assert np.median(away) < 15


def test_depth_runs_from_zero_at_the_cavity_to_one_outside() -> None:
    phantom = still()
    depth = wall_coordinates(phantom.walls, phantom.series.poses).depth[0]
    row = depth[36, 36:]
    inside = row[np.isfinite(row)]
    assert np.all(np.diff(inside) > 0) and inside[0] < 0.25 and inside[-1] > 0.75


def test_pictures_are_written_and_equal_for_equal_results(tmp_path: Path) -> None:
    first = save(curves_figure(quantified(), "phantom"), tmp_path / "a.png").read_bytes()
    second = save(curves_figure(quantified(), "phantom"), tmp_path / "b.png").read_bytes()
    assert first == second and first.startswith(b"\x89PNG")
    assert save(maps_figure(quantified(), note="phantom"), tmp_path / "c.png").stat().st_size > 10_000
