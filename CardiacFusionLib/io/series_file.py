"""Perfusion series in files: 4D NIfTI with a JSON sidecar, and Slicer's ``.seq.nrrd``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import nrrd
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from CardiacFusionLib.io.image_file import check_axes, has_suffix, read_image
from CardiacFusionLib.io.nrrd_header import write_nrrd
from CardiacFusionLib.io.series_json import (
    SeriesInfo,
    info_from_dict,
    pose_from_dict,
    pose_to_dict,
    read_json,
    sequence_from_dict,
    series_to_dict,
    write_json,
)
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Vector3

SEQ_NRRD = ".seq.nrrd"
_KEY = "CardiacFusion series"
_PLAIN = ' {}[]:,"'  # left readable in the header; all else that is not a letter or number is percent-encoded
_SAME_PLACE_MM = 0.05  # NIfTI keeps its geometry in 32-bit floats
_NON_SPACE = ("list", "time", "vector", "scalar")


def sidecar_of(path: Path) -> Path:
    """The JSON sidecar of a NIfTI series: the same name with ``.json``."""
    return path.with_name(_stem(path) + ".json")


def _stem(path: Path) -> str:
    name = path.name
    for ending in (SEQ_NRRD, ".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem


def stack_grid(poses: tuple[SlicePose, ...]) -> tuple[NDArray[np.float64], Vector3, Vector3]:
    """The regular grid nearest to a stack of slices: direction (3, 3), spacing and origin in LPS mm.

    Exact for equally spaced slices; otherwise only the first and the last slice lie where they belong, and the
    poses written beside the pixels tell the truth.
    """
    first = poses[0]
    step = 0.0
    if len(poses) > 1:
        step = float((np.asarray(poses[-1].origin_mm) - first.origin_mm) @ first.normal) / (len(poses) - 1)
    direction = first.direction.copy()
    if step < 0:
        direction[:, 2] = -direction[:, 2]
    gap = abs(step) if abs(step) > 1e-3 else first.thickness_mm
    return direction, (*first.spacing_mm, gap), first.origin_mm


def _poses_of_grid(
    direction: NDArray[np.float64], spacing: tuple[float, ...], origin: tuple[float, ...], slices: int
) -> tuple[SlicePose, ...]:
    step = direction[:, 2] * spacing[2]
    axes = np.column_stack([direction[:, :2], np.cross(direction[:, 0], direction[:, 1])])
    return tuple(
        SlicePose(tuple(np.asarray(origin) + i * step), axes, (spacing[0], spacing[1]), spacing[2])
        for i in range(slices)
    )


def _same_grid(poses: tuple[SlicePose, ...], grid_poses: tuple[SlicePose, ...]) -> bool:
    """Whether slice positions belong to the grid of the image they stand beside."""
    if len(poses) != len(grid_poses):
        return False
    direction, spacing, origin = stack_grid(poses)
    steps = np.column_stack([direction * np.asarray(spacing), origin])
    expected, _, start = stack_grid(grid_poses)
    gap = np.asarray([*grid_poses[0].spacing_mm, grid_poses[0].thickness_mm])
    if len(grid_poses) > 1:
        gap[2] = np.linalg.norm(np.subtract(grid_poses[1].origin_mm, grid_poses[0].origin_mm))
    difference = np.abs(steps - np.column_stack([expected * gap, start]))
    if len(poses) == 1:  # the side that a single slice's normal points to moves no pixel
        difference[:, 2] = 0
    return bool(difference.max() < _SAME_PLACE_MM)


def placed(info: SeriesInfo, grid_poses: tuple[SlicePose, ...], what: str) -> SeriesInfo:
    """``info`` with poses and times in the order of the image's slices; BadInputError where they do not belong to it.

    Slicer stores a left-handed stack from its other end and carries the keys of the file along unchanged, so poses are
    believed only where they fit the image, as they stand or reversed.
    """
    if info.poses is None or _same_grid(info.poses, grid_poses):
        return info
    if _same_grid(info.poses[::-1], grid_poses):
        times = info.times_s[:, ::-1] if info.times_s.ndim == 2 else info.times_s
        return replace(info, poses=info.poses[::-1], times_s=times)
    raise BadInputError(
        f"The slice positions noted beside {what} do not fit the image (it was cropped, flipped or resampled); remove "
        'the "poses" from the sidecar, or give the series as it was exported.'
    )


def _assemble(
    array: NDArray[np.generic],
    grid_poses: tuple[SlicePose, ...],
    info: SeriesInfo,
    state: str,
    what: str,
    folder: Path,
) -> Series:
    frames = array.shape[0]
    if len(info.times_s) != frames:
        raise BadInputError(
            f"{what} has {frames} frames but {len(info.times_s)} frame times; give one time a frame, in seconds."
        )
    slices = len(grid_poses)
    if info.times_s.ndim == 2 and info.times_s.shape[1] != slices:
        raise BadInputError(
            f"{what} has {slices} slices but frame times for {info.times_s.shape[1]}; give one time a frame, or one a "
            "frame and slice."
        )
    if info.state is not None and info.state != state:
        raise BadInputError(f"{what} is marked as the {info.state} series but was given as {state}; swap the two.")
    aif_frames, aif_pose, aif_sequence = None, None, None
    if info.aif is not None:
        companion = read_pixels(folder / str(info.aif["file"]))
        aif_frames, aif_pose = companion[:, 0].astype(np.float32), pose_from_dict(info.aif["pose"])
        aif_sequence = sequence_from_dict(info.aif.get("sequence"))
    values = array.astype(np.float32)

    def built(known: SeriesInfo) -> Series:
        poses = known.poses or grid_poses
        return Series(values, poses, known.times_s, state, known.sequence, aif_frames, aif_pose, aif_sequence)

    if info.poses is not None and len(info.poses) == len(grid_poses):
        built(info)  # times and parallel slices first: their sentences say more than that the poses do not fit
    return built(placed(info, grid_poses, what))


def read_pixels(path: Path) -> NDArray[np.generic]:
    """The array (t, slice, y, x) of a 4D NIfTI or ``.seq.nrrd``, without its geometry."""
    return _load_seq_nrrd(path)[0] if has_suffix(path, (SEQ_NRRD,)) else _load_nifti(path)[0]


def _load_nifti(path: Path) -> tuple[NDArray[np.generic], tuple[SlicePose, ...]]:
    image = read_image(path)
    if image.GetDimension() != 4 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadInputError(
            f"{path.name} has size {image.GetSize()}; a perfusion series needs four dimensions (x, y, slice, time)."
        )
    array = sitk.GetArrayFromImage(image)
    direction = np.asarray(image.GetDirection()).reshape(4, 4)[:3, :3]
    return array, _poses_of_grid(direction, image.GetSpacing()[:3], image.GetOrigin()[:3], array.shape[1])


def read_nifti_series(path: Path, state: str) -> Series:
    """A 4D NIfTI (x, y, slice, time) with its ``.json`` sidecar (keys as written by :func:`write_series`)."""
    array, poses = _load_nifti(path)
    sidecar = sidecar_of(path)
    if not sidecar.is_file():
        raise BadInputError(
            f'{path.name} has no frame times; put a file {sidecar.name} beside it with {{"times_s": [one number a '
            "frame, in seconds]}."
        )
    return _assemble(array, poses, info_from_dict(read_json(sidecar), sidecar.name), state, path.name, path.parent)


def _load_seq_nrrd(path: Path) -> tuple[NDArray[np.generic], tuple[SlicePose, ...], dict[str, Any], int]:
    if not path.is_file():
        raise BadInputError(f"There is no file {path}; check the path.")
    try:
        data, header = nrrd.read(str(path), index_order="C")
    except Exception as error:  # pynrrd lets zlib, struct and numpy errors of damaged files through
        raise BadInputError(f"{path.name} is not a readable .seq.nrrd file ({error}); export it again.") from error
    kinds = [str(k).lower() for k in header.get("kinds", [])]
    outside = [i for i, kind in enumerate(kinds) if kind in _NON_SPACE]
    if data.ndim != 4 or len(outside) != 1:
        raise BadInputError(f"{path.name} is not a sequence of volumes (three axes in space and one list axis).")
    if "space directions" not in header or "space" not in header:
        raise BadInputError(f"{path.name} does not say how it lies in the patient; export it again from Slicer.")
    axes = np.delete(np.asarray(header["space directions"], dtype=float), outside[0], axis=0)
    check_axes(axes.T, path.name)
    array = np.moveaxis(data, 3 - outside[0], 0)
    reader = sitk.ImageFileReader()  # ITK turns whatever space the header names into LPS
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    direction = np.asarray(reader.GetDirection()).reshape(reader.GetDimension(), -1)[:3, :3]
    poses = _poses_of_grid(direction, reader.GetSpacing()[:3], reader.GetOrigin()[:3], array.shape[1])
    return array, poses, dict(header), outside[0]


def _seq_nrrd_data(header: Mapping[str, Any], axis: int, what: str) -> dict[str, Any]:
    if _KEY in header:
        try:
            return dict(json.loads(unquote(header[_KEY])))
        except ValueError as error:
            raise BadInputError(f"The times and slice positions in {what} are damaged ({error}).") from error
    values = header.get(f"axis {axis} index values")
    if values is None:
        raise BadInputError(
            f"{what} holds no index values, so the frame times are unknown; give the sequence a time index in Slicer."
        )
    try:
        times = np.array([float(v) for v in str(values).split()])
    except ValueError as error:
        raise BadInputError(f"The index values of {what} are not numbers; give the sequence a time index.") from error
    units = [str(u) for u in header.get("units", [])]
    unit = units[axis].strip() if axis < len(units) else str(header.get(f"axis {axis} index unit", ""))
    scale = {"ms": 1e-3, "s": 1.0, "": 1.0, "sec": 1.0}.get(unit)
    if scale is None:
        raise BadInputError(f"The frames of {what} are indexed in '{unit}', not in seconds; give a time index.")
    if unit == "" and np.array_equal(times, np.arange(len(times))):
        raise BadInputError(
            f"The frames of {what} are only numbered (0, 1, 2, ...), their times are unknown; give the sequence a time "
            "index in seconds, or export the DICOM series."
        )
    return {"times_s": (times * scale).tolist()}


def read_seq_nrrd(path: Path, state: str) -> Series:
    """Slicer's volume sequence; times from the index values (s or ms), exact poses where this library wrote them."""
    array, poses, header, axis = _load_seq_nrrd(path)
    info = info_from_dict(_seq_nrrd_data(header, axis, path.name), path.name)
    return _assemble(array, poses, info, state, path.name, path.parent)


def series_info(path: Path) -> SeriesInfo:
    """Times, poses, sequence and unknown keys (``extra``) of a series file, without assembling its pixels."""
    if has_suffix(path, (SEQ_NRRD,)):
        try:
            header = nrrd.read_header(str(path))
        except (nrrd.NRRDError, OSError, ValueError) as error:
            raise BadInputError(f"{path.name} is not a readable .seq.nrrd file ({error}).") from error
        kinds = [str(k).lower() for k in header.get("kinds", [])]
        axis = next((i for i, kind in enumerate(kinds) if kind in _NON_SPACE), 0)
        return info_from_dict(_seq_nrrd_data(header, axis, path.name), path.name)
    sidecar = sidecar_of(path)
    return info_from_dict(read_json(sidecar), sidecar.name)


def write_series(series: Series, path: Path | str, extra: Mapping[str, Any] | None = None) -> None:
    """Write a series as ``.nii``/``.nii.gz`` with a ``.json`` sidecar, or as ``.seq.nrrd`` that Slicer opens.

    ``extra`` keys (JSON types) are kept beside the times, for example ``{"synthetic": True}``. The arterial-input
    images of a dual-sequence acquisition go into a second file ``NAME.aif.*``.
    """
    path = Path(path)
    data = series_to_dict(series, extra)
    if series.aif_frames is not None and series.aif_pose is not None:
        ending = path.name[len(_stem(path)) :]
        companion = path.with_name(f"{_stem(path)}.aif{ending}")
        data["aif"] = {"file": companion.name, "pose": pose_to_dict(series.aif_pose)}
        if series.aif_sequence is not None:
            data["aif"]["sequence"] = asdict(series.aif_sequence)
        frame_times = series.times_s.mean(axis=1)
        _write_frames(companion, series.aif_frames[:, None], (series.aif_pose,), frame_times, {})
    _write_frames(path, series.array, series.poses, series.times_s.mean(axis=1), data)


def _write_frames(
    path: Path,
    array: NDArray[np.float32],
    poses: tuple[SlicePose, ...],
    times_s: NDArray[np.float64],
    data: dict[str, Any],
) -> None:
    direction, spacing, origin = stack_grid(poses)
    if has_suffix(path, (SEQ_NRRD,)):
        keys = {
            "axis 3 index type": "numeric",
            "axis 3 index values": " ".join(repr(float(t)) for t in times_s),
            "DataNodeClassName": "vtkMRMLScalarVolumeNode",
        }
        if data:
            keys[_KEY] = quote(json.dumps(data, sort_keys=True), safe=_PLAIN)
        axes = [direction[:, i] * spacing[i] for i in range(3)]
        labels = ['labels: "" "" "" "time"', 'units: "" "" "" "s"']
        kinds = ("domain", "domain", "domain", "list")
        write_nrrd(path, array.astype(np.float32), [*axes, None], origin, kinds, labels, keys)
    elif has_suffix(path, (".nii", ".nii.gz")):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32), isVector=False)
        full = np.eye(4)
        full[:3, :3] = direction
        image.SetDirection(full.ravel().tolist())
        step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1.0
        image.SetSpacing((*spacing, step))
        image.SetOrigin((*origin, 0.0))
        try:
            sitk.WriteImage(image, str(path), useCompression=True)
        except RuntimeError as error:
            raise OSError(f"{path} could not be written ({str(error).strip().splitlines()[-1]})") from error
        if data:
            write_json(data, sidecar_of(path))
    else:
        raise ValueError(f"{path.name}: a series is written as .nii.gz, .nii or .seq.nrrd")
