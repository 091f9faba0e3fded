"""Outlines and centrelines under the reader's hand: somebody is told when one was edited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.case import CaseInScene
from CardiacFusionLib.mrml.frames import points_lps
from CardiacFusionLib.mrml.shelf import role
from CardiacFusionLib.spatial.errors import BadInputError


def centreline_of(case: CaseInScene, name: str) -> NDArray[np.float64]:
    """Points (n, 3) of a branch's curve as it is drawn, LPS mm; BadInputError where it has fewer than two."""
    from vtk.util import numpy_support

    node = case.shelf.get(role("centreline", name))
    drawn = node.GetCurve() if node is not None else None
    if drawn is None or drawn.GetNumberOfPoints() < 2:
        raise BadInputError(f"The centreline of the {name} needs at least two points; place them or undo.")
    return points_lps(numpy_support.vtk_to_numpy(drawn.GetPoints().GetData()).astype(float))


class EditWatch:
    """Observes the outlines (``walls``) and centrelines (``branch`` hears the name) of a case."""

    def __init__(self, case: CaseInScene, walls: Callable[[], object], branch: Callable[[str], object]) -> None:
        self._case = case
        self._walls = walls
        self._branch = branch
        self._observed: list[tuple[Any, int]] = []
        self._paused = 0

    def start(self) -> None:
        """Begin to observe."""
        import slicer

        self.stop()
        segmentation = self._case.walls.GetSegmentation() if self._case.walls is not None else None
        if segmentation is not None:
            event = slicer.vtkSegmentation.SourceRepresentationModified
            self._observed.append((segmentation, segmentation.AddObserver(event, self._wall_edited)))
        for node in self._case.nodes.curves:
            tag = node.AddObserver(node.PointEndInteractionEvent, self._curve_edited)
            self._observed.append((node, tag))

    def stop(self) -> None:
        """Observe nothing any more."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While the program draws, nobody has edited anything; nodes that were made meanwhile are observed too."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            if self._observed:
                self.start()

    def _wall_edited(self, node: Any, event: str) -> None:
        if not self._paused:
            self._walls()

    def _curve_edited(self, node: Any, event: str) -> None:
        if not self._paused:
            for name in self._case.branches():
                if self._case.shelf.get(role("centreline", name)) is node:
                    self._branch(name)
                    return
