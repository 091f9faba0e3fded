"""What a reader corrects is followed downstream, and only downstream; what he takes back is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from case_results import results_of, write_case_folder
from scipy import ndimage

from CardiacFusionLib.cli.app import main
from CardiacFusionLib.pipeline import correct as c
from CardiacFusionLib.pipeline.corrected_case import correct_case, open_reading, save_record
from CardiacFusionLib.pipeline.session import ReaderSession
from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.pipeline.stored import read_corrections, read_stages, write_corrections, write_stages
from CardiacFusionLib.registration.carry import inverted
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply, axis_angle_deg
from CardiacFusionLib.spatial.quality import Flag, Level, Quality


@pytest.fixture(scope="module")
def results() -> Results:
    return results_of()


@pytest.fixture
def case(results: Results, tmp_path: Path) -> Path:
    return write_case_folder(results, tmp_path / "case")


def turned(results: Results, degrees: float) -> dict[str, np.ndarray]:
    """The insertions turned about the long axis: the whole heart frame rolls by that much."""
    pose = results.pose
    assert pose is not None
    a = np.radians(degrees)
    spin = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    names = ("rv_insertion_anterior", "rv_insertion_inferior")
    return {n: pose.to_lps(spin @ pose.to_heart(pose.landmarks[n])) for n in names}


def test_no_correction_changes_nothing(results: Results) -> None:
    assert c.recompute(results, ()) is results


def test_a_landmark_put_where_it_was_changes_no_number(results: Results) -> None:
    """Not even by rounding: this heart is symmetric, some of its voxels lie exactly on a border between segments."""
    same = c.recompute(results, [c.move_landmark(results, "apex", results.pose.landmarks["apex"])])
    for column in ("mbf_ml_min_g", "mpr", "mass_g"):
        np.testing.assert_allclose(same.fusion.segments[column], results.fusion.segments[column], rtol=1e-9)
    assert [f.sentence for f in same.fusion.findings] == [f.sentence for f in results.fusion.findings]
    np.testing.assert_allclose(same.registration.displacement_mm, results.registration.displacement_mm, atol=0.02)


def test_a_landmark_moved_by_a_hair_moves_the_numbers_by_little(results: Results) -> None:
    apex = results.pose.landmarks["apex"] + np.array([0.05, 0.03, 0.0])
    near = c.recompute(results, [c.move_landmark(results, "apex", apex)])
    assert near.pose is not results.pose
    for column in ("mbf_ml_min_g", "mpr"):
        np.testing.assert_allclose(near.fusion.segments[column], results.fusion.segments[column], rtol=0.05)
    assert [f.sentence for f in near.fusion.findings] == [f.sentence for f in results.fusion.findings]


def test_a_moved_apex_tilts_the_heart_frame_towards_it(results: Results) -> None:
    pose = results.pose
    aside = pose.to_lps(pose.to_heart(pose.landmarks["apex"]) + np.array([6.0, 0.0, 0.0]))
    moved = c.recompute(results, [c.move_landmark(results, "apex", aside)])
    length = np.linalg.norm(pose.landmarks["base"] - pose.landmarks["apex"])
    assert axis_angle_deg(pose, moved.pose) == pytest.approx(np.degrees(np.arctan2(6.0, length)), abs=0.05)
    assert np.abs(moved.pose.to_heart(aside)[:2]).max() < 1e-6
    assert moved.reorientation.pose is moved.pose and moved.ct_walls.pose is moved.pose


def test_only_an_insertion_placed_answers_the_remark_on_a_dark_right_heart(results: Results) -> None:
    told = tuple(Flag("segment", name, Level.GOOD, "...") for name in ("right_heart_dark", "landmarks_kept"))
    dark = replace(results, ct_walls=replace(results.ct_walls, quality=Quality(told)))

    def left(name: str, place: np.ndarray) -> set[str]:
        return {f.name for f in c.recompute(dark, [c.move_landmark(dark, name, place)]).ct_walls.quality.flags}

    aside = results.pose.landmarks["apex"] + np.array([2.0, 0.0, 0.0])
    assert left("apex", aside) == {"right_heart_dark"}
    assert not left("rv_insertion_anterior", turned(results, 5.0)["rv_insertion_anterior"])


def test_turned_insertions_turn_the_segments_of_the_wall_with_them(results: Results) -> None:
    """20 degrees towards the lateral wall: every border moves by 20 degrees, and the wall itself not at all."""
    moves = [c.move_landmark(results, name, point) for name, point in turned(results, 20.0).items()]
    moved = c.recompute(results, moves)
    old, new = results.fusion.surface, moved.fusion.surface
    before, after = results.pose.to_lps(old.points_mm), moved.pose.to_lps(new.points_mm)
    assert abs(old.values["mass_g"].sum() - new.values["mass_g"].sum()) < 0.02 * old.values["mass_g"].sum()
    from scipy.spatial import cKDTree

    near = cKDTree(before).query(after)[1]
    level = np.asarray(new.values["aha_level"])
    ring = (level > 0.4) & (level < 0.9)
    change = np.mod(new.values["aha_phi_deg"][ring] - old.values["aha_phi_deg"][near][ring] + 180, 360) - 180
    assert np.median(np.abs(change)) == pytest.approx(20.0, abs=3.0)


def test_the_same_ct_point_keeps_the_same_cmr_pixel_after_a_turn(results: Results) -> None:
    """The match of the two examinations is anatomy: a corrected frame renames its coordinates only."""
    moved = c.recompute(results, [c.move_landmark(results, n, p) for n, p in turned(results, 15.0).items()])
    point = results.pose.to_lps(np.array([27.0, 6.0, 2.0]))  # lateral wall at the middle slice

    def pixel(r: Results) -> np.ndarray:
        xy = r.pose.to_heart(point)[:2]
        row, column = xy[1] + 63.5, xy[0] + 63.5
        shift = [
            float(ndimage.map_coordinates(r.registration.displacement_mm[1][k], [[row], [column]], order=1)[0])
            for k in (0, 1)
        ]
        slice_pose = r.stress.series.poses[1]
        height = r.registration.pairing.cmr_pose.to_heart(np.asarray(slice_pose.origin_mm))[2]
        return slice_pose.pixels(r.registration.pairing.cmr_pose.to_lps(np.array([*(xy + shift), height])))

    np.testing.assert_allclose(pixel(moved), pixel(results), atol=0.6)  # a pixel is 1.8 mm


def test_the_carried_inverse_undoes_the_displacement(results: Results) -> None:
    forward = results.registration.displacement_mm[0].astype(float)
    back = inverted(forward)
    y, x = np.meshgrid(np.arange(128.0), np.arange(128.0), indexing="ij")
    there = [y + back[1], x + back[0]]
    again = [ndimage.map_coordinates(forward[k], there, order=1, mode="nearest") + back[k] for k in (0, 1)]
    middle = np.s_[30:98, 30:98]
    assert max(np.abs(a[middle]).max() for a in again) < 0.1


def test_an_edited_ct_wall_changes_mass_and_registration_but_not_the_frame(results: Results) -> None:
    array = np.asarray(results.ct_walls.labels.array).copy()
    thicker = ndimage.binary_dilation(array == Label.MYOCARDIUM, iterations=2) & (array == Label.BACKGROUND)
    array[thicker] = Label.MYOCARDIUM
    edit = c.edit_ct_wall(results, results.ct_walls.labels.with_array(array))
    moved = c.recompute(results, [edit])
    assert moved.pose is results.pose
    assert moved.fusion.surface.values["mass_g"].sum() > 1.1 * results.fusion.surface.values["mass_g"].sum()
    assert np.all(moved.registration.wall_dice_after > 0.9)  # drawn together again, without a network
    assert moved.registration.folded_share.max() < 5e-3
    assert edit.record()["to"] > edit.record()["from"]


def test_an_edited_cmr_wall_brings_flow_to_the_pixels_it_gained(results: Results) -> None:
    labels = results.stress.walls.labels[1].copy()
    gained = ndimage.binary_dilation(labels == Label.MYOCARDIUM) & (labels == Label.BACKGROUND)
    labels[gained] = Label.MYOCARDIUM
    moved = c.recompute(results, [c.edit_cmr_wall(results, 2, labels)])
    assert moved.stress.segments["pixels"].sum() > results.stress.segments["pixels"].sum()
    kept = results.stress.walls.labels[1] == Label.MYOCARDIUM
    old, new = (r.stress.maps.maps["mbf"][1] for r in (results, moved))
    np.testing.assert_array_equal(old[kept & np.isfinite(new)], new[kept & np.isfinite(new)])


def test_a_moved_slice_centre_moves_that_slices_segments(results: Results) -> None:
    centre = results.stress.walls.landmarks[1]["lv_centre"]
    across = results.stress.series.poses[1].direction[:, 0]
    moved = c.recompute(results, [c.move_slice_centre(results, 2, centre + 8.0 * across)])
    changed = [np.mean(a != b) for a, b in zip(moved.stress.segment_labels, results.stress.segment_labels)]
    assert changed[1] > 0.01 and changed[0] < 0.004 and changed[2] < 0.004


def test_a_deleted_lad_leaves_its_muscle_to_its_neighbours_and_its_narrowing_is_gone(results: Results) -> None:
    assert any(f.vessel == "LAD" and f.kind == "matched" for f in results.fusion.findings)
    moved = c.recompute(results, [c.edit_branch(c.BRANCH_DELETED, results, "LAD")])
    assert not np.any(moved.fusion.surface.values["territory_patient"] == 1)
    assert not any(f.kind == "matched" and f.vessel == "LAD" for f in moved.fusion.findings)
    assert moved.registration is results.registration and moved.stress is results.stress  # nothing upstream ran


def test_a_branch_moved_aside_takes_its_radius_and_its_narrowing_along(results: Results) -> None:
    lad = results.tree.branch("LAD")
    points = lad.points_mm + np.array([1.5, 0.0, 0.0])
    moved = c.recompute(results, [c.edit_branch(c.BRANCH_MOVED, results, "LAD", points)])
    branch = moved.tree.branch("LAD")
    assert np.abs(branch.length_mm - lad.length_mm) < 1.0
    assert branch.radius_mm.min() == pytest.approx(lad.radius_mm.min(), rel=0.05)
    narrowed = moved.tree.stenoses[0]
    assert np.linalg.norm(narrowed.point_mm - results.tree.stenoses[0].point_mm) == pytest.approx(1.5, abs=0.7)


def test_a_reader_who_turns_the_heart_far_is_told_that_names_came_before(results: Results) -> None:
    far = c.recompute(results, [c.move_landmark(results, n, p) for n, p in turned(results, 30.0).items()])
    assert any(f.name == "named_before" for f in far.quality.flags)
    near = c.recompute(results, [c.move_landmark(results, n, p) for n, p in turned(results, 5.0).items()])
    assert not any(f.name == "named_before" for f in near.quality.flags)


def test_undo_and_reset_bring_the_automatic_numbers_back_exactly(case: Path) -> None:
    session = ReaderSession(open_reading(case))
    first = session.results.fusion.segments.copy()
    pose = session.results.pose
    session.add([c.move_landmark(session.results, "apex", pose.landmarks["apex"] + [5.0, 0, 0])])
    session.add([c.edit_branch(c.BRANCH_DELETED, session.results, "RCA")])
    assert session.moved_mm("apex") == pytest.approx(5.0)
    session.undo()
    assert session.results.tree.branch("RCA") is not None and session.moved_mm("apex") == pytest.approx(5.0)
    session.reset("apex")
    assert session.corrections == () and session.can_undo
    session.undo()
    assert len(session.corrections) == 1
    session.reset()
    assert session.results.fusion.segments.equals(first)


def test_a_correction_that_cannot_be_followed_leaves_the_session_as_it_was(case: Path) -> None:
    session = ReaderSession(open_reading(case))
    base = session.results.pose.landmarks["base"]
    with pytest.raises(BadInputError, match="Apex and base"):
        session.add([c.move_landmark(session.results, "apex", base + 1.0)])
    assert session.corrections == () and not session.can_undo


def test_stored_stages_come_back_bit_by_bit(results: Results, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_stages(results, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    (tmp_path / "stages.npz").write_bytes((tmp_path / "a").read_bytes())
    back = read_stages(tmp_path)
    np.testing.assert_array_equal(back.stress.series.array, results.stress.series.array)
    np.testing.assert_array_equal(back.registration.displacement_mm, results.registration.displacement_mm)
    assert back.fusion.segments.equals(results.fusion.segments) or np.allclose(
        back.fusion.segments["mbf_ml_min_g"], results.fusion.segments["mbf_ml_min_g"], equal_nan=True
    )
    assert back.quality == results.quality
    move = [c.move_landmark(results, "apex", results.pose.landmarks["apex"] + 3.0)]
    one, two = c.recompute(results, move), c.recompute(back, move)
    np.testing.assert_array_equal(one.fusion.surface.points_mm, two.fusion.surface.points_mm)


def test_a_damaged_or_missing_store_is_named(results: Results, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="run the case again"):
        read_stages(tmp_path)
    write_stages(results, tmp_path / "stages.npz")
    whole = (tmp_path / "stages.npz").read_bytes()
    (tmp_path / "stages.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="damaged"):
        read_stages(tmp_path)


def test_corrections_are_kept_with_who_and_when_as_the_reader_gave_them(results: Results, tmp_path: Path) -> None:
    labels = results.ct_walls.labels
    acts = (
        c.move_landmark(results, "apex", (1.0, 2.0, 3.0), who="Dr A", when="Monday"),
        c.edit_ct_wall(results, labels),
    )
    write_corrections(acts, tmp_path)
    back = read_corrections(tmp_path)
    assert [b.record() for b in back] == [a.record() for a in acts]
    assert back[0].record()["who"] == "Dr A" and back[1].record()["when"] == ""
    np.testing.assert_array_equal(back[1].labels.array, labels.array)


def test_the_record_names_every_correction_and_says_that_the_files_are_older(case: Path) -> None:
    session = ReaderSession(open_reading(case))
    session.add([c.move_landmark(session.results, "base", session.results.pose.landmarks["base"] + [0, 4.0, 0])])
    save_record(case, session.results, session.corrections, accepted=True, accepted_by="Dr A")
    record = json.loads((case / "case.json").read_text())
    assert record["corrections"][0]["target"] == "base" and record["files_follow_corrections"] is False
    assert record["reader"] == {"accepted": True, "by": "Dr A"}
    assert ReaderSession(open_reading(case)).moved_mm("base") == pytest.approx(4.0, abs=1e-3)
    assert not list(case.glob(".*"))


def test_the_command_line_writes_a_corrected_case_and_can_take_it_back(case: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "new", tmp_path / "again"
    apex = open_reading(case).automatic.pose.landmarks["apex"] + [4.0, 0.0, 0.0]
    place = ",".join(f"{v:.4f}" for v in apex)
    base = ["correct", str(case), "--landmark", f"apex={place}", "--delete-branch", "RCA", "--who", "Dr A"]
    assert main([*base, "--out", str(out), "--progress", "none"]) == 0
    record = json.loads((out / "case.json").read_text())
    assert [r["kind"] for r in record["corrections"]] == ["landmark", "branch_deleted"]
    assert record["files_follow_corrections"] is True
    np.testing.assert_allclose(open_reading(out).earlier.pose.landmarks["apex"], apex, atol=1e-3)
    assert "RCA" not in (out / "coronaries" / "tree.json").read_text()
    assert main(["correct", str(out), "--undo", "2", "--out", str(again), "--progress", "none"]) == 0
    for name in ("fusion/segments.csv", "landmarks.mrk.json", "coronaries/tree.json", "fusion/findings.json"):
        assert (again / name).read_bytes() == (case / name).read_bytes(), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--landmark", "apex=1,2"], "three numbers"),
        (["--landmark", "nose=1,2,3"], "No landmark is called 'nose'"),
        (["--delete-branch", "D9"], "no branch 'D9'"),
        (["--undo", "3"], "cannot be undone"),
        ([], "Nothing to correct"),
        (["--slice-centre", "9=1,2,3"], "no slice 9"),
    ],
)
def test_a_correction_that_fits_nothing_is_refused_in_a_sentence(
    case: Path, tmp_path: Path, capsys, options, words
) -> None:
    assert main(["correct", str(case), *options, "--out", str(tmp_path / "out"), "--progress", "none"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_corrected_folder_that_fails_to_be_written_leaves_the_old_one(case: Path, monkeypatch) -> None:
    from CardiacFusionLib.pipeline import corrected_case

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(corrected_case, "write_results", full)
    before = (case / "case.json").read_bytes()
    with pytest.raises(Exception, match="full"):
        correct_case(case, case, [lambda r: c.edit_branch(c.BRANCH_DELETED, r, "RCA")])
    assert (case / "case.json").read_bytes() == before
    assert [p.name for p in case.parent.iterdir()] == ["case"]


def test_a_pose_and_its_landmarks_say_the_same(results: Results) -> None:
    again = HeartPose.from_landmarks(results.pose.landmarks)
    np.testing.assert_allclose(apply(again.lps_to_heart, np.ones(3)), results.pose.to_heart(np.ones(3)), atol=1e-2)
    assert replace(results.pose, confidence=0.5).confidence == 0.5
