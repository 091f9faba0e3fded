"""The parts of Slicer's application that the module touches, over the real scene of slicer-core.

Imitated: the base classes' life cycle, the parameter node wrapper (real ``vtkMRMLScriptedModuleNode``, so that settings
travel with a saved scene; connectors that compare exact classes as Slicer's do), the application.
"""

from __future__ import annotations

import enum
import types
import typing
import unittest
from pathlib import Path
from typing import Any

# widget class -> (property that holds the value, signal)
CONNECTORS: dict[tuple[str, str], tuple[str, str]] = {
    ("QLineEdit", "str"): ("text", "textChanged"),
    ("QCheckBox", "bool"): ("checked", "toggled"),
    ("QSpinBox", "int"): ("value", "valueChanged"),
    ("QDoubleSpinBox", "float"): ("value", "valueChanged"),
    ("ctkSliderWidget", "float"): ("value", "valueChanged"),
    ("QComboBox", "enum"): ("currentIndex", "currentIndexChanged"),
    ("qMRMLNodeComboBox", "node"): ("", "currentNodeChanged"),
}


class WithinRange:
    """Bounds of a number."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


def kind_of(hint: Any) -> tuple[str, Any, WithinRange | None]:
    """(kind, plain type, bounds) of a parameter's type hint."""
    bounds = None
    if typing.get_origin(hint) is typing.Annotated:
        hint, *notes = typing.get_args(hint)
        bounds = next((n for n in notes if isinstance(n, WithinRange)), None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "enum", hint, bounds
    if hint in (str, bool, int, float):
        return hint.__name__, hint, bounds
    return "node", hint, bounds


def parameterNodeWrapper(cls: type) -> type:
    """A class whose annotated names read and write a ``vtkMRMLScriptedModuleNode``."""
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: getattr(cls, name, None) for name in hints}
    empty = {"str": "", "bool": False, "int": 0, "float": 0.0, "node": None}

    def make(name: str) -> property:
        kind, plain, bounds = kind_of(hints[name])

        def read(self: Any) -> Any:
            node = self.parameterNode
            if kind == "node":
                return node.GetNodeReference(name)
            text = node.GetParameter(name)
            if kind == "enum":
                return plain[text]
            return text == "true" if kind == "bool" else plain(text)

        def write(self: Any, value: Any) -> None:
            node = self.parameterNode
            if kind == "node":
                if value is not None and not isinstance(value, plain):
                    raise TypeError(f"{name} takes a {plain.__name__}")
                node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
                return
            if bounds is not None and not bounds.minimum <= value <= bounds.maximum:
                raise ValueError(f"{name} must lie between {bounds.minimum} and {bounds.maximum}")
            text = value.name if kind == "enum" else str(value).lower() if kind == "bool" else str(value)
            node.SetParameter(name, text)

        return property(read, write)

    def init(self: Any, node: Any) -> None:
        self.parameterNode, self._guis, self._updating = node, {}, False
        for name in hints:
            kind, _, _ = kind_of(hints[name])
            if kind != "node" and not node.HasParameter(name):
                default = defaults[name]
                setattr(self, name, empty[kind] if default is None else default)

    def connect(self: Any, widgets: dict[str, Any]) -> int:
        bound = {name: _Connector(self, name, widget, *kind_of(hints[name])) for name, widget in widgets.items()}
        for connector in bound.values():
            connector.show()
            connector.listen()
        tag = len(self._guis)

        def changed(caller: Any, event: Any) -> None:
            if self._updating or tag not in self._guis:
                return
            self._updating = True
            try:
                for connector in bound.values():
                    connector.show()
            finally:
                self._updating = False

        self._guis[tag] = (bound, self.parameterNode.AddObserver("ModifiedEvent", changed))
        return tag

    def disconnect(self: Any, tag: Any) -> None:
        if tag in self._guis:
            bound, observer = self._guis.pop(tag)
            self.parameterNode.RemoveObserver(observer)
            for connector in bound.values():
                connector.release()

    made = type(cls.__name__, (), {name: make(name) for name in hints})
    made.allParameters = dict.fromkeys(hints)
    made.dataType = staticmethod(lambda name: hints[name])
    made.__init__, made.connectParametersToGui, made.disconnectGui = init, connect, disconnect
    return made


class _Connector:
    """One widget and one parameter."""

    def __init__(self, owner: Any, name: str, widget: Any, kind: str, plain: Any, bounds: Any) -> None:
        self.owner, self.name, self.widget, self.kind, self.plain = owner, name, widget, kind, plain
        self.property, signal = CONNECTORS[(type(widget).__name__, kind)]  # KeyError: no such connector in Slicer
        self.signal = getattr(widget, signal)
        if kind == "enum":
            widget.clear()
            for one in plain:
                widget.addItem(one.label())
        elif kind == "node":
            widget.nodeTypes = [plain.__name__]
        elif bounds is not None:
            widget.minimum, widget.maximum = bounds.minimum, bounds.maximum

    def listen(self) -> None:
        self.signal.connect(self.changed)

    def release(self) -> None:
        self.signal.disconnect(self.changed)

    def changed(self, *value: Any) -> None:
        if self.owner._updating:
            return
        if self.kind == "node":
            setattr(self.owner, self.name, self.widget.currentNode())
        elif self.kind == "enum":
            setattr(self.owner, self.name, list(self.plain)[self.widget.currentIndex])
        else:
            setattr(self.owner, self.name, getattr(self.widget, self.property))

    def show(self) -> None:
        value = getattr(self.owner, self.name)
        if self.kind == "node":
            self.widget.setCurrentNode(value)
        elif self.kind == "enum":
            self.widget.currentIndex = list(self.plain).index(value)
        else:
            setattr(self.widget, self.property, value)


def modules_of(slicer: Any, qt: Any, ctk: Any, module_folder: Path) -> dict[str, types.ModuleType]:
    """All modules that a Slicer module may import and slicer-core does not have."""
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text, context=None: text
    i18n.translate = lambda context, text: text
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper, wrapper.WithinRange = parameterNodeWrapper, WithinRange
    return {
        "qt": qt,
        "ctk": ctk,
        "slicer.i18n": i18n,
        "slicer.parameterNodeWrapper": wrapper,
        "slicer.ScriptedLoadableModule": base_classes(slicer, qt, module_folder),
    }


class App:
    """Plays ``slicer.app``: a test run without a window."""

    def __init__(self, folder: Path) -> None:
        self.temporaryPath = self.defaultScenePath = str(folder)
        self.testing = True
        self.connected: list[tuple[str, Any]] = []
        self.layouts: list[int] = []

    def testingEnabled(self) -> bool:
        return self.testing

    def layoutManager(self) -> None:
        return None

    def connect(self, signal: str, slot: Any) -> None:
        self.connected.append((signal, slot))


def base_classes(slicer: Any, qt: Any, module_folder: Path) -> types.ModuleType:
    """Plays ``slicer.ScriptedLoadableModule``: the parts of the life cycle that the module relies on."""
    made = types.ModuleType("slicer.ScriptedLoadableModule")

    class ScriptedLoadableModule:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent: Any = None) -> None:
            super().__init__()
            self.parent = parent
            self.layout = parent.layout()

        def setup(self) -> None:
            self.wasSetUp = True

        def resourcePath(self, name: str) -> str:
            return str(module_folder / "Resources" / name)

    class ScriptedLoadableModuleLogic:
        moduleName = "CardiacFusion"

        def getParameterNode(self) -> Any:
            scene = slicer.mrmlScene
            found = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if found is not None:
                return found
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node.SetName(self.moduleName)
            return scene.AddNode(node)

    class ScriptedLoadableModuleTest(unittest.TestCase):
        def runTest(self) -> None:
            for name in dir(self):
                if "test" in name.lower() and name != "runTest" and callable(getattr(self, name)):
                    getattr(self, name)()

    for one in (
        ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest
    ):  # fmt: skip
        setattr(made, one.__name__, one)
    return made
