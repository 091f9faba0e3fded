"""One flat list of frames from DICOM files, classic or enhanced: place, times and rescale of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Vector3


@dataclass(frozen=True)
class Frame:
    """One 2D image of a DICOM file. ``index`` is its number within a multi-frame file, 0 otherwise."""

    path: Path
    index: int
    origin_mm: Vector3
    row_axis: NDArray[np.float64]  # unit vector along x (columns rise)
    column_axis: NDArray[np.float64]  # unit vector along y (rows rise)
    spacing_mm: tuple[float, float]  # (x, y)
    thickness_mm: float
    shape: tuple[int, int]  # (rows, columns)
    slope: float
    intercept: float
    times_s: Mapping[str, float]  # by source, see TIME_SOURCES; seconds since any fixed moment
    phases: Mapping[str, float]  # what tells repeated images of one place apart
    series_uid: str
    description: str
    modality: str
    parameters: Mapping[str, float]  # ti_ms, tr_ms, flip_deg where the file gives them

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal of the image, row x column."""
        return np.cross(self.row_axis, self.column_axis)


# in the order of trust: the moment of acquisition, then what vendors write instead
TIME_SOURCES = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", "TriggerTime", "ContentTime")


def dicom_files(path: Path) -> list[Path]:
    """All DICOM files under a folder (nested, any ending), in a fixed order; raises BadInputError if there is none."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "DICOMDIR")
    if not files:
        raise BadInputError(f"The folder {path} is empty; give the folder that holds the DICOM images.")
    found = [p for p in files if is_dicom(p)]
    if not found:
        raise BadInputError(
            f"None of the {len(files)} files in {path} is a DICOM image; give a DICOM folder or the image file itself."
        )
    return found


def is_dicom(path: Path) -> bool:
    """Whether the file carries the DICOM mark (``DICM`` at byte 128)."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def comment_says(path: Path, word: str) -> bool:
    """Whether the image comment of a DICOM file holds ``word``, in upper or lower case."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ImageComments"])
    except (InvalidDicomError, OSError, EOFError, ValueError):
        return False
    return word.lower() in str(dataset.get("ImageComments", "")).lower()


def _seconds(value: Any) -> float | None:
    """A DICOM DT or TM value as seconds; None where it is empty or malformed."""
    text = str(value or "").strip()
    for zone in "+-":
        if zone in text[8:]:
            text = text[: text.index(zone, 8)]
    whole, _, fraction = text.partition(".")
    try:
        if len(whole) >= 14:
            base = datetime.strptime(whole[:14], "%Y%m%d%H%M%S")
            seconds = (base - datetime(1970, 1, 1)).total_seconds()
        else:
            digits = whole.replace(":", "").ljust(6, "0")
            seconds = int(digits[:2]) * 3600.0 + int(digits[2:4]) * 60 + int(digits[4:6])
            if not text:
                return None
        return seconds + (float("0." + fraction) if fraction else 0.0)
    except ValueError:
        return None


def _times(dataset: Dataset, content: Dataset | None) -> dict[str, float]:
    date = str(dataset.get("AcquisitionDate") or dataset.get("ContentDate") or "")
    found: dict[str, float | None] = {
        "AcquisitionDateTime": _seconds(dataset.get("AcquisitionDateTime")),
        "AcquisitionTime": _seconds(f"{date}{dataset.AcquisitionTime}" if dataset.get("AcquisitionTime") else None),
        "ContentTime": _seconds(dataset.get("ContentTime")),
    }
    if dataset.get("TriggerTime") is not None:
        found["TriggerTime"] = float(dataset.TriggerTime) / 1000.0
    if content is not None:
        found = {"FrameAcquisitionDateTime": _seconds(content.get("FrameAcquisitionDateTime"))}
    return {k: v for k, v in found.items() if v is not None}


def _number(dataset: Dataset, name: str, default: float | None = None) -> float | None:
    value = dataset.get(name)
    try:
        return default if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return default


_PHASE_TAGS = ("NominalPercentageOfCardiacPhase", "TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber")


def _vector(values: Any, length: int, what: str, path: Path) -> NDArray[np.float64]:
    if values is None or len(values) != length:
        raise BadInputError(
            f"{path.name} does not say how it lies in the patient ({what} is missing); export the series again with "
            "its full headers."
        )
    return np.asarray([float(v) for v in values])


def _frame(
    dataset: Dataset,
    path: Path,
    index: int,
    place: tuple[Any, Any, Any],
    measures: Dataset,
    value_map: Dataset,
    content: Dataset | None,
    parameters: Mapping[str, float],
) -> Frame:
    position, orientation, _ = place
    axes = _vector(orientation, 6, "ImageOrientationPatient", path)
    row_spacing, column_spacing = _vector(measures.get("PixelSpacing"), 2, "PixelSpacing", path)
    thickness = _number(measures, "SliceThickness") or _number(dataset, "SpacingBetweenSlices") or 0.0
    phases = {tag: v for tag in _PHASE_TAGS if (v := _number(dataset, tag)) is not None}
    if content is not None and content.get("TemporalPositionIndex") is not None:
        phases["TemporalPositionIdentifier"] = float(content.TemporalPositionIndex)
    return Frame(
        path,
        index,
        tuple(_vector(position, 3, "ImagePositionPatient", path)),
        axes[:3] / max(float(np.linalg.norm(axes[:3])), 1e-9),
        axes[3:] / max(float(np.linalg.norm(axes[3:])), 1e-9),
        (float(column_spacing), float(row_spacing)),
        float(thickness),
        (int(dataset.Rows), int(dataset.Columns)),
        _number(value_map, "RescaleSlope", 1.0) or 1.0,
        _number(value_map, "RescaleIntercept", 0.0) or 0.0,
        _times(dataset, content),
        phases,
        str(dataset.get("SeriesInstanceUID", "")),
        str(dataset.get("SeriesDescription", "") or ""),
        str(dataset.get("Modality", "") or ""),
        parameters,
    )


def _group(shared: Dataset, own: Dataset, name: str) -> Dataset:
    """A functional group of one frame: its own where it has one, the shared one otherwise, empty where neither has."""
    for source in (own, shared):
        sequence = source.get(name)
        if sequence:
            return Dataset(sequence[0])
    return Dataset()


def _classic_parameters(dataset: Dataset) -> dict[str, float]:
    names = {"ti_ms": "InversionTime", "tr_ms": "RepetitionTime", "flip_deg": "FlipAngle"}
    return {key: v for key, tag in names.items() if (v := _number(dataset, tag)) is not None}


def _enhanced_frames(dataset: Dataset, path: Path) -> list[Frame]:
    shared = dataset.SharedFunctionalGroupsSequence[0] if dataset.get("SharedFunctionalGroupsSequence") else Dataset()
    frames = []
    for index, own in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        timing = _group(shared, own, "MRTimingAndRelatedParametersSequence")
        parameters = {
            key: v
            for key, v in (("tr_ms", _number(timing, "RepetitionTime")), ("flip_deg", _number(timing, "FlipAngle")))
            if v is not None
        }
        inversion = _group(shared, own, "MRModifierSequence").get("InversionTimes")
        if inversion is not None:
            first = inversion[0] if isinstance(inversion, (list, pydicom.multival.MultiValue)) else inversion
            parameters["ti_ms"] = float(first)
        position = _group(shared, own, "PlanePositionSequence").get("ImagePositionPatient")
        orientation = _group(shared, own, "PlaneOrientationSequence").get("ImageOrientationPatient")
        measures = _group(shared, own, "PixelMeasuresSequence")
        value_map = _group(shared, own, "PixelValueTransformationSequence")
        content = _group(shared, own, "FrameContentSequence")
        place = (position, orientation, None)
        frames.append(_frame(dataset, path, index, place, measures, value_map, content, parameters))
    return frames


def frames_of(path: Path) -> list[Frame]:
    """The frames of one DICOM file; an empty list for an object without pixels (a report, a presentation state)."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise BadInputError(f"{path.name} is a damaged DICOM file ({error}); export the series again.") from error
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        return []
    if dataset.get("PerFrameFunctionalGroupsSequence"):
        return _enhanced_frames(dataset, path)
    place = (dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient"), None)
    if place[0] is None or place[1] is None:
        return []  # a scout sheet, a dose report or a screen capture: no place in the patient
    return [_frame(dataset, path, 0, place, dataset, dataset, None, _classic_parameters(dataset))]


def read_frames(paths: Sequence[Path]) -> list[Frame]:
    """All frames of several files."""
    return [frame for path in paths for frame in frames_of(path)]


def pixels(frames: Sequence[Frame], whole: bool = False) -> NDArray[np.generic]:
    """Rescaled values (n, rows, columns) of frames of one size, each file decoded once, in the order given.

    float32, or int16 where ``whole`` is asked for and every frame has slope 1, a whole intercept and values that fit.
    """
    whole = whole and all(f.slope == 1.0 and f.intercept.is_integer() for f in frames)
    result = np.empty((len(frames), *frames[0].shape), np.int16 if whole else np.float32)
    by_file: dict[Path, list[int]] = {}
    for number, frame in enumerate(frames):
        by_file.setdefault(frame.path, []).append(number)
    limits = np.iinfo(np.int16)
    for path, numbers in by_file.items():
        stored = _decode(path)
        for number in numbers:
            frame = frames[number]
            image = stored if stored.ndim == 2 else stored[frame.index]
            if image.shape != frame.shape:
                raise BadInputError(f"The pixels of {path.name} do not fit its header; export the series again.")
            values = image.astype(np.float64) * frame.slope + frame.intercept
            if whole and (values.min() < limits.min or values.max() > limits.max):
                return pixels(frames)
            result[number] = values
    return result


def _decode(path: Path) -> NDArray[np.generic]:
    try:
        dataset = pydicom.dcmread(path)
        return np.asarray(dataset.pixel_array)
    except (RuntimeError, NotImplementedError) as error:
        raise BadInputError(
            f"{path.name} is compressed in a way that cannot be decoded here ({str(error).splitlines()[0]}); "
            "decompress the series first (for example gdcmconv --raw, or dcmdjpeg)."
        ) from error
    except (ValueError, AttributeError, OSError, EOFError) as error:
        raise BadInputError(f"The pixels of {path.name} are damaged or missing; export the series again.") from error
