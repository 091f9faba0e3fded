"""Single-file images (NIfTI, NRRD, MetaImage) through SimpleITK, with the checks that it leaves out."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from CardiacFusionLib.io.nifti_header import check_header
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Volume, check_direction, check_spacing

NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd", ".nhdr")
META = (".mha", ".mhd")
SUFFIXES = NIFTI + NRRD + META


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the file's name ends in one of ``suffixes``, in upper or lower case."""
    return path.name.lower().endswith(suffixes)


def _check_nrrd(path: Path) -> None:
    try:
        header = nrrd.read_header(str(path))
    except (nrrd.NRRDError, OSError, ValueError, KeyError) as error:
        raise BadInputError(f"{path.name} is not a readable NRRD image ({error}).") from error
    if int(header.get("dimension", 0)) < 3:
        raise BadInputError(f"{path.name} has {header.get('dimension')} dimensions; a three-dimensional one is needed.")
    if "space" not in header or "space directions" not in header:
        raise BadInputError(
            f"{path.name} does not say how it lies in the patient (no space directions); export it again with its "
            "orientation."
        )
    rows = [row for row in header["space directions"] if row is not None and not np.all(np.isnan(row))]
    axes = np.asarray(rows, dtype=float)
    if axes.shape != (3, 3):
        raise BadInputError(f"{path.name} has {len(rows)} axes in space; three are needed.")
    check_axes(axes.T, path.name)


def check_axes(columns_mm: NDArray[np.float64], what: str) -> None:
    """Raise BadInputError unless the columns (3, 3), direction times spacing, are perpendicular and not empty."""
    length = np.linalg.norm(columns_mm, axis=0)
    check_spacing(tuple(length), what)
    check_direction(columns_mm / length, what)


def _check_meta(path: Path) -> None:
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        for _ in range(200):
            line = stream.readline(4096).decode("latin-1")
            key, separator, value = line.partition("=")
            if not separator:
                break
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
    if "NDims" not in fields:
        raise BadInputError(f"{path.name} is not a MetaImage file; export the image again.")
    try:
        if "ElementSpacing" in fields:
            check_spacing(tuple(float(s) for s in fields["ElementSpacing"].split()), path.name)
        if "TransformMatrix" in fields and fields["NDims"] == "3":
            matrix = np.array([float(v) for v in fields["TransformMatrix"].split()])
            check_direction(matrix.reshape(3, 3).T, path.name)
    except ValueError as error:
        raise BadInputError(f"The header of {path.name} is damaged ({error}); export the image again.") from error


def read_image(path: Path) -> sitk.Image:
    """A NIfTI, NRRD or MetaImage file as a SimpleITK image (LPS); raises BadInputError with what is wrong."""
    if not path.is_file():
        raise BadInputError(f"There is no file {path}; check the path.")
    if has_suffix(path, NIFTI):
        check_header(path)
    elif has_suffix(path, NRRD):
        _check_nrrd(path)
    elif has_suffix(path, META):
        _check_meta(path)
    else:
        raise BadInputError(
            f"{path.name} is not an image that can be read; give a DICOM folder, NIfTI (.nii, .nii.gz), NRRD (.nrrd, "
            ".nhdr) or MetaImage (.mha)."
        )
    shout = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise BadInputError(
            f"{path.name} cannot be read as an image (damaged or cut short); copy or export it again."
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shout)


def read_volume(path: Path) -> Volume:
    """A three-dimensional scalar image file. 4D files with a single frame are taken as 3D; others are refused."""
    image = read_image(path)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadInputError(
            f"{path.name} has size {image.GetSize()} with {image.GetNumberOfComponentsPerPixel()} values a voxel; one "
            "three-dimensional grey-value image is needed (of a series over time, give one frame)."
        )
    volume = Volume.from_sitk(image)
    check_finite(volume.array, path.name)
    return volume


def check_finite(array: NDArray[np.generic], what: str) -> None:
    """Raise BadInputError where a floating-point image holds NaN or infinity."""
    if np.issubdtype(array.dtype, np.floating) and not np.all(np.isfinite(array)):
        raise BadInputError(f"{what} holds values that are not numbers (NaN or infinite); export it again.")


def storable(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array in a type that image files hold: bool as uint8, 64-bit integers as int32, half floats as float32."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype in (np.int64, np.uint64):
        return array.astype(np.int32)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write a volume as NIfTI, NRRD or MetaImage by the file's ending. NIfTI stores its geometry as 32-bit floats."""
    path = Path(path)
    if not has_suffix(path, SUFFIXES):
        raise ValueError(f"{path.name}: the ending must be one of {', '.join(SUFFIXES)}")
    image = volume.with_array(storable(volume.array)).to_sitk()
    compress = has_suffix(path, (*NRRD, ".mha", ".nii.gz"))
    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
    except RuntimeError as error:
        raise OSError(f"{path} could not be written ({str(error).strip().splitlines()[-1]})") from error
