"""Correct: landmarks, walls and branches by hand; back, undone, accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CardiacFusionPanel.views import edit_segmentation, start_placing
from CardiacFusionPanel.widgets import chosen_row, fill, number, on_click


class CorrectSection:
    """The library watches the nodes and recomputes; here are the buttons and the list."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        self._rows: tuple[Any, ...] = ()
        on_click(ui.placeButton, self._place)
        on_click(ui.resetButton, self._reset)
        on_click(ui.resetAllButton, self._reset_all)
        on_click(ui.undoButton, self._undo)
        on_click(ui.editWallsButton, self._edit_walls)
        on_click(ui.deleteBranchButton, self._delete_branch)
        ui.acceptCheck.toggled.connect(self._accept)
        ui.landmarkTable.itemSelectionChanged.connect(self._to_landmark)
        logic.caseChanged.connect(self.refresh)
        logic.corrected.connect(self._changed)

    def _changed(self, changed: Any) -> None:
        self.refresh()
        self._ui.correctLabel.setText(
            _("Recomputed in {seconds:.1f} s: {what}.").format(seconds=changed.seconds, what=", ".join(changed.what))
        )

    def refresh(self) -> None:
        """The landmarks as they are, and what can be pressed."""
        ui, correction = self._ui, self._logic.correction
        ui.correctButton.setEnabled(correction is not None)
        ui.correctButton.collapsed = correction is None
        self._rows = ()
        self.apply_settings()
        can_undo = accepted = False
        with self._logic.telling():
            if correction is not None:
                self._rows, can_undo, accepted = correction.landmarks(), correction.can_undo, correction.accepted
        fill(ui.landmarkTable, [[row.title, self._state(row)] for row in self._rows])
        ui.correctLabel.setText("")
        ui.undoButton.setEnabled(bool(can_undo))
        was = ui.acceptCheck.blockSignals(True)
        ui.acceptCheck.setChecked(bool(accepted))
        ui.acceptCheck.blockSignals(was)
        self._enable_row_buttons()

    def apply_settings(self) -> None:
        """The reader's name, where one is given, goes with each correction."""
        correction, parameters = self._logic.correction, self._parameters()
        if correction is not None and parameters is not None:
            correction.who = parameters.reader.strip()

    @staticmethod
    def _state(row: Any) -> str:
        if not row.placed:
            return _("not placed: click in a view")
        if not row.by_reader:
            return _("automatic")
        return _("by the reader, {distance} from automatic").format(distance=number(row.moved_mm, "mm"))

    def _enable_row_buttons(self) -> None:
        chosen = chosen_row(self._ui.landmarkTable) is not None
        self._ui.placeButton.setEnabled(chosen)
        self._ui.resetButton.setEnabled(chosen)
        self._ui.resetAllButton.setEnabled(any(row.by_reader or not row.placed for row in self._rows))

    def _chosen(self) -> Any:
        index = chosen_row(self._ui.landmarkTable)
        return self._rows[index] if index is not None and index < len(self._rows) else None

    def _to_landmark(self) -> None:
        self._enable_row_buttons()
        row = self._chosen()
        if row is not None and row.placed:
            with self._logic.telling():
                self._logic.review.jump_to(self._logic.case, "landmark", row.name)

    def _place(self) -> None:
        row = self._chosen()
        if row is not None:
            with self._logic.telling():
                start_placing(row.node, row.index)
                self._logic.said.emit(_("Click in a view to place: {title}.").format(title=row.title), True)

    def _reset(self) -> None:
        row = self._chosen()
        if row is not None:
            self._do(lambda correction: correction.reset(row.name))

    def _reset_all(self) -> None:
        self._do(lambda correction: correction.reset(None))

    def _undo(self) -> None:
        self._do(lambda correction: correction.undo())

    def _accept(self, accepted: bool) -> None:
        parameters = self._parameters()
        who = parameters.reader.strip() if parameters is not None else ""
        self._do(lambda correction: correction.accept(bool(accepted), who))

    def _do(self, action: Callable[[Any], Any]) -> None:
        correction = self._logic.correction
        if correction is None:
            return
        with self._logic.telling():
            action(correction)
        self.refresh()

    def _edit_walls(self) -> None:
        case = self._logic.case
        if case is not None:
            with self._logic.telling():
                edit_segmentation(case.walls, case.ct)

    def _delete_branch(self) -> None:
        case = self._logic.case
        if case is None:
            return
        with self._logic.telling():
            names = case.branches()
            index = self._ui.branchBox.currentIndex
            if 0 <= index < len(names):
                self._logic.correction.delete_branch(names[index])
