"""PythonQt's ``qt`` and ``ctk``, played by PySide6, for narrow tests of the panel's wiring.

What is imitated is the difference that makes a test lie otherwise: under PythonQt every Qt property is a Python
property (``label.text`` is text, ``label.text()`` fails), and connectors compare exact classes. Slicer's own widgets
are played by small ones with the same properties and signals. It shows the wiring, not Slicer's behaviour.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtUiTools import QUiLoader

_NOT_PROPERTIES = {"sizeHint", "minimumSizeHint"}  # virtual functions of the same name, which Qt itself calls


def like_pythonqt(base: type) -> type:
    """A subclass of a PySide6 class whose Qt properties are Python properties."""
    names: dict[str, Any] = {}
    meta = base.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        if name not in _NOT_PROPERTIES and not isinstance(getattr(base, name, None), QtCore.Property):
            names[name] = property(
                lambda self, n=name: QtCore.QObject.property(self, n),
                lambda self, value, n=name: QtCore.QObject.setProperty(self, n, value),
            )
    names["name"] = names["objectName"]
    return type(base)(base.__name__, (base,), names)


class _Collapsible(QtWidgets.QWidget):
    """Plays ctkCollapsibleButton."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, collapsed: bool) -> None:  # PythonQt hides the setter: it is no slot
        self._collapsed = bool(collapsed)
        self.contentsCollapsed.emit(self._collapsed)

    text = QtCore.Property(str, lambda self: self._text, _set_text)
    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)


class _Slider(QtWidgets.QWidget):
    """Plays ctkSliderWidget."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._kept = {"value": 0.0, "minimum": 0.0, "maximum": 99.0, "singleStep": 1.0, "decimals": 2}

    def _set(self, name: str, value: Any) -> None:
        self._kept[name] = value

    def _set_value(self, value: float) -> None:
        value = min(max(float(value), self._kept["minimum"]), self._kept["maximum"])
        if value != self._kept["value"]:
            self._kept["value"] = value
            self.valueChanged.emit(value)

    value = QtCore.Property(float, lambda self: self._kept["value"], _set_value)
    minimum = QtCore.Property(float, lambda s: s._kept["minimum"], lambda s, v: s._set("minimum", v))
    maximum = QtCore.Property(float, lambda s: s._kept["maximum"], lambda s, v: s._set("maximum", v))
    singleStep = QtCore.Property(float, lambda s: s._kept["singleStep"], lambda s, v: s._set("singleStep", v))
    decimals = QtCore.Property(int, lambda s: s._kept["decimals"], lambda s, v: s._set("decimals", v))


class _NodeComboBox(QtWidgets.QWidget):
    """Plays qMRMLNodeComboBox: a current node of one of its types, or none."""

    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self.scene: Any = None
        self._kept: dict[str, Any] = {"nodeTypes": []}

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if node is not None and not any(node.IsA(kind) for kind in self._kept["nodeTypes"]):
            node = None  # the real one cannot show a node of another type
        if node is not self._node:
            self._node = node
            self.currentNodeChanged.emit(node)

    def _set(self, name: str, value: Any) -> None:
        self._kept[name] = value

    nodeTypes = QtCore.Property(list, lambda s: s._kept["nodeTypes"], lambda s, v: s._set("nodeTypes", list(v)))
    noneEnabled = QtCore.Property(bool, lambda s: s._kept.get("none"), lambda s, v: s._set("none", v))
    addEnabled = QtCore.Property(bool, lambda s: s._kept.get("add"), lambda s, v: s._set("add", v))
    removeEnabled = QtCore.Property(bool, lambda s: s._kept.get("remove"), lambda s, v: s._set("remove", v))
    showChildNodeTypes = QtCore.Property(bool, lambda s: s._kept.get("child"), lambda s, v: s._set("child", v))


class _MRMLWidget(QtWidgets.QWidget):
    """Plays qMRMLWidget: hands the scene to the choosers that the .ui connects to it."""

    receivers: tuple[str, ...] = ()

    def setMRMLScene(self, scene: Any) -> None:
        for name in self.receivers:
            self.findChild(QtWidgets.QWidget, name).setMRMLScene(scene)


@contextmanager
def _quiet() -> Iterator[None]:
    """Qt says that the choosers' signal is unknown; ``receivers`` plays it."""
    before = QtCore.qInstallMessageHandler(lambda *told: None)
    try:
        yield
    finally:
        QtCore.qInstallMessageHandler(before)


_WIDGETS = [
    *("QWidget", "QLabel", "QPushButton", "QToolButton", "QLineEdit", "QCheckBox", "QComboBox", "QSpinBox"),
    *("QDoubleSpinBox", "QTableWidget", "QPlainTextEdit", "QProgressBar"),
]
_PLAIN = {
    QtCore: ["QProcess", "QProcessEnvironment", "QTimer", "QEventLoop", "QFile", "Qt", "QObject"],
    QtWidgets: ["QTableWidgetItem", "QFileDialog", "QVBoxLayout", "QMessageBox", "QApplication"],
    QtGui: ["QIcon"],
}
CTK = {"ctkCollapsibleButton": _Collapsible, "ctkSliderWidget": _Slider}
MRML = {"qMRMLNodeComboBox": _NodeComboBox, "qMRMLWidget": _MRMLWidget}


def make_modules() -> tuple[types.ModuleType, types.ModuleType, dict[str, type]]:
    """``qt``, ``ctk`` and Slicer's own widget classes, new ones each time."""
    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for module, names in _PLAIN.items():
        for name in names:
            setattr(qt, name, getattr(module, name))
    made: dict[str, type] = {}
    for name in _WIDGETS:
        made[name] = like_pythonqt(getattr(QtWidgets, name))
        setattr(qt, name, made[name])
    for name, base in CTK.items():
        made[name] = like_pythonqt(base)
        setattr(ctk, name, made[name])
    own = {name: like_pythonqt(base) for name, base in MRML.items()}
    made.update(own)
    for name, one in made.items():
        one.__name__ = name

    class Loader(QUiLoader):
        """Makes the classes above for the names in a .ui file."""

        def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
            if class_name not in made:
                return super().createWidget(class_name, parent, name)
            widget = made[class_name](parent)
            widget.setObjectName(name)
            return widget

        def load(self, file: Any, parent: Any = None) -> Any:
            with _quiet():
                widget = super().load(file, parent)
            root = ElementTree.parse(Path(file.fileName())).getroot()
            widget.receivers = tuple(c.findtext("receiver") for c in root.iter("connection"))
            return widget

    qt.QUiLoader = Loader
    return qt, ctk, own
