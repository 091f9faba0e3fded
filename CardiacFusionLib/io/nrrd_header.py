"""A small NRRD writer whose bytes depend on the data alone (pynrrd and ITK cannot write list axes without a date)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip


def _vector(values: Sequence[float] | NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(v)) for v in values) + ")"


def write_nrrd(
    path: Path,
    array: NDArray[np.generic],
    axes_mm: Sequence[NDArray[np.float64] | None],
    origin_mm: Sequence[float],
    kinds: Sequence[str],
    extra_fields: Sequence[str] = (),
    key_values: Mapping[str, str] | None = None,
) -> None:
    """Write ``array`` (C order, slowest axis first) as a gzip-encoded NRRD in LPS.

    ``axes_mm`` and ``kinds`` stand in NRRD order, **fastest axis first**; an axis that is not in space (list, time)
    has None. ``extra_fields`` are whole header lines; ``key_values`` become ``key:=value`` pairs and must be ASCII
    without backslash or line end. The same data gives the same bytes: neither header nor compression carries a date.
    """
    data = np.ascontiguousarray(array)
    little = data.astype(data.dtype.newbyteorder("<"), copy=False)
    lines = [
        "NRRD0005",
        f"type: {_TYPES[data.dtype.name]}",
        f"dimension: {data.ndim}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in data.shape[::-1]),
        "space directions: " + " ".join("none" if a is None else _vector(a) for a in axes_mm),
        "kinds: " + " ".join(kinds),
        *([] if data.dtype.itemsize == 1 else ["endian: little"]),
        "encoding: gzip",
        "space origin: " + _vector(origin_mm),
        *extra_fields,
    ]
    for key, value in (key_values or {}).items():
        if not value.isascii() or "\\" in value or "\n" in value:
            raise ValueError(f"{key}: readers disagree on how to decode this value; quote it first")
        lines.append(f"{key}:={value}")
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: gzip framing, whose date field zlib leaves at zero
    with path.open("wb") as out:
        out.write(("\n".join(lines) + "\n\n").encode())
        out.write(packer.compress(little.data))
        out.write(packer.flush())
