"""A CT that cannot be used is refused at the door, in one sentence that says what is wrong and how to mend it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from CardiacFusionLib.io.checks import check_contrast, check_ct, contrast_core_ml, contrast_present
from CardiacFusionLib.io.dicom_ct import read_dicom_ct
from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.io.write import write_dicom_ct, write_dicom_perfusion, write_volume
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume


def chest(blood_hu: float = 400.0, spacing: float = 4.0) -> Volume:
    """Air, fat, muscle, a column of bone and a ball of blood as large as a ventricle."""
    n = 40
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n),) * 3, indexing="ij")
    hu = np.full((n, n, n), -1000.0)
    hu[x**2 + y**2 < 0.9] = -90.0
    hu[x**2 + y**2 < 0.7] = 50.0
    hu[(x**2 + (y - 0.7) ** 2) < 0.01] = 700.0
    hu[x**2 + y**2 + z**2 < 0.2] = blood_hu
    hu += np.random.default_rng(0).normal(0, 10, hu.shape)
    return Volume(hu.astype(np.int16), (spacing,) * 3, (-80, -80, -80), np.eye(3))


def refused(act: Callable[[], object], *words: str) -> str:
    with pytest.raises(BadInputError) as caught:
        act()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and sentence.count(". ") <= 1
    for word in words:
        assert word in sentence
    return sentence


def test_a_sound_chest_ct_is_taken(tmp_path: Path) -> None:
    write_volume(chest(), tmp_path / "ct.nrrd")
    assert read_ct(tmp_path / "ct.nrrd").array.dtype == np.int16


@pytest.mark.parametrize("name", ["notes.txt", "ct.nii.gz", "ct.nii", "ct.nrrd", "ct.mha", "ct.dcm"])
def test_a_file_that_is_no_image_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"the patient was well" * 60)
    refused(lambda: read_ct(tmp_path / name), name)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    for name in ("ct.nii.gz", "ct.nrrd", "ct.mha"):
        write_volume(chest(), tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        refused(lambda name=name: read_ct(tmp_path / name), name)


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    refused(lambda: read_ct(tmp_path / "nowhere"), "check the path")
    refused(lambda: read_ct(tmp_path), "empty")
    (tmp_path / "readme.txt").write_text("no image")
    refused(lambda: read_ct(tmp_path), "DICOM")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nan_is_refused(name: str, value: float, kind: type, tmp_path: Path) -> None:
    """ITK's NIfTI reader would put zeros in its place."""
    hu = chest().array.astype(kind)
    hu[3, 4, 5] = value
    write_volume(chest().with_array(hu), tmp_path / name)
    refused(lambda: read_ct(tmp_path / name), "NaN")


def _patch(path: Path, offset: int, values: tuple[float, ...]) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 4 * len(values)] = struct.pack(f"<{len(values)}f", *values)
    path.write_bytes(raw)


@pytest.mark.parametrize("spacing", [0.0, float("nan")])
def test_zero_spacing_in_nifti_is_refused(spacing: float, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write_volume(chest(), path)
    _patch(path, 80, (4.0, spacing, 4.0))
    refused(lambda: read_ct(path), "spacing", "above zero")


def test_sheared_axes_in_nifti_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write_volume(chest(), path)
    _patch(path, 280, (-4.0, 0.0, 0.8, 80.0))
    refused(lambda: read_ct(path), "sheared")


def test_nifti_without_orientation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write_volume(chest(), path)
    _patch(path, 252, (0.0,))
    refused(lambda: read_ct(path), "how it lies in the patient")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("(4,0,0) (0,0,0) (0,0,4)", "above zero"),
        ("(4,0,0) (0,4,0) (0,1,4)", "sheared"),
        ("(nan,0,0) (0,4,0) (0,0,4)", ""),
    ],
)
def test_bad_axes_in_nrrd_are_refused(line: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / "ct.nrrd"
    write_volume(chest(), path)
    header, _, data = path.read_bytes().partition(b"\n\n")
    lines = [
        b"space directions: " + line.encode() if part.startswith(b"space directions") else part
        for part in header.split(b"\n")
    ]
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    refused(lambda: read_ct(path), word)


def test_bad_axes_in_metaimage_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.mha"
    write_volume(chest(), path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"ElementSpacing = 4 4 4", b"ElementSpacing = 4 0 4"))
    refused(lambda: read_ct(path), "above zero")
    path.write_bytes(whole.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 0 1 0 .3 0 1"))
    refused(lambda: read_ct(path), "sheared")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda hu: np.clip((hu + 1000) / 8, 0, 255), "too narrow"),
        (lambda hu: np.clip(hu + 1024, 0, 4095), "-1024"),
        (lambda hu: hu / 1000.0, "too narrow"),
        (lambda hu: np.where(hu < -200, 40.0, np.abs(hu)) - 1, "not Hounsfield"),
        (lambda hu: np.where(hu > -300, -1000.0 + hu % 2, hu) + 1500.0 * (hu > 395), "soft tissue"),
    ],
)
def test_values_that_are_not_hounsfield_units_are_refused(
    change: Callable[[np.ndarray], np.ndarray], word: str
) -> None:
    volume = chest()
    refused(lambda: check_ct(volume.with_array(change(volume.array.astype(np.float32)))), word)


def test_a_single_slice_and_a_postage_stamp_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([64, 64], sitk.sitkInt16), str(tmp_path / "flat.nii.gz"))
    refused(lambda: read_ct(tmp_path / "flat.nii.gz"), "three-dimensional")
    sitk.WriteImage(sitk.Image([64, 64], sitk.sitkInt16), str(tmp_path / "flat.nrrd"))
    refused(lambda: read_ct(tmp_path / "flat.nrrd"), "three-dimensional")
    refused(lambda: check_ct(chest(spacing=1.0)), "40 x 40 x 40 mm")


def test_a_ct_without_contrast_is_refused() -> None:
    assert contrast_present(chest(400))
    assert not contrast_present(chest(45))
    refused(lambda: check_contrast(chest(45)), "contrast", "native")


def test_contrast_is_seen_in_a_real_ct_and_missed_when_taken_out(data_folder: Path) -> None:
    ct = read_ct(data_folder / "cta" / "cta.nii.gz")
    assert contrast_core_ml(ct) > 100
    native = ct.with_array(np.where(ct.array > 150, np.minimum(ct.array, 60), ct.array))
    assert not contrast_present(native)


def test_the_largest_of_several_series_is_taken_from_nested_folders(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path / "study" / "a" / "deep", "CTCA 0.75")
    scout = chest(100)
    small = Volume(scout.array[:9], scout.spacing_mm, scout.origin_mm, scout.direction)
    write_dicom_ct(small, tmp_path / "study" / "b", "calcium score")
    (tmp_path / "study" / "notes.txt").write_text("hello")
    volume = read_ct(tmp_path / "study")
    assert np.array_equal(volume.array, chest().array)


def test_one_file_of_a_series_stands_for_the_series(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path)
    assert np.array_equal(read_ct(tmp_path / "CT_0007.dcm").array, chest().array)


def _edit(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        change(dataset, number)
        dataset.save_as(path)


def test_missing_ct_slices_are_refused(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path)
    (tmp_path / "CT_0010.dcm").unlink()
    (tmp_path / "CT_0020.dcm").unlink()
    refused(lambda: read_ct(tmp_path), "about 2 images missing")


def test_a_tilted_gantry_is_refused(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path)

    def tilt(dataset: pydicom.Dataset, number: int) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, float(y) + 0.5 * number, z]

    _edit(tmp_path, tilt)
    refused(lambda: read_ct(tmp_path), "tilt")


def test_of_several_phases_one_is_taken(tmp_path: Path) -> None:
    for phase in (40, 75):
        write_dicom_ct(chest(300 + phase), tmp_path / str(phase))

        def mark(dataset: pydicom.Dataset, number: int, phase: int = phase) -> None:
            dataset.NominalPercentageOfCardiacPhase = phase
            dataset.SeriesInstanceUID = "1.2.3"

        _edit(tmp_path / str(phase), mark)
    assert read_ct(tmp_path).array.shape == chest().array.shape
    _edit(tmp_path / "40", lambda dataset, number: dataset.__delattr__("NominalPercentageOfCardiacPhase"))
    _edit(tmp_path / "75", lambda dataset, number: dataset.__delattr__("NominalPercentageOfCardiacPhase"))
    refused(lambda: read_ct(tmp_path), "several heart phases")


def test_an_mr_series_given_as_ct_is_refused(tmp_path: Path) -> None:
    pose = SlicePose((0, 0, 0), np.eye(3), (2, 2), 8)
    write_dicom_perfusion(Series(np.ones((20, 1, 4, 5), np.float32), (pose,), np.arange(20.0)), tmp_path)
    refused(lambda: read_ct(tmp_path), "no CT images", "MR")


def test_damaged_dicom_pixels_are_refused(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path)
    path = tmp_path / "CT_0005.dcm"
    path.write_bytes(path.read_bytes()[:-500])
    refused(lambda: read_dicom_ct(tmp_path), "CT_0005.dcm")


def test_zero_pixel_spacing_in_dicom_is_refused(tmp_path: Path) -> None:
    write_dicom_ct(chest(), tmp_path)

    def flatten(dataset: pydicom.Dataset, number: int) -> None:
        dataset.PixelSpacing = [0, 4]

    _edit(tmp_path, flatten)
    refused(lambda: read_ct(tmp_path), "above zero")
