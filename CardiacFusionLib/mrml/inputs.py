"""Scene nodes as files for a run: what a node must be, and how its voxels keep their place in the patient.

The IJK→RAS matrix of a node, and a linear transform above it, are carried into the file exactly, so that oblique,
flipped and permuted volumes give what the plain ones give. Only numpy and Slicer's own classes are needed to judge a
node (``why_not_…``); writing needs the library's packages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import array_of, transform_lps, volume_from_ijk_to_ras
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import MIN_FRAMES, Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

SERIES_ATTRIBUTE = "CardiacFusion series"  # key of a .seq.nrrd that Slicer keeps as an attribute of the sequence
_SECONDS = {"s": 1.0, "sec": 1.0, "": 1.0, "ms": 1e-3}
# endings the command line reads, by kind of node
_CT_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_SERIES_FILES = (".seq.nrrd",)
_SAME_MM = 1e-3


def why_not_ct(node: Any) -> str | None:
    """A sentence why a node is no CT for a run, or None where it may be one. Values are judged by the run itself."""
    if node is None:
        return "Choose the CT coronary angiogram."
    name = node.GetName()
    if node.IsA("vtkMRMLLabelMapVolumeNode") or not node.IsA("vtkMRMLScalarVolumeNode"):
        return f"'{name}' is not a grey-value volume; choose the CT itself, not a label map or another kind of node."
    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) < 2:
        return f"'{name}' holds no three-dimensional image; load the CT again."
    if image.GetNumberOfScalarComponents() != 1:
        return f"'{name}' has {image.GetNumberOfScalarComponents()} values a voxel; a CT has one."
    return _why_not_placed(node)


def why_not_series(node: Any) -> str | None:
    """A sentence why a node is no first-pass perfusion series, or None where it may be one."""
    if node is None:
        return "Choose the stress perfusion series."
    name = node.GetName()
    if not node.IsA("vtkMRMLSequenceNode"):
        return f"'{name}' is not a sequence; load the perfusion series as a volume sequence."
    count = node.GetNumberOfDataNodes()
    if count < MIN_FRAMES:
        return f"'{name}' has {count} frames; a first pass needs at least {MIN_FRAMES}."
    first = node.GetNthDataNode(0)
    if first is None or not first.IsA("vtkMRMLScalarVolumeNode") or first.GetImageData() is None:
        return f"'{name}' is a sequence of something else than images; choose the perfusion series."
    if not node.GetAttribute(SERIES_ATTRIBUTE):
        try:
            _index_times_s(node)
        except BadInputError as error:
            return str(error)
    proxy = _proxy(node)
    return _why_not_placed(proxy) if proxy is not None else None


def why_not_segmentation(node: Any) -> str | None:
    """A sentence why a segmentation cannot take the place of the automatic outline, or None (also for no node)."""
    if node is None:
        return None
    if not node.IsA("vtkMRMLSegmentationNode"):
        return f"'{node.GetName()}' is not a segmentation; choose one made in the Segment Editor, or none."
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        return f"The segmentation '{node.GetName()}' is empty; outline the LV wall and cavity in it, or choose none."
    return None


def file_of(node: Any) -> Path | None:
    """The file a volume or sequence was read from, where the file still is what the node shows; else None."""
    storage = node.GetStorageNode()
    if storage is None or storage.GetFileName() is None or storage.GetNumberOfFileNames() > 1:
        return None
    path = Path(storage.GetFileName())
    series = node.IsA("vtkMRMLSequenceNode")
    if not path.is_file() or not path.name.lower().endswith(_SERIES_FILES if series else _CT_FILES):
        return None
    shown = _proxy(node) if series else node
    if node.GetModifiedSinceRead() or (shown is not None and shown.GetParentTransformNode() is not None):
        return None
    return path


def ct_of(node: Any) -> Volume:
    """The CT of a node in patient LPS, linear transforms above it applied; BadInputError where it does not fit."""
    reason = why_not_ct(node)
    if reason is not None:
        raise BadInputError(reason)
    from CardiacFusionLib.mrml.volumes import volume_of

    volume = volume_of(node)
    matrix = _to_world(node) @ volume.index_to_lps
    spacing, direction = _axes(matrix, node.GetName())
    return Volume(volume.array, spacing, tuple(matrix[:3, 3]), direction)


def series_of(node: Any, state: str) -> tuple[Series, dict[str, Any]]:
    """A sequence as a first-pass series with slice poses in LPS mm and times in seconds, and unknown keys beside it.

    The slices are the planes of the axis with the widest steps, so that a permuted volume is cut as it was acquired.
    What the library itself noted when it wrote the series (exact times and poses, sequence) is believed where it fits.
    """
    from CardiacFusionLib.io.series_file import placed
    from CardiacFusionLib.io.series_json import SeriesInfo, info_from_dict

    reason = why_not_series(node)
    if reason is not None:
        raise BadInputError(reason)
    name = node.GetName()
    frames, ijk_to_ras = _frames(node)
    proxy = _proxy(node)
    moved = _to_world(proxy) if proxy is not None else np.eye(4)
    matrix = moved @ volume_from_ijk_to_ras(frames[0], ijk_to_ras).index_to_lps
    steps = np.linalg.norm(matrix[:3, :3], axis=0)
    through = int(np.argmax(np.round(steps, 3) + np.array([0.0, 0.0, 1e-4])))  # the third axis where steps are equal
    order = [axis for axis in range(3) if axis != through] + [through]
    # array axes are (t, k, j, i): bring the chosen axis to the slices' place
    array = np.moveaxis(frames, 3 - through, 1)
    grid = _slice_poses(matrix[:, [*order, 3]], array.shape[1], name)
    noted = node.GetAttribute(SERIES_ATTRIBUTE)
    info = info_from_dict(json.loads(noted), name) if noted else SeriesInfo(_index_times_s(node))
    if info.state is not None and info.state != state:
        raise BadInputError(f"'{name}' is marked as the {info.state} series but was chosen as {state}; swap the two.")
    if len(info.times_s) != len(array):
        raise BadInputError(f"'{name}' has {len(array)} frames but {len(info.times_s)} frame times; load it again.")
    if not np.allclose(moved, np.eye(4)):  # noted poses are those of the untouched file
        info = SeriesInfo(info.times_s, None, info.state, info.sequence, None, info.extra)
    info = placed(info, grid, f"'{name}'")
    series = Series(array.astype(np.float32), info.poses or grid, info.times_s, state, info.sequence)
    return series, dict(info.extra)


def write_ct(node: Any, path: Path) -> None:
    """Write the CT of a node (``.nrrd``: any direction, exact geometry). OSError where the disk refuses it."""
    from CardiacFusionLib.io.write import write_volume

    write_volume(ct_of(node), path)


def write_series_of(node: Any, path: Path, state: str) -> None:
    """Write a sequence as a series that the command line reads (``.nii`` with its sidecar)."""
    from CardiacFusionLib.io.write import write_series

    series, extra = series_of(node, state)
    write_series(series, path, extra)


def _why_not_placed(node: Any) -> str | None:
    parent = node.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        return f"'{node.GetName()}' lies under a warping transform; harden it or take the volume out of it."
    return None


def _to_world(node: Any) -> NDArray[np.float64]:
    """4x4 from the node's own LPS frame to the scene's LPS frame."""
    import vtk

    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return transform_lps(array_of(matrix))


def _proxy(sequence: Any) -> Any:
    """The node that shows a sequence in the views (it may lie under a transform), or None."""
    scene = sequence.GetScene()
    if scene is None:
        return None
    browsers = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode")
    browsers.UnRegister(None)
    for index in range(browsers.GetNumberOfItems()):
        proxy = browsers.GetItemAsObject(index).GetProxyNode(sequence)
        if proxy is not None:
            return proxy
    return None


def _axes(matrix: NDArray[np.float64], name: str) -> tuple[tuple[float, float, float], NDArray[np.float64]]:
    """Spacing (mm) and direction of an index → LPS matrix; BadInputError where its axes are skewed."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = matrix[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _SAME_MM:
        raise BadInputError(f"'{name}' lies under a shearing transform; harden it and resample the volume.")
    return (float(spacing[0]), float(spacing[1]), float(spacing[2])), direction


def _slice_poses(matrix: NDArray[np.float64], count: int, name: str) -> tuple[SlicePose, ...]:
    """One pose a slice of an index (x, y, slice) → LPS matrix; the normal makes each pose right-handed."""
    spacing, direction = _axes(matrix, name)
    axes = np.column_stack([direction[:, :2], np.cross(direction[:, 0], direction[:, 1])])
    return tuple(
        SlicePose(tuple(matrix[:3, 3] + k * matrix[:3, 2]), axes, (spacing[0], spacing[1]), spacing[2])
        for k in range(count)
    )


def _frames(node: Any) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """All frames (t, k, j, i) and their common IJK → RAS; BadInputError where frames lie in different places."""
    import vtk
    from vtk.util import numpy_support

    arrays, first = [], None
    for index in range(node.GetNumberOfDataNodes()):
        frame = node.GetNthDataNode(index)
        matrix = vtk.vtkMatrix4x4()
        frame.GetIJKToRASMatrix(matrix)
        here = array_of(matrix)
        image = frame.GetImageData()
        x, y, z = image.GetDimensions()
        arrays.append(numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x))
        first = here if first is None else first
        if np.abs(here - first).max() > _SAME_MM or arrays[-1].shape != arrays[0].shape:
            raise BadInputError(
                f"The frames of '{node.GetName()}' do not lie in one place (frame {index + 1} differs); load the "
                "series without motion correction, or give its DICOM folder."
            )
    assert first is not None  # why_not_series asked for frames
    return np.stack(arrays), first


def _index_times_s(node: Any) -> NDArray[np.float64]:
    """Frame times in seconds from the sequence's index; BadInputError where it is no time."""
    name, unit = node.GetName(), (node.GetIndexUnit() or "").strip()
    try:
        times = np.array([float(node.GetNthIndexValue(i)) for i in range(node.GetNumberOfDataNodes())])
    except ValueError as error:
        raise BadInputError(f"The index of '{name}' is no time; load the series with its trigger times.") from error
    if unit not in _SECONDS:
        raise BadInputError(f"The frames of '{name}' are indexed in '{unit}', not in seconds; give a time index.")
    if unit == "" and np.array_equal(times, np.arange(len(times))):
        raise BadInputError(
            f"The frames of '{name}' are only numbered, their times are unknown; give the DICOM folder instead, or a "
            "sequence with a time index."
        )
    return times * _SECONDS[unit]
