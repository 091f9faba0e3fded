"""How long a reader waits: opening a case, a landmark's release, the views while it is dragged.

``python Testing/bench/correction_speed.py CASE [--json F] [--repeats N]`` with a finished case folder (its CT where it
was). Told: seconds by the clock and of the processor (on a busy machine the second is the one to compare), best of the
repeats; releases of each of the four landmarks apart. A landmark is dragged by synthetic mouse events through Slicer's
own widget, and an update counts when all three slice views are drawn. Bars: opening 5 s, release 1.0 s, drag 10/s.
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
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.mrml.view_windows import SliceView
from CardiacFusionLib.pipeline import review
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, apply

VIEW_PIXELS = (500, 500)
STEPS = 10
MOVE_MM = np.array([3.0, 2.0, 0.0])


def timed(act: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by the clock and of the processor, and what came out."""
    clock, work = time.perf_counter(), time.process_time()
    result = act()
    return {"clock_s": time.perf_counter() - clock, "processor_s": time.process_time() - work}, result


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The smallest of each measure."""
    return {name: round(min(run[name] for run in runs), 3) for name in runs[0]}


class Mouse:
    """A hand on a landmark in one slice view."""

    def __init__(self, view: SliceView) -> None:
        import slicer

        self._view, self._interactor = view, view.interactor
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(view.logic)
        self._style.SetDisplayableManagers(view.group)
        self._style.SetInteractor(view.interactor)
        self._x = self._y = 0

    def send(self, event: str, right: int = 0) -> None:
        """One event, so many pixels right of the landmark's first place."""
        self._interactor.SetEventInformation(self._x + right, self._y)
        self._interactor.InvokeEvent(event)

    def take(self, at_heart_mm: Any) -> None:
        """Press on a landmark (heart frame mm)."""
        self._x, self._y = (round(v) for v in self._view.pixel_of(tuple(float(v) for v in at_heart_mm)))
        for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent"):
            self.send(event)


def releases(case: Any, hand: Any, repeats: int) -> dict[str, Any]:
    """Seconds after letting go of each landmark, and of taking it back."""
    node, told = case.landmarks, {}
    undone = []
    for index, name in enumerate(LANDMARK_NAMES):
        start = np.array(node.GetNthControlPointPosition(index))
        runs = []
        for step in range(repeats):
            node.InvokeEvent(node.PointStartInteractionEvent)
            node.SetNthControlPointPosition(index, *(start + MOVE_MM + [step, 0.0, 0.0]).tolist())
            runs.append(timed(lambda: node.InvokeEvent(node.PointEndInteractionEvent))[0])
            undone.append(timed(hand.undo)[0])
        told[name] = best(runs)
    return {"release": told, "undo": best(undone)}


def drag(app: SceneApp, case: Any, hand: Any, repeats: int) -> dict[str, float]:
    """Updates a second while the apex is dragged through the horizontal long axis."""
    review.jump_to(case, "landmark", "apex")
    views = {p.layout: SliceView(app, p.layout, p.preset, VIEW_PIXELS) for p in PLANES}
    for view in views.values():
        view.grab()
    mouse, runs = Mouse(views["Green"]), []

    def move() -> None:
        for step in range(1, STEPS + 1):
            mouse.send("MouseMoveEvent", 2 * step)
            for view in views.values():
                view.refresh()

    for _ in range(repeats):
        mouse.take(apply(matrix_of(case.nodes.ct_to_heart), landmarks_of(case.landmarks)["apex"]))
        move()  # the first shows what was hidden at the start of the drag
        runs.append(timed(move)[0])
        before = hand.can_undo
        mouse.send("LeftButtonReleaseEvent", 2 * STEPS)
        assert hand.can_undo and not before, "the landmark was not dragged"
        hand.undo()
        review.jump_to(case, "landmark", "apex")
    for view in views.values():
        view.close()
    return {name: round(STEPS / value, 1) for name, value in best(runs).items()}


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
        figures.update(releases(case, hand, repeats))
        figures["delete_branch"] = timed(lambda: hand.delete_branch(case.branches()[-1]))[0]
        hand.undo()
        figures["drag_updates_per_s"] = drag(app, case, hand, repeats)
        hand.unwatch()
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
