"""Slicer's own storage code opens what is written here, at the same place, and hands back what we can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_io_bad_perfusion import first_pass

from CardiacFusionLib.io.markups import read_landmarks, write_landmarks
from CardiacFusionLib.io.read import read_perfusion
from CardiacFusionLib.io.segmentation import STYLES, read_segmentation, write_segmentation
from CardiacFusionLib.io.transform import write_tfm
from CardiacFusionLib.io.write import write_series
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.volume import Volume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def scene() -> Iterator[Any]:
    from CardiacFusionLib.mrml.app import SceneApp

    app = SceneApp()
    yield app.scene
    app.close()


def _load(scene: Any, node_class: str, storage_class: str, path: Path) -> Any:
    node = scene.AddNode(getattr(slicer, node_class)())
    storage = scene.AddNode(getattr(slicer, storage_class)())
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    return node


def _save(scene: Any, node: Any, storage_class: str, path: Path) -> None:
    storage = scene.AddNode(getattr(slicer, storage_class)())
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1


def _matrix(fill: Any) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    fill(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def test_the_transform_puts_the_ct_upright(scene: Any, tmp_path: Path) -> None:
    lps_to_heart = np.eye(4)
    lps_to_heart[:3, :3] = first_pass().poses[0].direction.T
    lps_to_heart[:3, 3] = [3, -4, 55]
    write_tfm(lps_to_heart, tmp_path / "ct_to_heart.tfm")
    node = _load(scene, "vtkMRMLLinearTransformNode", "vtkMRMLTransformStorageNode", tmp_path / "ct_to_heart.tfm")
    assert np.abs(RAS @ _matrix(node.GetMatrixTransformToParent) @ RAS - lps_to_heart).max() < 1e-9


def test_landmarks_open_and_come_back(scene: Any, tmp_path: Path) -> None:
    points = {"apex": np.array([1.0, 2.0, 3.5]), "base": np.array([-4.0, 5.0, 6.0])}
    write_landmarks(points, tmp_path / "l.mrk.json")
    node = _load(scene, "vtkMRMLMarkupsFiducialNode", "vtkMRMLMarkupsJsonStorageNode", tmp_path / "l.mrk.json")
    position = [0.0, 0.0, 0.0]
    node.GetNthControlPointPosition(0, position)
    assert position == [-1.0, -2.0, 3.5] and node.GetNthControlPointLabel(1) == "base"
    _save(scene, node, "vtkMRMLMarkupsJsonStorageNode", tmp_path / "back.mrk.json")
    back = read_landmarks(tmp_path / "back.mrk.json")
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in points.items()}


def test_walls_open_as_named_segments_and_come_back(scene: Any, tmp_path: Path) -> None:
    array = np.zeros((8, 9, 10), np.uint8)
    array[2:6, 3:7, 2:9], array[3:5, 4:6, 3:8] = 2, 1
    labels = Volume(array, (1.5, 1.6, 2.0), (4, -50, 60), first_pass().poses[0].direction)
    write_segmentation(labels, tmp_path / "ct.seg.nrrd")
    node = _load(scene, "vtkMRMLSegmentationNode", "vtkMRMLSegmentationStorageNode", tmp_path / "ct.seg.nrrd")
    segments = [node.GetSegmentation().GetNthSegment(i) for i in range(node.GetSegmentation().GetNumberOfSegments())]
    assert [s.GetName() for s in segments] == [STYLES[1].name, STYLES[2].name]
    assert segments[1].GetColor() == pytest.approx(STYLES[2].colour)
    _save(scene, node, "vtkMRMLSegmentationStorageNode", tmp_path / "back.seg.nrrd")
    back = read_segmentation(tmp_path / "back.seg.nrrd")
    offset = np.rint(np.linalg.inv(labels.index_to_lps) @ [*back.origin_mm, 1]).astype(int)[2::-1]
    full = np.zeros_like(array)
    full[tuple(slice(o, o + n) for o, n in zip(offset, back.array.shape))] = back.array
    assert np.array_equal(full, array)
    assert np.abs(back.direction - labels.direction).max() < 1e-9


@pytest.mark.parametrize("left_handed", [False, True])
def test_a_first_pass_opens_as_a_sequence_and_comes_back(left_handed: bool, scene: Any, tmp_path: Path) -> None:
    series = first_pass()
    if left_handed:
        series = type(series)(series.array[:, ::-1], series.poses[::-1], series.times_s[:, ::-1])
    write_series(series, tmp_path / "stress.seq.nrrd", {"synthetic": True})
    node = _load(scene, "vtkMRMLSequenceNode", "vtkMRMLVolumeSequenceStorageNode", tmp_path / "stress.seq.nrrd")
    assert node.GetNumberOfDataNodes() == 24 and (node.GetIndexName(), node.GetIndexUnit()) == ("time", "s")
    assert float(node.GetNthIndexValue(3)) == pytest.approx(series.times_s[3].mean())
    to_lps = RAS @ _matrix(node.GetNthDataNode(3).GetIJKToRASMatrix)
    first: SlicePose = series.poses[-1 if left_handed else 0]
    assert np.abs(to_lps[:3, 3] - first.origin_mm).max() < 1e-9
    _save(scene, node, "vtkMRMLVolumeSequenceStorageNode", tmp_path / "back.seq.nrrd")
    back = read_perfusion(tmp_path / "back.seq.nrrd")
    if left_handed:
        series = type(series)(series.array[:, ::-1], series.poses[::-1], series.times_s[:, ::-1])
    assert np.array_equal(back.array, series.array)
    assert np.array_equal(back.times_s, series.times_s)
    for pose, truth in zip(back.poses, series.poses, strict=True):
        assert np.array_equal(pose.origin_mm, truth.origin_mm)
