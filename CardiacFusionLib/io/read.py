"""The door: one function for a CT and one for a perfusion series, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CardiacFusionLib.io.checks import check_ct
from CardiacFusionLib.io.dicom_ct import read_dicom_ct
from CardiacFusionLib.io.dicom_frames import comment_says, dicom_files, is_dicom
from CardiacFusionLib.io.dicom_perfusion import read_dicom_perfusion
from CardiacFusionLib.io.image_file import NIFTI, has_suffix, read_volume
from CardiacFusionLib.io.series_file import SEQ_NRRD, read_nifti_series, read_seq_nrrd, series_info
from CardiacFusionLib.io.series_json import SeriesInfo
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.volume import Volume

_TRUTH = "truth.json"  # what is known of a digital twin because it was made


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.exists():
        raise BadInputError(f"There is no file or folder {path}; check the path.")
    return path


def read_ct(path: Path | str, check: bool = True) -> Volume:
    """A CT in HU from a DICOM folder or file, NIfTI, NRRD or MetaImage; ``check`` runs :func:`check_ct` on it.

    Values come as int16 or float32 (wider types are narrowed). Contrast is not asked for here: :func:`check_contrast`.
    Raises BadInputError with one sentence that says what is wrong and how to mend it.
    """
    path = _existing(path)
    volume = read_dicom_ct(path) if path.is_dir() or is_dicom(path) else read_volume(path)
    if check:
        check_ct(volume)
    return _narrow(volume)


def _narrow(volume: Volume) -> Volume:
    """int16 for whole numbers that fit, float32 for the rest: a full CT in 64 bits would fill the memory."""
    array = volume.array
    if array.dtype in (np.int16, np.float32):
        return volume
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(np.int16)
        if int(array.min()) >= limits.min and int(array.max()) <= limits.max:
            return volume.with_array(array.astype(np.int16))
    return volume.with_array(array.astype(np.float32))


def read_perfusion(path: Path | str, state: str = "stress") -> Series:
    """A first-pass series from a DICOM folder or file, a 4D NIfTI with its JSON sidecar, or ``.seq.nrrd``.

    Raises BadInputError with one sentence that says what is wrong and how to mend it.
    """
    path = _existing(path)
    if path.is_dir() or is_dicom(path):
        return read_dicom_perfusion(path, state)
    if has_suffix(path, (SEQ_NRRD,)):
        return read_seq_nrrd(path, state)
    if has_suffix(path, NIFTI):
        return read_nifti_series(path, state)
    raise BadInputError(
        f"{path.name} is not a perfusion series that can be read; give a DICOM folder, a 4D NIfTI with its .json "
        "sidecar, or a .seq.nrrd."
    )


def read_series_info(path: Path | str) -> SeriesInfo:
    """What a series file says beside its pixels: times, poses, state, and unknown keys such as "synthetic".

    DICOM has no sidecar: times and poses are read with the series itself, so a folder gives BadInputError here.
    """
    path = _existing(path)
    if path.is_dir() or is_dicom(path):
        raise BadInputError(f"{path.name} is DICOM and has no sidecar; read the series itself.")
    return series_info(path)


def is_synthetic(path: Path | str) -> bool:
    """Whether an examination says of itself that it is synthetic.

    A series file by the key "synthetic" of its sidecar; DICOM by the word in the image comment of its first file; any
    image file by the ``truth.json`` of a digital twin that lies beside it.
    """
    path = _existing(path)
    if path.is_dir() or is_dicom(path):
        return comment_says(path if path.is_file() else dicom_files(path)[0], "synthetic")
    if (path.parent / _TRUTH).is_file():
        return True
    try:
        return bool(series_info(path).extra.get("synthetic", False))
    except BadInputError:
        return False
