"""Evaluation: figures are what they are called, cases go on after an interruption, twin and real stand apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from CardiacFusionLib.registration.result import GRID_SHAPE, Pairing, Registration
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation import report
from CardiacFusionLib.training.evaluation.cache import Cache
from CardiacFusionLib.training.evaluation.case import CaseFigures
from CardiacFusionLib.training.evaluation.cmr_figures import in_image_figures, predict_the_mean
from CardiacFusionLib.training.evaluation.corruption import CORRUPTIONS, head, noise
from CardiacFusionLib.training.evaluation.ct_figures import landmark_figures, marks_in_window
from CardiacFusionLib.training.evaluation.overlap import dice, hausdorff95_mm
from CardiacFusionLib.training.evaluation.quality_study import GOOD, inputs, quality_figures
from CardiacFusionLib.training.evaluation.real_ct_bends import Bend
from CardiacFusionLib.training.evaluation.real_ct_looks import LOOKS
from CardiacFusionLib.training.evaluation.registration_figures import registration_figures
from CardiacFusionLib.training.evaluation.run import stages_of
from CardiacFusionLib.training.evaluation.studies import STUDIES
from CardiacFusionLib.training.evaluation.summary import OURS, describe, summarise, summarise_peers
from CardiacFusionLib.training.evaluation.true_marks import INSERTIONS, material_marks, plane_points
from CardiacFusionLib.twin.heart.anatomy import Heart


def ring(centre: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[: GRID_SHAPE[0], : GRID_SHAPE[1]].astype(float)
    away = np.hypot(x - centre[0], y - centre[1])
    return np.where(away < 20, 1, np.where(away < 30, 2, 0)).astype(np.uint8)


def registered(shift: float) -> Registration:
    """The CMR lies ``shift`` mm beside the CT; the displacement found is as large."""
    ct, cmr = ring((63.5, 63.5)), ring((63.5 + shift, 63.5))
    field = np.zeros((1, 2, *GRID_SHAPE), np.float32)
    field[:, 0] = shift
    pairing = Pairing(HeartPose(np.eye(4)), np.zeros(1))
    values = np.ones(1)
    return Registration(pairing, field, -field, ct[None], cmr[None], ct[None], values, values, values * 0)


def test_overlap_and_surface_distance_of_known_masks() -> None:
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[5:15, 5:15], b[5:15, 8:18] = True, True
    assert dice(a, b) == pytest.approx(0.7)
    assert hausdorff95_mm(a, b, (1.0, 2.0)) == pytest.approx(6.0)
    assert np.isnan(hausdorff95_mm(a, a & False, (1.0, 1.0)))


def test_the_right_displacement_brings_the_muscle_home_and_none_does_not() -> None:
    ct = {INSERTIONS[0]: np.array([-20.0, -22.0]), INSERTIONS[1]: np.array([-20.0, 22.0]), "lv_centre": np.zeros(2)}
    cmr = {name: point + np.array([6.0, 0.0]) for name, point in ct.items()}
    result = registered(6.0)
    found = registration_figures(result, [ct], [cmr])
    still = registration_figures(result, [ct], [cmr], np.zeros_like(result.displacement_mm))
    assert found["rv_insertion_mm"] == pytest.approx(0.0, abs=1e-5)
    assert found["rv_insertion_before_mm"] == still["rv_insertion_mm"] == pytest.approx(6.0)
    assert found["wall_dice"] > 0.98 > still["wall_dice"]
    assert found["roll_deg"] == pytest.approx(0.0, abs=1e-4)


def test_a_turned_heart_shows_as_roll() -> None:
    angle = np.deg2rad(10.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    ct = {INSERTIONS[0]: np.array([-20.0, -22.0]), INSERTIONS[1]: np.array([-20.0, 22.0]), "lv_centre": np.zeros(2)}
    found = registration_figures(registered(0.0), [ct], [{n: turn @ p for n, p in ct.items()}])
    assert found["roll_deg"] == pytest.approx(10.0)


def test_the_same_muscle_is_found_in_both_phases_of_a_heart() -> None:
    heart = Heart.draw(np.random.default_rng(3))
    pose = HeartPose(np.eye(4))
    for phase in (heart, heart.at_phase(0.6)):
        height = float(phase.landmarks["rv_insertion_anterior"][2])
        marks = material_marks(phase, pose, plane_points(pose, height))
        # the landmark lies on the RV's groove, the muscle's mark on the epicardium below it
        assert np.linalg.norm(marks[INSERTIONS[0]] - phase.landmarks[INSERTIONS[0]]) < 5.0
    assert material_marks(heart, pose, plane_points(pose, 200.0)) == {}


def test_landmarks_are_compared_in_their_own_slice() -> None:
    true = [{INSERTIONS[0]: np.zeros(3), "lv_centre": np.ones(3)}, {INSERTIONS[1]: np.zeros(3)}]
    figures = in_image_figures([{INSERTIONS[0]: np.array([3.0, 4.0, 0.0])}, {}], true)
    assert figures["in_image_mm"] == pytest.approx(5.0)
    assert figures["seen_share"] == pytest.approx(1 / 3)


def test_predict_the_mean_never_sees_the_heart_it_predicts() -> None:
    cases = [{"apex": [0.0, 0.0, 0.0]}, {"apex": [10.0, 0.0, 0.0]}, {"apex": [20.0, 0.0, 0.0]}]
    assert [f["out_of_image_mm"] for f in predict_the_mean(cases)] == [15.0, 0.0, 15.0]


def test_the_worst_case_is_the_largest_error_or_the_lowest_score() -> None:
    assert describe("axis_deg", [1.0, -3.0, 2.0])["worst"] == -3.0
    assert describe("cavity_dice", [0.9, 0.5])["worst"] == 0.5
    assert describe("seen_share", [0.9, 0.5])["worst"] == 0.5
    assert describe("folded_share", [0.0, 0.1])["worst"] == 0.1


def cases() -> list[CaseFigures]:
    return [
        CaseFigures(1, "normal", {"reorientation": {"axis_deg": 1.0, "roll_deg": float("nan")}},
                    {"mean_pose": {"reorientation": {"axis_deg": 20.0}}}),
        CaseFigures(2, "normal", {"reorientation": {"axis_deg": 2.0, "roll_deg": 4.0}}, failures={"aif": "no bolus"}),
    ]  # fmt: skip


def test_ours_is_shown_on_the_very_cases_that_peers_were_run_on() -> None:
    assert summarise(cases())["reorientation"]["axis_deg"]["mean"] == 1.5
    assert summarise(cases())["reorientation"]["roll_deg"]["n"] == 1
    peers = summarise_peers(cases())
    assert peers[OURS]["reorientation"]["axis_deg"] == {"mean": 1.0, "sd": 0.0, "worst": 1.0, "n": 1}
    assert peers["mean_pose"]["reorientation"]["axis_deg"]["mean"] == 20.0


def test_the_cts_landmarks_stand_beside_the_mean_of_the_other_hearts() -> None:
    frame = HeartPose(np.eye(4))
    apexes = [np.array([0.0, 0.0, z]) for z in (-40.0, -45.0, -50.0)]
    truths = [HeartPose(np.eye(4), {"apex": apex, "base": np.array([0.0, 0.0, 45.0])}) for apex in apexes]
    found = HeartPose(np.eye(4), {"apex": apexes[0], "base": np.array([3.0, 4.0, 45.0])})
    assert landmark_figures(found, truths[0]) == {"apex_mm": 0.0, "base_mm": 5.0}
    made = [
        CaseFigures(k, "normal", {"reorientation": landmark_figures(found, truth)},
                    samples={"ct_marks": marks_in_window(truth, frame)})
        for k, truth in enumerate(truths)
    ]  # fmt: skip
    peers = summarise_peers(made)
    assert peers["predict_the_mean"]["reorientation"]["apex_mm"]["mean"] == pytest.approx(5.0)  # 7.5, 0 and 7.5 off
    assert peers["predict_the_mean"]["reorientation"]["base_mm"]["worst"] == 0.0
    assert peers[OURS]["reorientation"]["apex_mm"]["worst"] == 10.0


def test_finished_cases_are_read_again_unless_something_changed(tmp_path: Path) -> None:
    Cache(tmp_path, "a").write(cases()[1])
    again = Cache(tmp_path, "a").read(2)
    assert again == cases()[1]
    assert Cache(tmp_path, "b").read(2) is None
    assert Cache(tmp_path, "a").read(3) is None
    (tmp_path / "case2.json").write_text("{")
    assert Cache(tmp_path, "a").read(2) is None


def test_two_looks_at_a_heart_become_one() -> None:
    first = CaseFigures(1, "normal", {"aif": {"found": 1.0}}, failures={"ct_walls": "none"})
    second = CaseFigures(1, "normal", {"ct_walls": {"cavity_dice": 0.9}})
    both = first.together(second)
    assert set(both.figures) == {"aif", "ct_walls"}
    assert not both.failures


def test_unknown_stages_are_named() -> None:
    assert stages_of("aif,fusion") == {"aif", "fusion"}
    with pytest.raises(BadInputError, match=r"'wrong'.*reorientation"):
        stages_of("aif,wrong")


def test_the_page_keeps_twin_and_real_apart_and_says_which_bar_is_missed(tmp_path: Path) -> None:
    twin = {
        "what": "digital twins", "cases": 2, "seed": 1, "ct_spacing_mm": 1.5, "failures": {"7": {"aif": "no bolus"}},
        "reorientation": {"roll_deg": {"mean": 2.0, "sd": 1.0, "worst": 4.0, "n": 2},
                          "centre_mm": {"mean": 2.5, "sd": 0.1, "worst": 2.6, "n": 2}},
        "peers": summarise_peers(cases()),
    }  # fmt: skip
    (tmp_path / "twin.json").write_text(json.dumps(twin))
    real = {"what": "real images", "real": {"ct": {"cavity_ml": 130.0, "by_eye": {"axis_deg": 1.5}, "rows": [1]}}}
    (tmp_path / "real.json").write_text(json.dumps(real))
    row = {"wall_s": 3.0, "processor_s": 1.5, "bar_s": 2.0}
    facts = {"peak_memory_mb": 700.0, "bar_memory_mb": 3000.0, "cores": 2, "threads": 1, "device": "cpu", "load": 0.5}
    (tmp_path / "speed.json").write_text(json.dumps({"stages": {"pose": row}, **facts}))
    list(report.write_page(tmp_path, tmp_path / "page.md"))
    page = (tmp_path / "page.md").read_text()
    assert "| roll | ° | 2 ± 1 (worst 4) | 2 | ≤ 3 | yes |" in page
    assert "| centre of the heart frame | mm | 2.5 ± 0.1 (worst 2.6) | 2 | ≤ 2 | **no** |" in page
    assert "| LV wall on CT, Dice |  | not measured | – | ≥ 0.9 | **no** |" in page
    assert page.index("Digital twin") < page.index("mean pose") < page.index("no bolus") < page.index("## Real images")
    assert "| by_eye.axis_deg | 1.500 |" in page
    assert "| pose | 3 | 1.5 | ≤ 2 |" in page
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInputError, match="no evaluation files"):
        list(report.write_page(empty, tmp_path / "other.md"))


def test_every_kind_of_spoilt_input_is_met_and_none_is_made_of_a_good_heart() -> None:
    drawn = inputs(14, 2000)
    assert {kind for kind, _ in drawn} == {GOOD, *CORRUPTIONS}
    assert not {s for k, s in drawn if k == GOOD} & {s for k, s in drawn if k != GOOD}


@pytest.mark.parametrize("maker", [head, noise])
def test_inputs_without_a_heart_depend_on_their_seed_alone(maker) -> None:
    one, again, other = (maker(None, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.array, again.array)
    assert not np.array_equal(one.array, other.array)
    assert one.array.dtype == np.int16


def test_the_quality_score_is_judged_by_its_order() -> None:
    sound = [{"kind": GOOD, "score": s, "level": "good"} for s in (0.9, 0.8)]
    spoilt = [{"kind": "head", "score": 0.0, "level": "unusable"}, {"kind": "noise", "score": 0.85, "level": "good"}]
    figures = quality_figures([*sound, *spoilt])
    assert figures["auroc"]["mean"] == pytest.approx(0.75)
    assert figures["heartless_called_good"]["mean"] == 0.5
    assert figures["head_stopped"]["mean"] == 1.0


def test_another_look_changes_only_what_it_says() -> None:
    hu = np.full((12, 12, 12), 40.0, np.float32)
    labels = np.zeros(hu.shape, np.uint8)
    hu[:, :, :4], labels[:, :, :4] = 400.0, Label.LV_CAVITY
    hu[:, :, 8:], labels[:, :, 8:] = 350.0, Label.RV_CAVITY
    clear = LOOKS["right_heart_washed_out"](hu, labels)
    assert clear[:, :, 8:] == pytest.approx(60.0) and np.array_equal(clear[:, :, :8], hu[:, :, :8])
    assert LOOKS["right_heart_like_muscle"](hu, labels)[:, :, 8:] == pytest.approx(150.0)
    half = np.where(labels == Label.RV_CAVITY, np.float32(350.0), hu)
    half[:, :, 8] = 0.5 * (350.0 + 175.0)  # wall and blood share these voxels: they become half as pale as the blood
    assert LOOKS["right_heart_washed_out"](half, labels)[:, :, 8] == pytest.approx(0.5 * (175.0 + 60.0))
    pale = LOOKS["contrast_halved"](hu, labels)
    assert pale[0, 0, 0] == pytest.approx(60 + 0.45 * 340) and pale[0, 0, 5] == 40.0
    grain = LOOKS["noisy"](hu, labels) - hu
    assert grain.std() == pytest.approx(60.0, rel=0.1) and np.array_equal(grain, LOOKS["noisy"](hu, labels) - hu)


def test_a_bend_carries_picture_and_landmarks_alike() -> None:
    grid = Volume(np.zeros((40, 40, 40), np.float32), (2.0, 2.0, 2.0), (-39.0, -29.0, 101.0), np.eye(3))
    places = {"apex": (20.0, 0.0, 120.0), "base": (-15.0, 15.0, 150.0)}
    places |= {"rv_insertion_anterior": (-10.0, -20.0, 140.0), "rv_insertion_inferior": (5.0, 25.0, 125.0)}
    pose = HeartPose.from_landmarks({name: np.array(p) for name, p in places.items()})
    for seed in range(4):
        bend = Bend.draw(np.random.default_rng(seed), np.array([0.0, 5.0, 135.0]))
        points = grid.grid_lps()[::9, ::9, ::9].reshape(-1, 3)
        assert bend.back(bend.forth(points)) == pytest.approx(points, abs=0.01)
        there = bend.of_pose(pose)
        moved = [np.linalg.norm(there.landmarks[name] - p) for name, p in places.items()]
        assert max(moved) > 1.0, "a bend moves something"
        for name, place in places.items():
            blob = np.exp(-((grid.grid_lps() - place) ** 2).sum(-1) / (2 * 4.0**2)).astype(np.float32)
            bent = bend.of_volume(grid.with_array(blob), order=1)
            brightest = bent.grid_lps().reshape(-1, 3)[int(np.argmax(bent.array))]
            assert np.linalg.norm(brightest - there.landmarks[name]) < 2.5


def test_confidence_is_held_against_right_and_wrong_poses() -> None:
    told = [(0.9, True), (0.8, True), (0.7, False), (0.2, False)]
    found = [{"kind": GOOD, "level": "good", "score": 1.0, "confidence": c, "right": r} for c, r in told]
    refused = {"kind": "head", "level": "unusable", "score": 0.0}
    figures = quality_figures([*found, refused])
    assert figures["confidence_sure_right"] == {"mean": pytest.approx(2 / 3), "n": 3}
    assert figures["confidence_unsure_right"] == {"mean": 0.0, "n": 1}
    assert figures["confidence_brier"]["mean"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.04) / 4)


def test_the_findings_study_counts_every_heart_and_names_what_failed() -> None:
    tree = {"kind": "normal", "figures": {"overlap": 0.9}, "conflicts": []}
    _, _, summarise = STUDIES["findings_fine"]
    found = summarise(
        [
            tree | {"fusion": {"normal_clean": 1.0}},
            tree | {"fusion": {"normal_clean": 0.0}},
            tree | {"fusion": {}, "failure": "The series shows no ventricle.", "figures": {"overlap": 0.6}},
        ]
    )
    assert found["findings_fine"]["normal_clean"]["mean"] == 0.5
    assert found["coronaries_fine"]["overlap"]["n"] == 3
    assert found["coronaries_fine"]["overlap"]["mean"] == pytest.approx(0.8)
    assert found["failures_of_findings"] == ["The series shows no ventricle."]
