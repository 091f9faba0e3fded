"""The images that DICOM results are made of: their headers, and how a result refers to them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from CardiacFusionLib.io.dicom_frames import Frame, dicom_files, frames_of
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import SlicePose

_SAME_PLACE_MM = 0.5


@dataclass(frozen=True)
class Origin:
    """What a result is about: ``source`` headers of the images it was made of, ``poses`` of its slices, ``state``."""

    source: Sequence[Dataset]
    poses: Sequence[SlicePose]
    state: str = "stress"

    @property
    def beside(self) -> list[Dataset]:
        """The image that a result is laid beside: the first; the others are listed as further sources.

        highdicom looks for pixel size and orientation among the shared groups of an enhanced image; some write them
        frame by frame.
        """
        first = self.source[0]
        if not first.get("PerFrameFunctionalGroupsSequence"):
            return [first]
        first = copy.deepcopy(first)
        shared, own = first.SharedFunctionalGroupsSequence[0], first.PerFrameFunctionalGroupsSequence[0]
        for group in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
            if group not in shared and group in own:
                shared[group] = own[group]
        return [first]

    @property
    def further(self) -> list[Dataset] | None:
        """All other images, None where there is only one."""
        return list(self.source[1:]) or None

    @property
    def moment(self) -> tuple[str, str]:
        """Date and time of the source: a result of the same images says the same, whenever it is written."""
        first = self.source[0]
        day = str(first.get("ContentDate") or first.get("StudyDate") or "20000101")
        return day, str(first.get("ContentTime") or first.get("StudyTime") or "000000")


def source_headers(path: Path, poses: Sequence[SlicePose]) -> list[Dataset]:
    """Headers (no pixels) of the files of a first pass that lie at ``poses``, in a fixed order.

    Raises BadInputError where ``path`` holds none: maps cannot reference what is not DICOM.
    """
    headers = []
    for file in [path] if path.is_file() else dicom_files(path):
        if any(_at(frame, pose) for frame in frames_of(file) for pose in poses):
            headers.append(pydicom.dcmread(file, stop_before_pixels=True))
    if not headers:
        raise BadInputError(
            f"{path} holds no DICOM images of the quantified slices; DICOM maps need the DICOM series they come from."
        )
    study = headers[0].StudyInstanceUID
    return [h for h in headers if h.StudyInstanceUID == study]


def _at(frame: Frame, pose: SlicePose) -> bool:
    near = np.linalg.norm(np.subtract(frame.origin_mm, pose.origin_mm)) < _SAME_PLACE_MM
    return bool(near and float(frame.normal @ pose.normal) > 0.999)
