"""One twin, whole: two examinations of one heart, the truth beside them, and files that read back."""

import json

import numpy as np
import pytest

from CardiacFusionLib.io.read import read_ct, read_perfusion, read_series_info
from CardiacFusionLib.spatial.aha import AHA_TERRITORY
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg
from CardiacFusionLib.twin.case import make_twin
from CardiacFusionLib.twin.cmr.series import CmrOptions
from CardiacFusionLib.twin.write import write_twin

SMALL = CmrOptions(size=72, spacing_mm=3.0, frames=30, depth_samples=2)


@pytest.fixture(scope="module")
def twin():
    return make_twin(12, ct_spacing_mm=(5.0, 5.0, 5.0), kind="one-vessel", options=SMALL)


def region_curve(twin, label, k=1):
    mask = twin.truth.cmr_labels[k] == label
    return twin.stress.array[:, k][:, mask].mean(axis=1)


def test_shapes_agree_with_the_examinations(twin):
    truth = twin.truth
    assert twin.stress.array.shape == (30, 3, 72, 72)
    assert truth.cmr_labels.shape == truth.mbf_stress.shape == truth.mbf_rest.shape == (3, 72, 72)
    assert truth.ct_labels.array.shape == twin.ct.array.shape
    assert truth.motion_mm.shape == (30, 3, 2)
    assert np.array_equal(np.isfinite(truth.mbf_stress), truth.cmr_labels == Label.MYOCARDIUM)
    assert twin.ct.array.dtype == np.int16
    assert twin.rest is not None
    assert twin.rest.state == "rest"


def test_the_bolus_lights_the_right_heart_then_the_left_then_the_wall(twin):
    peaks = [int(np.argmax(region_curve(twin, label))) for label in (3, 1, 2)]
    assert peaks[0] < peaks[1] < peaks[2]
    cavity = region_curve(twin, Label.LV_CAVITY)
    assert cavity.max() > 4 * cavity[:5].mean()


def test_the_right_ventricle_is_on_the_viewers_left(twin):
    for k in range(2):
        labels = twin.truth.cmr_labels[k]
        right, left = (np.argwhere(labels == n)[:, 1].mean() for n in (3, 1))
        assert right < left - 5


def test_slices_lie_basal_mid_apical_along_the_long_axis(twin):
    heights = []
    for pose in twin.stress.poses:
        heights.append(twin.truth.cmr_pose.to_heart(pose.points_lps(np.array([35.5, 35.5])))[2])
        assert np.degrees(np.arccos(abs(pose.normal @ twin.truth.cmr_pose.long_axis_lps))) < 12
    assert heights[0] > heights[1] > heights[2]
    base = twin.truth.cmr_pose.to_heart(twin.truth.cmr_pose.landmarks["base"])[2]
    assert base > heights[0]


def test_the_two_examinations_have_their_own_patient_position(twin):
    truth = twin.truth
    assert axis_angle_deg(truth.ct_pose, truth.cmr_pose) < 25
    assert np.linalg.norm(truth.ct_pose.to_lps(np.zeros(3)) - truth.cmr_pose.to_lps(np.zeros(3))) > 1
    for pose in (truth.ct_pose, truth.cmr_pose):
        for name in ("apex", "base"):
            assert np.allclose(pose.to_heart(pose.landmarks[name])[:2], 0, atol=1e-6)


def test_the_tree_lies_where_the_ct_heart_lies(twin):
    truth = twin.truth
    assert truth.tree.frame == "lps"
    points = np.concatenate([b.points_mm for b in truth.tree.branches])
    in_heart = truth.ct_pose.to_heart(points)
    assert np.abs(in_heart).max() < 110


def test_the_ischaemic_territory_has_the_lowest_flow(twin):
    truth = twin.truth
    assert len(truth.culprits) == 1
    mean = {
        vessel: np.mean([f for s, f in truth.segment_mbf_stress.items() if AHA_TERRITORY[s] == vessel])
        for vessel in ("LAD", "LCx", "RCA")
    }
    assert min(mean, key=mean.__getitem__) == truth.culprits[0]
    assert min(truth.segment_mbf_stress.values()) < 0.75 * max(truth.segment_mbf_stress.values())
    assert set(truth.segment_mbf_stress) <= set(range(1, 17))


def test_true_flow_shows_in_the_brightness_of_the_wall(twin):
    """Well-fed muscle enhances more than starved muscle in the frames around the muscle's peak."""
    k = 1
    flow = twin.truth.mbf_stress[k]
    wall = np.isfinite(flow)
    peak = int(np.argmax(region_curve(twin, 2, k)))
    enhancement = twin.stress.array[peak - 1 : peak + 2, k].mean(axis=0) - twin.stress.array[:5, k].mean(axis=0)
    low = wall & (flow < np.nanpercentile(flow, 25))
    high = wall & (flow > np.nanpercentile(flow, 75))
    assert enhancement[low].mean() < enhancement[high].mean()


def test_times_rise_and_slices_are_staggered_within_a_beat(twin):
    times = twin.stress.times_s
    assert np.all(np.diff(times, axis=0) > 0.4)
    assert np.all(np.diff(times, axis=1) > 0)


def test_the_same_seed_gives_the_same_twin(twin):
    again = make_twin(12, ct_spacing_mm=(5.0, 5.0, 5.0), kind="one-vessel", options=SMALL, rest=False)
    assert np.array_equal(again.ct.array, twin.ct.array)
    assert np.array_equal(again.stress.array, twin.stress.array)
    assert again.rest is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(BadInputError, match="one-vessel"):
        make_twin(0, kind="three-vessel")


def test_what_is_written_reads_back(twin, tmp_path):
    write_twin(twin, tmp_path / "case")
    folder = tmp_path / "case"
    ct = read_ct(folder / "ct.nii.gz", check=False)
    assert np.array_equal(ct.array, twin.ct.array)
    assert np.allclose(ct.index_to_lps, twin.ct.index_to_lps, atol=1e-3)
    stress = read_perfusion(folder / "stress.nii.gz")
    assert np.array_equal(stress.array, np.round(twin.stress.array))  # a scanner stores whole numbers
    assert np.allclose(stress.times_s, twin.stress.times_s)
    assert stress.sequence == twin.stress.sequence
    assert read_series_info(folder / "stress.nii.gz").extra["synthetic"] is True
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["synthetic"] is True
    assert truth["culprits"] == list(twin.truth.culprits)
    assert np.allclose(truth["ct_pose"]["lps_to_heart"], twin.truth.ct_pose.lps_to_heart)
    for path in truth["files"].values():
        assert (folder / path).is_file()


def test_dicom_is_written_on_request_and_says_synthetic(twin, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    write_twin(twin, tmp_path, dicom=True)
    for part in ("ct", "stress", "rest"):
        files = sorted(p for p in (tmp_path / "dicom" / part).rglob("*") if p.is_file())
        assert files, part
        assert "SYNTHETIC" in str(pydicom.dcmread(files[0], stop_before_pixels=True).ImageComments)
    stress = read_perfusion(tmp_path / "dicom" / "stress")
    assert stress.array.shape == twin.stress.array.shape
