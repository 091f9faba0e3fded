"""The panel's forms (.ui) and its code belong together, and the module keeps to its rules. Needs no Qt."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

MODULE = Path(__file__).resolve().parents[2] / "CardiacFusion"
FORMS = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
CODE = sorted(MODULE.rglob("*.py"))
INTERACTIVE = {
    "QPushButton", "QToolButton", "QLineEdit", "QCheckBox", "QComboBox", "QSpinBox", "QDoubleSpinBox", "QTableWidget",
    "ctkSliderWidget", "qMRMLNodeComboBox",
}  # fmt: skip
# what Slicer's connectors bind: widget class -> kind of parameter
BINDS = {
    "QLineEdit": "str", "QCheckBox": "bool", "QSpinBox": "int", "QDoubleSpinBox": "float", "ctkSliderWidget": "float",
    "QComboBox": "enum", "qMRMLNodeComboBox": "node",
}  # fmt: skip
MAX_LINES = 500
MAY_IMPORT = {"qt", "ctk", "vtk", "slicer", "CardiacFusionPanel"}


def widgets() -> list[tuple[Path, ElementTree.Element]]:
    """Every widget of every form."""
    return [(form, w) for form in FORMS for w in ElementTree.parse(form).getroot().iter("widget")]


def property_of(widget: ElementTree.Element, name: str) -> str | None:
    """Text of a property that a form sets, or None."""
    found = widget.find(f"property[@name='{name}']")
    return None if found is None else "".join(found.itertext()).strip()


def parameters() -> dict[str, str]:
    """Name and kind of every parameter, read from the class's source."""
    tree = ast.parse((MODULE / "CardiacFusionPanel" / "parameters.py").read_text(encoding="utf-8"))
    cls = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "CardiacFusionParameters")
    enums = {n.name for n in tree.body if isinstance(n, ast.ClassDef) and "Enum" in "".join(map(ast.dump, n.bases))}
    found = {}
    for node in cls.body:
        if isinstance(node, ast.AnnAssign):
            hint = node.annotation.slice.elts[0] if isinstance(node.annotation, ast.Subscript) else node.annotation
            kind = "enum" if hint.id in enums else "node" if hint.id.startswith("vtkMRML") else hint.id
            found[node.target.id] = kind
    return found


def test_every_parameter_has_one_widget_that_slicer_can_bind() -> None:
    bound: dict[str, list[str]] = {}
    for _, widget in widgets():
        name = property_of(widget, "SlicerParameterName")
        if name is not None:
            bound.setdefault(name, []).append(widget.get("class", ""))
    known = parameters()
    assert set(bound) == set(known), "parameters and SlicerParameterName properties differ"
    assert {name: BINDS[classes[0]] for name, classes in bound.items()} == known
    assert all(len(classes) == 1 for classes in bound.values())


def test_every_widget_the_code_names_is_in_a_form() -> None:
    named = {w.get("name") for _, w in widgets()}
    used: set[str] = set()
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        used.update(re.findall(r"\bui\.(\w+)\b(?!\()", text))
        for stem in re.findall(r'getattr\(ui, f"\{name\}(\w+)"\)', text):
            used.update(f"{name}{stem}" for name in ("ct", "stress", "rest"))
    assert len(used) > 40
    assert used <= named, f"not in any form: {sorted(used - named)}"


def test_names_of_widgets_are_unique_over_all_forms() -> None:
    names = [w.get("name") for _, w in widgets()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("form", FORMS, ids=lambda p: p.stem)
def test_whatever_can_be_pressed_or_filled_in_explains_itself(form: Path) -> None:
    for widget in ElementTree.parse(form).getroot().iter("widget"):
        if widget.get("class") in INTERACTIVE:
            tip = property_of(widget, "toolTip") or ""
            assert len(tip.split()) >= 4, f"{widget.get('name')} has no helpful tooltip"


@pytest.mark.parametrize("form", FORMS, ids=lambda p: p.stem)
def test_every_node_chooser_gets_the_scene(form: Path) -> None:
    root = ElementTree.parse(form).getroot()
    choosers = {w.get("name") for w in root.iter("widget") if w.get("class") == "qMRMLNodeComboBox"}
    connected = {
        c.findtext("receiver") for c in root.iter("connection") if c.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert choosers == connected
    assert all(c.findtext("sender") == root.findtext("class") for c in root.iter("connection"))


def test_the_forms_are_those_the_widget_loads() -> None:
    text = (MODULE / "CardiacFusion.py").read_text(encoding="utf-8")
    listed = re.search(r"SECTIONS = \(([^)]*)\)", text)
    assert listed is not None
    assert {f.stem for f in FORMS} == {"CardiacFusion", *re.findall(r'"(\w+)"', listed.group(1))}


def test_no_file_of_the_module_is_long() -> None:
    for path in MODULE.rglob("*"):
        if path.suffix in (".py", ".ui", ".txt", ".md") and path.is_file():
            assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, path.name


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.name)
def test_nothing_but_slicers_own_is_imported_when_the_module_loads(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if node in inside or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            plain = name == "CardiacFusionLib.spatial.errors"
            assert top in sys.stdlib_module_names or top in MAY_IMPORT or plain, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.name)
def test_the_panel_computes_nothing_and_never_spins_the_event_loop(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "processEvents" not in text
    assert not re.search(r"\b(numpy|scipy|SimpleITK|torch|pandas|skimage)\b\.", text)
    assert not re.search(r"^\s*(import|from) (numpy|scipy|SimpleITK|torch|pandas|skimage)", text, re.M)
