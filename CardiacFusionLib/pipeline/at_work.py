"""The reader at work on a case in the scene: what is moved there is followed through the stages and drawn again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CardiacFusionLib.mrml import display, jumping
from CardiacFusionLib.mrml.case import CaseInScene
from CardiacFusionLib.mrml.dragging import LandmarkWatch
from CardiacFusionLib.mrml.edits import EditWatch, centreline_of
from CardiacFusionLib.mrml.layout import heart_centre
from CardiacFusionLib.mrml.markups import LANDMARK_TITLES, landmarks_of
from CardiacFusionLib.mrml.rows import LandmarkRow
from CardiacFusionLib.mrml.scene import Drawing
from CardiacFusionLib.mrml.segmentations import labels_of
from CardiacFusionLib.mrml.volumes import volume_of
from CardiacFusionLib.pipeline import correct as reader
from CardiacFusionLib.pipeline.corrected_case import content_with, open_reading, save_record
from CardiacFusionLib.pipeline.more_maps import with_map
from CardiacFusionLib.pipeline.session import SAME_MM, ReaderSession
from CardiacFusionLib.spatial.errors import BadInputError, CardiacFusionError
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES

Found = tuple[list[reader.Correction], tuple[str, ...]]  # corrections, and what they are called


@dataclass(frozen=True)
class Changed:
    """What a correction changed, in the reader's words, and how long following it took."""

    what: tuple[str, ...]
    seconds: float


def note(case: CaseInScene, session: ReaderSession) -> None:
    """The corrections as the scene tells them."""
    case.shelf.set_facts(corrections=[c.record() for c in session.corrections])


def save(case: CaseInScene) -> None:
    """Put the corrections of the scene into the case folder (``case.json`` and ``corrections.npz``)."""
    session = session_of(case)
    reading = case.shelf.fact("accepted", {}) or {}
    accepted, by = bool(reading.get("accepted")), str(reading.get("by", ""))
    save_record(folder_of(case), session.results, session.corrections, accepted, by)


def folder_of(case: CaseInScene) -> Path:
    folder = case.folder
    if folder is None:
        raise BadInputError(
            "The folder of this case is gone; corrections need it. Run the case again or bring it back."
        )
    return folder


def start_session(case: CaseInScene, session: ReaderSession, drawing: Drawing) -> None:
    """Keep the session that a case was opened with, and what drew it."""
    _SESSIONS.put(case.shelf.root, session, drawing)


def session_of(case: CaseInScene) -> ReaderSession:
    """The session of a case; opened from its folder where this is the first question."""
    kept = _SESSIONS.get(case.shelf.root)
    if kept is None:
        kept = ReaderSession(open_reading(folder_of(case)))
        _SESSIONS.put(case.shelf.root, kept)
    return kept


def drawing_of(case: CaseInScene) -> Drawing:
    """What draws a case: one for all who draw it, since it knows what stands in the scene already."""
    kept = _SESSIONS.drawing(case.shelf.root)
    if kept is None:
        kept = Drawing(case.shelf)
        _SESSIONS.put(case.shelf.root, session_of(case), kept)
    return kept


def draw(case: CaseInScene) -> None:
    """Bring the scene to the results as they are now, with the map that is shown."""
    session = session_of(case)
    shown, flow = case.nodes.shown, case.nodes.scale.quantity
    results = session.results if shown == flow else with_map(session.results, shown)
    content = content_with(session.reading, results, volume_of(case.ct), case.title)
    drawing_of(case).draw(content)


def show_map(case: CaseInScene, key: str) -> None:
    """Show one of the case's maps; one that is not drawn yet is made from the case folder."""
    display.set_map(case.scene, case.nodes, key, lambda: draw(case))


class _Sessions:
    """Sessions (and what drew their cases) by the root node of the case; those of nodes that left their scene go."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, ReaderSession, Drawing | None]] = []

    def _of(self, root: Any) -> tuple[Any, ReaderSession, Drawing | None] | None:
        self.forget_gone()
        return next((held for held in self._held if held[0] is root), None)

    def forget_gone(self) -> None:
        """Let go of sessions whose case left its scene: each holds the images of its case."""
        self._held = [held for held in self._held if held[0].GetScene() is not None]

    def get(self, root: Any) -> ReaderSession | None:
        """The session of a case, if it was begun."""
        held = self._of(root)
        return held[1] if held is not None else None

    def drawing(self, root: Any) -> Drawing | None:
        """What drew a case, if that was here."""
        held = self._of(root)
        return held[2] if held is not None else None

    def put(self, root: Any, session: ReaderSession, drawing: Drawing | None = None) -> None:
        """Keep a session and what draws it, in place of what was kept; let go of those whose case is gone."""
        self._held = [held for held in self._held if held[0].GetScene() is not None and held[0] is not root]
        self._held.append((root, session, drawing))


_SESSIONS = _Sessions()


def forget_gone() -> None:
    """Let go of what is kept of cases that are in no scene any more."""
    _SESSIONS.forget_gone()


class Correction:
    """The reader's hand on a case: watches landmarks, outlines and centrelines, and follows what changed.

    ``on_changed`` hears what was followed; ``on_problem`` hears the sentence of what could not be (the scene then goes
    back to the last good state). ``watch`` and ``unwatch`` leave no observer behind.
    """

    # what the reader wants to stand beside his corrections; nothing is filled in
    who: str = ""
    when: str = ""

    def __init__(
        self,
        case: CaseInScene,
        scene: Any,
        on_changed: Callable[[Changed], object],
        on_problem: Callable[[str], object],
    ) -> None:
        self.case = case
        self.scene = scene
        self._on_changed = on_changed
        self._on_problem = on_problem
        self._landmarks = LandmarkWatch(case, self.apply)
        self._edits = EditWatch(case, self.apply_walls, self.apply_branch)
        self._busy = False

    def watch(self) -> None:
        """Begin to observe the scene."""
        self._landmarks.start()
        self._edits.start()

    def unwatch(self) -> None:
        """Observe nothing any more."""
        self._landmarks.stop()
        self._edits.stop()

    @property
    def session(self) -> ReaderSession:
        """The corrections made so far and their results; BadInputError where the case folder is gone."""
        return session_of(self.case)

    def preview(self) -> None:
        """Let the views follow the landmarks as they stand, without computing anything."""
        self._landmarks.preview()

    def apply(self) -> Changed | None:
        """Follow all landmarks that were moved since the last time; None where none was, or one waits to be placed."""
        return self._follow(self._moved)

    def apply_walls(self) -> Changed | None:
        """Follow the CT outlines as they were edited."""

        def edited() -> Found:
            results = self.session.results
            assert results.ct_walls is not None
            labels = labels_of(self.case.walls, results.ct_walls.labels)
            if reader.unchanged_walls(results.ct_walls, labels):
                return [], ()
            return [reader.edit_ct_wall(results, labels, self.who, self.when)], ("LV wall",)

        return self._follow(edited)

    def apply_branch(self, name: str) -> Changed | None:
        """Follow the centreline of a branch as it was edited."""

        def edited() -> Found:
            points = centreline_of(self.case, name)
            made = reader.edit_branch(reader.BRANCH_MOVED, self.session.results, name, points, self.who, self.when)
            return [made], (name,)

        return self._follow(edited)

    def delete_branch(self, name: str) -> Changed | None:
        """Delete a branch, with all that hangs on it."""

        def deleted() -> Found:
            made = reader.edit_branch(reader.BRANCH_DELETED, self.session.results, name, None, self.who, self.when)
            return [made], (name,)

        return self._follow(deleted)

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction to undo."""
        try:
            return self.session.can_undo
        except CardiacFusionError:
            return False

    def undo(self) -> Changed | None:
        """Take back the last correction."""
        return self._turn_back(lambda: self.session.undo(), "last correction taken back")

    def reset(self, name: str | None = None) -> Changed | None:
        """One landmark, or everything, back to its automatic place."""
        return self._turn_back(lambda: self.session.reset(name), f"{name or 'everything'} back to automatic")

    def accept(self, accepted: bool, who: str = "") -> None:
        """Note whether the reader accepts the case as it stands."""
        self.case.shelf.set_facts(accepted={"accepted": bool(accepted), "by": who})
        self._keep()

    @property
    def accepted(self) -> bool:
        """Whether the reader accepted the case as it stands."""
        return bool((self.case.shelf.fact("accepted") or {}).get("accepted"))

    def landmarks(self) -> tuple[LandmarkRow, ...]:
        """All landmarks that can be moved, the pose's four first."""
        try:
            session: ReaderSession | None = self.session
        except CardiacFusionError:
            session = None
        rows = []
        for node in (self.case.landmarks, *self.case.nodes.slice_centres.values()):
            for index in range(node.GetNumberOfControlPoints()):
                name = node.GetNthControlPointDescription(index) or node.GetNthControlPointLabel(index)
                moved = session.moved_mm(name) if session is not None else 0.0
                placed = node.GetNthControlPointPositionStatus(index) == node.PositionDefined
                title = LANDMARK_TITLES.get(name, node.GetName() if name.startswith("lv_centre") else name)
                rows.append(LandmarkRow(name, title, placed, moved, moved != 0.0, index, node))
        return tuple(rows)

    def _moved(self) -> Found:
        """Corrections for the landmarks that stand elsewhere than the results have them."""
        results = self.session.results
        assert results.pose is not None and results.stress is not None
        now = landmarks_of(self.case.landmarks)
        made, names = [], []
        if any(name not in now for name in LANDMARK_NAMES):
            return [], ()  # one was taken up and waits to be placed
        for name in LANDMARK_NAMES:
            was = results.pose.landmarks.get(name)
            if was is None or np.linalg.norm(now[name] - was) > SAME_MM:
                made.append(reader.move_landmark(results, name, now[name], self.who, self.when))
                names.append(LANDMARK_TITLES[name])
        for number, node in self.case.nodes.slice_centres.items():
            point = landmarks_of(node).get(f"lv_centre_{number}")
            was = results.stress.walls.landmarks[number - 1].get("lv_centre")
            if point is not None and (was is None or np.linalg.norm(point - was) > SAME_MM):
                made.append(reader.move_slice_centre(results, number, point, self.who, self.when))
                names.append(f"LV centre of slice {number}")
        return made, tuple(names)

    def _follow(self, find: Callable[[], Found]) -> Changed | None:
        """Find what changed, recompute, draw; a problem is told, and the scene goes back to the last good state."""
        if self._busy or not self.case.alive:
            return None
        self._busy = True
        start = time.perf_counter()
        try:
            made, what = find()
            if not made:
                return None
            self.session.add(made)
            self._draw()
        except CardiacFusionError as error:
            self._restore()
            self._on_problem(str(error))
            return None
        finally:
            self._busy = False
        return self._tell(what, start)

    def _turn_back(self, act: Callable[[], object], what: str) -> Changed | None:
        if self._busy or not self.case.alive:
            return None
        self._busy = True
        start = time.perf_counter()
        try:
            before = self.session.corrections
            act()
            if self.session.corrections == before:
                self._restore()  # a landmark that was only taken up goes back too
                return None
            self._draw()
        except CardiacFusionError as error:
            self._on_problem(str(error))
            return None
        finally:
            self._busy = False
        return self._tell((what,), start)

    def _draw(self) -> None:
        session = self.session
        with self._edits.paused():
            draw(self.case)
            note(self.case, session)
            self.case.shelf.set_facts(accepted={"accepted": False, "by": ""})  # it is not what was accepted any more
            jumping.stand_upright(self.case, heart_centre(self.case.nodes))

    def _restore(self) -> None:
        """The scene as the last good results have it."""
        try:
            self._draw()
        except CardiacFusionError as error:
            self._on_problem(str(error))

    def _tell(self, what: tuple[str, ...], start: float) -> Changed:
        changed = Changed(what, time.perf_counter() - start)
        self._keep()
        self._on_changed(changed)
        return changed

    def _keep(self) -> None:
        """Corrections into the case folder; where that fails the reader is told, the scene keeps them."""
        try:
            save(self.case)
        except (CardiacFusionError, OSError) as error:
            self._on_problem(f"The corrections stand in the scene but could not be written to the case folder: {error}")
