"""DICOM out: a CT as one image a slice, a perfusion series as classic MR images or one enhanced multi-frame object."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, MRImageStorage

from CardiacFusionLib.io.dicom_object import DATE, clock, decimals, digest, new_object, save, set_pixels, uid_of
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

_HU_OFFSET = -1024
# what an enhanced MR object must say of the readout, and is not done here
_MODIFIERS = ("InversionRecovery", "T2Preparation", "PartialFourier", "ParallelAcquisition")
_MODES = ("FlowCompensation", "SpectrallySelectedExcitation", "SpatialPresaturation", "Spoiling", "Tagging")
_STORED_MAX = 65535


def write_dicom_ct(volume: Volume, folder: Path | str, description: str = "CTCA", comment: str = "") -> None:
    """One CT Image object a slice into ``folder`` (made if need be). HU are rounded to whole numbers.

    Slices are numbered from foot to head of the stack's own normal. ``comment`` (for example "synthetic") becomes
    the image comment of every slice. The same volume gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.empty(volume.array.shape, np.int16)
    for z in range(len(stored)):
        stored[z] = np.clip(np.round(volume.array[z].astype(np.float64) - _HU_OFFSET), -32768, 32767)
    root = digest([stored, volume.index_to_lps])
    normal = np.cross(volume.direction[:, 0], volume.direction[:, 1])
    for z in range(len(stored)):
        origin = volume.index_to_lps[:3, 3] + z * volume.index_to_lps[:3, 2]
        obj = new_object(CTImageStorage, root, "ct", z + 1, "CT", description)
        obj.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        obj.AcquisitionNumber = 1
        obj.AcquisitionTime = clock(0.0)
        obj.KVP = "120"
        obj.ImagePositionPatient = decimals(origin)
        obj.ImageOrientationPatient = decimals(volume.direction[:, :2].T.ravel())
        obj.PixelSpacing = decimals((volume.spacing_mm[1], volume.spacing_mm[0]))
        obj.SliceThickness, obj.SpacingBetweenSlices = decimals((volume.spacing_mm[2],) * 2)
        obj.SliceLocation = decimals([float(origin @ normal)])[0]
        obj.RescaleIntercept, obj.RescaleSlope = str(_HU_OFFSET), "1"
        obj.RescaleType = "HU"
        obj.WindowCenter, obj.WindowWidth = "200", "900"
        if comment:
            obj.ImageComments = comment
        set_pixels(obj, stored[z])
        save(obj, folder / f"CT_{z + 1:04d}.dcm")


def _scale(array: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """Stored 16-bit values with slope and intercept; whole numbers from 0 to 65535 are kept as they are."""
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= _STORED_MAX and np.array_equal(array, np.round(array)):
        return array.astype(np.uint16), 1.0, 0.0
    # what stands in the header is the rounded number, so the stored values are computed from that
    slope, intercept = (float(v) for v in decimals((max((high - low) / _STORED_MAX, 1e-12), low)))
    stored = np.round((array.astype(np.float64) - intercept) / slope)
    return np.clip(stored, 0, _STORED_MAX).astype(np.uint16), slope, intercept


def write_dicom_perfusion(
    series: Series,
    folder: Path | str,
    enhanced: bool = False,
    description: str | None = None,
    series_per_slice: bool = True,
    comment: str = "",
) -> None:
    """The first pass as MR Image objects (one a frame and slice) or as one Enhanced MR Image object.

    ``description`` defaults to "perfusion stress" / "perfusion rest"; the reader tells the states apart by that word.
    Classic images form one series a slice, or one series for all. Arterial-input frames of a dual-sequence
    acquisition become a series of their own whose description ends in "AIF" (classic only).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = description or f"perfusion {series.state}"
    if enhanced:
        if series.aif_frames is not None:
            raise ValueError("arterial-input frames of another size do not fit into one enhanced object")
        _write_enhanced(series, folder, name, comment)
        return
    for number, pose in enumerate(series.poses):
        key = f"slice {number + 1}" if series_per_slice else "all slices"
        title = f"{name} slice {number + 1}" if series_per_slice else name
        frames, times = series.array[:, number], series.times_s[:, number]
        first = 1 if series_per_slice else 1 + number * series.frame_count
        _write_classic(series, frames, times, pose, folder, key, title, first, f"{series.state}_{number + 1}", comment)
    if series.aif_frames is not None and series.aif_pose is not None:
        times = series.times_s.min(axis=1)
        stem = f"{series.state}_aif"
        own = replace(series, sequence=series.aif_sequence or Sequence())
        _write_classic(own, series.aif_frames, times, series.aif_pose, folder, "aif", f"{name} AIF", 1, stem, comment)


def _root(series: Series) -> str:
    return digest([series.array, series.times_s, *(p.pixel_to_lps for p in series.poses)])


def _write_classic(
    series: Series,
    frames: NDArray[np.float32],
    times: NDArray[np.float64],
    pose: SlicePose,
    folder: Path,
    key: str,
    title: str,
    first: int,
    stem: str,
    comment: str,
) -> None:
    stored, slope, intercept = _scale(frames)
    root = _root(series)
    for t in range(len(frames)):
        obj = new_object(MRImageStorage, root, f"{series.state} {key}", first + t, "MR", title)
        obj.ImageType = ["DERIVED", "PRIMARY", "PERFUSION"]
        # a prepared gradient echo: InversionTime may stand only where IR does
        obj.ScanningSequence = "GR" if series.sequence.ti_ms is None else ["GR", "IR"]
        obj.SequenceVariant, obj.ScanOptions = "SP", ""
        obj.MRAcquisitionType = "2D"
        obj.EchoTime, obj.EchoTrainLength = "1", "1"
        obj.AcquisitionNumber = t + 1
        obj.AcquisitionTime = obj.ContentTime = clock(float(times[t]))
        obj.TemporalPositionIdentifier = t + 1
        obj.NumberOfTemporalPositions = len(frames)
        obj.RepetitionTime = "" if series.sequence.tr_ms is None else decimals([series.sequence.tr_ms])[0]
        if series.sequence.ti_ms is not None:
            obj.InversionTime = decimals([series.sequence.ti_ms])[0]
        if series.sequence.flip_deg is not None:
            obj.FlipAngle = decimals([series.sequence.flip_deg])[0]
        obj.ImagePositionPatient = decimals(pose.origin_mm)
        obj.ImageOrientationPatient = decimals(pose.direction[:, :2].T.ravel())
        obj.PixelSpacing = decimals((pose.spacing_mm[1], pose.spacing_mm[0]))
        obj.SliceThickness = decimals([pose.thickness_mm])[0]
        obj.RescaleSlope, obj.RescaleIntercept = decimals((slope, intercept))
        obj.RescaleType = "US"
        if comment:
            obj.ImageComments = comment
        set_pixels(obj, stored[t])
        save(obj, folder / f"{stem}_{t + 1:03d}.dcm")


def _one(**values: object) -> list[Dataset]:
    """A sequence with a single item."""
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def _write_enhanced(series: Series, folder: Path, title: str, comment: str) -> None:
    stored, slope, intercept = _scale(series.array)
    frames, slices = stored.shape[:2]
    root = _root(series)
    obj = new_object(EnhancedMRImageStorage, root, f"{series.state} enhanced", 1, "MR", title)
    obj.ImageType = ["DERIVED", "PRIMARY", "PERFUSION", "NONE"]
    obj.AcquisitionNumber = 1
    obj.AcquisitionDateTime = DATE + clock(float(series.times_s.min()))
    obj.AcquisitionDuration = float(np.ptp(series.times_s) * 1000.0)
    obj.ContentQualification = "RESEARCH"
    obj.PixelPresentation, obj.VolumetricProperties = "MONOCHROME", "VOLUME"
    obj.VolumeBasedCalculationTechnique, obj.ComplexImageComponent = "NONE", "MAGNITUDE"
    obj.AcquisitionContrast = "PERFUSION"
    obj.AcquisitionContextSequence = []
    obj.ResonantNucleus, obj.KSpaceFiltering, obj.MagneticFieldStrength = "1H", "NONE", 1.5
    obj.ApplicableSafetyStandardAgency = "IEC"
    obj.LossyImageCompression, obj.PresentationLUTShape = "00", "IDENTITY"
    obj.NumberOfFrames = frames * slices
    if comment:
        obj.ImageComments = comment
    organisation = uid_of(root, "dimensions")
    obj.DimensionOrganizationSequence = _one(DimensionOrganizationUID=organisation)
    obj.DimensionIndexSequence = [
        _dimension(organisation, 0x00209057, 0x00209111),  # InStackPositionNumber of FrameContentSequence
        _dimension(organisation, 0x00209128, 0x00209111),  # TemporalPositionIndex of FrameContentSequence
    ]
    shared = Dataset()
    shared.PixelValueTransformationSequence = _one(
        RescaleIntercept=decimals([intercept])[0], RescaleSlope=decimals([slope])[0], RescaleType="US"
    )
    heart = _one(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")
    shared.FrameAnatomySequence = _one(FrameLaterality="U", AnatomicRegionSequence=heart)
    timing: dict[str, object] = {"EchoTrainLength": 1, "RFEchoTrainLength": 0, "GradientEchoTrainLength": 1}
    timing["SpecificAbsorptionRateSequence"] = _one(
        SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.0
    )
    timing["OperatingModeSequence"] = _one(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL")
    if series.sequence.tr_ms is not None:
        timing["RepetitionTime"] = decimals([series.sequence.tr_ms])[0]
    if series.sequence.flip_deg is not None:
        timing["FlipAngle"] = decimals([series.sequence.flip_deg])[0]
    shared.MRTimingAndRelatedParametersSequence = _one(**timing)
    # a saturation pulse has no place of its own here: its delay may stand only where inversion recovery does
    modifier: dict[str, object] = {**dict.fromkeys(_MODIFIERS, "NO"), **dict.fromkeys(_MODES, "NONE")}
    if series.sequence.ti_ms is not None:
        modifier |= {"InversionRecovery": "YES", "InversionTimes": [float(series.sequence.ti_ms)]}
    shared.MRModifierSequence = _one(**modifier)
    obj.SharedFunctionalGroupsSequence = [shared]
    obj.PerFrameFunctionalGroupsSequence = [
        _frame_groups(series, t, number) for t in range(frames) for number in range(slices)
    ]
    set_pixels(obj, stored.reshape(frames * slices, *stored.shape[2:]))
    save(obj, folder / f"{series.state}_enhanced.dcm")


def _dimension(organisation: str, pointer: int, group: int) -> Dataset:
    return _one(DimensionOrganizationUID=organisation, DimensionIndexPointer=pointer, FunctionalGroupPointer=group)[0]


def _frame_groups(series: Series, t: int, number: int) -> Dataset:
    pose, time_s = series.poses[number], float(series.times_s[t, number])
    groups = Dataset()
    groups.FrameContentSequence = _one(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=DATE + clock(time_s),
        FrameAcquisitionDateTime=DATE + clock(time_s),
        FrameAcquisitionDuration=0.0,
        TemporalPositionIndex=t + 1,
        StackID="1",
        InStackPositionNumber=number + 1,
        DimensionIndexValues=[number + 1, t + 1],
    )
    groups.PlanePositionSequence = _one(ImagePositionPatient=decimals(pose.origin_mm))
    groups.PlaneOrientationSequence = _one(ImageOrientationPatient=decimals(pose.direction[:, :2].T.ravel()))
    groups.PixelMeasuresSequence = _one(
        PixelSpacing=decimals((pose.spacing_mm[1], pose.spacing_mm[0])),
        SliceThickness=decimals([pose.thickness_mm])[0],
    )
    groups.MRImageFrameTypeSequence = _one(
        FrameType=["DERIVED", "PRIMARY", "PERFUSION", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="PERFUSION",
    )
    return groups
