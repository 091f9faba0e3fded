"""A click on the bullseye names a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from CardiacFusionLib.mrml.bullseye import CENTRE_HEART_MM, segment_at
from CardiacFusionLib.mrml.frames import points_lps


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
    """Calls back with the segment of each left click in a view, until ``stop``."""

    def __init__(self, interactor: Any, callback: Callable[[int], object]) -> None:
        self._interactor = interactor
        self._callback = callback
        self._tag: int | None = interactor.AddObserver("LeftButtonPressEvent", self._pressed)

    def _pressed(self, interactor: Any, event: str) -> None:
        x, y = interactor.GetEventPosition()
        renderer = interactor.FindPokedRenderer(x, y)
        segment = segment_under(renderer, x, y) if renderer is not None else None
        if segment is not None:
            self._callback(segment)

    def stop(self) -> None:
        """Hear no more clicks."""
        if self._tag is not None:
            self._interactor.RemoveObserver(self._tag)
            self._tag = None
