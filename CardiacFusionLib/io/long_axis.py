"""Long-axis views (2-, 3-, 4-chamber) from files: single frames or films, cine or perfusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CardiacFusionLib.io.dicom_frames import Frame, dicom_files, frames_of, is_dicom, pixels, read_frames
from CardiacFusionLib.io.dicom_perfusion import places_of, pose_of
from CardiacFusionLib.io.image_file import check_finite, read_image
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import LongAxisView
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.spatial.volume import check_direction

MAX_PLANES = 9  # more of them are a stack or a volume, no long-axis views


def read_long_axis(paths: Sequence[Path | str]) -> tuple[LongAxisView, ...]:
    """The views of some files: each a NIfTI, NRRD or MetaImage file (x, y, plane[, time]), a DICOM file or folder.

    Every plane of a file is a view of its own, named by the file. Raises BadInputError with one sentence that says
    what is wrong and how to mend it.
    """
    views: list[LongAxisView] = []
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise BadInputError(f"There is no file or folder {path}; check the path.")
        views += _dicom(path) if path.is_dir() or is_dicom(path) else _image(path)
    return tuple(views)


def _named(path: Path, number: int, count: int) -> str:
    name = path.name.split(".")[0] if path.is_file() else path.name
    return name if count == 1 else f"{name}_{number + 1}"


def _check_planes(count: int, path: Path) -> None:
    if count > MAX_PLANES:
        raise BadInputError(
            f"{path.name} holds {count} planes; long-axis views are a few (2-, 3-, 4-chamber). A short-axis stack does "
            "not belong here."
        )


def _dicom(path: Path) -> list[LongAxisView]:
    frames = frames_of(path) if path.is_file() else read_frames(dicom_files(path))
    planes: list[list[Frame]] = places_of(frames)
    if not planes:
        raise BadInputError(f"{path.name} holds no images with a place in the patient; give the long-axis series.")
    _check_planes(len(planes), path)
    return [
        LongAxisView(_named(path, k, len(planes)), pixels(plane).astype(np.float32), pose_of(plane[0]))
        for k, plane in enumerate(planes)
    ]


def _image(path: Path) -> list[LongAxisView]:
    image = read_image(path)
    if image.GetDimension() not in (3, 4) or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadInputError(f"{path.name} is no long-axis view; give a grey-value image (x, y, plane) or a film of it.")
    array = sitk.GetArrayFromImage(image)
    film = array if array.ndim == 4 else array[None]
    planes = film.shape[1]
    _check_planes(planes, path)
    check_finite(film, path.name)
    count = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(count, count)[:3, :3]
    spacing, origin = np.array(image.GetSpacing())[:3], np.array(image.GetOrigin())[:3]
    check_direction(direction, path.name)
    views = []
    for k in range(planes):
        place = origin + k * spacing[2] * direction[:, 2]
        axes = np.column_stack([direction[:, :2], np.cross(direction[:, 0], direction[:, 1])])
        pose = SlicePose(tuple(place), axes, (float(spacing[0]), float(spacing[1])), float(spacing[2]))
        views.append(LongAxisView(_named(path, k, planes), film[:, k].astype(np.float32), pose))
    return views
