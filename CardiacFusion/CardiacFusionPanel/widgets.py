"""Small helpers for Qt widgets, the same under PythonQt and other bindings: only setters and signals are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _


def fill(table: Any, rows: Sequence[Sequence[str]], tips: Sequence[str] | None = None) -> None:
    """Show rows of text in a table whose columns the .ui defines; the selection is lost without a signal."""
    was = table.blockSignals(True)
    table.clearContents()
    table.setRowCount(len(rows))
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(tips[r] if tips is not None else text)
            table.setItem(r, c, item)
    table.clearSelection()
    table.resizeColumnsToContents()
    table.resizeRowsToContents()
    table.blockSignals(was)


def chosen_row(table: Any) -> int | None:
    """Index of the selected row, or None."""
    row = table.currentRow()
    item = table.item(row, 0) if row >= 0 else None
    return row if item is not None and item.isSelected() else None


def choose_items(box: Any, names: Sequence[str]) -> None:
    """Fill a chooser; the first name is chosen, without a signal."""
    was = box.blockSignals(True)
    box.clear()
    for name in names:
        box.addItem(name)
    box.blockSignals(was)


def browse(button: Any, edit: Any, folder: bool, caption: str, filters: str = "") -> None:
    """Let a button fill a line with a path the user picks."""

    def pick(*ignored: Any) -> None:
        path = ask_folder(button, caption) if folder else ask_file(button, caption, filters)
        if path is not None:
            edit.setText(str(path))

    button.clicked.connect(pick)


def ask_folder(parent: Any, caption: str) -> Path | None:
    """A folder the user picks, or None."""
    path = qt.QFileDialog.getExistingDirectory(parent, caption)
    return Path(path) if path else None


def ask_file(parent: Any, caption: str, filters: str) -> Path | None:
    """A file the user picks, or None. Bindings differ in whether the filter comes back too."""
    path = qt.QFileDialog.getOpenFileName(parent, caption, "", filters)
    path = path[0] if isinstance(path, tuple) else path
    return Path(path) if path else None


def on_click(button: Any, action: Callable[[], None]) -> None:
    """Call ``action`` at a click, without the button's state."""
    button.clicked.connect(lambda *ignored: action())


def number(value: float | None, unit: str = "", digits: int = 1) -> str:
    """A value for a table: a dash where there is none."""
    if value is None or value != value:
        return _("–")
    return f"{value:.{digits}f}{' ' + unit if unit else ''}"
