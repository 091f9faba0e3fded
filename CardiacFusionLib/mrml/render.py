"""Build the scene and draw the views of a pickled case: ``python -m CardiacFusionLib.mrml.render CASE.pickle OUT``.

Its own process, because a missing or broken OpenGL library ends the process instead of raising an error. Each part is
reported as one JSON line on standard output as soon as it is done, so that a crash later loses nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import sys
import threading
import time
from pathlib import Path

from CardiacFusionLib.spatial.errors import CardiacFusionError


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _leash(scratch: Path) -> None:
    """End this process as soon as its caller has: then nobody waits for pictures. The caller's scratch goes too."""
    while os.read(0, 64):  # not through sys.stdin: its lock, held here, would abort the interpreter's own end
        continue
    if scratch.name.startswith("cardiacfusion-render-"):
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(4)


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 where everything asked for was made, 3 with a sentence where a part could not be."""
    parser = argparse.ArgumentParser(prog="python -m CardiacFusionLib.mrml.render", description=__doc__)
    parser.add_argument("case", type=Path, help="pickled CaseContent (made by this program only: pickles are code)")
    parser.add_argument("out", type=Path, help="folder for scene.mrb and views/")
    parser.add_argument("--backend", default=None, help="VTK window class, e.g. vtkOSOpenGLRenderWindow")
    parser.add_argument("--skip-scene", action="store_true", help="draw the views only")
    parser.add_argument("--leash", action="store_true", help="end when standard input ends: the caller is gone")
    chosen = parser.parse_args(arguments)
    if chosen.leash:
        threading.Thread(target=_leash, args=(chosen.case.parent,), daemon=True).start()

    from CardiacFusionLib.mrml.app import SceneApp, choose_window, save_scene
    from CardiacFusionLib.mrml.layout import arrange
    from CardiacFusionLib.mrml.scene import build_scene
    from CardiacFusionLib.mrml.views import render_views

    choose_window(chosen.backend)
    with chosen.case.open("rb") as file:
        content = pickle.load(file)
    chosen.out.mkdir(parents=True, exist_ok=True)
    try:
        with SceneApp() as app:
            start = time.perf_counter()
            nodes = build_scene(content, app.scene)
            _say(part="built", seconds=round(time.perf_counter() - start, 2), nodes=app.scene.GetNumberOfNodes())
            if not chosen.skip_scene:
                start = time.perf_counter()
                arrange(app.scene, nodes)
                save_scene(app.scene, chosen.out / "scene.mrb")
                _say(part="scene", seconds=round(time.perf_counter() - start, 2))
            start = time.perf_counter()
            render_views(content, app, nodes, chosen.out / "views")
            _say(part="views", seconds=round(time.perf_counter() - start, 2))
    except CardiacFusionError as error:
        _say(part="failed", reason=str(error))
        return error.exit_code
    _say(part="done", rss_mb=_peak_mb())
    return 0


def _peak_mb() -> float | None:
    """Peak memory of this process in MB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
