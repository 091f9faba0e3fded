"""Perfusion results as DICOM: a Parametric Map a quantity, the same as plain images, and the AHA segments.

All reference the source images of the series, so that an archive files them with the examination they were made of.
They carry that examination's patient; they are written on request only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from CardiacFusionLib.io.dicom_map_images import write_map_images
from CardiacFusionLib.io.dicom_parametric import write_parametric_map
from CardiacFusionLib.io.dicom_quantity import Quantity
from CardiacFusionLib.io.dicom_segments import write_segments
from CardiacFusionLib.io.dicom_source import Origin
from CardiacFusionLib.spatial.series import SlicePose


def write_maps(
    maps: Mapping[str, NDArray[np.floating]],
    units: Mapping[str, str],
    labels: NDArray[np.integer] | None,
    poses: Sequence[SlicePose],
    source: Sequence[Dataset],
    folder: Path,
    state: str,
) -> list[Path]:
    """All maps (slice, y, x) and, where given, the AHA segments into ``folder``; returns the files written.

    ``units`` by name of the map; ``source``: headers of the images they were made of
    (``dicom_source.source_headers``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    origin = Origin(source, poses, state)
    files = []
    for order, name in enumerate(sorted(maps)):
        quantity = Quantity.of(maps[name], name, units[name])
        files.append(folder / f"{state}_{name}.dcm")
        write_parametric_map(quantity, origin, files[-1], 901 + order)
        files += write_map_images(quantity, origin, folder / "images", 801 + order)
    if labels is not None:
        files.append(folder / f"{state}_segments.dcm")
        write_segments(labels, origin, files[-1])
    return files
