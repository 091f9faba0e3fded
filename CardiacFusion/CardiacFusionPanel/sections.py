"""All sections of the panel together: what the widget talks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CardiacFusionPanel.section_correct import CorrectSection
from CardiacFusionPanel.section_export import ExportSection
from CardiacFusionPanel.section_inputs import InputsSection
from CardiacFusionPanel.section_quality import QualitySection
from CardiacFusionPanel.section_review import ReviewSection
from CardiacFusionPanel.section_run import RunSection


class Sections:
    """``ui`` holds the named widgets, ``logic`` does the work, ``parameters()`` gives the settings or None."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._logic = logic
        self.inputs = InputsSection(ui, logic, parameters)
        self.run = RunSection(ui, logic, parameters)
        self.review = ReviewSection(ui, logic, parameters)
        self.correct = CorrectSection(ui, logic, parameters)
        self.quality = QualitySection(ui, logic)
        self.export = ExportSection(ui, logic, parameters)

    def refresh(self) -> None:
        """Show everything as it is now."""
        for part in (self.inputs, self.run, self.review, self.correct, self.quality, self.export):
            part.refresh()

    def onParameters(self, caller: Any = None, event: Any = None) -> None:
        """A setting changed."""
        self.run.refresh()
        self.review.apply_settings()
        self.correct.apply_settings()
        self.export.refresh()

    def cleanup(self) -> None:
        """Let go of the logic and of the views: they outlive the widgets."""
        self.review.stop_listening()
        logic = self._logic
        for signal in (
            logic.said, logic.progressed, logic.logged, logic.runChanged, logic.caseChanged, logic.corrected
        ):  # fmt: skip
            signal.clear()
