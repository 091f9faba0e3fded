"""Inputs: examinations from the scene or from disk, a synthetic heart, a finished case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from CardiacFusionPanel.widgets import ask_folder, browse, choose_items, on_click

_IMAGES = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.IMA);;All files (*)"
_SERIES = "Perfusion series (*.nii *.nii.gz *.seq.nrrd *.dcm *.IMA);;All files (*)"


class InputsSection:
    """Node choosers are bound by Slicer itself; here are the buttons beside them."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        for name, words, filters in (
            ("ct", _("CT coronary angiogram"), _IMAGES),
            ("stress", _("Stress perfusion series"), _SERIES),
            ("rest", _("Rest perfusion series"), _SERIES),
        ):
            edit = getattr(ui, f"{name}FileEdit")
            browse(getattr(ui, f"{name}FileButton"), edit, False, words, filters)
            browse(getattr(ui, f"{name}FolderButton"), edit, True, words)
        browse(ui.caseFolderButton, ui.caseFolderEdit, True, _("Folder of the case"))
        on_click(ui.sampleButton, logic.makeTwin)
        on_click(ui.openCaseButton, self._open)
        on_click(ui.removeCaseButton, logic.removeCase)
        self._cases: tuple[Any, ...] = ()
        ui.caseBox.currentIndexChanged.connect(self._choose)
        logic.caseChanged.connect(self.refresh)
        logic.runChanged.connect(self.refresh)

    def _open(self) -> None:
        folder = ask_folder(self._ui.openCaseButton, _("A finished case (the folder that holds case.json)"))
        if folder is not None:
            self._logic.openCase(folder)

    def _choose(self, *changed: Any) -> None:
        index = self._ui.caseBox.currentIndex  # the signal gives a number or a text, depending on Qt
        if 0 <= index < len(self._cases):
            self._logic.choose(self._cases[index])

    def refresh(self) -> None:
        """Which cases are in the scene, and what can be pressed now."""
        ui, logic = self._ui, self._logic
        with logic.telling():
            self._cases = logic.cases() if logic.case is not None else ()
        choose_items(ui.caseBox, [case.title for case in self._cases])
        for index, case in enumerate(self._cases):
            if logic.case is not None and case.title == logic.case.title:
                was = ui.caseBox.blockSignals(True)
                ui.caseBox.setCurrentIndex(index)
                ui.caseBox.blockSignals(was)
        ui.caseBox.setEnabled(len(self._cases) > 1)
        ui.removeCaseButton.setEnabled(logic.case is not None and not logic.running)
        ui.openCaseButton.setEnabled(not logic.running)
        ui.sampleButton.setEnabled(not logic.running)
