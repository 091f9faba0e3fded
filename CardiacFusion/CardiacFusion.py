"""CardiacFusion in 3D Slicer: the module, its panel, its logic and its self-test.

The panel's parts lie in ``CardiacFusionPanel``, everything about nodes and numbers in ``CardiacFusionLib``. Nothing of
either that needs a third-party package is imported before the first Run or the first opened case.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Reloading the module (developer mode) reads this file anew: the panel's parts must follow it
for _name in [name for name in sys.modules if name.split(".")[0] == "CardiacFusionPanel"]:
    del sys.modules[_name]
# From a source tree the library lies beside the module's folder; an installed one lies on the path already
_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "CardiacFusionLib" / "__init__.py").is_file() and str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))

from CardiacFusionPanel import packages, prepare, sample_data  # noqa: E402
from CardiacFusionPanel.ending import Ending  # noqa: E402
from CardiacFusionPanel.parameters import CardiacFusionParameters  # noqa: E402
from CardiacFusionPanel.run import Run  # noqa: E402
from CardiacFusionPanel.sections import Sections  # noqa: E402
from CardiacFusionPanel.selftest import SelfTest  # noqa: E402
from CardiacFusionPanel.signals import Signal  # noqa: E402

from CardiacFusionLib.spatial.errors import CardiacFusionError  # noqa: E402

BOUND = "SlicerParameterName"  # dynamic property of a widget in a .ui file: the parameter it shows
SECTIONS = ("Inputs", "Run", "Review", "Correct", "Quality", "Export", "Advanced")  # .ui files, from top to bottom


class CardiacFusion(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Cardiac Fusion")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Cardiac")]
        self.parent.dependencies = []
        self.parent.contributors = ["The CardiacFusion contributors"]
        self.parent.helpText = _(
            "CT coronary angiography and stress perfusion MR of one heart in one picture: narrowings, blood flow of "
            "the muscle behind them, and every automatic step open to correction. Research tool, not for clinical use. "
            'See the <a href="https://github.com/CardiacFusion/SlicerCardiacFusion/blob/main/Docs/tutorial.md">tutorial</a>.'
        )
        self.parent.acknowledgementText = _(
            "After the design of Jiang, Ng, Sin and Cao (Medical Physics 2026, doi 10.1002/mp.70420); an "
            "implementation of the published design, not a replication. The networks were trained on synthetic "
            "hearts only."
        )
        slicer.app.connect("startupCompleted()", self.registerSamples)

    def registerSamples(self) -> None:
        """Entries of the Sample Data module, once every module is there."""
        sample_data.register(Path(__file__).resolve().parent / "Resources" / "Icons")


class CardiacFusionLogic(ScriptedLoadableModuleLogic):
    """What the panel does, without the panel: runs, cases, corrections. Tells by signals; never opens a window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.said = Signal()  # (sentence, good): what the panel shows at its top
        self.progressed = Signal()  # (Progress)
        self.logged = Signal()  # (line)
        self.runChanged = Signal()  # (): a run started or ended
        self.caseChanged = Signal()  # (): another case, or none
        self.corrected = Signal()  # (Changed): something was recomputed
        self.run: Run | None = None
        self.case: Any = None
        self.correction: Any = None
        self._after: Any = None  # what to do with the finished run
        self._opened = False  # whether a case was ever taken up: before, the library is not loaded

    def getParameterNode(self) -> CardiacFusionParameters:
        """The panel's settings, kept in the scene."""
        return CardiacFusionParameters(super().getParameterNode())

    @property
    def review(self) -> Any:
        """The library's face to the scene; it needs the packages, so it is fetched when it is used."""
        from CardiacFusionLib.pipeline import review

        return review

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Whatever fails inside is said as a sentence; what nobody expected goes to the log too."""
        try:
            yield
        except (CardiacFusionError, packages.PackagesError) as error:
            self.said.emit(str(error), False)
        except OSError as error:
            self.said.emit(_("The disk or a file failed: {reason}").format(reason=error.strerror or error), False)
        except ImportError as error:
            self.said.emit(
                _("A Python package is missing ({reason}); press Run or open the case again to install it.").format(
                    reason=error
                ),
                False,
            )
        except Exception as error:  # the panel must stay usable
            logging.exception("CardiacFusion")
            self.said.emit(
                _("An unexpected error ({kind}: {reason}); please report it with Slicer's log.").format(
                    kind=type(error).__name__, reason=error
                ),
                False,
            )

    # runs

    @property
    def running(self) -> bool:
        """Whether a child process is at work, or its ending has not been told yet."""
        return self.run is not None

    def fuse(self, parameters: CardiacFusionParameters) -> None:
        """Start the whole run for what is chosen."""
        with self.telling():
            reason = prepare.what_is_missing(parameters)
            if reason is not None:
                self.said.emit(reason, False)
                return
            packages.ensure()
            job, plan = prepare.fuse_job(parameters)
            walls, marks = parameters.ownWalls, parameters.cmrLandmarks
            self._start(job, plan, lambda: self._fused(job.out, walls, marks))

    def makeTwin(self, folder: Path | None = None) -> None:
        """Make a synthetic heart and choose it as input."""
        with self.telling():
            packages.ensure()
            folder = folder or prepare.free_name(prepare.documents() / prepare.CASES / "synthetic_heart")
            job, plan = prepare.twin_job(folder)
            self._start(job, plan, lambda: self._takeTwin(folder))

    def checkComputer(self, parameters: CardiacFusionParameters) -> None:
        """Let the library look at this computer; its findings go to the log."""
        with self.telling():
            job, plan = prepare.doctor_job(parameters)
            self._start(job, plan, lambda: self.said.emit(_("This computer has what a run needs; see the log."), True))

    def _start(self, job: Any, plan: Any, after: Any) -> None:
        if self.running:
            job.clean(keep_inputs=False)
            self.said.emit(_("A run is still at work; wait for it or cancel it."), False)
            return
        self._after = after
        self.run = Run(job, plan, self.progressed.emit, self.logged.emit, self._ended)
        self.run.start()
        self.said.emit("", True)
        self.runChanged.emit()

    def cancel(self) -> None:
        """Stop the run; the scene stays as it is."""
        if self.running:
            self.run.cancel()

    def stopNow(self) -> None:
        """End a run at once, when the panel or the application goes away."""
        if self.run is not None:
            self.run.stop_now()
            self.run = None

    def _ended(self, ending: Ending) -> None:
        self.run = None
        if ending.good:
            with self.telling():
                self._after()
        else:
            self.said.emit(ending.sentence, ending.cancelled)
        self.runChanged.emit()

    def _takeTwin(self, folder: Path) -> None:
        node = slicer.util.loadVolume(str(folder / "ct.nii.gz"), {"name": "Synthetic heart CT"})
        parameters = self.getParameterNode()
        parameters.ct, parameters.ctFile = node, ""
        parameters.stress, parameters.stressFile = None, str(folder / "stress.nii.gz")
        parameters.rest, parameters.restFile = None, str(folder / "rest.nii.gz")
        self.said.emit(_("A synthetic heart is chosen as input. Press Run."), True)

    # cases

    def openCase(self, folder: Path) -> Any:
        """Put a finished case folder into the scene, all at once; the case, or None where that failed."""
        with self.telling():
            packages.ensure(packages.VIEW)
            case = self.review.load_case(Path(folder), slicer.mrmlScene)
            self._take(case)
            note = packages.torch_note()
            done = _("The case is in the scene. Research tool, not for clinical use.")
            self.said.emit(f"{done} {note}" if note else done, True)
            return case
        return None

    def _fused(self, folder: Path, walls: Any, marks: Any) -> None:
        """The case of a run, with what the reader brought along in the place of the automatic results."""
        if self.openCase(folder) is None:
            return
        with self.telling():
            from CardiacFusionLib.pipeline import own_marks

            for node, take in ((walls, own_marks.take_outline), (marks, own_marks.take_centres)):
                if node is not None and node.GetScene() is slicer.mrmlScene:
                    take(self.correction, node)

    def cases(self) -> tuple[Any, ...]:
        """The cases in the scene; none where the packages that can read them are not there."""
        if not slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") or packages.missing(packages.VIEW):
            return ()
        return tuple(self.review.cases_in(slicer.mrmlScene))

    def findCase(self) -> None:
        """Take up a case that is in the scene already: after opening a scene, or after the module was reloaded."""
        with self.telling():
            if self.case is not None:
                return
            found = self.cases()
            if found:
                self._take(found[-1])

    def choose(self, case: Any) -> None:
        """Make another case of the scene the current one."""
        with self.telling():
            self._take(case)

    def _take(self, case: Any) -> None:
        self.leaveCase()
        self._opened = True
        self.case = case
        self.correction = self.review.Correction(case, slicer.mrmlScene, self.corrected.emit, self._problem)
        self.correction.watch()
        self.caseChanged.emit()

    def _problem(self, sentence: str) -> None:
        self.said.emit(sentence, False)

    def leaveCase(self) -> None:
        """Let go of the current case; its nodes stay in the scene."""
        if self.correction is not None:
            self.correction.unwatch()
        had, self.case, self.correction = self.case, None, None
        if had is not None:
            self.caseChanged.emit()

    def forgetGone(self) -> None:
        """Let go of the images of cases that went with their scene."""
        if self._opened:
            with self.telling():
                self.review.forget_gone()

    def removeCase(self) -> None:
        """Take the current case out of the scene; its folder stays on disk."""
        with self.telling():
            case = self.case
            self.leaveCase()
            if case is not None:
                self.review.remove_case(case)
                self.findCase()


class CardiacFusionWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: the life cycle only; its sections do the rest."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: CardiacFusionLogic | None = None
        self.sections: Sections | None = None
        self._parameters: CardiacFusionParameters | None = None
        self._guiTag: int | None = None

    def setup(self) -> None:
        """Called when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        self.ui = self._load()
        self.logic = CardiacFusionLogic()
        self.sections = Sections(self.ui, self.logic, self.parameters)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.enter()

    def _load(self) -> Any:
        """The panel, one .ui file a section; every named widget as an attribute of what is returned."""
        panel = slicer.util.loadUI(self.resourcePath("UI/CardiacFusion.ui"))
        parts = [slicer.util.loadUI(self.resourcePath(f"UI/{name}.ui")) for name in SECTIONS]
        for part in parts:
            panel.layout().addWidget(part)
        self.layout.addWidget(panel)
        self.layout.addStretch(1)
        for part in (panel, *parts):
            part.setMRMLScene(slicer.mrmlScene)
        return slicer.util.childWidgetVariables(panel)

    def parameters(self) -> CardiacFusionParameters | None:
        """The settings while the panel is shown."""
        return self._parameters

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self._connect()
        self.logic.findCase()
        self.sections.refresh()

    def exit(self) -> None:
        """Called each time the user leaves this module."""
        self._disconnect()

    def cleanup(self) -> None:
        """Called when the module is reloaded or the application closes."""
        if self.sections is not None:
            self.sections.cleanup()  # first: nothing may touch widgets that are about to go
        if self.logic is not None:
            self.logic.stopNow()
            self.logic.leaveCase()
        self._disconnect()
        self.removeObservers()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """A run of a scene that goes away is cancelled; nothing may hold its nodes."""
        self._disconnect()
        if self.logic.running:
            self.logic.stopNow()
            self.logic.runChanged.emit()
            self.logic.said.emit(_("The scene was closed, so the run was cancelled; nothing was written."), True)
        self.logic.leaveCase()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """A new parameter node for the empty scene, if the panel is shown."""
        self.logic.forgetGone()
        if self.parent.isEntered:
            self._connect()
            self.sections.refresh()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """An opened scene may hold a case."""
        if self.parent.isEntered:
            self._connect()
            self.logic.findCase()
            self.sections.refresh()

    def _connect(self) -> None:
        self._disconnect()
        self._parameters = self.logic.getParameterNode()
        # not connectGui: it gives no tag back (5.10 to 5.13), so that what it connects could never be let go again
        bound = {widget.property(BOUND): widget for widget in vars(self.ui).values() if widget.property(BOUND)}
        self._guiTag = self._parameters.connectParametersToGui(bound)
        self.addObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.sections.onParameters)

    def _disconnect(self) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(
                self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.sections.onParameters
            )
        self._parameters = None


class CardiacFusionTest(SelfTest, ScriptedLoadableModuleTest):
    """Run in Slicer by 'Reload and Test' or ctest; the scenario stands in ``CardiacFusionPanel/selftest.py``."""

    logicClass = CardiacFusionLogic

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()
