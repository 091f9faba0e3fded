"""Export: case folder, report, DICOM, scene; each whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CardiacFusionPanel import packages
from CardiacFusionPanel.job import free_name
from CardiacFusionPanel.views import windows
from CardiacFusionPanel.widgets import browse, on_click


class ExportSection:
    """Four buttons and a folder."""

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        browse(ui.exportFolderButton, ui.exportFolderEdit, True, _("Folder for exports"))
        browse(ui.weightsFolderButton, ui.weightsFolderEdit, True, _("Folder of network weights"))
        self._buttons = (ui.exportCaseButton, ui.exportReportButton, ui.exportDicomButton, ui.exportSceneButton)
        on_click(ui.exportCaseButton, lambda: self._export("case"))
        on_click(ui.exportReportButton, lambda: self._export("report"))
        on_click(ui.exportDicomButton, lambda: self._export("dicom"))
        on_click(ui.exportSceneButton, lambda: self._export("scene"))
        logic.caseChanged.connect(self.refresh)

    def refresh(self) -> None:
        """Buttons work where there is a case and a folder; their section says what is missing."""
        case, parameters = self._logic.case, self._parameters()
        folder = parameters.exportFolder.strip() if parameters is not None else ""
        self._ui.exportButton.setEnabled(case is not None)
        for button in self._buttons:
            button.setEnabled(case is not None and bool(folder))
        if case is not None and not folder:
            self._ui.exportLabel.setText(_("Choose a folder for the exports."))

    def _export(self, kind: str) -> None:
        case, parameters = self._logic.case, self._parameters()
        if case is None or parameters is None:
            return
        folder = Path(parameters.exportFolder.strip()).expanduser()
        name = re.sub(r"[^\w-]+", "_", case.title).strip("_") or "case"
        with self._logic.telling():
            folder.mkdir(parents=True, exist_ok=True)
            review = self._logic.review
            if kind == "case":
                written = review.export_case_folder(case, free_name(folder / name))
            elif kind == "report":
                written = review.export_report(case, folder / f"{name}.html", windows(review.BULLSEYE_VIEW))
            elif kind == "dicom":
                packages.ensure(packages.EXPORT)
                written = review.export_dicom(case, free_name(folder / f"{name}-dicom"))
            else:
                written = review.export_scene(slicer.mrmlScene, folder / f"{name}.mrb")
            self._ui.exportLabel.setText(_("Written: {path}").format(path=written))
