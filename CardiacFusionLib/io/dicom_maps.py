"""Perfusion results as DICOM: a Parametric Map a quantity and a Segmentation of the AHA segments, beside their source.

Both reference the source images of the series, so that an archive files them with the examination they were made of.
They carry that examination's patient; they are written on request only. Values are stored as 16-bit whole numbers with
a Real World Value Mapping (slope), because float pixels are not read by most readers; 0 means 'no value here'. The
rounding is 1/131070 of the map's maximum. PS3.3 A.75 (Parametric Map), A.51 (Segmentation). GDCM, and with it
SimpleITK, does not know the Parametric Map class at all (GDCM 3.2): ``write_map_images`` writes the same stored values
as plain derived MR images, which everything opens.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage

from CardiacFusionLib.io.dicom_frames import Frame, dicom_files, frames_of
from CardiacFusionLib.io.dicom_object import decimals, digest, new_object, save, set_pixels, uid_of
from CardiacFusionLib.spatial.aha import SEGMENT_NAMES
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import SlicePose

if TYPE_CHECKING:
    import highdicom

MAKER = "CardiacFusion"
_NO_VALUE, _LARGEST = 0, 65535
_SAME_PLACE_MM = 0.5
# unit of a map (``perfusion.result.MAP_UNITS``) -> UCUM; anything else has no unit
_UCUM = {
    "mL/min/g": Code("mL/(min.g)", "UCUM", "mL/min/g"),
    "mmol/L": Code("mmol/L", "UCUM", "mmol/L"),
    "s": Code("s", "UCUM", "second"),
}
_NO_UNIT = Code("1", "UCUM", "no units")
_PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID", "FrameOfReferenceUID", "SpecificCharacterSet"),
)
_OWN = "99CARDFUSION"  # coding scheme of what DICOM has no code for
_QUANTITY = {
    "mbf": codes.DCM.AbsoluteRegionalBloodFlow,
    "mbf_model_free": codes.DCM.AbsoluteRegionalBloodFlow,
    "time_to_peak": codes.DCM.TimeToPeak,
    "upslope": codes.DCM.MRPerfusionSlope,
    "peak": codes.DCM.MRPerfusionPeak,
    "delay": codes.DCM.BolusArrivalTime,
}


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


def write_parametric_map(
    values: NDArray[np.floating],
    poses: Sequence[SlicePose],
    source: Sequence[Dataset],
    path: Path,
    *,
    name: str,
    unit: str,
    state: str = "stress",
    number: int = 901,
) -> float:
    """One map (slice, y, x), NaN where it has no value, as a Parametric Map object; returns the slope of its values.

    ``name`` and ``unit`` as in ``PerfusionMaps``; ``source``: headers of the images it was made of
    (``source_headers``); ``number`` of the series. The same map and source give the same bytes. Negative values are
    stored as the smallest.
    """
    import highdicom

    stored, slope = _whole(values)
    relative = unit == "relative"
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label=name[:16],
        lut_explanation=f"{state} {name}{' (relative)' if relative else ''} [{unit}]"[:64],
        unit=_UCUM.get(unit, _NO_UNIT),
        value_range=(_NO_VALUE, _LARGEST),
        slope=slope,
        intercept=0.0,
        quantity_definition=_quantity(name, relative),
    )
    root = digest([stored, np.array([slope])]) + name + state
    top = slope * float(stored.max())
    obj = highdicom.pm.ParametricMap(
        source_images=_first_of_each(source),
        pixel_array=stored,
        series_instance_uid=uid_of(root, "series"),
        series_number=number,
        sop_instance_uid=uid_of(root, "object"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=_version(),
        device_serial_number="0",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        # values below one need the exact linear function: the plain one takes one from the width
        voi_lut_transformations=[
            highdicom.VOILUTTransformation(
                window_center=top / 2, window_width=max(top, 1e-6), voi_lut_function="LINEAR_EXACT"
            )
        ],
        content_label="PERFUSION",
        content_description=f"{state} {name}"[:64],
        image_flavor="VOLUME",
        derived_pixel_contrast="QUANTITY",
        further_source_images=_rest_of(source),
        **_planes(poses),
    )
    obj.SeriesDescription = f"{MAKER} {state} {name} (research, not for clinical use)"[:64]
    _finish(obj, source[0], path)
    return slope


def write_map_images(
    values: NDArray[np.floating],
    poses: Sequence[SlicePose],
    source: Sequence[Dataset],
    folder: Path,
    *,
    name: str,
    unit: str,
    state: str = "stress",
    number: int = 801,
) -> list[Path]:
    """The map (slice, y, x) as derived MR images, one a slice, with the values of :func:`write_parametric_map`."""
    stored, slope = _whole(values)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for s, pose in enumerate(poses):
        obj = new_object(MRImageStorage, digest([stored]) + state, f"image {name}", s + 1, "MR", "")
        for tag in _PATIENT_AND_STUDY:
            if tag in source[0]:
                obj[tag] = source[0][tag]
        for tag in ("PatientIdentityRemoved", "DeidentificationMethod"):
            if tag not in source[0]:
                delattr(obj, tag)
        obj.SeriesNumber = number
        obj.SeriesDescription = f"{MAKER} {state} {name} [{unit}] (research)"[:64]
        obj.ImageType = ["DERIVED", "SECONDARY", "PERFUSION"]
        obj.DerivationDescription = f"{name} in {unit}; 0 where there is no value"
        obj.SourceImageSequence = [
            _one(ReferencedSOPClassUID=h.SOPClassUID, ReferencedSOPInstanceUID=h.SOPInstanceUID) for h in source
        ]
        obj.ScanningSequence, obj.SequenceVariant, obj.ScanOptions = "RM", "NONE", ""
        obj.MRAcquisitionType, obj.EchoTime, obj.EchoTrainLength, obj.RepetitionTime = "2D", "", "", ""
        obj.AcquisitionNumber = 1
        obj.ImagePositionPatient = decimals(pose.origin_mm)
        obj.ImageOrientationPatient = decimals(pose.direction[:, :2].T.ravel())
        obj.PixelSpacing = decimals((pose.spacing_mm[1], pose.spacing_mm[0]))
        obj.SliceThickness = decimals([pose.thickness_mm])[0]
        obj.RescaleSlope, obj.RescaleIntercept, obj.RescaleType = decimals([slope])[0], "0", "US"
        top = slope * float(stored.max())
        obj.WindowCenter, obj.WindowWidth = decimals((top / 2, max(top, 1e-6)))
        obj.VOILUTFunction = "LINEAR_EXACT"
        set_pixels(obj, stored[s])
        files.append(folder / f"{state}_{name}_slice{s + 1}.dcm")
        save(obj, files[-1])
    return files


def _one(**values: object) -> Dataset:
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return item


def write_segments(
    labels: NDArray[np.integer],
    poses: Sequence[SlicePose],
    source: Sequence[Dataset],
    path: Path,
    *,
    state: str = "stress",
    number: int = 900,
) -> None:
    """AHA segments (slice, y, x), 0 outside the wall, as a binary Segmentation object, one segment a number."""
    import highdicom

    present = [int(n) for n in np.unique(labels) if n > 0]
    if not present:
        raise BadInputError("There is no AHA segment to write; quantify the study first.")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=MAKER, version=_version(), family=codes.DCM.ArtificialIntelligence
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
    root = digest([numbered]) + state
    obj = highdicom.seg.Segmentation(
        source_images=_first_of_each(source),
        pixel_array=numbered,
        segmentation_type="BINARY",
        segment_descriptions=described,
        series_instance_uid=uid_of(root, "segments"),
        series_number=number,
        sop_instance_uid=uid_of(root, "segments object"),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=_version(),
        device_serial_number="0",
        content_label="AHA_SEGMENTS",
        content_description=f"{state}: AHA segments of the LV wall",
        further_source_images=_rest_of(source),
        **_planes(poses),
    )
    obj.SeriesDescription = f"{MAKER} {state} AHA segments (research, not for clinical use)"[:64]
    _finish(obj, source[0], path)


def write_maps(
    maps: Mapping[str, NDArray[np.floating]],
    units: Mapping[str, str],
    labels: NDArray[np.integer] | None,
    poses: Sequence[SlicePose],
    source: Sequence[Dataset],
    folder: Path,
    state: str,
) -> list[Path]:
    """All maps and, where given, the AHA segments into ``folder``; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for order, name in enumerate(sorted(maps)):
        files.append(folder / f"{state}_{name}.dcm")
        unit = units[name]
        write_parametric_map(
            maps[name], poses, source, files[-1], name=name, unit=unit, state=state, number=901 + order
        )
        images = folder / "images"
        files += write_map_images(
            maps[name], poses, source, images, name=name, unit=unit, state=state, number=801 + order
        )
    if labels is not None:
        files.append(folder / f"{state}_segments.dcm")
        write_segments(labels, poses, source, files[-1], state=state)
    return files


def _whole(values: NDArray[np.floating]) -> tuple[NDArray[np.uint16], float]:
    """Stored values 1..65535 with their slope; 0 where there is none."""
    known = np.isfinite(values)
    top = float(np.max(values[known], initial=0.0))
    slope = top / _LARGEST if top > 0 else 1.0
    stored = np.zeros(values.shape, np.uint16)
    stored[known] = np.clip(np.round(values[known].astype(np.float64) / slope), 1, _LARGEST).astype(np.uint16)
    return stored, slope


def _quantity(name: str, relative: bool) -> Code:
    if relative and name in ("mbf", "mbf_model_free"):
        return codes.DCM.RelativeRegionalBloodFlow
    return _QUANTITY.get(name, Code(name.upper()[:16], _OWN, name.replace("_", " ")))


def _planes(poses: Sequence[SlicePose]) -> dict[str, Any]:
    """Where the frames lie, as highdicom takes it. Parallel slices of one pixel size only."""
    import highdicom

    first = poses[0]
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


def _at(frame: Frame, pose: SlicePose) -> bool:
    near = np.linalg.norm(np.subtract(frame.origin_mm, pose.origin_mm)) < _SAME_PLACE_MM
    return bool(near and float(frame.normal @ pose.normal) > 0.999)


def _first_of_each(source: Sequence[Dataset]) -> list[Dataset]:
    """The image that the result is laid beside: the first; the others are listed as further sources.

    highdicom looks for pixel size and orientation among the shared groups of an enhanced image; some write them frame
    by frame.
    """
    first = source[0]
    if not first.get("PerFrameFunctionalGroupsSequence"):
        return [first]
    first = copy.deepcopy(first)
    shared, own = first.SharedFunctionalGroupsSequence[0], first.PerFrameFunctionalGroupsSequence[0]
    for group in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if group not in shared and group in own:
            shared[group] = own[group]
    return [first]


def _rest_of(source: Sequence[Dataset]) -> list[Dataset] | None:
    return list(source[1:]) or None


def _version() -> str:
    from CardiacFusionLib import __version__

    return str(__version__)


def _finish(obj: highdicom.SOPClass, source: Dataset, path: Path) -> None:
    """The source's own moment and no random UID, so that the same input gives the same bytes, and out."""
    moment = str(source.get("ContentTime") or source.get("StudyTime") or "000000")
    day = str(source.get("ContentDate") or source.get("StudyDate") or "20000101")
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
    obj.BodyPartExamined = "HEART"
    obj.save_as(path)
