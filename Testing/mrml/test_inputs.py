"""Nodes as inputs of a run: however a volume lies in memory, the same value lies at the same point of the patient."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from CardiacFusionLib.io.read import read_ct, read_perfusion
from CardiacFusionLib.io.write import write_series
from CardiacFusionLib.mrml import inputs
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")


def turned(degrees: float, axis: int) -> np.ndarray:
    """A rotation about one axis."""
    a, b = [i for i in range(3) if i != axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


OBLIQUE = turned(25, 2) @ turned(-40, 0) @ turned(10, 1)
# index axes (x, y, z) in another order, and which of them run backwards
WAYS = {
    "plain": ((0, 1, 2), (False, False, False)),
    "flipped": ((0, 1, 2), (True, False, True)),
    "mirrored": ((0, 1, 2), (False, True, False)),
    "permuted": ((2, 0, 1), (False, False, False)),
    "all": ((1, 2, 0), (True, False, True)),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Any]:
    from CardiacFusionLib.mrml.app import SceneApp

    with SceneApp() as app:
        yield app.scene


def rearranged(volume: Volume, order: tuple[int, ...], back: tuple[bool, ...]) -> Volume:
    """The same image with its index axes in another order and direction; every voxel stays where it is."""
    array = np.transpose(volume.array, [2 - order[2 - a] for a in range(3)])
    matrix = volume.index_to_lps[:, [*order, 3]]
    for axis, backwards in enumerate(back):
        if backwards:
            array = np.flip(array, 2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[2 - axis] - 1)
            matrix[:3, axis] *= -1
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    return Volume(np.ascontiguousarray(array), tuple(spacing), tuple(matrix[:3, 3]), matrix[:3, :3] / spacing)


def plain_ct() -> Volume:
    array = np.random.default_rng(3).integers(-500, 900, (9, 10, 11)).astype(np.int16)
    return Volume(array, (0.7, 0.8, 1.25), (12.0, -230.0, 401.5), OBLIQUE)


def first_pass() -> Series:
    """24 frames of 3 slices, 10 mm apart, each frame recognisable, in another oblique plane."""
    values = np.random.default_rng(4).random((24, 3, 6, 7)).astype(np.float32)
    axes = turned(35, 1) @ OBLIQUE
    poses = tuple(
        SlicePose(tuple(np.array([5.0, 6, 7]) + 10 * k * axes[:, 2]), axes, (1.5, 1.7), 10.0) for k in range(3)
    )
    return Series(values, poses, np.arange(24) * 0.9)


Points = tuple[np.ndarray, np.ndarray]  # places (n, 3) and values (n,)


def volume_points(volume: Volume) -> Points:
    return volume.grid_lps().reshape(-1, 3), volume.array.ravel()


def series_points(series: Series, frame: int) -> Points:
    shape = series.array.shape[2:]
    return np.stack([pose.grid_lps(shape) for pose in series.poses]).reshape(-1, 3), series.array[frame].ravel()


def same(a: Points, b: Points) -> bool:
    """Whether the same values lie at the same places, within a hundredth of a millimetre."""
    away, where = cKDTree(a[0]).query(b[0])
    return len(a[1]) == len(b[1]) and away.max() < 0.01 and np.array_equal(a[1][where], b[1])


def ct_node(scene: Any, volume: Volume) -> Any:
    from CardiacFusionLib.mrml.volumes import add_volume

    return add_volume(scene, volume, "CT")


def sequence_node(scene: Any, series: Series, order: tuple[int, ...], back: tuple[bool, ...], unit: str = "s") -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Stress")
    node.SetIndexName("time")
    node.SetIndexUnit(unit)
    first = series.poses[0]
    for frame, time in zip(series.array, series.times_s[:, 0], strict=True):
        stack = Volume(frame, (*first.spacing_mm, 10.0), first.origin_mm, first.direction)
        volume = ct_node(scene, rearranged(stack, order, back))
        node.SetDataNodeAtValue(volume, f"{time if unit == 's' else time * 1000:.6g}")
        scene.RemoveNode(volume)
    return node


@pytest.mark.parametrize("way", WAYS)
def test_a_ct_keeps_every_voxel_in_its_place(way: str, scene: Any, tmp_path: Path) -> None:
    plain = plain_ct()
    node = ct_node(scene, rearranged(plain, *WAYS[way]))
    assert inputs.why_not_ct(node) is None
    inputs.write_ct(node, tmp_path / "ct.nii")
    assert same(volume_points(read_ct(tmp_path / "ct.nii", check=False)), volume_points(plain))


def test_a_transform_above_a_ct_moves_it(scene: Any) -> None:
    from CardiacFusionLib.mrml.transforms import add_transform, place_under

    move = np.eye(4)
    move[:3, :3], move[:3, 3] = turned(30, 0), (4.0, -5.0, 6.0)
    plain = plain_ct()
    node = place_under(ct_node(scene, plain), add_transform(scene, move, "moved"))
    expected = plain.index_to_lps
    assert np.allclose(inputs.ct_of(node).index_to_lps, move @ expected)
    assert inputs.file_of(node) is None  # its file does not know of the transform


@pytest.mark.parametrize("way", WAYS)
def test_a_series_keeps_every_pixel_in_its_place_and_time(way: str, scene: Any, tmp_path: Path) -> None:
    plain = first_pass()
    node = sequence_node(scene, plain, *WAYS[way])
    assert inputs.why_not_series(node) is None
    inputs.write_series_of(node, tmp_path / "stress.nii", "stress")
    back = read_perfusion(tmp_path / "stress.nii", "stress")
    assert back.slice_count == 3 and np.allclose(back.times_s, plain.times_s)
    for frame in (0, 23):
        assert same(series_points(back, frame), series_points(plain, frame))


def test_milliseconds_become_seconds(scene: Any) -> None:
    series, _ = inputs.series_of(sequence_node(scene, first_pass(), *WAYS["plain"], unit="ms"), "stress")
    assert np.allclose(series.times_s[:, 0], np.arange(24) * 0.9)


def test_what_the_library_noted_beside_a_series_survives(scene: Any, tmp_path: Path) -> None:
    plain = first_pass()
    write_series(plain, tmp_path / "s.seq.nrrd", {"synthetic": True})
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Stress")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "s.seq.nrrd"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.ReadData(node)
    series, extra = inputs.series_of(node, "stress")
    assert extra == {"synthetic": True} and np.array_equal(series.array, plain.array)
    assert inputs.file_of(node) == tmp_path / "s.seq.nrrd"
    with pytest.raises(BadInputError, match="swap"):
        inputs.series_of(node, "rest")


def test_wrong_nodes_are_refused_with_a_sentence(scene: Any) -> None:
    from CardiacFusionLib.mrml.volumes import add_volume

    labels = add_volume(scene, plain_ct().with_array(np.zeros((9, 10, 11), np.uint8)), "Labels", labels=True)
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Colour")
    short = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Short")
    plain = first_pass()
    counted = sequence_node(scene, Series(plain.array, plain.poses, np.arange(24.0)), *WAYS["plain"])
    counted.SetIndexUnit("")
    cases = {
        "label map": inputs.why_not_ct(labels),
        "no three-dimensional image": inputs.why_not_ct(empty),
        "CT": inputs.why_not_ct(None),
        "not a sequence": inputs.why_not_series(labels),
        "at least 20": inputs.why_not_series(short),
        "only numbered": inputs.why_not_series(counted),
        "not a segmentation": inputs.why_not_segmentation(labels),
        "empty": inputs.why_not_segmentation(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")),
    }
    for words, sentence in cases.items():
        assert sentence is not None and words in sentence and sentence.endswith(".")
    assert inputs.why_not_ct(colour) is not None
    with pytest.raises(BadInputError, match="label map"):
        inputs.ct_of(labels)


def test_a_warped_volume_must_be_hardened_first(scene: Any) -> None:
    node = ct_node(scene, plain_ct())
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(warp.GetID())
    assert "harden" in str(inputs.why_not_ct(node))
