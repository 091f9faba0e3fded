"""Long-axis views from files to the case: reading them, a third witness of apex and base, landmarks kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from CardiacFusionLib.cli.app import main
from CardiacFusionLib.io.long_axis import read_long_axis
from CardiacFusionLib.io.markups import read_landmarks
from CardiacFusionLib.io.write import write_dicom_perfusion
from CardiacFusionLib.pipeline import stages
from CardiacFusionLib.pipeline.files import write_results
from CardiacFusionLib.pipeline.packing import read_packed, write_packed
from CardiacFusionLib.pipeline.stages import Examinations, Results, run
from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import LongAxisView
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls.result import CmrWalls, Located, LongAxisMarks

AXES = Rotation.from_euler("xyz", [40, -20, 50], degrees=True).as_matrix()
APEX, BASE = np.array([12.0, -30.0, 55.0]), np.array([-40.0, 25.0, 95.0])
SLICES = tuple(SlicePose(tuple(12.0 * i * AXES[:, 2]), AXES, (1.8, 1.8), 8.0) for i in range(3))
BARE = CmrWalls(np.zeros((3, 4, 4), np.uint8), ({}, {}, {}))


def marks(name: str, normal: np.ndarray, off_mm: float = 0.0, apex: np.ndarray = APEX) -> LongAxisMarks:
    """A view square to ``normal`` that passes the true places by ``off_mm``."""
    normal = normal / np.linalg.norm(normal)
    across = np.cross(normal, BASE - APEX)
    across = 16.0 * across / np.linalg.norm(across)
    places = {"mitral_1": BASE - across, "mitral_2": BASE + across, "apex": apex}
    places = {k: p + off_mm * normal for k, p in places.items()}
    return LongAxisMarks(name, places, dict.fromkeys(places, 0.8), normal)


def two_views() -> list[LongAxisMarks]:
    long = (BASE - APEX) / np.linalg.norm(BASE - APEX)
    first = np.cross(long, [0.0, 0.0, 1.0])
    return [marks("2ch", first, 6.0), marks("4ch", np.cross(long, first), -5.0)]


def test_two_crossing_views_tell_all_three_coordinates() -> None:
    walls, found = with_long_axis(BARE, two_views(), SLICES)
    assert set(walls.ends) == set(found.ends)
    for name, true in (("apex", APEX), ("base", BASE)):
        one = walls.ends[name]
        assert np.linalg.norm(one.place_lps - true) < 2.5  # each view alone is 5 to 6 mm off
        assert 1.0 < one.along_sd_mm < 6.0 and 1.0 < one.across_sd_mm < 7.0
    assert not found.quality.flags


def test_the_short_axis_takes_part_and_the_cavitys_tip_goes_with_the_apex() -> None:
    shift = 8.0 * AXES[:, 2]
    own = {name: Located(p + shift, 2.0, 2.0) for name, p in (("apex", APEX), ("base", BASE))}
    own["lv_cavity_tip"] = Located(APEX + shift + 7.0 * AXES[:, 2], 2.0, 2.0)
    walls, found = with_long_axis(CmrWalls(BARE.labels, BARE.landmarks, ends=own), two_views(), SLICES)
    alone = with_long_axis(BARE, two_views(), SLICES)[1].ends
    assert all(found.ends[n].place_lps == pytest.approx(alone[n].place_lps) for n in ("apex", "base"))  # the views' own
    unshown, found = with_long_axis(CmrWalls(BARE.labels, BARE.landmarks, ends=own), [], SLICES)
    assert unshown.ends == own and not found.ends
    moved = walls.ends["apex"].place_lps - own["apex"].place_lps
    assert 2.0 < -(moved @ AXES[:, 2]) < 8.0
    assert walls.ends["lv_cavity_tip"].place_lps == pytest.approx(own["lv_cavity_tip"].place_lps + moved)


def test_a_view_far_from_the_others_is_left_out_and_said() -> None:
    views = [*two_views(), marks("3ch", np.array([1.0, 0.2, 0.1]), apex=APEX + 60.0)]
    walls, found = with_long_axis(BARE, views, SLICES)
    assert np.linalg.norm(walls.ends["apex"].place_lps - APEX) < 2.5
    assert [f.name for f in found.quality.flags] == ["apex_apart"]
    assert "3ch" in found.quality.flags[0].reason
    empty = LongAxisMarks("scout", {}, {}, np.array([1.0, 0.0, 0.0]))
    _, found = with_long_axis(BARE, [empty], SLICES)
    assert [f.name for f in found.quality.flags] == ["nothing_seen"] and not found.ends


def test_of_two_that_disagree_the_view_that_erred_elsewhere_is_left_out() -> None:
    """Two views show the apex; the surer one has all in the wrong place, as a third view's mitral valve tells."""
    first, second = two_views()
    off = np.array([0.0, 60.0, 0.0])
    moved = {name: place + off for name, place in first.places.items()}
    wrong = LongAxisMarks("3ch", moved, dict.fromkeys(moved, 0.95), first.normal)
    mitral = {name: place for name, place in first.places.items() if name != "apex"}
    without_apex = LongAxisMarks("2ch", mitral, first.beliefs, first.normal)
    walls, found = with_long_axis(BARE, [without_apex, wrong, second], SLICES)
    assert np.linalg.norm(walls.ends["apex"].place_lps - APEX) < 7.0
    assert sorted(f.name for f in found.quality.flags) == ["apex_apart", "base_apart"]
    assert all("3ch" in f.reason for f in found.quality.flags)


def write_image(path: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array) if array.ndim == 3 else sitk.JoinSeries(
        [sitk.GetImageFromArray(one) for one in array]
    )  # fmt: skip
    full = np.eye(array.ndim)
    full[:3, :3] = AXES
    image.SetDirection(full.ravel().tolist())
    image.SetOrigin([10.0, -20.0, 30.0, 0.0][: array.ndim])
    image.SetSpacing([1.4, 1.5, 9.0, 1.0][: array.ndim])
    sitk.WriteImage(image, str(path))
    return path


def test_planes_and_films_are_read_as_they_lie(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((2, 5, 6)).astype(np.float32)
    first, second = read_long_axis([write_image(tmp_path / "both.nrrd", planes)])
    assert (first.name, second.name) == ("both_1", "both_2")
    assert second.frames[0] == pytest.approx(planes[1])
    assert second.pose.origin_mm == pytest.approx(np.array([10.0, -20.0, 30.0]) + 9.0 * AXES[:, 2])
    assert second.pose.spacing_mm == pytest.approx((1.4, 1.5))
    (film,) = read_long_axis([write_image(tmp_path / "film.nii.gz", planes[:, None])])
    assert film.frames == pytest.approx(planes) and film.name == "film"
    assert film.pose.direction == pytest.approx(AXES, abs=1e-5)


def test_planes_of_a_dicom_folder_become_films(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    times = np.arange(24)[:, None] * 0.9 + np.arange(3) * 0.2
    series = Series(rng.integers(0, 400, (24, 3, 6, 7)).astype(np.float32), SLICES, times)
    write_dicom_perfusion(series, tmp_path / "dicom")
    views = read_long_axis([tmp_path / "dicom"])
    assert [view.frames.shape for view in views] == [(24, 6, 7)] * 3
    origins = sorted(view.pose.origin_mm for view in views)
    assert np.array(origins) == pytest.approx(np.array(sorted(p.origin_mm for p in SLICES)), abs=0.1)


def test_what_is_no_long_axis_view_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInputError, match="12 planes"):
        read_long_axis([write_image(tmp_path / "stack.nrrd", np.zeros((12, 5, 6), np.float32))])
    with pytest.raises(BadInputError, match="no file"):
        read_long_axis([tmp_path / "nowhere.nii"])
    out = tmp_path / "case"
    assert main(["perfusion", "--long-axis", str(tmp_path / "gone.nii"), "--out", str(out), "--progress", "none"]) == 2
    assert "gone.nii" in capsys.readouterr().err and not out.exists()


def test_the_views_reach_the_walls_and_the_case_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.arange(24)[:, None] * 0.9 + np.arange(3) * 0.2
    series = Series(np.ones((24, 3, 6, 7), np.float32), SLICES, times)
    views = tuple(LongAxisView(m.view, np.zeros((1, 6, 7), np.float32), SLICES[0]) for m in two_views())
    seen = {m.view: m for m in two_views()}
    monkeypatch.setattr(stages, "correct_motion", lambda given: (given, None))
    monkeypatch.setattr(stages, "segment_cmr", lambda given: BARE)
    monkeypatch.setattr(stages, "see_long_axis", lambda view: seen[view.name])
    without = frozenset({"perfusion"})
    plain = run(Examinations(stress=series), upto="perfusion", without=without)
    assert plain.long_axis is None and plain.cmr_walls is BARE and "long_axis" not in plain.seconds
    results = run(Examinations(stress=series, long_axis=views), upto="perfusion", without=without)
    assert results.cmr_walls is not None and set(results.cmr_walls.ends) == {"apex", "base"}
    write_results(Results(results.examinations, long_axis=results.long_axis), tmp_path)
    write_packed(results.long_axis, tmp_path / "packed.npz")
    again = read_packed(tmp_path / "packed.npz")
    assert again.ends["base"].place_lps == pytest.approx(results.cmr_walls.ends["base"].place_lps)
    assert [view.view for view in again.views] == ["2ch", "4ch"]
    kept = read_landmarks(tmp_path / "walls" / "cmr_long_axis_landmarks.mrk.json")
    assert set(kept) == {"apex", "base"} | {
        f"{n}_{v}" for n in ("apex", "mitral_1", "mitral_2") for v in ("2ch", "4ch")
    }
    assert kept["apex"] == pytest.approx(results.cmr_walls.ends["apex"].place_lps, abs=1e-6)
