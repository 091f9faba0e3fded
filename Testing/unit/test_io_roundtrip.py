"""Whatever goes out and comes back in is the same, to the millimetre and the value, however the image lies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from io_shapes import assert_same_place, directions, series, volumes

from CardiacFusionLib.io.dicom_ct import read_dicom_ct
from CardiacFusionLib.io.image_file import read_volume
from CardiacFusionLib.io.markups import read_landmarks, write_landmarks
from CardiacFusionLib.io.read import read_perfusion, read_series_info
from CardiacFusionLib.io.segmentation import read_segmentation, write_segmentation
from CardiacFusionLib.io.transform import read_tfm, write_tfm
from CardiacFusionLib.io.write import write_dicom_ct, write_dicom_perfusion, write_series, write_volume
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

_few = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
_fewer = settings(_few, max_examples=5)


@contextmanager
def scratch() -> Iterator[Path]:
    """A fresh folder for every example (pytest's own is shared by all examples of a test)."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def assert_same_series(a: Series, b: Series, value: float = 0.0, mm: float = 1e-4) -> None:
    """The slices of ``b`` may come in another order; each must be found in ``a`` with its pose, pixels and times."""
    assert a.array.shape == b.array.shape and a.state == b.state
    for number, pose in enumerate(b.poses):
        distance = [float(np.linalg.norm(np.subtract(p.origin_mm, pose.origin_mm))) for p in a.poses]
        match = int(np.argmin(distance))
        assert distance[match] < mm
        assert np.allclose(a.poses[match].direction[:, :2], pose.direction[:, :2], atol=1e-6)
        assert np.allclose(a.poses[match].spacing_mm, pose.spacing_mm, atol=1e-6)
        assert a.poses[match].thickness_mm == pytest.approx(pose.thickness_mm, abs=1e-6)
        assert np.abs(a.array[:, match] - b.array[:, number]).max() <= value
        assert np.abs(a.times_s[:, match] - b.times_s[:, number]).max() < 2e-6


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha"])
@_few
@given(volume=volumes())
def test_a_volume_comes_back_from_a_file_as_it_was(ending: str, volume: Volume) -> None:
    with scratch() as folder:
        write_volume(volume, folder / f"image{ending}")
        back = read_volume(folder / f"image{ending}")
    assert back.array.dtype == volume.array.dtype
    assert np.array_equal(back.array, volume.array)
    assert np.abs(back.index_to_lps - volume.index_to_lps).max() < (1e-4 if "nii" in ending else 1e-9)


@_few
@given(volume=volumes())
def test_a_ct_comes_back_from_dicom_at_its_place(volume: Volume) -> None:
    with scratch() as folder:
        write_dicom_ct(volume, folder)
        assert_same_place(volume, read_dicom_ct(folder), 1e-4)


@pytest.mark.parametrize("ending", [".nii.gz", ".seq.nrrd"])
@_few
@given(given_series=series(right_handed=False))
def test_a_perfusion_series_comes_back_from_a_file_as_it_was(ending: str, given_series: Series) -> None:
    with scratch() as folder:
        path = folder / f"first_pass{ending}"
        write_series(given_series, path, {"synthetic": True, "note": 'says "flow", 50 % \\ é'})
        back = read_perfusion(path, given_series.state)
        info = read_series_info(path)
    assert info.extra == {"synthetic": True, "note": 'says "flow", 50 % \\ é'}
    assert back.sequence == given_series.sequence
    assert np.array_equal(back.array, given_series.array)
    assert np.array_equal(back.times_s, given_series.times_s)
    for pose, truth in zip(back.poses, given_series.poses, strict=True):
        assert np.array_equal(pose.pixel_to_lps, truth.pixel_to_lps)


@pytest.mark.parametrize("layout", ["series a slice", "one series", "enhanced"])
@_fewer
@given(given_series=series())
def test_a_perfusion_series_comes_back_from_dicom(layout: str, given_series: Series) -> None:
    with scratch() as folder:
        write_dicom_perfusion(
            given_series, folder, enhanced=layout == "enhanced", series_per_slice=layout == "series a slice"
        )
        back = read_perfusion(folder, given_series.state)
    step = float(np.ptp(given_series.array)) / 65535
    assert_same_series(given_series, back, value=0.51 * step + 1e-3)
    assert back.sequence == given_series.sequence


@_fewer
@given(given_series=series(whole=True))
def test_whole_numbers_survive_dicom_exactly(given_series: Series) -> None:
    with scratch() as folder:
        write_dicom_perfusion(given_series, folder)
        assert_same_series(given_series, read_perfusion(folder, given_series.state), value=0.0)


@pytest.mark.parametrize("form", ["a.nii.gz", "a.seq.nrrd", "dicom"])
@_fewer
@given(given_series=series())
def test_arterial_input_frames_travel_with_the_series(form: str, given_series: Series) -> None:
    pose = given_series.poses[0]
    low = SlicePose(pose.origin_mm, pose.direction, (pose.spacing_mm[0] * 2, pose.spacing_mm[1] * 2), 10.0)
    frames = given_series.array[:, 0, :2, :3] * 3
    dual = replace(
        given_series,
        aif_frames=frames,
        aif_pose=low,
        aif_sequence=Sequence(ti_ms=24.0, tr_ms=1.8, flip_deg=8.0, dual_sequence_aif=True),
        sequence=replace(given_series.sequence, dual_sequence_aif=True),
    )
    with scratch() as folder:
        if form == "dicom":
            write_dicom_perfusion(dual, folder)
            back = read_perfusion(folder, dual.state)
        else:
            write_series(dual, folder / form)
            back = read_perfusion(folder / form, dual.state)
    assert back.sequence.dual_sequence_aif
    assert back.aif_frames is not None and back.aif_pose is not None
    assert back.aif_sequence == dual.aif_sequence and back.sequence.ti_ms == dual.sequence.ti_ms
    assert np.abs(back.aif_frames - frames).max() < np.ptp(frames) / 65535 + 1e-3
    assert np.allclose(back.aif_pose.pixel_to_lps, low.pixel_to_lps, atol=1e-6)


@_few
@given(volume=volumes(high=8))
def test_labels_come_back_from_a_segmentation(volume: Volume) -> None:
    if not volume.array.any():
        return
    with scratch() as folder:
        write_segmentation(volume, folder / "walls.seg.nrrd")
        back = read_segmentation(folder / "walls.seg.nrrd")
    assert back.array.dtype == np.uint8
    assert np.array_equal(back.array, volume.array)
    assert np.abs(back.index_to_lps - volume.index_to_lps).max() < 1e-9


@_few
@given(rotation=directions(right_handed=True), shift=st.tuples(*(st.floats(-500, 500),) * 3))
def test_a_pose_comes_back_from_its_transform_file(rotation: np.ndarray, shift: tuple[float, float, float]) -> None:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    with scratch() as folder:
        write_tfm(matrix, folder / "ct_to_heart.tfm")
        assert np.abs(read_tfm(folder / "ct_to_heart.tfm") - matrix).max() < 1e-9


@_few
@given(st.dictionaries(st.text("abc_é1", min_size=1, max_size=8), st.tuples(*(st.floats(-1e3, 1e3),) * 3), max_size=5))
def test_landmarks_come_back_from_a_markups_file(points: dict[str, tuple[float, float, float]]) -> None:
    with scratch() as folder:
        write_landmarks({k: np.array(v) for k, v in points.items()}, folder / "l.mrk.json")
        back = read_landmarks(folder / "l.mrk.json")
    assert list(back) == list(points)
    for name, point in points.items():
        assert np.array_equal(back[name], point)


@pytest.mark.parametrize("form", ["a.nii.gz", "a.nrrd", "a.seq.nrrd", "a.seg.nrrd", "dicom"])
def test_the_same_data_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = Volume(rng.integers(0, 4, (4, 5, 6)).astype(np.uint8), (1, 2, 3), (4, 5, 6), np.eye(3))
    pose = SlicePose((0, 0, 0), np.eye(3), (2, 2), 8)
    first_pass = Series(rng.random((20, 1, 4, 5)).astype(np.float32), (pose,), np.arange(20.0))

    def write(folder: Path) -> dict[str, bytes]:
        folder.mkdir()
        if form == "dicom":
            write_dicom_perfusion(first_pass, folder)
        elif form == "a.seg.nrrd":
            write_segmentation(labels, folder / form)
        elif form == "a.nrrd":
            write_volume(labels, folder / form)
        else:
            write_series(first_pass, folder / form)
        return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}

    assert write(tmp_path / "one") == write(tmp_path / "two")
