"""Slicer's scene without Slicer's application: ``slicer-core``'s MRML with its module logics registered.

Inside 3D Slicer none of this is needed: there ``slicer.mrmlScene`` is complete. Headless, segmentations, sequences,
markups files and ``.mrb`` bundles work only once the logics below know the scene, and the display managers only once
they know the application logic.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from CardiacFusionLib.mrml.outputs import BACKENDS
from CardiacFusionLib.spatial.errors import StageError

# logics whose registration adds node classes or storage to the scene; Terminologies is left out, as it looks for files
# of the full application and reports each missing one as an error
_LOGICS = (
    ("SubjectHierarchy", "vtkSlicerSubjectHierarchyModuleLogic"),
    ("Segmentations", "vtkSlicerSegmentationsModuleLogic"),
    ("Volumes", "vtkSlicerVolumesLogic"),
    ("Markups", "vtkSlicerMarkupsLogic"),
    ("Models", "vtkSlicerModelsLogic"),
    ("Transforms", "vtkSlicerTransformLogic"),
    ("Tables", "vtkSlicerTablesLogic"),
    ("Sequences", "vtkSlicerSequencesLogic"),
    ("Texts", "vtkSlicerTextsLogic"),
)
_WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"


def import_slicer() -> Any:
    """The ``slicer`` module, or StageError with the way to get it."""
    try:
        import slicer
    except ImportError as error:
        raise StageError(
            "scene", f"slicer-core is not installed ({error}); install it with 'pip install cardiacfusion[scene]'."
        ) from error
    return slicer


def choose_window(backend: str | None = None) -> str:
    """Fix the offscreen window class for this process before VTK opens its first window; the name is returned.

    A choice already made in the environment stands. Default: EGL (the faster one); OSMesa is the fallback that the
    caller takes when a process with EGL has failed, since a wrong choice can end the process.
    """
    chosen = backend or os.environ.get(_WINDOW_VARIABLE) or BACKENDS[0]
    os.environ[_WINDOW_VARIABLE] = chosen
    return chosen


class SceneApp:
    """A scene and the logics that serve it; keep it alive as long as the scene is used. A context manager."""

    def __init__(self) -> None:
        slicer = import_slicer()
        import vtk

        self._folder = Path(tempfile.mkdtemp(prefix="cardiacfusion-scene-"))
        self.scene = slicer.vtkMRMLScene()
        self._previous = getattr(slicer, "mrmlScene", None)
        slicer.mrmlScene = self.scene
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetTemporaryPath(str(self._folder))
        self.logic.SetMRMLScene(self.scene)
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())
        colours = self.logic.GetColorLogic()
        colours.SetMRMLScene(self.scene)
        colours.AddDefaultColorNodes()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.module_logics: dict[str, Any] = {}
        for name, class_name in _LOGICS:
            logic = getattr(slicer, class_name)()
            logic.SetMRMLApplicationLogic(self.logic)
            logic.SetMRMLScene(self.scene)
            self.logic.SetModuleLogic(name, logic)
            self.module_logics[name] = logic
        # the legend's node class comes with the full application's colour logic, whose default files are not here
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        # WriteToMRB ends the process unless the scene has a data-I/O manager
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.SetMRMLApplicationLogic(self.logic)
        self._remote_io.SetMRMLScene(self.scene)
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(str(self._folder))
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLApplicationLogic(self.logic)
        self._data_io.SetMRMLScene(self.scene)
        self._data_io.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self._remote_io.AddDataIOToScene()

    def __enter__(self) -> SceneApp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Empty the scene, give back ``slicer.mrmlScene`` and remove the scratch folder."""
        slicer = import_slicer()
        self._remote_io.RemoveDataIOFromScene()
        self.scene.Clear(1)
        if getattr(slicer, "mrmlScene", None) is self.scene:
            slicer.mrmlScene = self._previous
        shutil.rmtree(self._folder, ignore_errors=True)


def save_scene(scene: Any, path: Path) -> None:
    """Write a scene as a ``.mrb`` bundle (whole or not at all); StageError where that fails."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mrb-") as scratch:
        draft = Path(scratch) / path.name
        if not scene.WriteToMRB(str(draft)) or not draft.is_file():
            raise StageError("scene", f"the scene could not be written to {path.name}; is the disk full?")
        draft.replace(path)


def load_scene(scene: Any, path: Path) -> None:
    """Read a ``.mrb`` bundle into a scene; StageError where that fails."""
    if not scene.ReadFromMRB(str(path)):
        raise StageError("scene", f"the scene bundle {path.name} could not be read.")
