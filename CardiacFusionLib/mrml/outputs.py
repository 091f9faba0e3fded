"""The scene and the pictures of a case, made in a child process that may die without taking the run with it."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from CardiacFusionLib.report.content import CaseContent

VIEW_NAMES = ("short_axis", "long_axis_vertical", "long_axis_horizontal", "surface_3d", "bullseye", "curves")
BACKENDS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")
TIMEOUT_S = 600.0
_TOO_LONG = "it took longer than"
GL_HINT = "install libegl1, libegl-mesa0, libgl1-mesa-dri and libosmesa6, or run 'cardiacfusion doctor'"


@dataclass(frozen=True)
class SceneOutputs:
    """What was made. ``reason`` says in a sentence why a part is missing, and is None where all is there."""

    scene: Path | None
    views: tuple[Path, ...]
    reason: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)  # "built", "scene", "views"
    rss_mb: float | None = None  # peak memory of the child

    @property
    def problems(self) -> tuple[str, ...]:
        """What a reader should know: the reason, where there is one."""
        return () if self.reason is None else (self.reason,)


def write_scene_and_views(
    content: CaseContent,
    folder: Path,
    log: Callable[[str], None] = lambda words: None,
    *,
    backends: Sequence[str] = BACKENDS,
    timeout_s: float = TIMEOUT_S,
) -> SceneOutputs:
    """Write ``folder/scene.mrb`` and ``folder/views/*.png``; never raises for a missing scene library or OpenGL.

    Tries each backend in turn until all pictures are there. ``log`` takes progress in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scene, views = folder / "scene.mrb", tuple(folder / "views" / f"{name}.png" for name in VIEW_NAMES)
    if importlib.util.find_spec("slicer") is None:
        return SceneOutputs(
            None, (), "No scene and no pictures: slicer-core is not installed ('pip install cardiacfusion[scene]')."
        )
    for old in (scene, *views):
        old.unlink(missing_ok=True)
    seconds: dict[str, float] = {}
    rss: float | None = None
    reason: str | None = None
    with tempfile.TemporaryDirectory(prefix="cardiacfusion-render-") as scratch:
        case = Path(scratch) / "case.pickle"
        with case.open("wb") as file:
            pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
        for backend in backends:
            log(f"Building the scene and drawing the views ({backend})")
            command = [
                sys.executable,
                "-m",
                "CardiacFusionLib.mrml.render",
                str(case),
                str(folder),
                "--backend",
                backend,
                "--leash",
            ]
            if "scene" in seconds:
                command.append("--skip-scene")
            parts, reason = _run(command, timeout_s, Path(scratch))
            for part in parts:
                if "seconds" in part:
                    seconds.setdefault(str(part["part"]), float(str(part["seconds"])))
                    log(f"{part['part']}: {part['seconds']} s")
                if part.get("rss_mb") is not None:
                    rss = float(str(part["rss_mb"]))
            if reason is None or reason.startswith(_TOO_LONG):
                break  # another backend would not be faster
            log(f"{backend}: {reason}")
    made = tuple(view for view in views if view.is_file())
    if reason is not None:
        missing = "pictures" if scene.is_file() else "scene and pictures"
        reason = f"The {missing} could not be made completely: {reason} ({GL_HINT})."
    return SceneOutputs(scene if scene.is_file() else None, made, reason, seconds, rss)


def _run(
    command: list[str], timeout_s: float, scratch: Path | None = None
) -> tuple[list[dict[str, object]], str | None]:
    """Run the child; the parts it reported, and why it did not finish (None where it did).

    The child is on a leash: its standard input ends when this process does, however that happens, and it ends with it.
    An exception here (a cancelled run) kills it at once. Its scratch files lie in ``scratch``, which goes with the run.
    """
    environment = dict(os.environ)
    if scratch is not None:
        environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)))
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as complained:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=told, stderr=complained)
        try:
            code: int | None = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
        texts = []
        for stream in (told, complained):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    output, errors = texts
    parts = _parts(output)
    if code is None:
        return parts, f"{_TOO_LONG} {timeout_s:.0f} s"
    if code == 0:
        return parts, None
    own_words = next((str(p["reason"]) for p in parts if p.get("part") == "failed"), None)
    if own_words is not None:
        return parts, own_words
    if code < 0:
        return parts, f"the drawing process was ended by {signal.Signals(-code).name}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return parts, lines[-1].strip()[:300] if lines else f"the drawing process ended with code {code}"


def _parts(output: str) -> list[dict[str, object]]:
    """The JSON lines among what the child printed (libraries may print other lines)."""
    parts = []
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                parts.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return parts
