"""What the reader brings along, in the scene: an outline of the LV in the CT, and the LV's centre in the MR slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import array_of, ijk_to_ras, points_lps, vtk_matrix
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.volume import Volume

# names (lower case) a reader may have given to the two segments; the first is what the sentences ask for
NAMES: dict[Label, tuple[str, ...]] = {
    Label.MYOCARDIUM: ("lv wall", "lv myocardium", "myocardium", "left ventricular myocardium"),
    Label.LV_CAVITY: ("lv cavity", "lv_cavity", "lv blood pool", "left ventricle", "left ventricular cavity"),
}
OFF_SLICE_MM = 12.0  # a point farther from every slice was meant for another series


def outline_of(node: Any, grid: Volume) -> Volume:
    """LV wall and cavity of a segmentation on ``grid`` (CT LPS), as numbers of :class:`Label`; all else 0.

    A linear transform above the node counts, as it does for the CT. Where the two overlap the wall wins. Raises
    BadInputError naming the segment that is missing or empty.
    """
    import slicer
    import vtk
    from vtk.util import numpy_support

    reference = slicer.vtkOrientedImageData()
    reference.SetDimensions(*grid.size)
    reference.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    reference.SetImageToWorldMatrix(vtk_matrix(ijk_to_ras(grid)))
    array = np.zeros(grid.array.shape, np.uint8)
    above = vtk.vtkMatrix4x4()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetMatrixTransformToWorld(above)
    for label in (Label.LV_CAVITY, Label.MYOCARDIUM):
        image, placed = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
        segment_id = _segment(node, label)
        if not node.GetBinaryLabelmapRepresentation(segment_id, image) or image.IsEmpty():
            raise BadInputError(f"The segment '{NAMES[label][0]}' of '{node.GetName()}' is empty; outline it.")
        own = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(own)
        image.SetImageToWorldMatrix(vtk_matrix(array_of(above) @ array_of(own)))
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, reference, placed)
        x, y, z = placed.GetDimensions()
        array[numpy_support.vtk_to_numpy(placed.GetPointData().GetScalars()).reshape(z, y, x) != 0] = label
    for label in NAMES:
        if not np.any(array == label):
            raise BadInputError(
                f"The segment '{NAMES[label][0]}' of '{node.GetName()}' does not lie in the heart of this CT; outline "
                "it on the CT that was chosen."
            )
    return grid.with_array(array)


def _segment(node: Any, label: Label) -> str:
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        if {segment_id.lower(), segmentation.GetSegment(segment_id).GetName().strip().lower()} & set(NAMES[label]):
            return str(segment_id)
    raise BadInputError(
        f"The segmentation '{node.GetName()}' has no segment called '{NAMES[label][0]}'; name the two segments "
        f"'{NAMES[Label.MYOCARDIUM][0]}' and '{NAMES[Label.LV_CAVITY][0]}'."
    )


def merged(labels: Volume, outline: Volume) -> Volume:
    """``labels`` with the LV's wall and cavity replaced by those of ``outline`` (the same grid)."""
    array = np.asarray(labels.array, np.uint8).copy()
    array[(array == Label.MYOCARDIUM) | (array == Label.LV_CAVITY)] = 0
    own = np.asarray(outline.array, np.uint8)
    return labels.with_array(np.where(own != 0, own, array).astype(np.uint8))


def centres_of(node: Any, poses: Sequence[SlicePose]) -> dict[int, NDArray[np.float64]]:
    """Slice number (from 1) -> LV centre in MR LPS mm: each point of a list belongs to its nearest slice.

    Raises BadInputError where a point lies far from every slice or two belong to one.
    """
    found: dict[int, NDArray[np.float64]] = {}
    for index in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(index) != node.PositionDefined:
            continue
        point = points_lps(np.array(node.GetNthControlPointPositionWorld(index)))
        away = [abs(float((point - np.asarray(pose.origin_mm)) @ pose.normal)) for pose in poses]
        number = int(np.argmin(away)) + 1
        if away[number - 1] > OFF_SLICE_MM:
            raise BadInputError(
                f"Point {index + 1} of '{node.GetName()}' lies {min(away):.0f} mm from the nearest stress slice; "
                "mark the LV centre in the slices of the stress series."
            )
        if number in found:
            raise BadInputError(f"'{node.GetName()}' has two points in slice {number}; mark one LV centre a slice.")
        found[number] = point
    return found


def put_centre(node: Any, point_lps_mm: NDArray[np.float64]) -> None:
    """Put the LV centre of a slice (its own node, in MR patient space) at a point."""
    from CardiacFusionLib.mrml.frames import points_ras

    node.SetNthControlPointPosition(0, *points_ras(point_lps_mm).tolist())
