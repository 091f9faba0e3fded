"""However the patient lies and however the scan was stored, the heart is found the same; and doubt is told."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from CardiacFusionLib.models.cubes import averaged
from CardiacFusionLib.reorientation.certainty import DOUBTFUL_BELOW, Disagreement, confidence
from CardiacFusionLib.reorientation.chambers import cube_about, usual_orientation
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.real_ct import disturbed, permuted, segment_thickness_mm, spread
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_training_sample
from CardiacFusionLib.twin.heart.anatomy import Heart

UNSEEN = 810_000_003


@lru_cache(maxsize=1)
def twin() -> CtSample:
    return ct_training_sample(UNSEEN, (64, 64, 64), 3.0)


@lru_cache(maxsize=1)
def as_scanned() -> Reorientation:
    return reorient(twin().volume)


def test_the_usual_orientation_is_that_of_the_mean_heart() -> None:
    usual = usual_orientation()
    np.testing.assert_allclose(usual @ usual.T, np.eye(3), atol=1e-12)
    rng = np.random.default_rng(0)
    axes = np.mean([Heart.draw(rng).lps_axes[2] for _ in range(30)], axis=0)
    assert usual[2] @ axes / np.linalg.norm(axes) > np.cos(np.deg2rad(10))


@pytest.mark.parametrize("turn_deg", [(35.0, 0.0, 0.0), (0.0, -30.0, 18.0)])
def test_a_patient_on_the_side_has_the_same_heart(turn_deg: tuple[float, float, float]) -> None:
    ct = twin().volume
    turn = Rotation.from_rotvec(np.deg2rad(turn_deg)).as_matrix()
    turned = Volume(ct.array, ct.spacing_mm, tuple(turn @ np.asarray(ct.origin_mm)), turn @ ct.direction)
    moved = np.eye(4)
    moved[:3, :3] = turn
    found = HeartPose(reorient(turned).pose.lps_to_heart @ moved)
    assert axis_angle_deg(found, as_scanned().pose) < 5.0
    assert abs(roll_angle_deg(found, as_scanned().pose)) < 8.0
    assert np.linalg.norm(found.to_lps(np.zeros(3)) - as_scanned().pose.to_lps(np.zeros(3))) < 5.0


def test_blocks_of_fine_voxels_lie_the_same_in_the_body_however_the_scan_is_stored() -> None:
    """Odd sizes: a rest of a voxel at one end must not move the blocks when that end comes first in memory."""
    values = np.random.default_rng(1).integers(-400, 800, (7, 9, 11)).astype(np.int16)
    direction = Rotation.from_rotvec(np.deg2rad([8.0, -12.0, 5.0])).as_matrix()
    plain = Volume(values, (1.0, 1.0, 1.0), (3.0, -4.0, 5.0), direction)

    def blocks(ct: Volume) -> dict[tuple[float, ...], int]:
        small = averaged(ct, 2.0)
        index = np.stack(np.meshgrid(*(np.arange(n) for n in small.size), indexing="ij"), axis=-1).reshape(-1, 3)
        points = index @ small.index_to_lps[:3, :3].T + small.index_to_lps[:3, 3]
        found = small.array[tuple(index[:, ::-1].T)]
        return {tuple(np.round(p, 3)): int(v) for p, v in zip(points, found)}

    for axes in ((0, 1, 2), (0,), (1, 2)):
        back = Volume(
            np.flip(values, [2 - a for a in axes]),
            plain.spacing_mm,
            tuple((plain.index_to_lps @ [*(plain.size[a] - 1 if a in axes else 0 for a in range(3)), 1])[:3]),
            direction @ np.diag([-1.0 if a in axes else 1.0 for a in range(3)]),
        )
        assert blocks(back).keys() == blocks(plain).keys()
        # a half rounds to the same side only for the same order of sums
        assert all(abs(v - blocks(plain)[p]) <= 1 for p, v in blocks(back).items())
    assert len(blocks(plain)) == 3 * 4 * 5


def test_confidence_falls_as_the_looks_part() -> None:
    calm = confidence(Disagreement(0.5, 0.5, 1.5, 1.5))
    worse = [confidence(Disagreement(k, k, 3 * k, 3 * k)) for k in (1.0, 3.0, 6.0, 12.0)]
    assert calm > 0.8
    assert worse == sorted(worse, reverse=True)
    assert worse[-1] < DOUBTFUL_BELOW


def test_a_good_scan_is_trusted() -> None:
    assert as_scanned().pose.confidence > DOUBTFUL_BELOW


def test_a_cube_lies_about_its_centre() -> None:
    axes = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    grid = cube_about(np.array([3.0, -50.0, 700.0]), axes, 12, 4.0)
    np.testing.assert_allclose(grid.centre_mm, [3.0, -50.0, 700.0], atol=1e-9)
    np.testing.assert_allclose(grid.direction, axes)


def test_permuted_and_flipped_axes_show_the_same_picture() -> None:
    rng = np.random.default_rng(1)
    volume = Volume(rng.normal(size=(7, 9, 11)).astype(np.float32), (1.0, 2.0, 3.0), (5, -4, 9), np.eye(3))
    points = volume.grid_lps()
    for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
        for flipped in ((False, False, False), (True, False, True)):
            other = permuted(volume, np.array(order), np.array(flipped))
            np.testing.assert_allclose(sample(other, points), volume.array, atol=1e-5)


def test_a_disturbed_scan_shows_the_patient_where_it_says() -> None:
    ct = twin().volume
    heart = twin().pose.to_lps(np.zeros(3))
    other = disturbed(ct, heart, np.random.default_rng(4))
    points = heart + np.random.default_rng(5).uniform(-30, 30, (400, 3))
    moved = points @ other.moved[:3, :3].T + other.moved[:3, 3]
    here, there = sample(ct, points, outside=-1024), sample(other.ct, moved, outside=-1024)
    assert np.corrcoef(here, there)[0, 1] > 0.8


def test_the_spread_of_equal_poses_is_nothing_and_an_outlier_is_counted() -> None:
    pose = twin().pose
    assert spread([pose, pose])["axis_sd_deg"] == pytest.approx(0, abs=1e-4)
    step = np.eye(4)
    step[:3, :3] = Rotation.from_rotvec([np.deg2rad(30), 0, 0]).as_matrix()
    poses = [pose] * 9 + [HeartPose(step @ pose.lps_to_heart)]
    assert spread(poses)["axis_outliers"] == 1


def test_thickness_by_segment_is_that_of_the_phantom() -> None:
    from chamber_phantom import pose, volume

    frame = pose((0, 0, 0))
    thickness = segment_thickness_mm(volume(frame, 2.0), frame)
    assert set(thickness) == set(range(1, 17))
    # the phantom's wall is 9 mm at its widest and 5-9 mm elsewhere
    assert all(4.0 < value < 12.0 for value in thickness.values())
    assert np.median(list(thickness.values())) == pytest.approx(8.5, abs=1.5)
