"""The walls between the rooms: imports go one way (Docs/design.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "CardiacFusionLib"

# what a room may import of the library, besides itself
ALLOWED: dict[str, set[str]] = {
    "spatial": set(),
    "networks": {"spatial"},
    "io": {"spatial"},
    "models": {"networks", "spatial"},
    "twin": {"spatial", "io"},
    "reorientation": {"models", "spatial"},
    "walls": {"reorientation.result", "models", "spatial"},
    "coronaries": {"walls.result", "models", "spatial"},
    "perfusion": {"walls.result", "models", "spatial"},
    "registration": {"walls.result", "models", "spatial"},
    "fusion": {"walls.result", "perfusion.result", "registration.result", "spatial"},
    "report": {
        *("reorientation.result", "walls.result", "perfusion.result", "registration.result", "fusion.result"),
        *("spatial", "io", "mrml.content"),
    },
    "mrml": {
        *("reorientation.result", "walls.result", "perfusion.result", "registration.result", "fusion.result"),
        *("spatial", "io", "report"),
    },
    "training": {
        *("spatial", "networks", "io", "models", "twin", "reorientation", "walls", "coronaries"),
        *("perfusion", "registration", "fusion", "pipeline"),
    },
}
FREE = {"pipeline", "cli", "__init__"}  # the order of stages and the command line know everything
TORCH_AT_IMPORT = {"networks", "training"}
SLICER_ROOMS = {"mrml"}
QT = ("qt", "ctk", "PySide6", "PythonQt")

FILES = sorted(LIBRARY.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(LIBRARY)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module with whether it is imported at the file's top level (type-checking blocks left out)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only: set[ast.AST] = set()
    inside_function: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only.update(child for statement in node.body for child in ast.walk(statement))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside_function.update(child for child in ast.walk(node) if child is not node)
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        top = node not in inside_function
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module, top))
            if node.module.startswith("CardiacFusionLib"):
                found += [(f"{node.module}.{alias.name}", top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative imports hide the room, name the module in full")
    return found


def may_import(room: str, module: str) -> bool:
    inner = module.removeprefix("CardiacFusionLib").lstrip(".")
    if not inner or inner.startswith("__version__") or room in FREE:
        return True
    target = inner.split(".")[0]
    if target == room:
        return True
    return any(inner == a or inner.startswith(a + ".") or a.startswith(inner + ".") for a in ALLOWED[room])


def test_there_is_something_to_check() -> None:
    assert {room_of(path) for path in FILES} >= {"spatial", "io", "twin", "perfusion", "pipeline", "cli"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_no_room_imports_upward(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED or room in FREE, f"{room} is a room the design does not know"
    upward = [m for m, _ in imports(path) if m.startswith("CardiacFusionLib") and not may_import(room, m)]
    assert not upward, f"{room} must not import {upward}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_heavy_and_application_imports_stay_in_their_rooms(path: Path) -> None:
    room = room_of(path)
    for module, top in imports(path):
        package = module.split(".")[0]
        assert package not in QT, "Qt belongs to the Slicer module only"
        if package == "slicer":
            assert room in SLICER_ROOMS, f"{room} must not know the scene"
        if package in ("torch", "monai") and top:
            assert room in TORCH_AT_IMPORT, f"{room} must import {package} inside the function that needs it"


def test_the_check_itself_sees_an_upward_import() -> None:
    assert not may_import("spatial", "CardiacFusionLib.twin.case")
    assert not may_import("perfusion", "CardiacFusionLib.registration.stage")
    assert may_import("fusion", "CardiacFusionLib.perfusion.result")
