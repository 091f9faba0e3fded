"""How long a reader waits: opening a case, a landmark's release, the views while it is dragged.

``python Testing/bench/correction_speed.py CASE [--json F] [--repeats N] [--pictures DIR]`` with a finished case folder
(its CT where it was). Told: seconds by the clock and of the processor (on a busy machine the second is the one to
compare), best of the repeats; releases of each of the four landmarks apart. A landmark is dragged by synthetic mouse
events through Slicer's own widget, and an update counts when all three slice views ("slices"), or these and the 3D view
("all"), are drawn. Bars: opening 5 s, release 1.0 s, drag 10/s.
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
from CardiacFusionLib.mrml.layout import MAIN_3D, PLANES, aim_bodies, heart_centre
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.mrml.view_windows import SliceView, ThreeDView
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


def drag(app: SceneApp, case: Any, hand: Any, repeats: int, pictures: Path | None) -> dict[str, Any]:
    """Updates a second while the apex is dragged: through the horizontal long axis by the mouse, where two slice views
    turn, and freely as in 3D, where all three do; with and without the 3D view, and what each view's drawing takes."""
    review.jump_to(case, "landmark", "apex")
    views: dict[str, Any] = {p.layout: SliceView(app, p.layout, p.preset, VIEW_PIXELS) for p in PLANES}
    body = ThreeDView(app, MAIN_3D, VIEW_PIXELS)
    body.renderer.SetUseFXAA(False)  # smoothing for the pictures of a report; Slicer's own 3D view has none
    aim_bodies(app.scene, case.nodes, heart_centre(case.nodes))
    for view in (*views.values(), body):
        view.grab()
    slices = list(views.values())
    mouse = Mouse(views["Green"])

    def move(shown: list[Any]) -> None:
        for step in range(1, STEPS + 1):
            mouse.send("MouseMoveEvent", 2 * step)
            for view in shown:
                view.refresh()

    told: dict[str, Any] = {"slices": [], "all": []}
    for _ in range(repeats):
        mouse.take(apply(matrix_of(case.nodes.ct_to_heart), landmarks_of(case.landmarks)["apex"]))
        move([*slices, body])  # the first makes what is drawn only during a drag
        told["slices"].append(timed(lambda: move(slices))[0])
        told["all"].append(timed(lambda: move([*slices, body]))[0])
        before = hand.can_undo
        mouse.send("LeftButtonReleaseEvent", 2 * STEPS)
        assert hand.can_undo and not before, "the landmark was not dragged"
        hand.undo()
        review.jump_to(case, "landmark", "apex")
    told.update(freely(case, hand, slices, body, repeats, pictures))
    for view in (*slices, body):
        view.close()
    return {
        name: {kind: round(STEPS / seconds, 1) for kind, seconds in best(runs).items()} for name, runs in told.items()
    }


def freely(case: Any, hand: Any, slices: list[Any], body: Any, repeats: int, pictures: Path | None) -> dict[str, Any]:
    """The apex moved out of every plane, so that all three slice views turn: all views, and the 3D view alone."""
    node = case.landmarks
    start = np.array(node.GetNthControlPointPosition(0))

    def move(shown: list[Any]) -> None:
        for step in range(1, STEPS + 1):
            node.SetNthControlPointPosition(0, *(start + step * np.array([0.8, 0.5, 0.3])).tolist())
            for view in shown:
                view.refresh()

    told: dict[str, Any] = {"all, dragged in 3D": [], "3D alone": []}
    for _ in range(repeats):
        node.InvokeEvent(node.PointStartInteractionEvent)
        move([*slices, body])
        told["all, dragged in 3D"].append(timed(lambda: move([*slices, body]))[0])
        told["3D alone"].append(timed(lambda: move([body]))[0])
        if pictures is not None:
            for name, view in zip([p.layout for p in PLANES] + ["3D"], [*slices, body]):
                view.save(pictures / f"drag_{name}.png")
        node.InvokeEvent(node.PointEndInteractionEvent)
        hand.undo()
    return told


def measure(folder: Path, repeats: int, pictures: Path | None) -> dict[str, Any]:
    """All figures of one case; ``pictures``: where the views during a drag are kept."""
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
        figures["drag_updates_per_s"] = drag(app, case, hand, repeats, pictures)
        hand.unwatch()
        figures["problems"] = problems
    return figures


def main() -> None:
    """Measure a copy of the case, so that it stays as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=Path, help="keep the views as they are drawn during a drag here")
    chosen = parser.parse_args()
    choose_window()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "case"
        shutil.copytree(chosen.case, folder)
        figures = measure(folder, chosen.repeats, chosen.pictures)
    text = json.dumps(figures, indent=1)
    print(text)
    if chosen.json is not None:
        chosen.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
