"""What a reader brings along is taken as drawn: an outline by its segments' names, points by their slice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CardiacFusionLib.mrml import own_marks
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.volume import Volume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")
GRID = Volume(np.zeros((20, 22, 24), np.uint8), (1.0, 1.0, 1.0), (-30.0, 10.0, 5.0), np.eye(3))


@pytest.fixture(scope="module")
def scene() -> Iterator[Any]:
    from CardiacFusionLib.mrml.app import SceneApp

    with SceneApp() as app:
        yield app.scene


def drawn() -> Volume:
    array = np.zeros(GRID.array.shape, np.uint8)
    array[4:16, 4:18, 4:20] = Label.MYOCARDIUM
    array[6:14, 8:14, 8:16] = Label.LV_CAVITY
    return GRID.with_array(array)


def segmentation(scene: Any, names: dict[Label, str]) -> Any:
    from CardiacFusionLib.mrml.segmentations import _fill

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    for number, (label, name) in enumerate(names.items()):
        node.GetSegmentation().AddEmptySegment(f"Segment_{number}", name)
        _fill(scene, node, f"Segment_{number}", GRID.with_array((drawn().array == label).astype(np.uint8)))
    return node


def test_an_outline_is_found_by_the_names_of_its_segments(scene: Any) -> None:
    node = segmentation(scene, {Label.MYOCARDIUM: "LV Myocardium", Label.LV_CAVITY: "LV cavity"})
    assert np.array_equal(own_marks.outline_of(node, GRID).array, drawn().array)


def test_a_transform_above_the_outline_counts(scene: Any) -> None:
    from CardiacFusionLib.mrml.transforms import add_transform, place_under

    node = segmentation(scene, {Label.MYOCARDIUM: "LV wall", Label.LV_CAVITY: "LV cavity"})
    move = np.eye(4)
    move[0, 3] = 2.0
    place_under(node, add_transform(scene, move, "moved"))
    assert np.array_equal(own_marks.outline_of(node, GRID).array[:, :, 2:], drawn().array[:, :, :-2])


def test_an_outline_that_lacks_a_segment_or_lies_elsewhere_is_refused(scene: Any) -> None:
    with pytest.raises(BadInputError, match="no segment called 'lv cavity'"):
        own_marks.outline_of(segmentation(scene, {Label.MYOCARDIUM: "LV wall"}), GRID)
    node = segmentation(scene, {Label.MYOCARDIUM: "LV wall", Label.LV_CAVITY: "LV cavity"})
    far = Volume(GRID.array, GRID.spacing_mm, (500.0, 0.0, 0.0), np.eye(3))
    with pytest.raises(BadInputError, match="does not lie in the heart"):
        own_marks.outline_of(node, far)


def test_other_chambers_stay_as_they_are() -> None:
    automatic = np.full(GRID.array.shape, Label.RV_CAVITY, np.uint8)
    automatic[:5] = Label.MYOCARDIUM
    merged = own_marks.merged(GRID.with_array(automatic), drawn()).array
    assert np.array_equal(merged[drawn().array != 0], drawn().array[drawn().array != 0])
    assert merged[0, 0, 0] == 0 and merged[19, 0, 0] == Label.RV_CAVITY


def poses() -> list[SlicePose]:
    return [SlicePose((0.0, 0.0, 20.0 * k), np.eye(3), (1.5, 1.5), 8.0) for k in range(3)]


def points(scene: Any, *places: tuple[float, float, float]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Centres")
    for x, y, z in places:
        node.AddControlPoint(-x, -y, z)
    return node


def test_points_belong_to_their_nearest_slice(scene: Any) -> None:
    found = own_marks.centres_of(points(scene, (1, 2, 41), (3, 4, -2)), poses())
    assert {n: p.tolist() for n, p in found.items()} == {3: [1, 2, 41], 1: [3, 4, -2]}


def test_points_of_another_series_or_two_in_one_slice_are_refused(scene: Any) -> None:
    with pytest.raises(BadInputError, match="from the nearest stress slice"):
        own_marks.centres_of(points(scene, (0, 0, 90)), poses())
    with pytest.raises(BadInputError, match="two points in slice 2"):
        own_marks.centres_of(points(scene, (0, 0, 19), (0, 0, 21)), poses())


@pytest.fixture(scope="module")
def hand(scene: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The reader's hand on the bullet heart."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
    from bullet_folder import bullet_folder

    from CardiacFusionLib.pipeline import review

    folder = bullet_folder(tmp_path_factory.mktemp("own"))
    case = review.load_case(folder, scene)
    correction = review.Correction(case, scene, lambda changed: None, lambda sentence: pytest.fail(sentence))
    correction.watch()
    yield correction
    correction.unwatch()


def test_the_readers_outline_replaces_the_automatic_one_and_can_be_undone(scene: Any, hand: Any) -> None:
    from scipy import ndimage

    from CardiacFusionLib.mrml.segmentations import set_walls
    from CardiacFusionLib.pipeline import own_marks as use

    automatic = hand.session.results.ct_walls.labels
    labels = np.asarray(automatic.array).copy()
    wider = ndimage.binary_dilation(labels == Label.LV_CAVITY, iterations=2) & (labels == Label.MYOCARDIUM)
    labels[wider] = Label.LV_CAVITY
    mine = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    set_walls(scene, mine, automatic.with_array(labels))
    changed = use.take_outline(hand, mine)
    assert changed is not None and changed.what == ("LV wall",)
    now = np.asarray(hand.session.results.ct_walls.labels.array)
    assert np.count_nonzero((now == Label.LV_CAVITY) != (labels == Label.LV_CAVITY)) < 0.01 * wider.sum()
    assert hand.undo() is not None
    back = np.asarray(hand.session.results.ct_walls.labels.array)
    assert np.array_equal(back, np.asarray(automatic.array))


def test_the_readers_centre_of_a_slice_is_used_and_listed(scene: Any, hand: Any) -> None:
    from CardiacFusionLib.mrml.frames import points_ras
    from CardiacFusionLib.pipeline import own_marks as use

    study = hand.session.results.stress
    number, node = next(iter(hand.case.nodes.slice_centres.items()))
    was = np.asarray(study.walls.landmarks[number - 1].get("lv_centre", study.series.poses[number - 1].origin_mm))
    mark = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Centres")
    mark.AddControlPoint(*points_ras(was + 3.0 * study.series.poses[number - 1].direction[:, 0]).tolist())
    assert node is not None and use.take_centres(hand, mark) is not None
    row = next(r for r in hand.landmarks() if r.name == f"lv_centre_{number}")
    assert row.by_reader
    assert hand.undo() is not None
