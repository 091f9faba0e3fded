"""A perfusion study for a wall that was segmented in a CT: same wall, chosen territory, marked synthetic."""

import json

import numpy as np
import pytest

from CardiacFusionLib.io.read import read_series_info
from CardiacFusionLib.spatial.aha import AHA_TERRITORY
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.twin.cmr.series import CmrOptions
from CardiacFusionLib.twin.from_ct import series_from_ct
from CardiacFusionLib.twin.write import write_from_ct

SMALL = CmrOptions(size=72, spacing_mm=3.0, frames=26, depth_samples=2)
LANDMARKS = {
    "apex": (60.0, -70.0, -30.0),
    "base": (5.0, -10.0, 20.0),
    "rv_insertion_anterior": (20.0, -60.0, 25.0),
    "rv_insertion_inferior": (25.0, -50.0, -35.0),
}


def bullet_labels(pose):
    """An ellipsoidal ventricle with an RV beside it, 2 mm voxels, upright: as the CT wall stage would hand it on."""
    grid = heart_grid(pose, (60, 60, 60), 2.0)
    x, y, z = np.moveaxis(pose.to_heart(grid.grid_lps()), -1, 0)
    half = np.linalg.norm(np.subtract(LANDMARKS["base"], LANDMARKS["apex"])) / 2
    below = z < half

    def inside(rx, ry, rz):
        return ((x / rx) ** 2 + (y / ry) ** 2 + ((z - half) / rz) ** 2 < 1) & below

    labels = np.zeros(x.shape, np.uint8)
    labels[(((x + 30) / 32) ** 2 + (y / 32) ** 2 + ((z - half) / 65) ** 2 < 1) & below] = Label.RV_CAVITY
    labels[inside(34, 34, 2 * half - 1)] = Label.MYOCARDIUM
    labels[inside(24, 24, 2 * half - 10)] = Label.LV_CAVITY
    return grid.with_array(labels)


@pytest.fixture(scope="module")
def pose():
    return HeartPose.from_landmarks({k: np.array(v) for k, v in LANDMARKS.items()})


@pytest.fixture(scope="module")
def labels(pose):
    return bullet_labels(pose)


@pytest.fixture(scope="module")
def study(labels, pose):
    return series_from_ct(labels, pose, seed=5, ischaemic_territory="RCA", options=SMALL)


def test_the_wall_of_the_ct_is_in_the_slices(study):
    for k in range(3):
        assert (study.labels[k] == Label.LV_CAVITY).sum() > 15
        assert (study.labels[k] == Label.MYOCARDIUM).sum() > 30
    assert study.stress.state == "stress"
    assert study.rest.state == "rest"
    assert study.stress.array.shape == (26, 3, 72, 72)


def test_the_chosen_territory_is_the_lowest_under_stress_and_hardly_at_rest(study):
    assert study.territory_from == "aha"
    mine = [f for s, f in study.segment_mbf_stress.items() if AHA_TERRITORY[s] == "RCA"]
    others = [f for s, f in study.segment_mbf_stress.items() if AHA_TERRITORY[s] != "RCA"]
    assert max(mine) < min(others)
    rest_mine = np.mean([f for s, f in study.segment_mbf_rest.items() if AHA_TERRITORY[s] == "RCA"])
    rest_others = np.mean([f for s, f in study.segment_mbf_rest.items() if AHA_TERRITORY[s] != "RCA"])
    assert rest_mine == pytest.approx(rest_others, rel=0.15)


def test_the_scanner_position_differs_from_the_ct(study, pose):
    assert 0 < axis_angle_deg(study.cmr_pose, pose) < 20


def test_it_is_marked_synthetic_wherever_it_is_written(study, tmp_path):
    write_from_ct(study, tmp_path)
    assert read_series_info(tmp_path / "stress.nii.gz").extra["synthetic"] is True
    assert read_series_info(tmp_path / "rest.nii.gz").extra["synthetic"] is True
    record = json.loads((tmp_path / "twin.json").read_text())
    assert record["synthetic"] is True
    assert record["ischaemic_territory"] == "RCA"


def test_the_ct_gives_the_chest_around_the_heart(labels, pose):
    hu = np.full(labels.array.shape, -850, np.int16)  # lung all around
    hu[labels.array == Label.LV_CAVITY] = 400
    lung = series_from_ct(labels, pose, seed=5, ct=labels.with_array(hu), options=SMALL)
    hu[labels.array == 0] = -100  # fat all around
    fat = series_from_ct(labels, pose, seed=5, ct=labels.with_array(hu), options=SMALL)
    ring = lung.labels[1] == 0
    ring[:18], ring[-18:], ring[:, :18], ring[:, -18:] = False, False, False, False
    assert fat.stress.array[0, 1][ring].mean() > 1.5 * lung.stress.array[0, 1][ring].mean()


def test_labels_without_a_ventricle_are_refused(labels, pose):
    with pytest.raises(BadInputError, match="no left ventricle"):
        series_from_ct(labels.with_array(np.zeros_like(labels.array)), pose)


def test_an_unknown_territory_is_refused(labels, pose):
    with pytest.raises(BadInputError, match="LAD, LCx, RCA"):
        series_from_ct(labels, pose, ischaemic_territory="LIMA")
