"""The module, opened over slicer-core's scene with stand-ins for Qt and the application."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
MODULE_FOLDER = ROOT / "CardiacFusion"


@dataclass
class Desk:
    """An opened module: what a test looks at and presses."""

    module: Any  # CardiacFusion.py
    widget: Any  # CardiacFusionWidget
    slicer: Any
    qt: Any
    scene: Any
    folder: Path
    said: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def ui(self) -> Any:
        """The named widgets."""
        return self.widget.ui

    @property
    def logic(self) -> Any:
        """The module's logic."""
        return self.widget.logic

    @property
    def parameters(self) -> Any:
        """The settings."""
        return self.widget.parameters()

    def panel(self, name: str) -> Any:
        """A part of the panel by its file name."""
        return sys.modules[f"CardiacFusionPanel.{name}"]

    def wait(self, seconds: float = 60.0) -> None:
        """Let Qt work until no run is left, or fail."""
        loop = self.qt.QEventLoop()
        ticker, limit = self.qt.QTimer(), self.qt.QTimer()
        ticker.timeout.connect(lambda: None if self.logic.running else loop.quit())
        ticker.start(20)
        limit.setSingleShot(True)
        limit.timeout.connect(loop.quit)
        limit.start(int(1000 * seconds))
        loop.exec_()
        ticker.stop()
        assert not self.logic.running, "the run did not end"

    def last(self) -> str:
        """The sentence at the top of the panel."""
        return str(self.ui.messageLabel.text)


@pytest.fixture(scope="session")
def qapp() -> Any:
    """One QApplication for all tests."""
    reason = "PySide6-Essentials is not installed or Qt's libraries are missing (pip install cardiacfusion[dev])"
    widgets = pytest.importorskip("PySide6.QtWidgets", reason=reason, exc_type=ImportError)
    return widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def desk(qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The module as a user has it before him: loaded, opened, in an empty scene."""
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")
    import standin_qt
    import standin_slicer

    from CardiacFusionLib.mrml.app import SceneApp

    qt, ctk, own_widgets = standin_qt.make_modules()
    with SceneApp() as app:
        app.scene.RegisterNodeClass(slicer.vtkMRMLScriptedModuleNode())
        for name, module in standin_slicer.modules_of(slicer, qt, ctk, MODULE_FOLDER).items():
            monkeypatch.setitem(sys.modules, name, module)
        for name, kind in own_widgets.items():
            monkeypatch.setattr(slicer, name, kind, raising=False)
        documents = tmp_path / "documents"
        documents.mkdir()
        monkeypatch.setattr(slicer, "app", standin_slicer.App(documents), raising=False)
        monkeypatch.setattr(slicer, "modules", types.SimpleNamespace(), raising=False)
        monkeypatch.setattr(sys, "path", [str(MODULE_FOLDER), *sys.path])
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        opened = _open(qt, slicer, app.scene, documents)
        yield opened
        opened.widget.cleanup()
        opened.widget.parent.deleteLater()
        for name in [n for n in sys.modules if n.split(".")[0] in ("CardiacFusionPanel", "CardiacFusion")]:
            del sys.modules[name]


def _open(qt: Any, slicer: Any, scene: Any, folder: Path) -> Desk:
    sys.modules.pop("CardiacFusion", None)
    module = importlib.import_module("CardiacFusion")
    parent = qt.QWidget()
    parent.setLayout(qt.QVBoxLayout())
    parent.isEntered = True
    widget = module.CardiacFusionWidget(parent)
    widget.setup()
    opened = Desk(module, widget, slicer, qt, scene, folder)
    widget.logic.said.connect(lambda sentence, good: opened.said.append((sentence, good)))
    return opened
