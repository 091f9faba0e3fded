"""What a run needs on disk and how it is started: command, environment, scratch folder, cleaning up. No Qt."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PARENT = "CARDIACFUSION_PARENT_PID"  # the child ends when this process is gone (CardiacFusionLib.cli.child)
_ROOM_BYTES = 1_000_000_000  # a case with its inputs; less free space than this ends in a full disk


def python_program() -> str:
    """The interpreter for child processes: Slicer's ``PythonSlicer``, else the running one."""
    return shutil.which("PythonSlicer") or sys.executable


def library_root() -> Path:
    """The folder that holds ``CardiacFusionLib``, installed or in the source tree."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1], here.parents[2]):
        if (folder / "CardiacFusionLib" / "__init__.py").is_file():
            return folder
    raise FileNotFoundError("The folder CardiacFusionLib is missing beside the module; install the extension again.")


def free_name(folder: Path) -> Path:
    """``folder``, or ``folder-2``, ``folder-3``, … where something stands there already."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate


@dataclass
class Job:
    """One run: what it reads and writes. ``arguments`` are those of the command line after ``cardiacfusion``."""

    arguments: list[str]
    out: Path | None
    environment: dict[str, str]
    scratch: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="cardiacfusion-run-")))
    inputs: Path | None = None  # inputs written from the scene; they stay beside a finished case
    parents: tuple[Path, ...] = ()  # folders made for this run, innermost first

    @property
    def program(self) -> str:
        """The program to start."""
        return python_program()

    @property
    def command(self) -> list[str]:
        """Its arguments."""
        return ["-m", "CardiacFusionLib.cli.child", *self.arguments]

    def full_environment(self) -> dict[str, str]:
        """Variables to set in the child on top of Slicer's own."""
        path = os.pathsep.join(filter(None, [str(library_root()), os.environ.get("PYTHONPATH", "")]))
        # Slicer's ITK plugins need the scene and complain in every other process
        quiet = {
            "ITK_AUTOLOAD_PATH": "",
            "SITK_AUTOLOAD_PATH": "",
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
        }
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.scratch))
        return {"PYTHONPATH": path, PARENT: str(os.getpid()), **quiet, **places, **self.environment}

    def clean(self, keep_inputs: bool) -> None:
        """Remove the scratch folder, what a killed child left half-written, and, unless kept, the inputs."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.out is not None:
            for left in self.out.parent.glob(f".{self.out.name}.partial-*"):
                if not left.name.endswith(".earlier"):  # the replaced case, for the moment between two renames
                    shutil.rmtree(left, ignore_errors=True)
        if keep_inputs:
            return
        if self.inputs is not None:
            shutil.rmtree(self.inputs, ignore_errors=True)
        for parent in self.parents:
            try:
                parent.rmdir()
            except OSError:
                break  # something else lies there meanwhile: it stays


def make_parents(folder: Path) -> tuple[Path, ...]:
    """Make the folder's missing parents; those that were made, innermost first."""
    missing = tuple(parent for parent in folder.parents if not parent.exists())
    folder.parent.mkdir(parents=True, exist_ok=True)
    return missing


def too_little_room(folder: Path) -> str | None:
    """A sentence where the disk of ``folder`` has no room for a case, else None."""
    place = next((p for p in (folder, *folder.parents) if p.exists()), None)
    if place is None:
        return f"The place {folder} does not exist; choose another folder for the case."
    free = shutil.disk_usage(place).free
    if free >= _ROOM_BYTES:
        return None
    return (
        f"The disk of {place} has only {free / 1e9:.1f} GB free and a case needs about 1 GB; free some space or choose "
        "another folder for the case."
    )
