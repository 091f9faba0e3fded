"""The reorientation with its shipped weights: twins, a real CT, and what must be refused."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_training_sample

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CARDIACFUSION_DATA", ROOT / ".." / "shared" / "data"))
UNSEEN = 810_000_003  # far from the seeds of training


@lru_cache(maxsize=2)
def twin(seed: int = UNSEEN) -> CtSample:
    return ct_training_sample(seed, (64, 64, 64), 3.0)


@lru_cache(maxsize=1)
def turned_upright() -> Reorientation:
    return reorient(twin().volume)


def centre_gap_mm(a: HeartPose, b: HeartPose) -> float:
    return float(np.linalg.norm(a.to_lps(np.zeros(3)) - b.to_lps(np.zeros(3))))


def test_an_unseen_twin_is_turned_upright() -> None:
    sample = twin()
    seen: list[float] = []
    result = reorient(sample.volume, lambda fraction, message: seen.append(fraction))
    assert axis_angle_deg(sample.pose, result.pose) < 9.0
    assert abs(roll_angle_deg(sample.pose, result.pose)) < 15.0
    assert centre_gap_mm(sample.pose, result.pose) < 8.0
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert set(np.unique(result.labels.array)) <= {int(label) for label in Label}


def test_the_way_the_voxels_run_does_not_matter() -> None:
    ct = twin().volume
    # the same picture stored with x and z exchanged and y backwards
    array = np.ascontiguousarray(ct.array.transpose(2, 1, 0)[:, ::-1])
    rows = ct.array.shape[1]
    origin = np.asarray(ct.origin_mm) + ct.direction[:, 1] * ct.spacing_mm[1] * (rows - 1)
    direction = np.stack([ct.direction[:, 2], -ct.direction[:, 1], ct.direction[:, 0]], axis=1)
    turned = Volume(array, ct.spacing_mm[::-1], tuple(origin), direction)
    one, two = turned_upright().pose, reorient(turned).pose
    assert axis_angle_deg(one, two) < 0.5
    assert centre_gap_mm(one, two) < 0.5


def test_the_same_ct_gives_the_same_pose_to_the_last_bit() -> None:
    again = reorient(twin().volume)
    np.testing.assert_array_equal(again.pose.lps_to_heart, turned_upright().pose.lps_to_heart)
    np.testing.assert_array_equal(again.labels.array, turned_upright().labels.array)


def test_a_ct_without_contrast_agent_is_refused() -> None:
    ct = twin().volume
    plain = ct.with_array(np.where(ct.array > 60, 45, ct.array).astype(np.float32))
    with pytest.raises(StageError, match="contrast"):
        reorient(plain)


def test_a_head_is_no_heart() -> None:
    z, y, x = np.mgrid[:60, :60, :60] * 4.0 - 118.0
    radius = np.sqrt((x / 75) ** 2 + (y / 95) ** 2 + (z / 85) ** 2)
    hu = np.where(radius < 0.92, 35.0, np.where(radius < 1.0, 1000.0, -1000.0))
    hu[np.sqrt((x / 20) ** 2 + (y / 8) ** 2 + (z / 20) ** 2) < 1] = 8.0
    hu = (hu + np.random.default_rng(0).normal(0, 10, hu.shape)).astype(np.float32)
    with pytest.raises(StageError):
        reorient(Volume(hu, (4.0,) * 3, (0, 0, 0), np.eye(3)))


@lru_cache(maxsize=1)
def real_ct() -> tuple[Volume, Reorientation]:
    path = DATA / "cta" / "cta.nii.gz"
    if not path.exists():
        pytest.skip("the real CT is absent; set CARDIACFUSION_DATA to the folder that holds cta/cta.nii.gz")
    ct = read_ct(path)
    return ct, reorient(ct)


@pytest.mark.parametrize("way", ["cut one voxel on", "resampled onto a turned grid"])
def test_where_the_voxels_fall_on_the_real_heart_does_not_matter(way: str) -> None:
    ct, plain = real_ct()
    if way == "cut one voxel on":
        origin = ct.index_to_lps[:3] @ np.ones(4)
        other = Volume(ct.array[1:, 1:, 1:], ct.spacing_mm, tuple(origin), ct.direction)
    else:
        turn = Rotation.from_euler("zyx", [25, -20, 10], degrees=True).as_matrix()
        size = tuple(int(1.2 * n) for n in ct.array.shape)
        half = (np.array(size[::-1]) - 1) / 2 * np.asarray(ct.spacing_mm)
        grid = Volume(np.zeros(size, np.uint8), ct.spacing_mm, tuple(ct.centre_mm - turn @ half), turn)
        other = resample_to(ct, grid, outside=-1024.0)
    found = reorient(other).pose
    for name, place in plain.pose.landmarks.items():
        assert np.linalg.norm(found.landmarks[name] - place) < 0.7
    assert axis_angle_deg(found, plain.pose) < 0.5
    assert abs(roll_angle_deg(found, plain.pose)) < 0.5


def test_the_real_ct_agrees_with_the_frame_marked_by_eye() -> None:
    marked = json.loads((ROOT / "Testing" / "reference" / "cta_frame_by_eye.json").read_text())["landmarks"]
    truth = HeartPose.from_landmarks({name: np.array(point) for name, point in marked.items()})
    result = real_ct()[1]
    assert axis_angle_deg(truth, result.pose) < 5.0
    assert abs(roll_angle_deg(truth, result.pose)) < 6.0
    assert centre_gap_mm(truth, result.pose) < 8.0
