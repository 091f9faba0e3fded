"""The reader's way through a case on Slicer's real scene and display managers: open, look, correct, keep, take back."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PINNED_BACKEND

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")

from bullet_folder import bullet_folder

from CardiacFusionLib.mrml.app import SceneApp, load_scene, save_scene
from CardiacFusionLib.mrml.frames import array_of, points_lps, points_ras
from CardiacFusionLib.mrml.layout import MAIN_3D, PLANES, heart_centre, layout_xml
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.mrml.volumes import volume_of
from CardiacFusionLib.pipeline import review
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import apply


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished case folder of the bullet heart, its CT beside it."""
    return bullet_folder(tmp_path_factory.mktemp("bullet"))


@dataclass
class Reading:
    """A case under the reader's hand."""

    app: SceneApp
    case: review.CaseInScene
    hand: review.Correction
    changes: list[review.Changed]
    problems: list[str]


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[tuple[SceneApp, review.CaseInScene]]:
    """The case in a scene, once for all."""
    with SceneApp() as app:
        case = review.load_case(folder, app.scene)
        review.show_case(case)
        yield app, case


@pytest.fixture
def reading(opened: tuple[SceneApp, review.CaseInScene], folder: Path) -> Iterator[Reading]:
    """A fresh hand on it; whatever it did is taken back in the end."""
    app, case = opened
    changes: list[review.Changed] = []
    problems: list[str] = []
    hand = review.Correction(case, app.scene, changes.append, problems.append)
    hand.watch()
    yield Reading(app, case, hand, changes, problems)
    hand.unwatch()
    case.shelf.set_facts(folder=str(folder))
    while hand.can_undo:
        hand.undo()
    (folder / "corrections.npz").unlink(missing_ok=True)


def planes_of(app: SceneApp) -> dict[str, np.ndarray]:
    views = {p.layout: app.scene.GetSingletonNode(p.layout, "vtkMRMLSliceNode") for p in PLANES}
    return {name: array_of(view.GetSliceToRAS()) for name, view in views.items()}


def let_go(node: Any, index: int, by_ras: tuple[float, float, float]) -> None:
    """Move a control point as an interaction of one step: start, move, end."""
    node.InvokeEvent(node.PointStartInteractionEvent)
    place = np.array(node.GetNthControlPointPosition(index)) + by_ras
    node.SetNthControlPointPosition(index, *place.tolist())
    node.InvokeEvent(node.PointEndInteractionEvent)


def test_an_opened_case_lists_what_the_run_found(reading: Reading) -> None:
    case = reading.case
    assert [m.key for m in case.maps()] == ["mbf", "mpr", "upslope", "peak", "time_to_peak"]
    rows = {row.number: row for row in case.segments()}
    assert len(rows) == 16 and rows[8].value < 0.7 * rows[11].value and rows[8].territory_aha == "LAD"
    assert case.stenoses()[0].branch == "LAD" and case.stenoses()[0].clear
    assert case.findings()[0].vessel == "LAD" and 7 in case.findings()[0].segments
    assert set(case.branches()) == {"LAD", "LCx", "RCA"} and case.synthetic and case.folder is not None
    assert [row.name for row in reading.hand.landmarks()][:2] == ["apex", "base"]
    assert sum(row.name.startswith("lv_centre") for row in reading.hand.landmarks()) == 3


def test_a_released_landmark_is_followed_everywhere_and_can_be_taken_back(reading: Reading) -> None:
    case = reading.case
    before = matrix_of(case.nodes.ct_to_heart)
    surface = points_lps(_points(case.nodes.surface[0]))
    table = [row.value for row in case.segments()]
    let_go(case.landmarks, 0, (6.0, 0.0, 0.0))
    assert len(reading.changes) == 1 and reading.changes[0].what == ("Apex",) and reading.problems == []
    after = matrix_of(case.nodes.ct_to_heart)
    moved = landmarks_of(case.landmarks)
    at = after[:3, :3] @ moved["apex"] + after[:3, 3]
    assert np.abs(at[:2]).max() < 1e-3  # the apex stands on the axis again
    assert np.abs(after - before).max() > 0.02
    assert np.abs(points_lps(_points(case.nodes.surface[0])) - surface).max() > 0.5
    for plane in planes_of(reading.app).values():  # and the views stand upright
        assert np.sum(np.abs(np.abs(plane[:3, :3]).max(axis=0) - 1.0)) < 1e-9
    row = reading.hand.landmarks()[0]
    assert row.by_reader and row.moved_mm == pytest.approx(6.0, abs=1e-3)
    assert case.record()["corrections"][0]["target"] == "apex"
    assert reading.hand.can_undo
    reading.hand.undo()
    np.testing.assert_allclose(matrix_of(case.nodes.ct_to_heart), before, atol=1e-9)
    np.testing.assert_allclose(points_lps(_points(case.nodes.surface[0])), surface, atol=1e-4)
    assert [row.value for row in case.segments()] == table
    assert not reading.hand.can_undo and case.record()["corrections"] == []


def _points(model: Any) -> np.ndarray:
    from vtk.util import numpy_support

    return numpy_support.vtk_to_numpy(model.GetPolyData().GetPoints().GetData()).astype(float)


def test_while_a_landmark_moves_the_other_views_follow_and_nothing_is_computed(reading: Reading) -> None:
    node = reading.case.landmarks
    start = planes_of(reading.app)
    node.InvokeEvent(node.PointStartInteractionEvent)
    apex = np.array(node.GetNthControlPointPosition(0))
    rotation = np.linalg.inv(matrix_of(reading.case.nodes.ct_to_heart)[:3, :3])
    aside = points_ras(rotation @ np.array([8.0, 0.0, 0.0]))  # lateral: within the horizontal long axis
    node.SetNthControlPointPosition(0, *(apex + aside).tolist())
    during = planes_of(reading.app)
    for name in ("Green", "Red"):  # the planes that hold the movement: it is dragged in one of them
        np.testing.assert_allclose(during[name], start[name])
    assert np.abs(during["Yellow"] - start["Yellow"]).max() > 0.01
    assert reading.changes == []
    node.InvokeEvent(node.PointEndInteractionEvent)
    assert len(reading.changes) == 1
    reading.hand.undo()


def test_an_impossible_landmark_is_told_and_goes_back(reading: Reading) -> None:
    node = reading.case.landmarks
    marks = landmarks_of(node)
    let_go(node, 0, tuple(points_ras(marks["base"] - marks["apex"]) + 1.0))
    assert reading.changes == [] and "Apex and base" in reading.problems[0]
    np.testing.assert_allclose(landmarks_of(node)["apex"], marks["apex"], atol=1e-6)


def test_a_landmark_taken_up_waits_until_it_is_placed(reading: Reading) -> None:
    node = reading.case.landmarks
    node.UnsetNthControlPointPosition(0)
    assert reading.hand.apply() is None and reading.problems == []
    assert not reading.hand.landmarks()[0].placed
    reading.hand.undo()
    assert reading.hand.landmarks()[0].placed  # nothing to undo: it goes back where it was


def test_a_moved_slice_centre_and_a_deleted_branch_are_followed(reading: Reading) -> None:
    case = reading.case
    let_go(case.nodes.slice_centres[2], 0, (4.0, 0.0, 0.0))
    assert reading.changes[-1].what == ("LV centre of slice 2",)
    reading.hand.delete_branch("LAD")
    assert set(case.branches()) == {"LCx", "RCA"}
    assert case.shelf.get("bullseye.branch.LAD") is None and not any(s.branch == "LAD" for s in case.stenoses())
    assert not any(r.territory_patient == "LAD" for r in case.segments())
    reading.hand.undo()
    assert set(case.branches()) == {"LAD", "LCx", "RCA"} and case.findings()[0].vessel == "LAD"
    reading.hand.reset()
    assert not any(row.by_reader for row in reading.hand.landmarks())


def test_an_edited_wall_is_followed_and_taken_back(reading: Reading) -> None:
    """As the Segment Editor leaves it: the segment's labelmap changed, one event."""
    import slicer
    import vtk
    from scipy import ndimage
    from vtk.util import numpy_support

    from CardiacFusionLib.mrml.segmentations import labels_of
    from CardiacFusionLib.spatial.labels import Label

    node = reading.case.walls
    grid = reading.hand.session.results.ct_walls.labels
    np.testing.assert_array_equal(labels_of(node, grid).array, grid.array)
    thick = ndimage.binary_dilation(grid.array == Label.MYOCARDIUM, iterations=2) & (grid.array == 0)
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(node.GetSegmentation().GetSegment("myocardium").GetRepresentation("Binary labelmap"))
    image.SetExtent(0, grid.size[0] - 1, 0, grid.size[1] - 1, 0, grid.size[2] - 1)
    wall = (thick | (grid.array == Label.MYOCARDIUM)).astype(np.uint8)
    image.GetPointData().SetScalars(
        numpy_support.numpy_to_vtk(wall.reshape(-1), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    )
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, "myocardium")
    assert [c.what for c in reading.changes] == [("LV wall",)] and reading.problems == []
    assert reading.case.record()["corrections"][0]["kind"] == "ct_wall"
    reading.hand.undo()
    np.testing.assert_array_equal(labels_of(node, grid).array, grid.array)


def test_unwatching_leaves_no_observer_behind(reading: Reading) -> None:
    node = reading.case.landmarks
    reading.hand.unwatch()
    let_go(node, 0, (5.0, 0.0, 0.0))
    assert reading.changes == []
    let_go(node, 0, (-5.0, 0.0, 0.0))
    for event in (node.PointModifiedEvent, node.PointEndInteractionEvent, node.PointPositionDefinedEvent):
        other = reading.case.nodes.slice_centres[1]
        assert node.HasObserver(event) == other.HasObserver(event)


def test_all_views_agree_where_they_jumped_to(reading: Reading) -> None:
    """The crosshair's pixel in each slice view, read back in patient mm, is one place (bar: 0.5 mm)."""
    import vtk

    case = reading.case
    faced: list[str] = []
    for kind, which in (
        ("segment", 8),
        ("stenosis", 0),
        ("finding", 0),
        ("landmark", "apex"),
        ("landmark", "lv_centre_2"),
    ):
        lps = np.array(review.jump_to(case, kind, which))
        crosshair = case.scene.GetSingletonNode("default", "vtkMRMLCrosshairNode")
        places = []
        for plane in PLANES:
            view = case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceNode")
            inverse = vtk.vtkMatrix4x4()
            vtk.vtkMatrix4x4.Invert(view.GetXYToRAS(), inverse)
            x, y, _, _ = inverse.MultiplyPoint((*crosshair.GetCrosshairRAS(), 1.0))
            ras = view.GetXYToRAS().MultiplyPoint(
                (round(x * 8) / 8, round(y * 8) / 8, 0.0, 1.0)
            )  # an eighth of a pixel
            heart = points_lps(np.array(ras[:3]))
            back = np.linalg.inv(matrix_of(case.nodes.ct_to_heart))
            places.append(back[:3, :3] @ heart + back[:3, 3])
        assert max(np.linalg.norm(p - lps) for p in places) < 0.5, (kind, which)
        out = apply(matrix_of(case.nodes.ct_to_heart), lps)[:2] - heart_centre(case.nodes)[:2]
        if np.linalg.norm(out) > 8.0:  # the 3D view looks at it from outside
            camera = case.scene.GetSingletonNode(MAIN_3D, "vtkMRMLCameraNode")
            seen_from = points_lps(np.array(camera.GetPosition()) - np.array(camera.GetFocalPoint()))[:2]
            assert seen_from @ out > 0.98 * np.linalg.norm(seen_from) * np.linalg.norm(out)
            faced.append(kind)
    assert {"segment", "finding"} <= set(faced)
    with pytest.raises(BadInputError, match="no narrowing 10"):
        review.jump_to(case, "stenosis", 9)
    with pytest.raises(BadInputError, match="not placed"):
        review.jump_to(case, "landmark", "nose")


def test_the_chosen_map_stands_in_every_view(reading: Reading) -> None:
    case = reading.case
    review.set_map(case, "mpr")
    for plane in PLANES:
        composite = case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode")
        assert composite.GetForegroundVolumeID() == case.nodes.wall_map_of("mpr").GetID()
    assert case.nodes.surface[0].GetDisplayNode().GetActiveScalarName() == "mpr"
    assert case.segments()[0].unit == "1"
    review.set_threshold(case, 1.0, 3.0)
    assert case.wall_map.GetDisplayNode().GetLowerThreshold() == 1.0
    review.set_opacity(case, 0.4)
    assert composite.GetForegroundOpacity() == pytest.approx(0.4)
    review.set_borders(case, False)
    assert not any(n.GetDisplayNode().GetVisibility() for n in case.nodes.borders)
    review.set_map(case, "mbf")
    with pytest.raises(BadInputError, match="no map"):
        review.set_map(case, "t2")


def test_borders_are_drawn_where_a_slice_cuts_them_across(reading: Reading) -> None:
    def views(kind: str) -> set[str]:
        display = reading.case.shelf.get(f"borders.{kind}").GetDisplayNode()
        return {plane.layout for plane in PLANES if display.IsDisplayableInView(plane.node_id)}

    ids = {plane.node_id for plane in PLANES}
    found = {reading.case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceNode").GetID() for plane in PLANES}
    assert found == ids
    assert views("radial") == {"Red"}
    assert views("rings") == {"Green", "Yellow"}


def test_the_frames_play_together_and_the_curves_show_the_chosen_branch(reading: Reading) -> None:
    case = reading.case
    browser = case.shelf.get("frames.Stress")
    frames = [case.shelf.get(f"frames.Stress.proxy.{n}") for n in (1, 2, 3)]
    series = reading.hand.session.results.stress.series
    for item in (0, 11):
        browser.SetSelectedItemNumber(item)
        for index, node in enumerate(frames):
            np.testing.assert_allclose(volume_of(node).array[0], series.array[item, index])
    for index, node in enumerate(frames):
        assert node.GetParentTransformNode() is case.shelf.get(f"place.stress.{index + 1}")
    review.select_branch(case, "RCA")
    chart = case.shelf.get("chart.diameter")
    assert chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows() == len(
        reading.hand.session.results.tree.branch("RCA").points_mm
    )
    assert case.shelf.get("chart.perfusion").GetNumberOfPlotSeriesNodes() >= 13
    with pytest.raises(BadInputError):
        review.select_branch(case, "D9")


def test_the_layout_names_views_that_the_case_fills(reading: Reading) -> None:
    import xml.etree.ElementTree as tree

    found = {
        (view.get("class"), view.get("singletontag"))
        for kind in ("review", "planes", "bullseye")
        for view in tree.fromstring(layout_xml(kind)).iter("view")
    }
    assert len(found) == 7
    for class_name, tag in found:
        assert reading.app.scene.GetSingletonNode(tag, class_name) is not None, tag
    import slicer

    node = slicer.vtkMRMLLayoutNode()
    assert review.register_layout(node) == review.register_layout(node)
    assert all(number > 100 and node.IsLayoutDescription(number) for number in review.LAYOUT_IDS.values())


def test_a_second_case_stays_apart_and_removing_it_leaves_the_first_untouched(reading: Reading, folder: Path) -> None:
    first = reading.case
    table, count = first.segments(), reading.app.scene.GetNumberOfNodes()
    second = review.load_case(folder, reading.app.scene)
    assert second.title != first.title and len(review.cases_in(reading.app.scene)) == 2
    mine = {n.GetID() for n in first.shelf.under("")}
    assert not mine & {n.GetID() for n in second.shelf.under("")}
    said: list[Any] = []
    other = review.Correction(second, reading.app.scene, said.append, said.append)
    place = np.array(second.landmarks.GetNthControlPointPosition(0)) + 5.0
    before = matrix_of(first.nodes.ct_to_heart)
    second.landmarks.SetNthControlPointPosition(0, *place.tolist())
    other.apply()
    np.testing.assert_array_equal(matrix_of(first.nodes.ct_to_heart), before)
    assert first.segments() == table and reading.changes == []
    review.remove_case(second)
    assert reading.app.scene.GetNumberOfNodes() == count and not second.alive
    assert first.segments() == table and first.alive


def test_what_is_known_of_a_case_goes_with_it(folder: Path) -> None:
    """A session holds the images of its case: hundreds of megabytes for a clinical one."""
    with SceneApp() as app:
        case = review.load_case(folder, app.scene)
        known = weakref.ref(review.session_of(case))
        review.remove_case(case)
        gc.collect()
        assert known() is None
        known = weakref.ref(review.session_of(review.load_case(folder, app.scene)))
        app.scene.Clear(1)
        review.forget_gone()  # as the panel does when a scene was closed
        gc.collect()
        assert known() is None


@pytest.mark.slow
def test_twenty_times_in_and_out_leaves_the_scene_as_it_was(folder: Path) -> None:
    import psutil

    with SceneApp() as app:
        review.remove_case(review.load_case(folder, app.scene))
        count, ids, memory = app.scene.GetNumberOfNodes(), _ids(app), []
        for _ in range(20):
            case = review.load_case(folder, app.scene)
            review.remove_case(case)
            assert app.scene.GetNumberOfNodes() == count
            memory.append(psutil.Process().memory_info().rss)
        assert _ids(app) == ids
        assert max(memory[15:]) < 1.05 * max(memory[:5])  # what the allocator keeps is kept after some runs


def _ids(app: SceneApp) -> set[str]:
    return {app.scene.GetNthNode(i).GetID() for i in range(app.scene.GetNumberOfNodes())}


def test_nothing_stays_behind_when_a_case_cannot_be_drawn(folder: Path, monkeypatch) -> None:
    from CardiacFusionLib.mrml import charts

    def broken(*args: object) -> None:
        raise BadInputError("no")

    with SceneApp() as app:
        before = {i for i in _ids(app) if "SubjectHierarchy" not in i}
        monkeypatch.setattr(charts, "draw_diameter_charts", broken)
        with pytest.raises(BadInputError):
            review.load_case(folder, app.scene)
        assert {i for i in _ids(app) if "SubjectHierarchy" not in i} == before
        assert review.cases_in(app.scene) == ()


def test_a_case_comes_back_from_a_bundle_and_can_be_corrected_on(reading: Reading, tmp_path: Path) -> None:
    first = reading.case
    let_go(first.landmarks, 0, (4.0, 0.0, 0.0))
    review.select_branch(first, "LCx")
    path = review.export_scene(reading.app.scene, tmp_path / "scene.mrb")
    with SceneApp() as app:
        load_scene(app.scene, path)
        (case,) = review.cases_in(app.scene)
        assert case.segments() == first.segments() and case.findings() == first.findings()
        assert case.stenoses() == first.stenoses() and case.quality() == first.quality()
        assert case.record()["corrections"] == first.record()["corrections"] and case.maps() == first.maps()
        assert case.shelf.roles() == first.shelf.roles()
        for name in first.shelf.roles():
            assert case.shelf.get(name).GetName() == first.shelf.get(name).GetName(), name
        np.testing.assert_allclose(
            landmarks_of(case.landmarks)["apex"], landmarks_of(first.landmarks)["apex"], atol=1e-3
        )
        hand = review.Correction(case, app.scene, lambda c: None, lambda s: pytest.fail(s))
        assert hand.landmarks()[0].moved_mm == pytest.approx(4.0, abs=1e-3)
        hand.undo()
        np.testing.assert_allclose(
            matrix_of(case.nodes.ct_to_heart), hand.session.automatic.pose.lps_to_heart, atol=1e-6
        )
        browser = case.shelf.get("frames.Stress")
        browser.SetSelectedItemNumber(5)
        frame = volume_of(case.shelf.get("frames.Stress.proxy.2")).array[0]
        np.testing.assert_allclose(frame, hand.session.results.stress.series.array[5, 1])


def test_a_case_whose_folder_is_gone_says_so(reading: Reading, tmp_path: Path) -> None:
    reading.case.shelf.set_facts(folder=str(tmp_path / "nowhere"))
    other = review.CaseInScene(reading.app.scene, reading.case.shelf)
    assert other.folder is None
    with pytest.raises(BadInputError, match="gone"):
        review.save_case_record(other)


def test_exports_are_written_whole(reading: Reading, tmp_path: Path) -> None:
    report = review.export_report(reading.case, tmp_path / "report.html")
    assert "LAD" in report.read_text(encoding="utf-8")
    out = review.export_case_folder(reading.case, tmp_path / "out")
    assert (out / "fusion" / "segments.csv").is_file() and (out / "stages.npz").is_file()
    with pytest.raises(BadInputError):
        review.export_dicom(reading.case, tmp_path / "dicom")  # the series of this case was no DICOM
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "report.html"]


def click(interactor: Any, x: int, y: int, drawn: int = 0) -> None:
    """Press, move right by so many pixels, let go."""
    interactor.SetEventInformation(x, y)
    interactor.InvokeEvent("LeftButtonPressEvent")
    interactor.SetEventInformation(x + drawn, y)
    interactor.InvokeEvent("LeftButtonReleaseEvent")


def test_a_click_on_the_bullseye_names_the_segment_under_it(reading: Reading, tmp_path: Path) -> None:
    from CardiacFusionLib.mrml.app import choose_window
    from CardiacFusionLib.mrml.bullseye import BULLSEYE_VIEW, place
    from CardiacFusionLib.mrml.layout import aim_bodies, heart_centre
    from CardiacFusionLib.mrml.view_windows import ThreeDView
    from CardiacFusionLib.report.polar import segment_centre

    choose_window(PINNED_BACKEND)
    view = ThreeDView(reading.app, BULLSEYE_VIEW)
    picked: list[int] = []
    try:
        aim_bodies(reading.app.scene, reading.case.nodes, heart_centre(reading.case.nodes))
        view.grab()
        handle = review.on_segment_picked(reading.case, picked.append, view.interactor)
        for segment in (1, 8, 15):
            world = points_ras(place(segment_centre(segment)[None])[0])
            view.renderer.SetWorldPoint(*world.tolist(), 1.0)
            view.renderer.WorldToDisplay()
            x, y, _ = view.renderer.GetDisplayPoint()
            click(view.interactor, round(x), round(y))
        click(view.interactor, round(x), round(y), 12)  # a drag turns the view and picks nothing
        handle.stop()
        click(view.interactor, round(x), round(y))
        report = review.export_report(reading.case, tmp_path / "report.html", {"bullseye": view.window})
        page = report.read_text(encoding="utf-8")
        assert page.count("data:image/png") > 1 and "views that were not shown" in page
    finally:
        view.close()
    assert picked == [1, 8, 15]


def test_saving_is_what_the_next_opening_shows(reading: Reading, folder: Path) -> None:
    let_go(reading.case.landmarks, 1, (0.0, 5.0, 0.0))
    reading.hand.accept(True, "Dr A")
    assert reading.hand.accepted
    with SceneApp() as app:
        again = review.load_case(folder, app.scene)
        np.testing.assert_allclose(
            matrix_of(again.nodes.ct_to_heart), matrix_of(reading.case.nodes.ct_to_heart), atol=1e-9
        )
        assert again.segments() == reading.case.segments()
        save_scene(app.scene, folder.parent / "kept.mrb")
    (folder.parent / "kept.mrb").unlink()


def test_every_map_of_the_case_can_be_shown_with_its_unit(reading: Reading) -> None:
    """One that is not drawn yet is made from the case folder, follows a correction, and goes when another is chosen."""
    case = reading.case
    flow = {row.number: row.value for row in case.segments()}
    assert case.nodes.wall_map_of("peak") is None
    for key, unit in (("peak", "mmol/L"), ("time_to_peak", "s")):
        review.set_map(case, key)
        wall = case.nodes.wall_map_of(key)
        for plane in PLANES:
            composite = reading.app.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode")
            assert composite.GetForegroundVolumeID() == wall.GetID()
        assert wall.GetAttribute("CardiacFusion.Unit") == unit
        assert case.nodes.surface[0].GetDisplayNode().GetActiveScalarName() == key
        assert {row.unit for row in case.segments()} == {unit}
        assert f"({unit})" in _legend_of(wall).GetTitleText()
    assert case.nodes.wall_map_of("peak") is None  # only what is shown is kept
    assert all(abs(row.value - 9.0) < 0.01 for row in case.segments())
    review.set_map(case, "peak")
    for row in case.segments():  # the bullet heart's peak is 0.4 of its flow
        assert row.value == pytest.approx(0.4 * flow[row.number], rel=0.08), row.number
    let_go(case.landmarks, 0, (6.0, 0.0, 0.0))
    assert reading.changes and case.nodes.shown == "peak" and case.nodes.wall_map_of("peak") is not None
    review.set_map(case, "mbf")
    reading.hand.undo()
    assert {name.split(".")[2] for name in case.shelf.roles("measured.stress.")} == {"mbf", "mpr"}
    assert case.shelf.roles("wall_map.") == ["wall_map.mbf", "wall_map.mpr"]
    assert {row.number: row.value for row in case.segments()} == flow
    with pytest.raises(BadInputError, match="holds no map 'nothing'"):
        review.set_map(case, "nothing")


def _legend_of(node: Any) -> Any:
    import slicer

    return slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
