"""The self-test's scenario: synthetic heart → run → landmarks moved → saved, cleared, loaded → the same values."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt
import slicer

from CardiacFusionPanel import packages, prepare

LONGEST_S = 900.0  # a run with stress and rest on a slow machine
MOVE_MM = 4.0


class SelfTest:
    """Mixed into the module's test class, which names the logic class. Every method with 'test' in its name is run."""

    logicClass: Any = None

    def test_an_empty_scene_says_what_is_missing(self) -> None:
        """Nothing chosen: Run says so in a sentence and starts nothing."""
        with self._logic() as (logic, told):
            logic.fuse(logic.getParameterNode())
            self.assertFalse(logic.running)
            self.assertEqual(len(told), 1)
            self.assertIn("CT", told[0])

    def test_cancel_leaves_the_scene_as_it_was(self) -> None:
        """A run that is cancelled leaves no node, no file and no process behind."""
        self._needs_packages()
        with self._logic() as (logic, told), _Folder() as folder:
            before = slicer.mrmlScene.GetNumberOfNodes()
            logic.makeTwin(folder / "twin")
            qt.QTimer.singleShot(1500, logic.cancel)
            self._wait(logic)
            self.assertIn("cancelled", told[-1])
            self.assertEqual(list(folder.iterdir()), [])
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_synthetic_heart_is_fused_corrected_saved_and_loaded(self) -> None:
        """The whole way of a user."""
        self._needs_packages()
        with self._logic() as (logic, told), _Folder() as folder:
            logic.makeTwin(folder / "twin")
            self._wait(logic)
            parameters = logic.getParameterNode()
            parameters.caseFolder, parameters.pictures = str(folder / "case"), False
            self.assertIsNone(prepare.what_is_missing(parameters))
            logic.fuse(parameters)
            self._wait(logic)
            self.assertIsNotNone(logic.case, told[-1] if told else "no case")
            automatic = self._values(logic)
            self._move(logic.case.landmarks, 0, MOVE_MM)
            logic.correction.apply()
            corrected = self._values(logic)
            self.assertNotEqual(automatic, corrected)
            bundle = folder / "scene.mrb"
            self.assertTrue(slicer.util.saveScene(str(bundle)))
            logic.leaveCase()
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(str(bundle))
            logic.findCase()
            self.assertIsNotNone(logic.case, "no case in the loaded scene")
            self.assertEqual(self._values(logic), corrected)
            logic.removeCase()
            self.assertIsNone(logic.case)

    @contextmanager
    def _logic(self) -> Iterator[tuple[Any, list[str]]]:
        """A logic of its own in an empty scene, and every sentence it says. Slicer's runner calls neither ``setUp`` of
        every part nor cleanups in all its versions, so both are done here."""
        slicer.mrmlScene.Clear()
        logic = self.logicClass()
        told: list[str] = []
        logic.said.connect(lambda sentence, good: told.append(sentence) if sentence else None)
        try:
            yield logic, told
        finally:
            logic.stopNow()
            logic.leaveCase()

    def _needs_packages(self) -> None:
        absent = packages.missing()
        if absent:
            self.skipTest(f"Python packages are missing: {', '.join(absent)}")

    def _wait(self, logic: Any) -> None:
        """Let Qt work until the run has ended."""
        if not logic.running:
            return
        loop, timer = qt.QEventLoop(), qt.QTimer()

        def look() -> None:
            if not logic.running:
                loop.quit()

        logic.runChanged.connect(look)
        timer.setSingleShot(True)
        timer.timeout.connect(loop.quit)
        timer.start(int(1000 * LONGEST_S))
        loop.exec_()
        timer.stop()
        self.assertFalse(logic.running, "the run did not end")

    @staticmethod
    def _move(node: Any, index: int, by_mm: float) -> None:
        """Move one point of a list along its first axis."""
        point = [float(v) for v in node.GetNthControlPointPosition(index)]
        node.SetNthControlPointPosition(index, point[0] + by_mm, point[1], point[2])

    @staticmethod
    def _values(logic: Any) -> list[tuple[Any, ...]]:
        """What a reader reads: segments and findings, rounded as they are shown."""
        case = logic.case
        segments = [
            (row.number, None if row.value is None else round(row.value, 3), row.territory_patient)
            for row in case.segments()
        ]
        return [*segments, *((row.sentence,) for row in case.findings())]


class _Folder:
    """A folder that is gone afterwards."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="cardiacfusion-selftest-"))
        return self.path

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
