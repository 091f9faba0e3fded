"""Run and Cancel: what is missing, stage, progress, times, log, and the sentence at the top of the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CardiacFusionPanel.prepare import case_folder, what_is_missing
from CardiacFusionPanel.progress import Progress
from CardiacFusionPanel.widgets import on_click

_BAD, _GOOD = "color: #b00020; font-weight: bold;", ""


class RunSection:
    """The middle of the panel."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        on_click(ui.applyButton, self._apply)
        on_click(ui.cancelButton, logic.cancel)
        on_click(ui.checkButton, self._check)
        logic.said.connect(self.say)
        logic.progressed.connect(self.show_progress)
        logic.logged.connect(self._log)
        logic.runChanged.connect(self.refresh)

    def _apply(self) -> None:
        parameters = self._parameters()
        if parameters is not None:
            self._ui.logText.setPlainText("")
            self._logic.fuse(parameters)

    def _check(self) -> None:
        parameters = self._parameters()
        if parameters is not None:
            self._ui.logText.setPlainText("")
            self._logic.checkComputer(parameters)

    def say(self, sentence: str, good: bool) -> None:
        """The sentence at the top; an empty one takes the last one away."""
        self._ui.messageLabel.setText(sentence)
        self._ui.messageLabel.setStyleSheet(_GOOD if good else _BAD)
        self._ui.messageLabel.setVisible(bool(sentence))

    def show_progress(self, progress: Progress) -> None:
        """Stage, bar and times of the run."""
        self._ui.stageLabel.setText(progress.message)
        self._ui.progressBar.setValue(int(100 * progress.share))
        self._ui.timeLabel.setText(progress.words())

    def _log(self, line: str) -> None:
        self._ui.logText.appendPlainText(line)

    def refresh(self) -> None:
        """Run can be pressed when nothing is missing; its tooltip says what is, or where the case will be written."""
        ui, running = self._ui, self._logic.running
        ui.cancelButton.setEnabled(running)
        ui.checkButton.setEnabled(not running)
        ui.progressBar.setVisible(running)
        ui.timeLabel.setVisible(running)
        ui.stageLabel.setVisible(running)
        if running:
            ui.applyButton.setEnabled(False)
            ui.applyButton.setToolTip(_("A run is at work; Cancel stops it."))
            return
        parameters = self._parameters()
        if parameters is None:
            return
        reason = what_is_missing(parameters)
        ui.applyButton.setEnabled(reason is None)
        ui.applyButton.setToolTip(
            reason
            if reason is not None
            else _(
                "Find the heart's axes, the arteries and the blood flow, and bring them together. Written to {folder}."
            ).format(folder=case_folder(parameters))
        )
        ui.caseFolderEdit.setPlaceholderText(str(case_folder(parameters)))
