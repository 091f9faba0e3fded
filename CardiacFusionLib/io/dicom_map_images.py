"""A quantity as plain derived MR images, which everything opens.

GDCM, and with it SimpleITK, does not know the Parametric Map class at all (GDCM 3.2). These hold the same stored values
and stay in the study and with the patient of their source.
"""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from CardiacFusionLib.io.dicom_object import decimals, digest, new_object, save, set_pixels
from CardiacFusionLib.io.dicom_quantity import Quantity
from CardiacFusionLib.io.dicom_result import MAKER
from CardiacFusionLib.io.dicom_source import Origin
from CardiacFusionLib.spatial.series import SlicePose

_PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID", "FrameOfReferenceUID", "SpecificCharacterSet"),
)


def write_map_images(quantity: Quantity, origin: Origin, folder: Path, number: int = 801) -> list[Path]:
    """One image a slice into ``folder``; returns the files written. ``number`` of the series."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for s, pose in enumerate(origin.poses):
        obj = _image(quantity, origin, s, pose)
        obj.SeriesNumber = number
        files.append(folder / f"{origin.state}_{quantity.name}_slice{s + 1}.dcm")
        save(obj, files[-1])
    return files


def _image(quantity: Quantity, origin: Origin, s: int, pose: SlicePose) -> Dataset:
    source, name = origin.source, quantity.name
    root = digest([quantity.stored]) + origin.state
    obj = new_object(MRImageStorage, root, f"image {name}", s + 1, "MR", "")
    for tag in _PATIENT_AND_STUDY:
        if tag in source[0]:
            obj[tag] = source[0][tag]
    for tag in ("PatientIdentityRemoved", "DeidentificationMethod"):
        if tag not in source[0]:
            delattr(obj, tag)
    obj.SeriesDescription = f"{MAKER} {origin.state} {name} [{quantity.unit}] (research)"[:64]
    obj.ImageType = ["DERIVED", "SECONDARY", "PERFUSION"]
    obj.DerivationDescription = f"{name} in {quantity.unit}; 0 where there is no value"
    obj.SourceImageSequence = [_reference(header) for header in source]
    obj.ScanningSequence, obj.SequenceVariant, obj.ScanOptions = "RM", "NONE", ""
    obj.MRAcquisitionType, obj.EchoTime, obj.EchoTrainLength, obj.RepetitionTime = "2D", "", "", ""
    obj.AcquisitionNumber = 1
    obj.ImagePositionPatient = decimals(pose.origin_mm)
    obj.ImageOrientationPatient = decimals(pose.direction[:, :2].T.ravel())
    obj.PixelSpacing = decimals((pose.spacing_mm[1], pose.spacing_mm[0]))
    obj.SliceThickness = decimals([pose.thickness_mm])[0]
    obj.RescaleSlope, obj.RescaleIntercept, obj.RescaleType = decimals([quantity.slope])[0], "0", "US"
    obj.WindowCenter, obj.WindowWidth = decimals(quantity.window)
    obj.VOILUTFunction = "LINEAR_EXACT"
    set_pixels(obj, quantity.stored[s])
    return obj


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
