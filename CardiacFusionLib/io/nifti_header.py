"""What SimpleITK hides of a NIfTI file: zero spacing, sheared axes, no orientation at all."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError

_NIFTI1, _NIFTI2 = 348, 540
_SHEAR_TOLERANCE = 1e-3
_FLOATS = {16: "f4", 64: "f8"}  # datatype codes of nifti1.h
_CHUNK = 1 << 22  # bytes, a multiple of every pixel size


@dataclass(frozen=True)
class NiftiHeader:
    """The geometry fields of a NIfTI-1 or NIfTI-2 header, as they stand in the file (RAS, not converted)."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]  # pixdim[1..n]
    qform_code: int
    sform_code: int
    sform: NDArray[np.float64]  # (3, 4)
    start: int  # byte of the first pixel in the uncompressed file
    byte_count: int  # of the whole uncompressed file
    float_type: str | None  # numpy type of floating-point pixels with their byte order; None for whole numbers


def read_header(path: Path) -> NiftiHeader:
    """The header of a .nii or .nii.gz file (https://nifti.nimh.nih.gov, nifti1.h and nifti2.h).

    Raises BadInputError where the file is no NIfTI image.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            raw = stream.read(_NIFTI2)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError(f"{path.name} cannot be read as NIfTI ({error}); copy or export it again.") from error
    for order in "<>":
        if len(raw) >= _NIFTI1 and struct.unpack(order + "i", raw[:4])[0] == _NIFTI1:
            dim = struct.unpack(order + "8h", raw[40:56])
            pixdim = struct.unpack(order + "8f", raw[76:108])
            codes = struct.unpack(order + "2h", raw[252:256])
            rows = struct.unpack(order + "12f", raw[280:328])
            bits = struct.unpack(order + "h", raw[72:74])[0]
            kind = struct.unpack(order + "h", raw[70:72])[0]
            start = struct.unpack(order + "f", raw[108:112])[0]
            break
        if len(raw) >= _NIFTI2 and struct.unpack(order + "i", raw[:4])[0] == _NIFTI2:
            dim = struct.unpack(order + "8q", raw[16:80])
            pixdim = struct.unpack(order + "8d", raw[104:168])
            codes = struct.unpack(order + "2i", raw[344:352])
            rows = struct.unpack(order + "12d", raw[400:496])
            bits = struct.unpack(order + "h", raw[14:16])[0]
            kind = struct.unpack(order + "h", raw[12:14])[0]
            start = struct.unpack(order + "q", raw[168:176])[0]
            break
    else:
        raise BadInputError(f"{path.name} is not a NIfTI image (its header is damaged or of another format).")
    count = min(max(int(dim[0]), 0), 7)
    shape = tuple(int(n) for n in dim[1 : count + 1])
    first = int(start) if np.isfinite(start) and start > 0 else 0
    return NiftiHeader(
        shape,
        tuple(float(s) for s in pixdim[1 : count + 1]),
        int(codes[0]),
        int(codes[1]),
        np.asarray(rows, dtype=float).reshape(3, 4),
        first,
        first + int(np.prod(np.maximum(shape, 1), dtype=np.int64)) * bits // 8,
        order + _FLOATS[kind] if kind in _FLOATS else None,
    )


def _check_pixels(path: Path, header: NiftiHeader) -> None:
    """Raise BadInputError for a torn file and for NaN: ITK fills the one and replaces the other by zeros, silently."""
    torn = BadInputError(f"{path.name} is cut short or damaged; copy or download it again.")
    if header.float_type is None:
        if path.suffix != ".gz" and path.stat().st_size < header.byte_count:
            raise torn
        if path.suffix != ".gz" or _noted_size(path) == header.byte_count % 2**32:
            return
    count, size = 0, np.dtype(header.float_type or "u1").itemsize
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            count += len(stream.read(header.start))
            while chunk := stream.read(_CHUNK):
                count += len(chunk)
                if header.float_type is not None:
                    values = np.frombuffer(chunk[: len(chunk) // size * size], dtype=header.float_type)
                    if not np.all(np.isfinite(values)):
                        raise BadInputError(
                            f"{path.name} holds values that are not numbers (NaN or infinite); export it again."
                        )
    except (OSError, EOFError, zlib.error) as error:
        raise torn from error
    if count < header.byte_count:
        raise torn


def _noted_size(path: Path) -> int:
    """The uncompressed size (modulo 4 GiB) that gzip notes at the end of a file; of several members, the last one's."""
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        return int(struct.unpack("<I", stream.read(4))[0])


def check_header(path: Path) -> NiftiHeader:
    """The header, after the checks that ITK does not make or silently mends; raises BadInputError."""
    header = read_header(path)
    if len(header.shape) < 3 or min(header.shape[:2]) < 2:
        raise BadInputError(f"{path.name} has only the size {header.shape}; a three-dimensional image is needed.")
    _check_pixels(path, header)
    spacing = np.abs(header.spacing[:3])
    if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
        raise BadInputError(
            f"The voxel spacing in the header of {path.name} is {header.spacing[:3]} mm; it must be above zero. Export "
            "the image again with its geometry."
        )
    if header.qform_code <= 0 and header.sform_code <= 0:
        raise BadInputError(
            f"{path.name} does not say how it lies in the patient (qform and sform codes are 0); convert it again "
            "from DICOM with its orientation."
        )
    if header.sform_code > 0:
        columns = header.sform[:, :3]
        length = np.linalg.norm(columns, axis=0)
        if not np.all(np.isfinite(length)) or np.any(length < 1e-6):
            raise BadInputError(f"The orientation matrix of {path.name} is empty; export the image again.")
        unit = columns / length
        if np.abs(unit.T @ unit - np.eye(3)).max() > _SHEAR_TOLERANCE:
            raise BadInputError(
                f"The axes of {path.name} are sheared or not perpendicular; resample it to a regular grid first "
                "(a tilted-gantry CT needs tilt correction)."
            )
        if np.abs(length - spacing).max() > 1e-2 * length.max():
            raise BadInputError(
                f"{path.name} gives two different voxel sizes ({tuple(np.round(spacing, 3))} and "
                f"{tuple(np.round(length, 3))} mm); export it again."
            )
    return header
