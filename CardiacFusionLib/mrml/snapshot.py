"""What a render window shows, as a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from CardiacFusionLib.spatial.errors import StageError


def image_of(window: Any) -> Any:
    """The picture (``vtkImageData``, RGB) that a rendered window holds; nothing is drawn again."""
    import vtk

    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGB()
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    return grab.GetOutput()


def save_image(image: Any, window: Any, path: Path) -> Path:
    """Write a window's picture; StageError where the driver drew nothing. The path is returned."""
    import vtk

    first, last = image.GetScalarRange()
    if first == last:
        name = window.GetClassName()
        raise StageError("views", f"the OpenGL driver drew an empty picture ({name}).")
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
    return path


def save_window(window: Any, path: Path) -> Path:
    """Draw a window, one of Slicer's on the screen or one of ours, and write it to a PNG."""
    window.Render()
    return save_image(image_of(window), window, path)
