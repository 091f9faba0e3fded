"""Images and maps as scalar volume nodes at their place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import array_of, ijk_to_ras, volume_from_ijk_to_ras, vtk_matrix
from CardiacFusionLib.report.colours import Scale
from CardiacFusionLib.spatial.volume import Volume

NO_DATA = -1.0  # value of map voxels that hold nothing; all mapped quantities are >= 0, and the display hides them
CT_WINDOW_HU = (800.0, 250.0)  # usual width and level for coronary CT angiography
# zlib level 1: a CT of 512x512x320 is written in seconds and only some percent larger
_COMPRESSION = "gzip_fastest"


def add_volume(
    scene: Any, volume: Volume, name: str, *, labels: bool = False, window: tuple[float, float] | None = None
) -> Any:
    """A scalar (or label map) volume node of a volume; its values are copied once, its geometry is exact.

    ``window`` (width, level) is shown in grey; without it Slicer looks for one itself, which takes a second for a CT.
    """
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode" if labels else "vtkMRMLScalarVolumeNode", name)
    if window is not None:
        display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(*window)
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        node.SetAndObserveDisplayNodeID(display.GetID())
    set_volume(node, volume)
    if window is None:
        node.CreateDefaultDisplayNodes()
    node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    if storage is not None:
        storage.SetCompressionParameter(_COMPRESSION)
    return node


def set_volume(node: Any, volume: Volume) -> None:
    """Give a volume node the values and the place of a volume; the values are copied once."""
    import vtk
    from vtk.util import numpy_support

    array = np.ascontiguousarray(volume.array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    image = vtk.vtkImageData()
    image.SetDimensions(*volume.size)
    scalars = numpy_support.numpy_to_vtk(array.reshape(-1), deep=True)
    scalars.SetName("values")
    image.GetPointData().SetScalars(scalars)
    was = node.StartModify()
    node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras(volume)))
    node.SetAndObserveImageData(image)
    node.EndModify(was)


def set_map(node: Any, volume: Volume) -> None:
    """Give a perfusion map's node other values (NaN where there is no wall)."""
    set_volume(node, volume.with_array(with_no_data(np.asarray(volume.array, dtype=np.float32))))


def volume_of(node: Any) -> Volume:
    """The volume of a scalar volume node, without the transforms above it."""
    import vtk
    from vtk.util import numpy_support

    image = node.GetImageData()
    x, y, z = image.GetDimensions()
    array = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return volume_from_ijk_to_ras(array, array_of(matrix))


def add_ct(scene: Any, ct: Volume, name: str) -> Any:
    """The CT with a coronary window. HU are rounded to whole numbers (int16), as scanners store them."""
    array = ct.array
    if array.dtype != np.int16:
        array = np.clip(np.rint(array), -32768, 32767).astype(np.int16)
    return add_volume(scene, ct.with_array(array), name, window=CT_WINDOW_HU)


def with_no_data(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """NaN replaced by ``NO_DATA``; negative noise becomes 0, so that it is not taken for 'no data'."""
    values = np.asarray(values, dtype=np.float32)
    return np.where(np.isfinite(values), np.maximum(values, 0.0), np.float32(NO_DATA)).astype(np.float32)


def add_map(scene: Any, volume: Volume, name: str, scale: Scale, colour_node: Any) -> Any:
    """A perfusion map on the shared colour table; ``volume`` holds NaN where there is no wall.

    Drawn without interpolation and hidden below zero: a colour between wall and 'no data' is never made up at the edge.
    """
    node = add_volume(scene, volume.with_array(with_no_data(np.asarray(volume.array, dtype=np.float32))), name)
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(scale.low, scale.high)
    display.SetInterpolate(False)
    display.SetThreshold(0.0, 1e6)
    display.ApplyThresholdOn()
    display.SetAndObserveColorNodeID(colour_node.GetID())
    node.SetAttribute("CardiacFusion.Quantity", scale.quantity)
    node.SetAttribute("CardiacFusion.Unit", scale.unit)
    node.SetAttribute("CardiacFusion.NoData", str(NO_DATA))
    return node
