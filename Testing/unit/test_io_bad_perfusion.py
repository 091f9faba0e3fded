"""A perfusion series that cannot be followed through the heart is refused in one sentence; the rest is read right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation
from test_io_bad_ct import refused

from CardiacFusionLib.io.read import is_synthetic, read_perfusion, read_series_info
from CardiacFusionLib.io.write import write_dicom_ct, write_dicom_perfusion, write_series, write_volume
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

AXES = Rotation.from_euler("xyz", [40, -20, 50], degrees=True).as_matrix()


def first_pass(slices: int = 3, state: str = "stress", shape: tuple[int, int] = (6, 7), seed: int = 0) -> Series:
    """Parallel oblique slices 12 mm apart, one frame a heart beat."""
    rng = np.random.default_rng(seed)
    poses = tuple(
        SlicePose(tuple(np.array([10.0, -30, 60]) + 12 * i * AXES[:, 2]), AXES, (1.8, 1.8), 8) for i in range(slices)
    )
    times = np.arange(24)[:, None] * 0.9 + np.arange(slices) * 0.2
    return Series(rng.integers(0, 400, (24, slices, *shape)).astype(np.float32), poses, times, state)


def _edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _edit(folder: Path, change: Callable[[pydicom.Dataset], None], pattern: str = "*.dcm") -> None:
    for path in sorted(folder.glob(pattern)):
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    write_series(first_pass(), tmp_path / "stress.nii.gz")
    return tmp_path / "stress.nii.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dicom_perfusion(first_pass(), tmp_path / "dicom")
    return tmp_path / "dicom"


def test_five_frames_are_no_first_pass(tmp_path: Path) -> None:
    write_dicom_perfusion(first_pass(), tmp_path)
    for path in tmp_path.glob("*.dcm"):
        if int(path.stem[-3:]) > 5:
            path.unlink()
    refused(lambda: read_perfusion(tmp_path), "only 5 frames")


def test_unsorted_times_in_a_sidecar_are_refused(nifti: Path) -> None:
    def swap(data: dict[str, Any]) -> None:
        data["times_s"][4], data["times_s"][5] = data["times_s"][5], data["times_s"][4]

    _edit_json(nifti.with_name("stress.json"), swap)
    refused(lambda: read_perfusion(nifti), "sort the frames")


def test_dicom_frames_are_sorted_by_their_time_not_their_name(folder: Path) -> None:
    names = sorted(folder.glob("stress_1_*.dcm"))
    for old, new in zip(names, reversed(names)):
        old.rename(new.with_suffix(".turned"))
    back = read_perfusion(folder)
    assert np.array_equal(back.array, first_pass().array)
    assert np.allclose(back.times_s, first_pass().times_s, atol=2e-6)


def test_slices_that_are_not_parallel_are_refused(folder: Path) -> None:
    _edit(folder, lambda d: setattr(d, "ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "stress_3_*.dcm")
    refused(lambda: read_perfusion(folder), "not parallel", "short-axis")


def test_times_that_are_all_the_same_are_refused(folder: Path) -> None:
    def freeze(dataset: pydicom.Dataset) -> None:
        dataset.AcquisitionTime = dataset.ContentTime = "120000"

    _edit(folder, freeze)
    refused(lambda: read_perfusion(folder), "no distinct acquisition times")


def test_trigger_times_serve_where_the_clock_stands_still(folder: Path) -> None:
    def freeze(dataset: pydicom.Dataset) -> None:
        dataset.AcquisitionTime = dataset.ContentTime = "120000"
        dataset.TriggerTime = 900.0 * (int(dataset.AcquisitionNumber) - 1)

    _edit(folder, freeze)
    assert np.allclose(read_perfusion(folder).times_s[:, 1], np.arange(24) * 0.9)


def test_a_series_over_midnight_keeps_its_order(folder: Path) -> None:
    def later(dataset: pydicom.Dataset) -> None:
        clock = str(dataset.AcquisitionTime)
        seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:]) + 43190
        day, seconds = divmod(seconds, 86400)
        text = f"{int(seconds // 3600):02d}{int(seconds // 60 % 60):02d}{seconds % 60:09.6f}"
        dataset.AcquisitionTime = text
        del dataset.AcquisitionDate, dataset.ContentDate

    _edit(folder, later)
    back = read_perfusion(folder)
    assert np.allclose(back.times_s, first_pass().times_s, atol=1e-5)
    assert np.array_equal(back.array, first_pass().array)


def test_missing_frames_are_noticed(folder: Path) -> None:
    (folder / "stress_2_011.dcm").unlink()
    refused(lambda: read_perfusion(folder), "slice 2", "23", "24")


def test_stress_and_rest_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    rest = first_pass(state="rest", seed=1)
    write_dicom_perfusion(first_pass(), tmp_path / "a")
    write_dicom_perfusion(rest, tmp_path / "b")
    assert np.array_equal(read_perfusion(tmp_path, "stress").array, first_pass().array)
    assert np.array_equal(read_perfusion(tmp_path, "rest").array, rest.array)
    refused(lambda: read_perfusion(tmp_path / "b", "stress"), "rest series only")


def test_two_unnamed_series_of_the_same_slices_are_refused(tmp_path: Path) -> None:
    write_dicom_perfusion(first_pass(), tmp_path / "a", description="dynamic", series_per_slice=False)
    write_dicom_perfusion(first_pass(seed=1), tmp_path / "b", description="dynamic moco", series_per_slice=False)
    refused(lambda: read_perfusion(tmp_path), "dynamic moco")


def test_still_pictures_beside_the_first_pass_are_left_out(folder: Path) -> None:
    still = Volume(np.zeros((3, 8, 8), np.int16), (1, 1, 5), (0, 0, 0), np.eye(3))
    write_dicom_ct(still, folder / "localiser")
    assert read_perfusion(folder).slice_count == 3


def test_a_folder_without_a_first_pass_is_refused(tmp_path: Path) -> None:
    still = Volume(np.zeros((3, 8, 8), np.int16), (1, 1, 5), (0, 0, 0), np.eye(3))
    write_dicom_ct(still, tmp_path)
    refused(lambda: read_perfusion(tmp_path), "no place was imaged repeatedly")


def test_slices_of_different_size_are_filled_up_at_their_far_edge(tmp_path: Path) -> None:
    small, large = first_pass(1, shape=(5, 4)), first_pass(2, shape=(6, 7))
    write_dicom_perfusion(small, tmp_path / "a")
    lower = Series(large.array[:, 1:], large.poses[1:], large.times_s[:, 1:])
    write_dicom_perfusion(lower, tmp_path / "b")
    back = read_perfusion(tmp_path)
    assert back.array.shape == (24, 2, 6, 7)
    assert np.array_equal(back.array[:, 0, :5, :4], small.array[:, 0])
    assert not back.array[:, 0, 5:].any() and not back.array[:, 0, :, 4:].any()
    assert np.allclose(back.poses[0].origin_mm, small.poses[0].origin_mm)


def test_an_implausible_repetition_time_is_not_believed(folder: Path) -> None:
    _edit(folder, lambda d: setattr(d, "RepetitionTime", "178"))
    assert read_perfusion(folder).sequence.tr_ms is None


def test_rescale_slope_and_intercept_are_applied(folder: Path) -> None:
    def scale(dataset: pydicom.Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "7"

    _edit(folder, scale)
    assert np.array_equal(read_perfusion(folder).array, first_pass().array * 0.5 + 7)


def test_a_nifti_without_times_is_refused(nifti: Path) -> None:
    nifti.with_name("stress.json").unlink()
    refused(lambda: read_perfusion(nifti), "stress.json", "times_s")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d.pop("times_s"), "times_s"),
        (lambda d: d.update(times_s=d["times_s"][:-1]), "24 frames but 23"),
        (lambda d: d.update(times_s="soon"), "damaged"),
        (lambda d: d.update(poses=d["poses"][:2]), "do not fit"),
        (lambda d: d["poses"][0].update(origin_mm=[0, 0, 0]), "do not fit"),
        (lambda d: d["poses"][0].pop("direction"), "damaged"),
        (lambda d: d.update(state="rest"), "swap"),
        (lambda d: d.update(times_s=[[t[0]] for t in d["times_s"]]), "one a frame and slice"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(
    nifti: Path, change: Callable[[dict[str, Any]], object], word: str
) -> None:
    _edit_json(nifti.with_name("stress.json"), lambda data: change(data) and None)
    refused(lambda: read_perfusion(nifti), word)


def test_times_alone_are_enough_of_a_sidecar(nifti: Path) -> None:
    nifti.with_name("stress.json").write_text(json.dumps({"times_s": [0.9 * i for i in range(24)], "site": "B"}))
    back = read_perfusion(nifti)
    assert np.allclose(back.times_s, np.arange(24)[:, None] * 0.9)
    for pose, truth in zip(back.poses, first_pass().poses, strict=True):
        assert np.allclose(pose.pixel_to_lps, truth.pixel_to_lps, atol=1e-4)
    assert read_series_info(nifti).extra == {"site": "B"}


def test_files_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    write_volume(Volume(np.zeros((3, 4, 5), np.int16), (1, 1, 1), (0, 0, 0), np.eye(3)), tmp_path / "still.nii.gz")
    refused(lambda: read_perfusion(tmp_path / "still.nii.gz"), "four dimensions")
    (tmp_path / "table.csv").write_text("1,2")
    refused(lambda: read_perfusion(tmp_path / "table.csv"), "not a perfusion series")
    (tmp_path / "damaged.seq.nrrd").write_bytes(b"NRRD0005\ntype: float\n\n")
    refused(lambda: read_perfusion(tmp_path / "damaged.seq.nrrd"), "damaged.seq.nrrd")
    refused(lambda: read_perfusion(tmp_path / "nowhere"), "check the path")


def _seq_header(path: Path, change: Callable[[str], str]) -> None:
    header, _, data = path.read_bytes().partition(b"\n\n")
    lines = [part for part in header.decode().split("\n") if not part.startswith("CardiacFusion series")]
    path.write_bytes(change("\n".join(lines)).encode() + b"\n\n" + data)


def test_a_sequence_saved_by_slicer_is_read_by_its_index_values(tmp_path: Path) -> None:
    path = tmp_path / "stress.seq.nrrd"
    write_series(first_pass(), path)
    _seq_header(path, lambda h: h)
    back = read_perfusion(path)
    assert np.array_equal(back.array, first_pass().array)
    assert np.allclose(back.times_s[:, 0], first_pass().times_s.mean(axis=1))
    for pose, truth in zip(back.poses, first_pass().poses, strict=True):
        assert np.allclose(pose.origin_mm, truth.origin_mm)


def test_an_older_sequence_with_the_list_first_and_ras_is_read_alike(tmp_path: Path) -> None:
    import nrrd

    truth = first_pass()
    pose, step = truth.poses[0], np.subtract(truth.poses[1].origin_mm, truth.poses[0].origin_mm)
    ras = np.diag([-1.0, -1.0, 1.0])
    header = {
        "space": "right-anterior-superior",
        "kinds": ["list", "domain", "domain", "domain"],
        "space directions": [[np.nan] * 3, *(ras @ np.column_stack([1.8 * AXES[:, :2], step])).T.tolist()],
        "space origin": ras @ pose.origin_mm,
        "axis 0 index type": "numeric",
        "axis 0 index values": " ".join(str(900 * i) for i in range(24)),
        "units": ["ms", "", "", ""],
    }
    nrrd.write(str(tmp_path / "a.seq.nrrd"), truth.array.transpose(0, 3, 2, 1), header)
    back = read_perfusion(tmp_path / "a.seq.nrrd")
    assert np.array_equal(back.array, truth.array)
    assert np.allclose(back.times_s[:, 0], 0.9 * np.arange(24))
    for mine, theirs in zip(back.poses, truth.poses, strict=True):
        assert np.allclose(mine.pixel_to_lps, theirs.pixel_to_lps)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('units: "" "" "" "s"', 'units: "" "" "" "mL"', "'mL'"),
        ("axis 3 index values:=", "axis 3 index names:=", "no index values"),
        ("axis 3 index values:=", "axis 3 index values:=now ", "not numbers"),
        ("space: left-posterior-superior", "space dimension: 3", "lies in the patient"),
    ],
)
def test_a_sequence_without_times_or_place_is_refused(tmp_path: Path, old: str, new: str, word: str) -> None:
    path = tmp_path / "stress.seq.nrrd"
    write_series(first_pass(), path)
    _seq_header(path, lambda h: h.replace(old, new))
    refused(lambda: read_perfusion(path), word)


def test_merely_numbered_frames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stress.seq.nrrd"
    write_series(first_pass(), path)

    def number(header: str) -> str:
        lines = [line for line in header.split("\n") if not line.startswith(("units", "axis 3 index values"))]
        return "\n".join([*lines, "axis 3 index values:=" + " ".join(str(i) for i in range(24))])

    _seq_header(path, number)
    refused(lambda: read_perfusion(path), "only numbered")


def test_slices_that_slicer_turned_round_keep_their_place_and_time(tmp_path: Path) -> None:
    """Slicer stores a left-handed stack from its other end and keeps our key as it was."""
    truth = first_pass()
    path = tmp_path / "stress.seq.nrrd"
    turned = Series(truth.array[:, ::-1], truth.poses[::-1], truth.times_s[:, ::-1])
    write_series(truth, path)
    key = next(line for line in path.read_bytes().split(b"\n") if line.startswith(b"CardiacFusion series"))
    write_series(turned, path)
    header, _, data = path.read_bytes().partition(b"\n\n")
    lines = [key if line.startswith(b"CardiacFusion series") else line for line in header.split(b"\n")]
    path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
    back = read_perfusion(path)
    assert np.array_equal(back.array, turned.array)
    assert np.array_equal(back.times_s, turned.times_s)
    assert [p.origin_mm for p in back.poses] == [p.origin_mm for p in turned.poses]


def test_enhanced_frames_without_a_place_are_refused(tmp_path: Path) -> None:
    write_dicom_perfusion(first_pass(), tmp_path, enhanced=True)
    _edit(tmp_path, lambda d: [g.__delattr__("PlanePositionSequence") for g in d.PerFrameFunctionalGroupsSequence])
    refused(lambda: read_perfusion(tmp_path), "ImagePositionPatient")


def test_no_patient_is_named_in_what_is_written(folder: Path) -> None:
    for path in folder.glob("*.dcm"):
        dataset = pydicom.dcmread(path)
        assert (dataset.PatientName, dataset.PatientBirthDate) == ("Anonymous", "")
        assert dataset.PatientIdentityRemoved == "YES"


def test_a_synthetic_examination_says_so_in_every_form(tmp_path: Path) -> None:
    write_series(first_pass(), tmp_path / "a.nii.gz", {"synthetic": True})
    write_series(first_pass(), tmp_path / "b.seq.nrrd", {"synthetic": True})
    write_series(first_pass(), tmp_path / "c.seq.nrrd")
    write_dicom_perfusion(first_pass(), tmp_path / "d", comment="SYNTHETIC digital twin")
    write_dicom_perfusion(first_pass(), tmp_path / "e", enhanced=True)
    volume = Volume(np.zeros((3, 4, 5), np.int16), (1, 1, 1), (0, 0, 0), np.eye(3))
    write_volume(volume, tmp_path / "f.nrrd")
    (tmp_path / "twin").mkdir()
    write_volume(volume, tmp_path / "twin" / "ct.nrrd")
    (tmp_path / "twin" / "truth.json").write_text("{}")
    said = [is_synthetic(tmp_path / name) for name in ("a.nii.gz", "b.seq.nrrd", "d", "twin/ct.nrrd")]
    silent = [is_synthetic(tmp_path / name) for name in ("c.seq.nrrd", "e", "f.nrrd")]
    assert said == [True] * 4 and silent == [False] * 3
