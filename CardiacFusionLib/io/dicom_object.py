"""What every DICOM object written here has in common: identity without a name, UIDs that depend on the data alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

# a fixed day and hour: a synthetic examination has none, and the same data must give the same bytes
DATE, NOON_S = "20000101", 12 * 3600.0


def uid_of(*parts: str) -> UID:
    """A DICOM UID that is the same for the same parts."""
    return UID(generate_uid(entropy_srcs=list(parts)))


def digest(arrays: Iterable[NDArray[np.generic]]) -> str:
    """SHA-256 over the bytes of arrays: the root of the UIDs of an examination."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def decimals(values: Iterable[float]) -> list[DSfloat]:
    """Numbers as DICOM decimal strings of at most 16 characters."""
    return [DSfloat(float(v), auto_format=True) for v in values]


def clock(seconds: float) -> str:
    """Seconds after noon as DICOM TM with microseconds."""
    micro = round((NOON_S + seconds) * 1e6)
    whole, fraction = divmod(micro, 1_000_000)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}.{fraction:06d}"


def new_object(sop_class: str, root: str, series: str, number: int, modality: str, description: str) -> Dataset:
    """An anonymous object with patient, study, series, frame of reference and equipment; pixels are still to come."""
    obj = Dataset()
    obj.file_meta = FileMetaDataset()
    obj.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    obj.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    obj.SOPClassUID = UID(sop_class)
    obj.SOPInstanceUID = uid_of(root, series, str(number))
    obj.file_meta.MediaStorageSOPInstanceUID = obj.SOPInstanceUID
    obj.SpecificCharacterSet = "ISO_IR 192"
    obj.PatientName = "Anonymous"
    obj.PatientID = "anonymous"
    obj.PatientBirthDate = ""
    obj.PatientSex = ""
    obj.PatientIdentityRemoved = "YES"
    obj.DeidentificationMethod = "made without patient identity by CardiacFusion"
    obj.StudyInstanceUID = uid_of(root, "study", modality)
    obj.StudyDate = obj.SeriesDate = obj.AcquisitionDate = obj.ContentDate = DATE
    obj.StudyTime = obj.SeriesTime = obj.ContentTime = clock(0.0)
    obj.AccessionNumber = ""
    obj.ReferringPhysicianName = ""
    obj.StudyID = "1"
    obj.Modality = modality
    obj.SeriesInstanceUID = uid_of(root, series)
    obj.SeriesNumber = 1
    obj.BodyPartExamined = "HEART"
    obj.SeriesDescription = description
    obj.FrameOfReferenceUID = uid_of(root, "frame of reference", modality)
    obj.PositionReferenceIndicator = ""
    obj.PatientPosition = "HFS"
    obj.Manufacturer = "CardiacFusion"
    obj.ManufacturerModelName = "CardiacFusion"
    obj.DeviceSerialNumber = "0"
    obj.SoftwareVersions = "1"
    obj.InstanceNumber = number
    obj.BurnedInAnnotation = "NO"
    return obj


def set_pixels(obj: Dataset, stored: NDArray[np.generic]) -> None:
    """Attach 16-bit grey pixels (y, x) or (frame, y, x)."""
    obj.SamplesPerPixel = 1
    obj.PhotometricInterpretation = "MONOCHROME2"
    obj.Rows, obj.Columns = (int(n) for n in stored.shape[-2:])
    obj.BitsAllocated = obj.BitsStored = 16
    obj.HighBit = 15
    obj.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    obj.PixelData = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<"), copy=False).tobytes()
    if len(obj.PixelData) % 2:
        obj.PixelData += b"\0"


def save(obj: Dataset, path: Path) -> None:
    """Write the object as a DICOM file with preamble and meta header."""
    obj.save_as(path, enforce_file_format=True)
