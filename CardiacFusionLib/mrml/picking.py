"""A click on the bullseye names a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from CardiacFusionLib.mrml.bullseye import CENTRE_HEART_MM, segment_at
from CardiacFusionLib.mrml.frames import points_lps

FIRST = 10.0  # priority of an observer; the interactor styles of views observe with 0
STILL_PIXELS = 3  # a hand on a mouse is never quite still


def segment_under(renderer: Any, x: float, y: float) -> int | None:
    """The segment under a display pixel (x right, y up) of a view that shows the bullseye; None off the disc."""
    ends = []
    for depth in (0.0, 1.0):
        renderer.SetDisplayPoint(float(x), float(y), depth)
        renderer.DisplayToWorld()
        world = np.array(renderer.GetWorldPoint())
        ends.append(points_lps(world[:3] / world[3]))
    along = ends[1] - ends[0]
    if abs(along[1]) < 1e-9:  # seen edge-on
        return None
    share = (CENTRE_HEART_MM[1] - ends[0][1]) / along[1]
    return segment_at(ends[0] + share * along)


class SegmentPick:
    """Calls back with the segment of each left click in a view, until ``stop``. A press that becomes a drag turns the
    view and picks nothing."""

    def __init__(self, interactor: Any, callback: Callable[[int], object]) -> None:
        self._interactor = interactor
        self._callback = callback
        self._pressed_at: tuple[int, int] | None = None
        # before the view's own interactor style, which may keep an event to itself
        self._tags = [
            interactor.AddObserver("LeftButtonPressEvent", self._pressed, FIRST),
            interactor.AddObserver("LeftButtonReleaseEvent", self._released, FIRST),
        ]

    def _pressed(self, interactor: Any, event: str) -> None:
        self._pressed_at = interactor.GetEventPosition()

    def _released(self, interactor: Any, event: str) -> None:
        start, self._pressed_at = self._pressed_at, None
        x, y = interactor.GetEventPosition()
        if start is None or max(abs(x - start[0]), abs(y - start[1])) > STILL_PIXELS:
            return
        renderer = interactor.FindPokedRenderer(x, y)
        segment = segment_under(renderer, x, y) if renderer is not None else None
        if segment is not None:
            self._callback(segment)

    def stop(self) -> None:
        """Hear no more clicks."""
        for tag in self._tags:
            self._interactor.RemoveObserver(tag)
        self._tags = []
