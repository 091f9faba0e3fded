"""Chamber labels as a segmentation with names, colours and standard codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from CardiacFusionLib.mrml.volumes import add_volume
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
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for label, (title, colour, code, meaning) in _CHAMBERS.items():
        mask = np.asarray(labels.array) == label
        if not mask.any():
            continue
        segment_id = node.GetSegmentation().AddEmptySegment(label.name.lower(), title, list(colour))
        segment = node.GetSegmentation().GetSegment(segment_id)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), _TERM.format(code=code, meaning=meaning))
        _fill(scene, node, segment_id, labels.with_array(mask.astype(np.uint8)))
    node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName2D("Closed surface")
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    display.SetVisibility3D(False)
    return node


def _fill(scene: Any, node: Any, segment_id: str, mask: Volume) -> None:
    """Give a segment its voxels, through a label map node that is removed again."""
    import slicer
    import vtk

    volume = add_volume(scene, mask, "mask", labels=True)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    ids = vtk.vtkStringArray()
    ids.InsertNextValue(segment_id)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(volume, node, ids)
    for attached in (volume.GetDisplayNode(), volume.GetStorageNode()):
        if attached is not None:
            scene.RemoveNode(attached)
    scene.RemoveNode(volume)


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
