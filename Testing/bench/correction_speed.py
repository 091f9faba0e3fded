"""How long a reader waits: opening a case, a landmark's release, the views while it is dragged.

``python Testing/bench/correction_speed.py CASE [--json F] [--repeats N]`` with a finished case folder (its CT where it
was). Told: seconds by the clock and of the processor (on a busy machine the second is the one to compare), best of the
repeats. Bars: opening 5 s, release 1.0 s, drag 10 updates a second.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from CardiacFusionLib.mrml.app import SceneApp, choose_window
from CardiacFusionLib.mrml.layout import PLANES
from CardiacFusionLib.mrml.view_windows import SliceView
from CardiacFusionLib.pipeline import review

VIEW_PIXELS = (500, 500)


def timed(act: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by the clock and of the processor, and what came out."""
    clock, work = time.perf_counter(), time.process_time()
    result = act()
    return {"clock_s": time.perf_counter() - clock, "processor_s": time.process_time() - work}, result


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The smallest of each measure."""
    return {name: round(min(run[name] for run in runs), 3) for name in runs[0]}


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """All figures of one case."""
    figures: dict[str, Any] = {}
    with SceneApp() as app:
        openings = []
        for _ in range(repeats):
            seconds, case = timed(lambda: review.load_case(folder, app.scene))
            openings.append(seconds)
            figures["ct_voxels"] = list(case.ct.GetImageData().GetDimensions())
            if len(openings) < repeats:
                review.remove_case(case)
        figures["opening"] = best(openings)
        review.show_case(case)
        problems: list[str] = []
        hand = review.Correction(case, app.scene, lambda change: None, problems.append)
        hand.watch()
        node = case.landmarks
        start = np.array(node.GetNthControlPointPosition(0))
        releases, undone = [], []
        for step in range(repeats):
            node.InvokeEvent(node.PointStartInteractionEvent)
            node.SetNthControlPointPosition(0, *(start + np.array([3.0 + step, 2.0, 0.0])).tolist())
            releases.append(timed(lambda: node.InvokeEvent(node.PointEndInteractionEvent))[0])
            undone.append(timed(hand.undo)[0])
        figures["release"], figures["undo"] = best(releases), best(undone)
        figures["delete_branch"] = timed(lambda: hand.delete_branch(case.branches()[-1]))[0]
        hand.undo()
        views = [SliceView(app, plane.layout, plane.preset, VIEW_PIXELS) for plane in PLANES]
        for view in views:
            view.grab()
        node.InvokeEvent(node.PointStartInteractionEvent)

        def drag() -> None:
            for step in range(10):
                node.SetNthControlPointPosition(0, *(start + np.array([0.5 * step, 0.0, 0.0])).tolist())
                for view in views:
                    view.refresh()

        seconds = best([timed(drag)[0] for _ in range(repeats)])
        figures["drag_updates_per_s"] = {name: round(10 / value, 1) for name, value in seconds.items()}
        node.SetNthControlPointPosition(0, *start.tolist())
        hand.unwatch()
        for view in views:
            view.close()
        figures["problems"] = problems
    return figures


def main() -> None:
    """Measure a copy of the case, so that it stays as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    choose_window()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "case"
        shutil.copytree(chosen.case, folder)
        figures = measure(folder, chosen.repeats)
    text = json.dumps(figures, indent=1)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
