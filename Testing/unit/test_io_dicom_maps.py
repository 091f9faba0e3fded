"""Maps and segments leave as DICOM, and every reader finds the values that went in."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from CardiacFusionLib.io.dicom_map_images import write_map_images
from CardiacFusionLib.io.dicom_maps import write_maps
from CardiacFusionLib.io.dicom_parametric import write_parametric_map
from CardiacFusionLib.io.dicom_quantity import Quantity
from CardiacFusionLib.io.dicom_source import Origin, source_headers
from CardiacFusionLib.io.dicom_write import write_dicom_perfusion
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose

highdicom = pytest.importorskip("highdicom", reason="highdicom writes DICOM maps; pip install highdicom")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TURN = np.deg2rad(30.0)
DIRECTION = np.array([[np.cos(TURN), -np.sin(TURN), 0.0], [np.sin(TURN), np.cos(TURN), 0.0], [0.0, 0.0, 1.0]])
POSES = tuple(SlicePose((-20.0, 5.0, -12.0 * k), DIRECTION, (1.8, 1.5), 8.0) for k in range(3))
SHAPE = (3, 20, 24)


def flow() -> np.ndarray:
    values = np.random.default_rng(0).uniform(0.3, 3.0, SHAPE).astype(np.float32)
    values[:, :4] = np.nan
    return values


def segments() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int8)
    labels[0, 5:9, 5:9], labels[1, 10:14, 5:9], labels[2, 6:9, 12:15] = 2, 9, 14
    return labels


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "enhanced"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = np.random.default_rng(1).uniform(0, 300, (20, *SHAPE)).astype(np.float32)
    series = Series(frames, POSES, np.arange(20.0) * 0.9, "stress", Sequence(100.0, 2.2, 12.0))
    folder = tmp_path_factory.mktemp("source")
    write_dicom_perfusion(series, folder, enhanced=request.param)
    return folder


@pytest.fixture
def written(source: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    maps = {"mbf": flow(), "fit_residual": 0.01 * flow()}
    units = {"mbf": "mL/min/g", "fit_residual": "1"}
    write_maps(maps, units, segments(), POSES, source_headers(source, POSES), out, "stress")
    return out


def test_pydicom_and_highdicom_read_the_flow_that_was_written(written: Path) -> None:
    known = np.isfinite(flow())
    step = float(np.nanmax(flow())) / 65535
    plain = pydicom.dcmread(written / "stress_mbf.dcm")
    mapping = plain.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    values = plain.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    np.testing.assert_allclose(values[known], flow()[known], atol=step)
    assert not values[~known].any()
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mL/(min.g)"
    volume = highdicom.pm.ParametricMap.from_dataset(plain).get_volume(apply_real_world_transform=True)
    order = np.argsort([volume.map_reference_to_indices(np.array([p.origin_mm]))[0, 0] for p in POSES])
    found = volume.array if volume.array.ndim == 3 else volume.array[..., 0]
    np.testing.assert_allclose(found, values[order], atol=1e-9)


def test_simpleitk_reads_the_same_values_at_the_same_place_from_the_images(written: Path) -> None:
    step = float(np.nanmax(flow())) / 65535
    for s, pose in enumerate(POSES):
        image = sitk.ReadImage(str(written / "images" / f"stress_mbf_slice{s + 1}.dcm"))
        np.testing.assert_allclose(sitk.GetArrayFromImage(image)[0], np.nan_to_num(flow()[s]), atol=step)
        np.testing.assert_allclose(image.GetOrigin(), pose.origin_mm, atol=1e-4)
        np.testing.assert_allclose(image.GetSpacing()[:2], pose.spacing_mm, atol=1e-6)
        np.testing.assert_allclose(np.reshape(image.GetDirection(), (3, 3))[:, :2], DIRECTION[:, :2], atol=1e-6)


def test_segments_come_back_under_their_aha_numbers(written: Path) -> None:
    found = highdicom.seg.segread(written / "stress_segments.dcm")
    names = {number: found.get_segment_description(number).segment_label for number in found.segment_numbers}
    assert list(names.values()) == ["2 basal anteroseptal", "9 mid inferoseptal", "14 apical septal"]
    plain = pydicom.dcmread(written / "stress_segments.dcm")
    for frame, group in zip(np.atleast_3d(plain.pixel_array), plain.PerFrameFunctionalGroupsSequence):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        aha = int(names[number].split()[0])
        place = group.PlanePositionSequence[0].ImagePositionPatient
        s = int(np.argmin([np.linalg.norm(np.subtract(p.origin_mm, place)) for p in POSES]))
        np.testing.assert_array_equal(frame, segments()[s] == aha)
    assert sitk.ReadImage(str(written / "stress_segments.dcm")).GetSize()[:2] == SHAPE[:0:-1]


def test_maps_reference_every_source_image_and_stay_in_their_study(source: Path, written: Path) -> None:
    headers = source_headers(source, POSES)
    for name in ("stress_mbf.dcm", "stress_segments.dcm"):
        result = pydicom.dcmread(written / name)
        assert result.StudyInstanceUID == headers[0].StudyInstanceUID
        assert result.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
        assert result.PatientID == headers[0].PatientID
        named = {
            i.ReferencedSOPInstanceUID for s in result.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence
        }
        assert named == {h.SOPInstanceUID for h in headers}


def test_the_same_map_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    origin = Origin(source_headers(source, POSES), POSES)
    for name in ("a", "b"):
        write_parametric_map(Quantity.of(flow(), "mbf", "mL/min/g"), origin, tmp_path / name)
        write_map_images(Quantity.of(flow(), "mbf", "mL/min/g"), origin, tmp_path / f"{name}_images")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    images = [sorted((tmp_path / f"{n}_images").iterdir()) for n in ("a", "b")]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(*images))


def test_a_relative_map_is_coded_as_relative(source: Path, tmp_path: Path) -> None:
    origin = Origin(source_headers(source, POSES), POSES)
    write_parametric_map(Quantity.of(flow(), "mbf", "relative"), origin, tmp_path / "r.dcm")
    groups = pydicom.dcmread(tmp_path / "r.dcm").SharedFunctionalGroupsSequence[0]
    mapping = groups.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1" and "relative" in mapping.LUTExplanation
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning == "Relative Regional Blood Flow"


def test_maps_of_another_place_find_no_source(source: Path) -> None:
    elsewhere = tuple(SlicePose((500.0, 0.0, 0.0), DIRECTION, (1.8, 1.5), 8.0) for _ in POSES)
    with pytest.raises(BadInputError, match="holds no DICOM images of the quantified slices"):
        source_headers(source, elsewhere)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)")
def test_dciodvfy_finds_no_error_in_what_is_written_nor_in_the_series_it_was_made_of(
    source: Path, written: Path
) -> None:
    given = sorted(source.glob("*.dcm"))[:1]
    for file in [*written.rglob("*.dcm"), *given]:
        verdict = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False)
        errors = [line for line in (verdict.stdout + verdict.stderr).splitlines() if line.startswith("Error")]
        assert verdict.returncode == 0 and not errors, f"{file.name}: {errors}"
