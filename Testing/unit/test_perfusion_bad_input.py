"""A study that is not what it seems gives a named flag or an error, never a silently wrong map; and one examination
gives one answer, in whatever form it was stored."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from perfusion_phantom import Phantom, make_phantom

from CardiacFusionLib.io.read import read_perfusion
from CardiacFusionLib.io.write import write_dicom_perfusion, write_series
from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.perfusion.flow import SegmentFlow, left_out, standing_out
from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.stage import quantify, with_rest
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls


@cache
def still(state: str = "stress") -> Phantom:
    normal, ischaemic = (2.5, 1.0) if state == "stress" else (1.0, 0.9)
    return make_phantom(2, breathing_mm=0.0, normal=normal, ischaemic=ischaemic, state=state)


def names(study: Perfusion) -> set[str]:
    return {flag.name for flag in study.quality.flags}


def only(walls: CmrWalls, kept: list[int]) -> CmrWalls:
    return CmrWalls(walls.labels[kept], tuple(walls.landmarks[k] for k in kept))


def slices(series: Series, kept: list[int]) -> Series:
    return replace(
        series, array=series.array[:, kept], poses=tuple(series.poses[k] for k in kept), times_s=series.times_s[:, kept]
    )


def test_classic_and_enhanced_dicom_give_the_maps_of_the_nifti(tmp_path: Path) -> None:
    phantom = make_phantom(2, breathing_mm=0.0, slices=2)
    series = phantom.series.with_array(np.round(phantom.series.array))
    write_series(series, tmp_path / "stress.nii.gz")
    write_dicom_perfusion(series, tmp_path / "classic")
    write_dicom_perfusion(series, tmp_path / "enhanced", enhanced=True)
    maps = []
    for name in ("stress.nii.gz", "classic", "enhanced"):
        read = read_perfusion(tmp_path / name, "stress")
        order = [
            int(np.argmin([np.linalg.norm(np.subtract(p.origin_mm, q.origin_mm)) for q in series.poses]))
            for p in read.poses
        ]
        study = quantify(read, only(phantom.walls, order), levels=np.array([0.8, 0.5])[order])
        back = np.argsort(order)
        maps.append({key: value[back] for key, value in study.maps.maps.items()})
        assert not study.maps.relative
    for other in maps[1:]:
        for key, value in maps[0].items():
            np.testing.assert_allclose(other[key], value, atol=1e-4, err_msg=key)


def test_slices_in_reverse_order_give_the_same_segments() -> None:
    phantom = still()
    plain = quantify(phantom.series, phantom.walls).segments.set_index("segment")
    turned = quantify(slices(phantom.series, [2, 1, 0]), only(phantom.walls, [2, 1, 0]))
    table = turned.segments.set_index("segment")
    assert list(table.index) == list(plain.index)
    np.testing.assert_allclose(table["mbf_ml_min_g"], plain["mbf_ml_min_g"], rtol=0.02)


def test_shuffled_frames_and_repeated_times_are_refused() -> None:
    series = still().series
    shuffled = np.random.default_rng(0).permutation(series.frame_count)
    with pytest.raises(BadInputError, match="do not rise"):
        replace(series, array=series.array[shuffled], times_s=series.times_s[shuffled])
    times = series.times_s.copy()
    times[7] = times[6]
    with pytest.raises(BadInputError, match="unsorted or repeated"):
        replace(series, times_s=times)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frames_shuffled_under_a_rising_clock_are_named(seed: int) -> None:
    phantom = still()
    shuffled = np.random.default_rng(seed).permutation(phantom.series.frame_count)
    mixed = phantom.series.with_array(phantom.series.array[shuffled])
    try:
        found = names(quantify(mixed, phantom.walls))
    except (StageError, BadInputError):
        return
    assert found & {"poor_fit", "no_baseline", "bolus_cut_off", "aif_saturated"}


def test_a_segment_whose_curve_is_no_first_pass_is_named() -> None:
    phantom = still()
    number = 11
    wall = np.asarray(quantify(phantom.series, phantom.walls).segment_labels) == number
    array = phantom.series.array.copy()
    flicker = 1.0 + 0.6 * (np.arange(phantom.series.frame_count) % 4 > 1) * (np.arange(phantom.series.frame_count) > 12)
    array[:, wall] *= flicker[:, None].astype(np.float32)
    flags = {f.name: f.reason for f in quantify(phantom.series.with_array(array), phantom.walls).quality.flags}
    assert f"segment(s) {number}." in flags["poor_fit"]
    assert "poor_fit" not in names(quantify(phantom.series, phantom.walls))


def test_a_segment_that_is_full_of_blood_is_named() -> None:
    phantom = still()
    plain = quantify(phantom.series, phantom.walls)
    number = 12
    wall = np.asarray(plain.segment_labels) == number
    blood = phantom.walls.labels[1] == 1
    array = phantom.series.array.copy()
    rise = phantom.series.array[:, 1][:, blood].mean(axis=1)
    array[:, wall] += 0.35 * (rise - rise[:8].mean())[:, None]
    flags = {f.name: f.reason for f in quantify(phantom.series.with_array(array), phantom.walls).quality.flags}
    assert f"segment(s) {number}" in flags.get("implausible_flow", flags.get("mixed_segments", ""))
    assert not names(plain)


def segments_with(flow: dict[int, float], muscle: dict[int, float] | None = None) -> dict[int, SegmentFlow]:
    """Segments of these flows, all muscle but for the shares given."""
    return {n: SegmentFlow(v, 0.1, 0.02, 1.0, np.zeros(3), (muscle or {}).get(n, 0.9), 40) for n, v in flow.items()}


def test_a_segment_of_blood_gets_no_flow() -> None:
    flow = dict.fromkeys(range(1, 17), 2.2) | {2: 4.8}
    assert left_out(segments_with(flow, {2: 0.2})) == [2]
    assert left_out(segments_with(flow)) == []  # all muscle: named, but its flow is given
    assert standing_out(segments_with(flow)) == [2]


def test_the_one_healthy_segment_among_ischaemic_ones_keeps_its_flow() -> None:
    flow = dict.fromkeys(range(1, 17), 1.0) | {5: 2.6}
    assert left_out(segments_with(flow)) == []


def test_a_bolus_that_is_there_from_the_first_frame_on_is_named() -> None:
    phantom = still()
    late = replace(phantom.series, array=phantom.series.array[9:], times_s=phantom.series.times_s[9:])
    flag = next(f for f in quantify(late, phantom.walls).quality.flags if f.name == "no_baseline")
    assert "before the contrast agent reaches the LV" in flag.reason
    assert "no_baseline" not in names(quantify(phantom.series, phantom.walls))


def test_an_input_that_hangs_on_the_noise_is_named() -> None:
    dark = make_phantom(2, breathing_mm=0.0, noise=0.06, slices=1)
    flag = next(f for f in quantify(dark.series, dark.walls).quality.flags if f.name == "input_near_noise")
    assert "noise levels bright" in flag.reason
    bright = replace(dark, series=still().series)
    assert "input_near_noise" not in names(quantify(bright.series, still().walls))


def test_a_missing_slice_is_named_with_its_place() -> None:
    phantom = make_phantom(2, breathing_mm=0.0, slices=4)
    kept = [0, 1, 3]
    study = quantify(slices(phantom.series, kept), only(phantom.walls, kept), levels=np.array([0.9, 0.6, 0.1]))
    flag = next(f for f in study.quality.flags if f.name == "uneven_slices")
    assert "Slices 2 and 3" in flag.reason
    two = quantify(slices(still().series, [0, 2]), only(still().walls, [0, 2]))
    assert "slice_levels_guessed" in names(two)
    rest = quantify(still("rest").series, still("rest").walls)
    assert "slices_differ" in names(with_rest(two, rest))


def test_rest_given_as_stress_is_named_even_without_a_rest_series() -> None:
    as_stress = replace(still("rest").series, state="stress")
    assert "no_stress_response" in names(quantify(as_stress, still().walls))
    assert "no_stress_response" not in names(quantify(still().series, still().walls))
    assert "no_stress_response" not in names(quantify(still("rest").series, still("rest").walls))


def test_a_series_that_ends_during_the_bolus_is_named() -> None:
    phantom = still()
    cut = replace(phantom.series, array=phantom.series.array[:20], times_s=phantom.series.times_s[:20] * 0.75)
    try:
        study = quantify(cut, phantom.walls)
    except (StageError, BadInputError):
        return
    assert "bolus_cut_off" in names(study)


def test_no_contrast_agent_is_an_error_and_a_clipped_peak_a_flag() -> None:
    phantom = still()
    flat = phantom.series.with_array(np.repeat(phantom.series.array[:1], phantom.series.frame_count, axis=0))
    with pytest.raises(StageError, match="no bolus"):
        find_aif(flat, phantom.walls)
    clipped = phantom.series.with_array(np.minimum(phantom.series.array, 0.6 * phantom.series.array.max()))
    assert "aif_saturated" in names(quantify(clipped, phantom.walls))


def test_frames_of_another_heart_are_named_as_lost() -> None:
    phantom = make_phantom(5, breathing_mm=3.0, slices=1)
    array = phantom.series.array.copy()
    rng = np.random.default_rng(0)
    for t in range(10, 45, 4):
        array[t] = rng.permuted(array[t].reshape(-1)).reshape(array[t].shape)
    _, motion = correct_motion(phantom.series.with_array(array))
    flag = next(f for f in motion.quality.flags if f.name == "frames_out_of_plane")
    assert "(first: 11)" in flag.reason
    _, motion = correct_motion(phantom.series)
    assert "frames_out_of_plane" not in [f.name for f in motion.quality.flags]


def test_motion_beyond_what_is_looked_for_is_named() -> None:
    phantom = make_phantom(5, breathing_mm=3.0, slices=1)
    array = phantom.series.array.copy()
    reach = 20  # pixels of 2 mm
    for t in range(1, len(array), 2):
        array[t] = np.roll(array[t], reach if t % 4 == 1 else -reach, axis=-1)
    _, motion = correct_motion(phantom.series.with_array(array))
    assert "frames_out_of_plane" in {f.name for f in motion.quality.flags}
    _, motion = correct_motion(phantom.series)
    assert not motion.quality.flags
