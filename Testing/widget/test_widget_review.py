"""What a reader presses in Review, Correct, Quality and Export reaches the library, with the right case and value."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_review import FakeReview


@pytest.fixture
def review(desk: Any, monkeypatch: pytest.MonkeyPatch) -> FakeReview:
    """A case in the scene, opened from its folder."""
    fake = FakeReview()
    monkeypatch.setattr(desk.module.CardiacFusionLogic, "review", fake)
    desk.logic.openCase(desk.folder / "case")
    return fake


@pytest.fixture(autouse=True)
def nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing here is unexpected."""
    yield
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def text_at(table: Any, row: int, column: int) -> str:
    return str(table.item(row, column).text())


def test_without_a_case_the_sections_are_closed(desk: Any) -> None:
    for name in ("reviewButton", "correctButton", "qualityButton", "exportButton"):
        assert not getattr(desk.ui, name).enabled
    assert not desk.ui.removeCaseButton.enabled


def test_the_tables_show_the_case(desk: Any, review: FakeReview) -> None:
    ui = desk.ui
    assert [text_at(ui.segmentTable, 0, c) for c in range(5)] == ["7", "mid anterior", "0.91 mL/min/g", "LAD", "LAD"]
    assert text_at(ui.segmentTable, 1, 2) == "not measured"
    assert [text_at(ui.stenosisTable, 0, c) for c in (0, 1, 4)] == ["LAD", "78 %", "calcified"]
    assert "matches low flow" in text_at(ui.findingTable, 0, 0)
    assert text_at(ui.qualityTable, 0, 0) == "doubtful"
    assert "no CUDA device" in ui.qualityLabel.text and "SYNTHETIC" in ui.qualityLabel.text
    assert text_at(ui.landmarkTable, 0, 1) == "by the reader, 3.2 mm from automatic"
    assert text_at(ui.landmarkTable, 1, 1) == "automatic"


@pytest.mark.parametrize(
    ("table", "jump"),
    [
        ("segmentTable", ("jump_to", "segment", 7)),
        ("stenosisTable", ("jump_to", "stenosis", 0)),
        ("findingTable", ("jump_to", "finding", 0)),
        ("landmarkTable", ("jump_to", "landmark", "apex")),
    ],
)
def test_choosing_a_row_takes_the_views_there(table: str, jump: tuple[Any, ...], desk: Any, review: FakeReview) -> None:
    review.calls.clear()
    getattr(desk.ui, table).selectRow(0)
    assert jump in review.calls


def test_map_opacity_and_limits_reach_the_scene_once_each(desk: Any, review: FakeReview) -> None:
    assert {call[0] for call in review.calls} >= {"set_map", "set_opacity", "set_threshold", "set_borders"}
    review.calls.clear()
    desk.ui.opacitySlider.value = 0.4
    assert review.calls == [("set_opacity", 0.4)] and desk.parameters.mapOpacity == 0.4
    review.calls.clear()
    desk.ui.showToBox.value = 1.5
    assert review.calls == [("set_threshold", 0.0, 1.5)]
    review.calls.clear()
    desk.ui.bordersCheck.checked = False
    assert review.calls == [("set_borders", False)]
    review.calls.clear()
    desk.parameters.reader = "R"  # any other setting leaves the scene alone
    assert review.calls == []


def test_a_map_the_case_does_not_hold_is_explained(desk: Any, review: FakeReview) -> None:
    desk.ui.mapBox.currentIndex = 1  # the reserve, without a rest series
    assert "rest series" in desk.ui.mapLabel.text and "Stress flow" in desk.ui.mapLabel.text


def test_corrections_are_handed_on(desk: Any, review: FakeReview) -> None:
    correction = desk.logic.correction
    assert not desk.ui.placeButton.enabled  # no landmark chosen
    desk.ui.landmarkTable.selectRow(0)
    assert desk.ui.placeButton.enabled
    desk.ui.resetButton.click()
    desk.ui.resetAllButton.click()
    desk.ui.undoButton.click()
    desk.parameters.reader = "A. Reader"
    desk.ui.acceptCheck.checked = True
    desk.ui.branchBox.currentIndex = 1
    desk.ui.deleteBranchButton.click()
    assert correction.calls == [
        ("reset", "apex"), ("reset", None), ("undo",), ("accept", True, "A. Reader"), ("delete_branch", "RCA")
    ]  # fmt: skip
    assert ("select_branch", "RCA") in review.calls
    assert correction.who == "A. Reader"


def test_what_was_recomputed_is_told(desk: Any, review: FakeReview) -> None:
    from types import SimpleNamespace

    desk.logic.correction.on_changed(SimpleNamespace(what=("segments", "findings"), seconds=0.42))
    assert desk.ui.correctLabel.text == "Recomputed in 0.4 s: segments, findings."
    desk.logic.correction.on_problem("The apex lies above the base; move it down.")
    assert desk.last() == "The apex lies above the base; move it down."


def test_exports_need_a_folder_and_are_told(desk: Any, review: FakeReview, tmp_path: Path) -> None:
    assert not desk.ui.exportReportButton.enabled and "Choose a folder" in desk.ui.exportLabel.text
    desk.ui.exportFolderEdit.text = str(tmp_path / "out")
    review.calls.clear()
    for name in ("exportCaseButton", "exportReportButton", "exportDicomButton", "exportSceneButton"):
        getattr(desk.ui, name).click()
    names = [(call[0], Path(call[1]).name) for call in review.calls]
    assert names == [
        ("export_case_folder", "Case_1"), ("export_report", "Case_1.html"), ("export_dicom", "Case_1-dicom"),
        ("export_scene", "Case_1.mrb"),
    ]  # fmt: skip
    assert desk.ui.exportLabel.text.startswith("Written: ")


def test_an_export_that_fails_is_explained(desk: Any, review: FakeReview, tmp_path: Path) -> None:
    from CardiacFusionLib.spatial.errors import StageError

    desk.ui.exportFolderEdit.text = str(tmp_path)
    review.error = StageError("write", "the disk is full; free some space.")
    desk.ui.exportReportButton.click()
    assert desk.last() == "write: the disk is full; free some space."


def test_a_second_case_stands_beside_the_first_and_can_be_removed(desk: Any, review: FakeReview) -> None:
    desk.logic.openCase(desk.folder / "other")
    assert desk.logic.case.title == "Case 2" and desk.ui.caseBox.enabled
    first = desk.logic.correction
    desk.ui.caseBox.currentIndex = 0
    assert desk.logic.case.title == "Case 1" and not first.watching
    desk.ui.removeCaseButton.click()
    assert desk.logic.case.title == "Case 2"
    desk.ui.removeCaseButton.click()
    assert desk.logic.case is None and not desk.ui.reviewButton.enabled


def test_closing_the_scene_lets_go_of_the_case(desk: Any, review: FakeReview) -> None:
    watched = desk.logic.correction
    desk.scene.Clear(0)
    assert desk.logic.case is None and not watched.watching
    assert desk.ui.segmentTable.rowCount == 0


def test_an_unexpected_fault_is_told_and_the_panel_goes_on(
    desk: Any, review: FakeReview, caplog: pytest.LogCaptureFixture
) -> None:
    review.error = RuntimeError("odd")
    desk.ui.opacitySlider.value = 0.3
    assert "RuntimeError: odd" in desk.last() and "report" in desk.last()
    assert "CardiacFusion" in caplog.text  # this one belongs in the log
    caplog.clear()
    review.error = None
    desk.ui.opacitySlider.value = 0.5
    assert review.calls[-1] == ("set_opacity", 0.5)


class Views:
    """Plays the layout manager with two 3D views."""

    threeDViewCount = 2

    def __init__(self, review: FakeReview) -> None:
        self.shown: list[Any] = []
        self.names = ("1", review.BULLSEYE_VIEW)
        self.setLayout = self.shown.append

    def sliceWidget(self, layout: str) -> Any:
        view = SimpleNamespace(renderWindow=lambda: f"window {layout}")
        return SimpleNamespace(visible=layout != "Green", sliceView=lambda: view)

    def layoutLogic(self) -> Any:
        return SimpleNamespace(GetLayoutNode=lambda: None)

    def threeDWidget(self, index: int) -> Any:
        node = SimpleNamespace(GetLayoutName=lambda: self.names[index])
        view = SimpleNamespace(
            mrmlViewNode=lambda: node,
            interactor=lambda: f"interactor {index}",
            renderWindow=lambda: f"window {index}",
        )
        return SimpleNamespace(visible=True, threeDView=lambda: view)


def test_a_click_on_the_bullseye_takes_all_views_to_its_segment(
    desk: Any, review: FakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = Views(review)
    monkeypatch.setattr(desk.slicer.app, "layoutManager", lambda: views, raising=False)
    monkeypatch.setattr(review, "register_layout", lambda node: {"review": 4417, "planes": 4418}, raising=False)
    desk.ui.layoutReviewButton.click()
    desk.ui.layoutPlanesButton.click()
    assert views.shown == [4417, 4418]
    ((callback, interactor),) = review.picks  # one listener, whatever was pressed before
    assert interactor == "interactor 1"
    callback(7)
    assert ("jump_to", "segment", 7) in review.calls
    assert desk.ui.segmentTable.currentRow() == 0
    before = len(review.calls)
    callback(3)  # a segment that the table does not hold
    assert len(review.calls) == before
    desk.ui.removeCaseButton.click()
    assert review.picks == []


def test_nobody_hears_clicks_when_the_panel_has_gone(
    desk: Any, review: FakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = Views(review)
    monkeypatch.setattr(desk.slicer.app, "layoutManager", lambda: views, raising=False)
    monkeypatch.setattr(review, "register_layout", lambda node: {"review": 4417}, raising=False)
    desk.ui.layoutReviewButton.click()
    assert len(review.picks) == 1
    desk.widget.cleanup()
    assert review.picks == []


def test_the_report_takes_the_views_that_are_on_the_screen(
    desk: Any, review: FakeReview, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    views = Views(review)
    monkeypatch.setattr(desk.slicer.app, "layoutManager", lambda: views, raising=False)
    desk.ui.exportFolderEdit.text = str(tmp_path)
    desk.ui.exportReportButton.click()
    shown = {"short_axis": "window Red", "long_axis_vertical": "window Yellow"}
    bodies = {"surface_3d": "window 0", "bullseye": "window 1"}
    assert review.calls[-1] == ("export_report", tmp_path / "Case_1.html", {**shown, **bodies})
