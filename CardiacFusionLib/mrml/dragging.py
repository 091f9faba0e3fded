"""A landmark under the reader's hand: the views follow while it moves, and somebody is told when it is let go.

The view in which the point is dragged stands still, since a plane that moved under the mouse would run away from it;
the other slice views turn to the planes that the heart frame would have with the landmark there, and the segments, the
planes and the long axis of that frame are drawn in all views (``drag_drawing``). The transform node and everything else
move when the point is let go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.case import CaseInScene
from CardiacFusionLib.mrml.drag_drawing import Bodies, DragDrawing
from CardiacFusionLib.mrml.frames import array_of, points_ras, transform_ras, vtk_matrix
from CardiacFusionLib.mrml.layout import PLANES
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose

IN_PLANE_SHARE = 0.02  # a drag that leaves a plane by less than this share of its length happens in that plane
SAME_MM = 1e-6


def _same(one: dict[str, NDArray[np.float64]], other: dict[str, NDArray[np.float64]]) -> bool:
    """Whether two sets of landmarks lie at the same places."""
    return one.keys() == other.keys() and all(np.abs(one[name] - other[name]).max() <= SAME_MM for name in one)


class Planes:
    """The slice views of a case at the start of a drag, and where they go during it."""

    def __init__(self, case: CaseInScene) -> None:
        self._case = case
        self._pose = matrix_of(case.nodes.ct_to_heart)
        found = {p.layout: case.scene.GetSingletonNode(p.layout, "vtkMRMLSliceNode") for p in PLANES}
        self.views = {layout: view for layout, view in found.items() if view is not None}
        self._start = {layout: array_of(view.GetSliceToRAS()) for layout, view in self.views.items()}

    def follow(self, pose: HeartPose, still: set[str]) -> None:
        """Turn all views but those of ``still`` to a frame."""
        turn = transform_ras(self._pose @ pose.heart_to_lps)
        for layout, view in self.views.items():
            self._set(view, self._start[layout] if layout in still else turn @ self._start[layout])

    def back(self) -> None:
        """All views to where they were."""
        for layout, view in self.views.items():
            self._set(view, self._start[layout])

    def dragged_in(self, moved_ras: NDArray[np.float64]) -> set[str]:
        """The layout names of the views whose planes hold a displacement (3,) in the world: in one of them the point is
        dragged (along the line where two planes meet it could be either); none for a drag in 3D."""
        length = float(np.linalg.norm(moved_ras))
        if length < 1e-6:
            return set(self.views)
        off = {layout: abs(float(m[:3, 2] @ moved_ras)) / length for layout, m in self._start.items()}
        return {layout for layout, share in off.items() if share <= IN_PLANE_SHARE}

    @staticmethod
    def _set(view: Any, matrix: NDArray[np.float64]) -> None:
        view.GetSliceToRAS().DeepCopy(vtk_matrix(matrix))
        view.UpdateMatrices()


class LandmarkWatch:
    """Observes the landmarks of a case: ``released()`` is called when one was let go or placed anew."""

    def __init__(self, case: CaseInScene, released: Callable[[], object]) -> None:
        self._case = case
        self._released = released
        self._planes: Planes | None = None
        self._drawing: DragDrawing | None = None
        self._bodies = Bodies()
        self._last: dict[str, NDArray[np.float64]] = {}
        self._start: dict[str, NDArray[np.float64]] = {}
        self._observed: list[tuple[Any, int]] = []
        self.updates = 0  # how often the views followed

    def start(self) -> None:
        """Begin to observe."""
        self.stop()
        for node in (self._case.nodes.landmarks, *self._case.nodes.slice_centres.values()):
            if node is None:
                continue
            for event, act in (
                (node.PointStartInteractionEvent, self._began),
                (node.PointModifiedEvent, self._moved),
                (node.PointEndInteractionEvent, self._ended),
                (node.PointPositionDefinedEvent, self._placed),
            ):
                self._observed.append((node, node.AddObserver(event, act)))

    def stop(self) -> None:
        """Observe nothing any more."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self._planes = None
        self._draw_nothing()

    def _draw_nothing(self) -> None:
        drawing, self._drawing = self._drawing, None
        if drawing is not None:
            drawing.end()

    def _began(self, node: Any, event: str) -> None:
        self._draw_nothing()
        self._planes = Planes(self._case)
        self._start = self._last = landmarks_of(self._case.nodes.landmarks)
        if node is self._case.nodes.landmarks and all(name in self._start for name in LANDMARK_NAMES):
            self._drawing = DragDrawing(self._case, self._start, self._bodies)

    def _moved(self, node: Any, event: str) -> None:
        if self._planes is not None and node is self._case.nodes.landmarks:
            self.preview()

    def preview(self) -> None:
        """Let the views follow the landmarks as they stand now, without computing anything else."""
        planes = self._planes or Planes(self._case)
        now = landmarks_of(self._case.nodes.landmarks)
        if any(name not in now for name in LANDMARK_NAMES) or _same(now, self._last):
            return  # Slicer tells of one step more than once
        self._last = now
        try:
            pose = HeartPose.from_landmarks(now)
        except BadInputError:
            return  # an impossible place waits
        still: set[str] = set()
        for name, point in now.items():
            if name in self._start and np.abs(point - self._start[name]).max() > SAME_MM:
                rotation = transform_ras(matrix_of(self._case.nodes.ct_to_heart))[:3, :3]
                still = planes.dragged_in(rotation @ points_ras(point - self._start[name]))
        if self._drawing is not None:
            self._drawing.follow(pose, planes_turn=not still)
        planes.follow(pose, still)
        self.updates += 1

    def _ended(self, node: Any, event: str) -> None:
        planes, self._planes = self._planes, None
        self._draw_nothing()
        self._last = {}
        if planes is not None:
            planes.back()  # the world turns instead: upright again when the correction has been followed
        self._released()

    def _placed(self, node: Any, event: str) -> None:
        if self._planes is None:
            self._released()
