"""What a DICOM Parametric Map and a Segmentation have in common: maker, place, moment, and bytes that repeat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from CardiacFusionLib.io.dicom_object import uid_of
from CardiacFusionLib.io.dicom_source import Origin
from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    import highdicom

MAKER = "CardiacFusion"


def version() -> str:
    """The library's version."""
    from CardiacFusionLib import __version__

    return str(__version__)


def common(origin: Origin, root: str, number: int) -> dict[str, Any]:
    """Arguments that every highdicom object takes: sources, identity (from ``root``: what the object is made of), maker
    and the planes of its frames. ``number`` of the series."""
    return {
        "source_images": origin.beside,
        "further_source_images": origin.further,
        "series_instance_uid": uid_of(root, "series"),
        "series_number": number,
        "sop_instance_uid": uid_of(root, "object"),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": version(),
        "device_serial_number": "0",
        **_planes(origin),
    }


def _planes(origin: Origin) -> dict[str, Any]:
    """Where the frames lie, as highdicom takes it. Parallel slices of one pixel size only."""
    import highdicom

    poses, first = origin.poses, origin.poses[0]
    if any(p.spacing_mm != first.spacing_mm or not np.allclose(p.direction, first.direction, atol=1e-4) for p in poses):
        raise BadInputError(
            "Slices of different pixel size or orientation do not fit into one DICOM map; write them one by one."
        )
    positions = [
        highdicom.PlanePositionSequence(
            coordinate_system="PATIENT", image_position=[round(float(v), 6) for v in p.origin_mm]
        )
        for p in poses
    ]
    orientation = [round(float(v), 8) for v in first.direction[:, :2].T.ravel()]
    gap = float(np.linalg.norm(np.subtract(poses[1].origin_mm, poses[0].origin_mm))) if len(poses) > 1 else None
    return {
        "plane_positions": positions,
        "plane_orientation": highdicom.PlaneOrientationSequence("PATIENT", orientation),
        "pixel_measures": highdicom.PixelMeasuresSequence(
            pixel_spacing=(first.spacing_mm[1], first.spacing_mm[0]),
            slice_thickness=first.thickness_mm,
            spacing_between_slices=gap,
        ),
    }


def finish(obj: highdicom.SOPClass, origin: Origin, description: str, path: Path) -> None:
    """The source's own moment and no random UID, so that the same input gives the same bytes, and out."""
    day, moment = origin.moment
    organisation = uid_of(str(obj.SOPInstanceUID), "dimensions")

    def named(dataset: Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "DimensionOrganizationUID":
            dataset.DimensionOrganizationUID = organisation
        elif element.keyword == "ContributionDateTime":
            dataset.ContributionDateTime = day + moment

    obj.walk(named)
    for date, clock in (
        ("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime"), ("InstanceCreationDate", "InstanceCreationTime"),
    ):  # fmt: skip
        setattr(obj, date, day)
        setattr(obj, clock, moment)
    obj.SeriesDescription = f"{MAKER} {origin.state} {description} (research, not for clinical use)"[:64]
    obj.BodyPartExamined = "HEART"
    obj.save_as(path)
