"""A case folder is there whole or not at all, and an earlier one is never lost."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from test_io_bad_ct import refused

from CardiacFusionLib.io import case_folder
from CardiacFusionLib.io.case_folder import CaseWriter, FolderWriter, read_case, sha256_of
from CardiacFusionLib.io.markups import read_landmarks, write_landmarks
from CardiacFusionLib.io.segmentation import read_segmentation, write_segmentation
from CardiacFusionLib.io.transform import read_tfm, write_tfm
from CardiacFusionLib.io.tree import tree_from_json, tree_to_json, write_tree_vtp
from CardiacFusionLib.spatial.errors import BadInputError, CancelledError, StageError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis
from CardiacFusionLib.spatial.volume import Volume

POINTS = {
    "apex": np.array([40.0, -60, -30]),
    "base": np.array([0.0, 10, 20]),
    "rv_insertion_anterior": np.array([20.0, -50, 20]),
    "rv_insertion_inferior": np.array([-5.0, -20, -30]),
}


def _tree() -> CoronaryTree:
    line = np.column_stack([np.linspace(0, 30, 7), np.zeros(7), np.ones(7) / 3])
    return CoronaryTree(
        (Branch("LM", line[:3], np.full(3, 2.1)), Branch("LAD", line[2:], np.full(5, 1.7), "LM")),
        (Stenosis("LAD", 7.5, np.array([17.5, 0, 1 / 3]), 72.0, 9.0, 3.4, 0.95, True),),
        "right",
        "lps",
        Quality((Flag("coronaries", "short", Level.DOUBTFUL, "The RCA ends early."),)),
    )


def _make(folder: Path, text: str = "one") -> None:
    with CaseWriter(folder) as inside:
        (inside / "case.json").write_text(json.dumps({"text": text}))
        (inside / "deep").mkdir()
        (inside / "deep" / "table.csv").write_text(text)


def _siblings(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.parent.iterdir())


def test_a_case_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "case"
    with CaseWriter(target) as inside:
        (inside / "case.json").write_text("{}")
        assert not target.exists()
    assert _siblings(target) == ["case"]
    assert os.access(target, os.X_OK) and (target.stat().st_mode & 0o777) == (0o777 & ~_umask())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), CancelledError("stop"), BadInputError("bad.")])
def test_a_failed_run_leaves_nothing_behind(error: BaseException, tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "case"
    with pytest.raises(type(error)), CaseWriter(target) as inside:
        (inside / "walls").mkdir()
        (inside / "walls" / "ct.seg.nrrd").write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_keeps_the_earlier_case(tmp_path: Path) -> None:
    target = tmp_path / "case"
    _make(target, "one")
    with pytest.raises(ZeroDivisionError), CaseWriter(target) as inside:
        (inside / "case.json").write_text("{}")
        raise ZeroDivisionError
    assert (target / "deep" / "table.csv").read_text() == "one"
    assert _siblings(target) == ["case"]


def test_a_second_run_replaces_the_earlier_case_entirely(tmp_path: Path) -> None:
    target = tmp_path / "case"
    _make(target, "one")
    (target / "stray.txt").write_text("old")
    _make(target, "two")
    assert (target / "deep" / "table.csv").read_text() == "two"
    assert not (target / "stray.txt").exists()
    assert _siblings(target) == ["case"]


def test_the_earlier_case_comes_back_if_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "case"
    _make(target, "one")
    rename = Path.rename

    def fail(self: Path, other: Path) -> Path:
        if ".partial-" in self.name and not self.name.endswith(".earlier"):
            raise OSError(errno.EIO, "the disk failed")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    refused(lambda: _make(target, "two"), "cannot be written")
    assert (target / "deep" / "table.csv").read_text() == "one"
    assert _siblings(target) == ["case"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_nothing_stays(number: int, tmp_path: Path) -> None:
    target = tmp_path / "case"
    with pytest.raises(StageError) as caught, CaseWriter(target) as inside:
        (inside / "case.json").write_text("{}")
        raise OSError(number, "no space left", "report.html")
    assert "full" in str(caught.value) and str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_hides_the_full_disk_is_asked_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ITK and VTK say only that they could not write."""
    usage = case_folder.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(case_folder.shutil, "disk_usage", lambda path: usage._replace(free=0))
    with pytest.raises(StageError), CaseWriter(tmp_path / "case"):
        raise OSError("could not be written")


def test_other_disk_errors_are_handed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unplugged"), CaseWriter(tmp_path / "case"):
        raise OSError("unplugged")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"1")
    refused(lambda: _make(tmp_path / "photos"), "not made by CardiacFusion")
    (tmp_path / "file").write_text("x")
    refused(lambda: _make(tmp_path / "file"), "not a folder")
    refused(lambda: _make(tmp_path / "file" / "below"), "cannot be written")
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    _make(tmp_path / "case")
    assert (tmp_path / "case" / "case.json").exists()


def test_a_case_without_its_record_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(StageError), CaseWriter(tmp_path / "case") as inside:
        (inside / "table.csv").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_twin_replaces_a_twin_but_no_case_does(tmp_path: Path) -> None:
    for _ in range(2):
        with FolderWriter(tmp_path / "twin") as inside:
            (inside / "truth.json").write_text("{}")
    refused(lambda: _make(tmp_path / "twin"), "not made by")


def test_leftovers_of_a_killed_run_are_swept_after_a_day(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".case.partial-old", tmp_path / ".case.partial-new"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "x").write_text("x")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    _make(tmp_path / "case")
    assert not old.exists() and fresh.exists()


def test_what_a_later_command_reads_is_what_was_written(tmp_path: Path) -> None:
    pose = HeartPose.from_landmarks(POINTS, 0.8)
    labels = Volume(np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 8, (1.5, 1.5, 2), (4, 5, 6), np.eye(3))
    with CaseWriter(tmp_path / "case") as inside:
        write_tfm(pose.lps_to_heart, inside / "ct_to_heart.tfm")
        write_landmarks(pose.landmarks, inside / "landmarks.mrk.json")
        (inside / "walls").mkdir()
        write_segmentation(labels, inside / "walls" / "ct_coarse.seg.nrrd")
        write_segmentation(labels, inside / "walls" / "ct.seg.nrrd")
        (inside / "coronaries").mkdir()
        (inside / "coronaries" / "tree.json").write_text(json.dumps(tree_to_json(_tree())))
        record = {"inputs": {"ct": {"path": "somewhere/ct.nrrd", "sha256": "ab"}}, "pose_confidence": 0.8}
        (inside / "case.json").write_text(json.dumps({**record, "synthetic": True}))
    case = read_case(tmp_path / "case")
    assert case.synthetic and case.ct_sha256 == "ab" and case.ct_path == Path("somewhere/ct.nrrd")
    assert case.pose is not None and case.pose.confidence == pytest.approx(0.8)
    assert np.allclose(case.pose.lps_to_heart, pose.lps_to_heart, atol=1e-9)
    assert {k: v.tolist() for k, v in case.pose.landmarks.items()} == {k: v.tolist() for k, v in POINTS.items()}
    assert case.ct_walls is not None and np.array_equal(case.ct_walls.array, labels.array)
    assert case.coarse_labels is not None
    assert case.tree is not None and tree_to_json(case.tree) == tree_to_json(_tree())


def test_a_case_of_one_stage_is_read_with_the_rest_empty(tmp_path: Path) -> None:
    _make(tmp_path / "case")
    case = read_case(tmp_path / "case")
    assert (case.pose, case.ct_walls, case.tree, case.ct_path, case.synthetic) == (None, None, None, None, False)


def test_what_is_no_case_is_refused(tmp_path: Path) -> None:
    refused(lambda: read_case(tmp_path), "case.json")
    (tmp_path / "case.json").write_text("[1")
    refused(lambda: read_case(tmp_path), "not readable JSON")
    (tmp_path / "case.json").write_text("[1]")
    refused(lambda: read_case(tmp_path), "damaged")
    (tmp_path / "case.json").write_text("{}")
    write_tfm(np.diag([1.0, 1, 2, 1]), tmp_path / "ct_to_heart.tfm")
    refused(lambda: read_case(tmp_path), "no heart pose")


def test_the_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_text("x")
    first = sha256_of(tmp_path / "a")
    (tmp_path / "a" / "1").rename(tmp_path / "a" / "2")
    second = sha256_of(tmp_path / "a")
    (tmp_path / "a" / "2").write_text("y")
    assert len({first, second, sha256_of(tmp_path / "a")}) == 3
    assert sha256_of(tmp_path / "a" / "2") == "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"


def test_the_coronary_tree_keeps_its_branches_and_radii_for_vtk(tmp_path: Path) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    write_tree_vtp(_tree(), tmp_path / "tree.vtp")
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(tmp_path / "tree.vtp"))
    reader.Update()
    data = reader.GetOutput()
    assert data.GetNumberOfLines() == 2 and data.GetCell(1).GetNumberOfPoints() == 5
    assert data.GetCellData().GetAbstractArray("Branch").GetValue(1) == "LAD"
    assert data.GetCellData().GetAbstractArray("Parent").GetValue(1) == "LM"
    radius = vtk_to_numpy(data.GetPointData().GetArray("Radius"))
    assert radius.tolist() == [2.1] * 3 + [1.7] * 5
    points = vtk_to_numpy(data.GetPoints().GetData())
    assert np.array_equal(points, np.concatenate([b.points_mm for b in _tree().branches]))


def test_an_empty_tree_can_be_written(tmp_path: Path) -> None:
    write_tree_vtp(CoronaryTree(()), tmp_path / "tree.vtp")
    assert tree_from_json(tree_to_json(CoronaryTree(()))).branches == ()
    refused(lambda: tree_from_json({"branches": [{}]}), "damaged")


def test_damaged_landmarks_transforms_and_segmentations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.mrk.json"
    refused(lambda: read_landmarks(path), "missing")
    for text, word in (
        ("{}", "not a markups file"),
        ('{"markups": [{"coordinateSystem": "RAS", "controlPoints": []}]}', "LPS"),
        ('{"markups": [{"controlPoints": [{"label": "apex"}]}]}', "damaged"),
        ('{"markups": [{"controlPoints": [{"label": "apex", "position": [1, 2]}]}]}', "no position"),
        (
            '{"markups": [{"controlPoints": [' + ", ".join(['{"label": "a", "position": [1, 2, 3]}'] * 2) + "]}]}",
            "twice",
        ),
    ):
        path.write_text(text)
        refused(lambda: read_landmarks(path), word)
    undefined = {"label": "apex", "position": [0, 0, 0], "positionStatus": "undefined"}
    path.write_text(json.dumps({"markups": [{"controlPoints": [undefined]}]}))
    assert read_landmarks(path) == {}
    (tmp_path / "x.tfm").write_text("hello")
    refused(lambda: read_tfm(tmp_path / "x.tfm"), "ITK transform")
    (tmp_path / "x.seg.nrrd").write_text("hello")
    refused(lambda: read_segmentation(tmp_path / "x.seg.nrrd"), "not a readable segmentation")
    refused(lambda: read_segmentation(tmp_path / "y.seg.nrrd"), "check the path")


def test_the_transform_file_resamples_the_ct_upright(tmp_path: Path) -> None:
    """The file maps heart -> LPS, as ITK's resampling wants it: the apex of the CT lands low on the heart's z axis."""
    import SimpleITK as sitk

    pose = HeartPose.from_landmarks(POINTS)
    write_tfm(pose.lps_to_heart, tmp_path / "t.tfm")
    apex = pose.to_heart(POINTS["apex"])
    assert sitk.ReadTransform(str(tmp_path / "t.tfm")).TransformPoint(apex.tolist()) == pytest.approx(
        POINTS["apex"].tolist()
    )
    assert apex[2] < 0 and np.abs(apex[:2]).max() < 1e-9
