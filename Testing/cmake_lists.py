"""The lists of files in the two CMakeLists.txt, compared with the disk: CMake does not glob, and a file that is not
listed is not installed. ``python Testing/cmake_lists.py`` prints what is missing, ``--write`` rewrites the lists.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# file, variable -> which files of its folder it lists
LISTS = {
    ("CardiacFusionLib", "LIBRARY_SCRIPTS"): ("**/*.py",),
    ("CardiacFusion", "MODULE_PYTHON_SCRIPTS"): ("**/*.py",),
    ("CardiacFusion", "MODULE_PYTHON_RESOURCES"): ("Resources/UI/*.ui", "Resources/Icons/*.png", "Resources/*.txt"),
}


def on_disk(folder: str, patterns: tuple[str, ...]) -> list[str]:
    """Files that belong into a list, sorted, relative to the folder of the CMakeLists.txt."""
    base = ROOT / folder
    found = {p.relative_to(base).as_posix() for pattern in patterns for p in base.glob(pattern)}
    return sorted(name for name in found if "__pycache__" not in name)


def listed(folder: str, variable: str) -> list[str]:
    """What the list holds now."""
    return _block(folder, variable).group(2).split()


def _block(folder: str, variable: str) -> re.Match[str]:
    text = (ROOT / folder / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf"(set\({variable})(.*?)(\n\))", text, re.S)
    if found is None:
        raise SystemExit(f"{folder}/CMakeLists.txt has no list {variable}.")
    return found


def differences() -> list[str]:
    """One line for every file that is missing from a list or gone from the disk."""
    lines = []
    for (folder, variable), patterns in LISTS.items():
        have, want = listed(folder, variable), on_disk(folder, patterns)
        lines += [f"{folder}/CMakeLists.txt, {variable}: add {name}" for name in want if name not in have]
        lines += [f"{folder}/CMakeLists.txt, {variable}: remove {name}" for name in have if name not in want]
    return lines


def write() -> None:
    """Bring every list to what lies on disk."""
    for (folder, variable), patterns in LISTS.items():
        path = ROOT / folder / "CMakeLists.txt"
        text = path.read_text(encoding="utf-8")
        block = _block(folder, variable)
        body = "\n".join(f"  {name}" for name in on_disk(folder, patterns))
        path.write_text(f"{text[: block.start(2)]}\n{body}{text[block.end(2) :]}", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write()
    missing = differences()
    print("\n".join(missing) or "The lists are those of the disk.")
    sys.exit(1 if missing else 0)
