"""Chamber labels as a segmentation with names, colours and standard codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from CardiacFusionLib.mrml.frames import ijk_to_ras, vtk_matrix
from CardiacFusionLib.mrml.volumes import add_volume
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.volume import Volume

# name, colour, SNOMED CT code and its meaning
_CHAMBERS: dict[Label, tuple[str, tuple[float, float, float], str, str]] = {
    Label.LV_CAVITY: ("LV cavity", (0.86, 0.33, 0.31), "87878005", "Left ventricle"),
    Label.MYOCARDIUM: ("LV wall", (0.97, 0.80, 0.55), "74281007", "Myocardium"),
    Label.RV_CAVITY: ("RV cavity", (0.35, 0.60, 0.86), "53085002", "Right ventricle"),
    Label.LEFT_ATRIUM: ("Left atrium", (0.85, 0.50, 0.62), "82471001", "Left atrium"),
    Label.RIGHT_ATRIUM: ("Right atrium", (0.45, 0.72, 0.80), "73829009", "Right atrium"),
    Label.AORTA: ("Aorta", (0.88, 0.38, 0.24), "15825003", "Aorta"),
    Label.PULMONARY_TRUNK: ("Pulmonary trunk", (0.20, 0.46, 0.75), "81040000", "Pulmonary artery"),
}
# scheme^code^meaning, as Slicer keeps a terminology entry in a segment's tag
_TERM = (
    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~SCT^{code}^{meaning}~^^~"
    "Anatomic codes - DICOM master list~^^~^^"
)


def add_walls(scene: Any, labels: Volume, name: str) -> Any:
    """A segmentation node of all labels present; segment IDs are the names of :class:`Label` in lower case."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    set_walls(scene, node, labels)
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName2D("Closed surface")
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    display.SetVisibility3D(False)
    return node


def set_walls(scene: Any, node: Any, labels: Volume) -> None:
    """Make a segmentation hold exactly these labels; names, colours and codes of segments that are there stay."""
    import slicer

    segmentation = node.GetSegmentation()
    for label, (title, colour, code, meaning) in _CHAMBERS.items():
        mask = np.asarray(labels.array) == label
        segment_id = label.name.lower()
        segment = segmentation.GetSegment(segment_id)
        if not mask.any():
            if segment is not None:
                segmentation.RemoveSegment(segment_id)
            continue
        if segment is None:
            segmentation.AddEmptySegment(segment_id, title, list(colour))
            segment = segmentation.GetSegment(segment_id)
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), _TERM.format(code=code, meaning=meaning))
        _fill(scene, node, segment_id, labels.with_array(mask.astype(np.uint8)))
    node.CreateClosedSurfaceRepresentation()


def _fill(scene: Any, node: Any, segment_id: str, mask: Volume) -> None:
    """Give a segment its voxels, through a label map node that is removed again."""
    import slicer
    import vtk

    volume = add_volume(scene, mask, "mask", labels=True)
    volume.SetAndObserveTransformNodeID(node.GetTransformNodeID())  # the import works in the world
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ids = vtk.vtkStringArray()
    ids.InsertNextValue(segment_id)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(volume, node, ids)
    for attached in (volume.GetDisplayNode(), volume.GetStorageNode()):
        if attached is not None:
            scene.RemoveNode(attached)
    scene.RemoveNode(volume)


def labels_of(node: Any, grid: Volume) -> Volume:
    """The chamber labels (uint8) of a segmentation on ``grid``, in the segmentation's own space: the transform above it
    does not count. Where segments overlap, the wall wins over its cavity; segments of other names are left out.
    """
    import slicer
    import vtk
    from vtk.util import numpy_support

    reference = slicer.vtkOrientedImageData()
    reference.SetDimensions(*grid.size)
    reference.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    reference.SetImageToWorldMatrix(vtk_matrix(ijk_to_ras(grid)))
    array = np.zeros(grid.array.shape, np.uint8)
    names = {label.name.lower(): label for label in _CHAMBERS}
    segmentation = node.GetSegmentation()
    held = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
    for segment_id in sorted((s for s in held if s in names), key=lambda s: names[s] == Label.MYOCARDIUM):
        image, placed = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
        if not node.GetBinaryLabelmapRepresentation(segment_id, image) or image.IsEmpty():
            continue
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, reference, placed)
        x, y, z = placed.GetDimensions()
        mask = numpy_support.vtk_to_numpy(placed.GetPointData().GetScalars()).reshape(z, y, x) != 0
        if mask.shape != array.shape:
            raise StageError("scene", "the edited outlines could not be read on the grid of the case.")
        array[mask] = names[segment_id]
    return grid.with_array(array)


def mask_of(scene: Any, node: Any, label: Label, grid: Volume) -> np.ndarray:
    """The voxels (z, y, x) of one segment on ``grid`` (the grid the segmentation was made from)."""
    import slicer
    import vtk

    from CardiacFusionLib.mrml.volumes import volume_of

    reference = add_volume(scene, grid.with_array(np.zeros(grid.array.shape, np.uint8)), "grid", labels=True)
    target = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "mask")
    for volume in (reference, target):  # the export works in the world: both sides stand under the same transform
        volume.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    ids = vtk.vtkStringArray()
    ids.InsertNextValue(label.name.lower())
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(node, ids, target, reference)
    mask = volume_of(target).array != 0
    for volume in (reference, target):
        for attached in (volume.GetDisplayNode(), volume.GetStorageNode()):
            if attached is not None:
                scene.RemoveNode(attached)
        scene.RemoveNode(volume)
    return mask
