"""Offscreen slice and 3D views drawn by Slicer's own display managers.

In Slicer the slice image itself is drawn by a Qt-side class; here one 2D actor shows the slice logic's output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.app import SceneApp
from CardiacFusionLib.mrml.frames import points_ras
from CardiacFusionLib.mrml.layout import aim, camera_of
from CardiacFusionLib.mrml.snapshot import image_of, save_image

SIZE = (1060, 900)
CENTRE_X = 450 / 1060  # the heart stands left of the middle; the colour legend has the strip on the right
_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


class _View:
    """A render window with a group of display managers on its first renderer."""

    def __init__(self, app: SceneApp, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        import slicer
        import vtk

        self.app = app
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetShowWindow(False)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.EnableRenderOff()
        factory.SetMRMLApplicationLogic(app.logic)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(factory, self.renderer)
        self._props: list[Any] = []

    def add_overlay(self, prop: Any) -> None:
        """Add a 2D prop of our own (text, lines)."""
        self.renderer.AddViewProp(prop)
        self._props.append(prop)

    def grab(self) -> Any:
        """Render and return the image as ``vtkImageData`` (RGB)."""
        self.interactor.EnableRenderOn()
        self.window.Render()
        self.window.Render()  # legends and labels take their sizes from the first pass
        return image_of(self.window)

    def save(self, path: Path) -> None:
        """Render to a PNG; StageError where the driver drew nothing."""
        save_image(self.grab(), self.window, path)

    def close(self) -> None:
        """Let the managers go before the window."""
        for prop in self._props:
            self.renderer.RemoveViewProp(prop)
        self.group.SetMRMLDisplayableNode(None)
        self.window.Finalize()


class SliceView(_View):
    """A slice through the heart frame: 'Axial' is the short axis, 'Coronal' and 'Sagittal' are the long axes."""

    def __init__(self, app: SceneApp, name: str, orientation: str, size: tuple[int, int] = SIZE) -> None:
        import slicer
        import vtk

        super().__init__(app, slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _SLICE_MANAGERS, size)
        self.renderer.SetBackground(0.0, 0.0, 0.0)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.add_overlay(actor)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app.logic)
        app.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        found = app.scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        self._own = found is None
        if found is None:
            self.node = self.logic.AddSliceNode(name)
            self.node.SetOrientation(orientation)
        else:
            self.node = found
            self.logic.SetSliceNode(found)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

    def show(self, background: Any, foreground: Any | None, opacity: float) -> None:
        """Choose the image and the map over it."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(opacity)

    def look_at(self, centre_heart_mm: tuple[float, float, float], width_mm: float) -> None:
        """Centre the slice on a heart-frame point; the shorter side of the window shows ``width_mm``."""
        columns, rows = self.window.GetSize()
        short = min(columns, rows)
        self.node.SetFieldOfView(width_mm * columns / short, width_mm * rows / short, 1.0)
        matrix = self.node.GetSliceToRAS()
        aside = (0.5 - CENTRE_X) * self.node.GetFieldOfView()[0]
        for axis, value in enumerate(points_ras(np.array(centre_heart_mm))):
            matrix.SetElement(axis, 3, float(value) + aside * matrix.GetElement(axis, 0))
        self.node.UpdateMatrices()

    def pixel_of(self, point_heart_mm: tuple[float, float, float]) -> tuple[float, float]:
        """Window pixel (x right, y up) of a heart-frame point projected on the slice."""
        import vtk

        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y, _, _ = inverse.MultiplyPoint((*points_ras(np.array(point_heart_mm)).tolist(), 1.0))
        return float(x), float(y)

    def refresh(self) -> None:
        """Draw once, as a view on a screen does; nothing is read back."""
        self.logic.UpdatePipeline()
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()

    def grab(self) -> Any:
        """Render with the slice's present image."""
        self.logic.UpdatePipeline()
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        return super().grab()

    def close(self) -> None:
        """Release the slice logic too."""
        self._mapper.SetInputConnection(None)
        super().close()
        self.app.logic.GetSliceLogics().RemoveItem(self.logic)
        if self._own:
            self.app.scene.RemoveNode(self.logic.GetSliceCompositeNode())
            self.app.scene.RemoveNode(self.node)
        self.logic.SetMRMLScene(None)


class ThreeDView(_View):
    """A 3D view whose camera is set in the heart frame."""

    def __init__(self, app: SceneApp, name: str, size: tuple[int, int] = SIZE) -> None:
        import slicer

        super().__init__(app, slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _THREE_D_MANAGERS, size)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(app.logic)
        app.logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(app.scene)
        found = app.scene.GetSingletonNode(name, "vtkMRMLViewNode")
        self._own = found is None
        self.node = self.logic.AddViewNode(name) if found is None else found
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.node.SetBackgroundColor(0.07, 0.08, 0.10)
        self.node.SetBackgroundColor2(0.16, 0.18, 0.22)
        self.group.SetMRMLDisplayableNode(self.node)
        self.renderer.SetUseFXAA(True)

    def refresh(self) -> None:
        """Draw once, as a view on a screen does; nothing is read back."""
        self.renderer.ResetCameraClippingRange()
        self.window.Render()

    def aside(self) -> None:
        """Leave the strip on the right to the legend."""
        self.renderer.GetActiveCamera().SetWindowCenter(1.0 - 2.0 * CENTRE_X, 0.0)
        self.renderer.ResetCameraClippingRange()

    def camera(
        self,
        focus_heart_mm: NDArray[np.float64],
        from_heart: tuple[float, float, float],
        up_heart: tuple[float, float, float],
        height_mm: float,
    ) -> None:
        """Orthographic camera looking at ``focus`` from direction ``from_heart``; the window shows ``height_mm``."""
        self.node.SetRenderMode(self.node.Orthographic)  # sizes can be compared
        aim(camera_of(self.app.scene, self.node.GetLayoutName()), focus_heart_mm, from_heart, up_heart, height_mm)
        self.aside()

    def close(self) -> None:
        """Release the view logic and its camera too."""
        super().close()
        self.app.logic.GetViewLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        if self._own:
            camera = self.app.scene.GetSingletonNode(self.node.GetLayoutName(), "vtkMRMLCameraNode")
            self.app.scene.RemoveNode(camera)
            self.app.scene.RemoveNode(self.node)
