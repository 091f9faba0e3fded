"""Review: layouts, the map over the CT, and tables whose rows take all views to what they name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CardiacFusionPanel.parameters import MAP_LIMIT
from CardiacFusionPanel.views import interactor_of, show_layout
from CardiacFusionPanel.widgets import choose_items, chosen_row, fill, number, on_click


class ReviewSection:
    """Shows the current case; without one it is closed."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        self._applied: tuple[Any, ...] | None = None
        self._segments: tuple[Any, ...] = ()
        self._stenoses: tuple[Any, ...] = ()
        self._findings: tuple[Any, ...] = ()
        self._branches: tuple[str, ...] = ()
        self._pick: Any = None  # hears clicks on the bullseye
        for button, key in (
            (ui.layoutReviewButton, "review"),
            (ui.layoutPlanesButton, "planes"),
            (ui.layoutBullseyeButton, "bullseye"),
        ):
            on_click(button, lambda key=key: self._layout(key))
        ui.segmentTable.itemSelectionChanged.connect(self._to_segment)
        ui.stenosisTable.itemSelectionChanged.connect(self._to_stenosis)
        ui.findingTable.itemSelectionChanged.connect(self._to_finding)
        ui.branchBox.currentIndexChanged.connect(self._to_branch)
        logic.caseChanged.connect(self._new_case)
        logic.corrected.connect(lambda changed: self.refresh())

    def _new_case(self) -> None:
        self._applied = None
        self.stop_listening()
        if self._logic.case is not None:
            self._layout("review")
        self.refresh()

    def _layout(self, key: str) -> None:
        case = self._logic.case
        if case is None:
            return
        with self._logic.telling():
            if show_layout(self._logic.review, case, key):
                self._listen(case)
            self._applied = None
            self.apply_settings()

    def _listen(self, case: Any) -> None:
        """Let a click on the bullseye choose its segment, where that view is shown."""
        self.stop_listening()
        review = self._logic.review
        interactor = interactor_of(review.BULLSEYE_VIEW)
        if interactor is not None:
            self._pick = review.on_segment_picked(case, self._picked, interactor)

    def stop_listening(self) -> None:
        """No clicks any more: the case, the layout or the panel goes away."""
        pick, self._pick = self._pick, None
        if pick is not None:
            pick.stop()

    def _picked(self, segment: int) -> None:
        """Choose the segment's row; that takes all views there."""
        rows = [row.number for row in self._segments]
        if segment in rows:
            self._ui.segmentTable.selectRow(rows.index(segment))

    def refresh(self) -> None:
        """Fill the tables from the case."""
        ui, case = self._ui, self._logic.case
        ui.reviewButton.setEnabled(case is not None)
        ui.reviewButton.collapsed = case is None  # ctk widgets: PythonQt knows their properties, not their setters
        self._segments = self._stenoses = self._findings = self._branches = ()
        with self._logic.telling():
            if case is not None:
                self._segments, self._stenoses = case.segments(), case.stenoses()
                self._findings, self._branches = case.findings(), case.branches()
        fill(ui.segmentTable, [self._segment_row(row) for row in self._segments])
        fill(ui.stenosisTable, [self._stenosis_row(row) for row in self._stenoses])
        fill(ui.findingTable, [[row.sentence] for row in self._findings])
        choose_items(ui.branchBox, self._branches)
        self.apply_settings()

    @staticmethod
    def _segment_row(row: Any) -> list[str]:
        value = number(row.value, row.unit, 2) if row.measured else _("not measured")
        return [str(row.number), row.name, value, row.territory_patient or "", row.territory_aha or ""]

    @staticmethod
    def _stenosis_row(row: Any) -> list[str]:
        calcified = _("calcified") if row.calcified else ""
        return [
            row.branch,
            f"{row.percent:.0f} %",
            number(row.position_mm, "mm", 0),
            number(row.length_mm, "mm", 0),
            calcified,
        ]

    def apply_settings(self) -> None:
        """Bring map, opacity, threshold and borders of the scene to what the panel says; only what changed."""
        case, parameters = self._logic.case, self._parameters()
        if case is None or parameters is None:
            return
        wanted = (
            parameters.shownMap.value,
            parameters.mapOpacity,
            (parameters.showFrom, parameters.showTo if parameters.showTo < MAP_LIMIT else math.inf),
            parameters.segmentBorders,
        )
        if wanted == self._applied:
            return
        before, self._applied = self._applied, wanted
        review = self._logic.review
        with self._logic.telling():
            if before is None or before[0] != wanted[0]:
                self._show_map(review, case, wanted[0])
            if before is None or before[1] != wanted[1]:
                review.set_opacity(case, wanted[1])
            if before is None or before[2] != wanted[2] or before[0] != wanted[0]:
                review.set_threshold(case, *wanted[2])
            if before is None or before[3] != wanted[3]:
                review.set_borders(case, wanted[3])

    def _show_map(self, review: Any, case: Any, key: str) -> None:
        held = {choice.key: choice for choice in case.maps()}
        if key not in held:
            names = ", ".join(choice.title for choice in held.values())
            self._ui.mapLabel.setText(
                _("This case holds no such map (a reserve needs a rest series); it holds: {names}.").format(names=names)
            )
            return
        choice = held[key]
        review.set_map(case, key)
        scale = f"{choice.low:g} – {choice.high:g} {choice.unit}".strip()
        self._ui.mapLabel.setText(f"{choice.title}, {scale}" + (_("  SYNTHETIC") if case.synthetic else ""))
        self._segments = case.segments()
        fill(self._ui.segmentTable, [self._segment_row(row) for row in self._segments])

    def _jump(self, table: Any, rows: tuple[Any, ...], kind: str, key: str) -> None:
        index, case = chosen_row(table), self._logic.case
        if index is None or case is None or index >= len(rows):
            return
        with self._logic.telling():
            x, y, z = self._logic.review.jump_to(case, kind, getattr(rows[index], key))
            self._ui.placeLabel.setText(_("Patient position L {x:.1f}  P {y:.1f}  S {z:.1f} mm").format(x=x, y=y, z=z))

    def _to_segment(self) -> None:
        self._jump(self._ui.segmentTable, self._segments, "segment", "number")

    def _to_stenosis(self) -> None:
        self._jump(self._ui.stenosisTable, self._stenoses, "stenosis", "index")

    def _to_finding(self) -> None:
        self._jump(self._ui.findingTable, self._findings, "finding", "index")

    def _to_branch(self, *changed: Any) -> None:
        case, index = self._logic.case, self._ui.branchBox.currentIndex
        if case is None or not 0 <= index < len(self._branches):
            return
        with self._logic.telling():
            self._logic.review.select_branch(case, self._branches[index])
