"""Quality: what the stages are unsure of, in plain words, and what computed the case."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from CardiacFusionPanel.widgets import fill


class QualitySection:
    """Shows the flags of the current case."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui, self._logic = ui, logic
        logic.caseChanged.connect(self.refresh)
        logic.corrected.connect(lambda changed: self.refresh())

    def refresh(self) -> None:
        """Flags, device and version of the case."""
        ui, case = self._ui, self._logic.case
        ui.qualityButton.setEnabled(case is not None)
        flags: tuple[Any, ...] = ()
        record: dict[str, Any] = {}
        with self._logic.telling():
            if case is not None:
                flags, record = case.quality(), case.record()
        words = {"good": _("note"), "doubtful": _("doubtful"), "unusable": _("unusable")}
        fill(ui.qualityTable, [[words.get(flag.level, flag.level), flag.stage, flag.reason] for flag in flags])
        ui.qualityLabel.setText(self._summary(case, flags, record))

    @staticmethod
    def _summary(case: Any, flags: tuple[Any, ...], record: dict[str, Any]) -> str:
        if case is None:
            return ""
        doubts = sum(flag.level != "good" for flag in flags)
        lines = [_("No stage had doubts.") if not doubts else _("Doubts: {n}; read them first.").format(n=doubts)]
        if case.synthetic:
            lines.append(_("SYNTHETIC: a digital twin, no patient."))
        settings = record.get("parameters") or {}
        if settings.get("device"):
            lines.append(
                _("Computed on {device}: {reason}.").format(
                    device=settings["device"], reason=settings.get("device_reason", "")
                )
            )
        version = (record.get("software") or {}).get("version")
        if version:
            lines.append(_("CardiacFusion {version}. Research tool, not for clinical use.").format(version=version))
        return "\n".join(lines)
