"""AHA segments as a DICOM Segmentation (PS3.3 A.51), through highdicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from CardiacFusionLib.io.dicom_object import digest, uid_of
from CardiacFusionLib.io.dicom_result import MAKER, common, finish, version
from CardiacFusionLib.io.dicom_source import Origin
from CardiacFusionLib.spatial.aha import SEGMENT_NAMES
from CardiacFusionLib.spatial.errors import BadInputError


def write_segments(labels: NDArray[np.integer], origin: Origin, path: Path, number: int = 900) -> None:
    """AHA segments (slice, y, x), 0 outside the wall, as a binary object, one segment a number of the AHA.

    ``number`` of the series. Raises BadInputError where there is no segment.
    """
    import highdicom

    present = [int(n) for n in np.unique(labels) if n > 0]
    if not present:
        raise BadInputError("There is no AHA segment to write; quantify the study first.")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=MAKER, version=version(), family=codes.DCM.ArtificialIntelligence
    )
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=order + 1,
            segment_label=f"{n} {SEGMENT_NAMES[n]}",
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.LeftVentricleMyocardium,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_id=f"AHA {n}",
            tracking_uid=uid_of(digest([labels]), str(n)),
        )
        for order, n in enumerate(present)
    ]
    numbered = np.zeros(labels.shape, np.uint8)
    for order, n in enumerate(present):
        numbered[labels == n] = order + 1
    obj = highdicom.seg.Segmentation(
        pixel_array=numbered,
        segmentation_type="BINARY",
        segment_descriptions=described,
        content_label="AHA_SEGMENTS",
        content_description=f"{origin.state}: AHA segments of the LV wall",
        **common(origin, digest([numbered]) + origin.state + "segments", number),
    )
    finish(obj, origin, "AHA segments", path)
