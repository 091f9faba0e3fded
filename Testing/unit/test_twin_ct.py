"""The twin's CT looks like one: right brightness in the right place, any grid, the same again for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.ct.render import clinical_grid, heart_middle, render_ct
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_heart_frame_sample, ct_training_sample
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.placement import draw_ct_pose
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL, Tissue


@pytest.fixture(scope="module")
def samples() -> list[CtSample]:
    return [ct_training_sample(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def patient() -> tuple[Heart, HeartPose]:
    rng = np.random.default_rng(11)
    heart = Heart.draw(rng)
    return heart, draw_ct_pose(rng, heart)


def cube(pose: HeartPose, spacing: float, half_mm: float) -> Volume:
    n = int(2 * half_mm / spacing)
    origin = heart_middle(pose) - (n - 1) / 2 * spacing
    return Volume(np.zeros((n, n, n), np.uint8), (spacing,) * 3, tuple(origin), np.eye(3))


QUIET = {"noise_hu": 0.0, "blur_mm": 0.0, "motion_mm": 0.0, "circle": False, "metal": False}


def test_training_cube_has_the_promised_form(samples: list[CtSample]) -> None:
    for s in samples:
        assert s.image.shape == s.labels.shape == (48, 48, 48)
        assert s.image.dtype == np.float32 and s.labels.dtype == np.uint8
        assert np.isfinite(s.image).all() and s.image.min() >= -1024 and s.image.max() <= 3071
        assert s.volume.spacing_mm == (4.0, 4.0, 4.0)
        assert s.labels.max() <= max(Label)


def test_blood_is_brighter_than_muscle_is_brighter_than_lung(samples: list[CtSample]) -> None:
    for s in samples:
        blood = np.median(s.image[s.labels == Label.LV_CAVITY])
        muscle = np.median(s.image[s.labels == Label.MYOCARDIUM])
        assert blood > muscle + 60 > 60
        assert np.percentile(s.image, 3) < -600


def test_same_seed_gives_the_same_cube() -> None:
    first, again = ct_training_sample(7), ct_training_sample(7)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, ct_training_sample(8).image)


def test_labels_sit_where_the_pose_says(samples: list[CtSample]) -> None:
    for s in samples:
        origin = sample(s.volume.with_array(s.labels), s.pose.to_lps(np.zeros(3))[None], order=0)
        assert origin[0] in (Label.LV_CAVITY, Label.BACKGROUND), "the frame's origin lies in the LV, if in the scan"
        assert np.allclose(HeartPose.from_landmarks(s.pose.landmarks).lps_to_heart, s.pose.lps_to_heart, atol=1e-6)


def test_long_axis_points_as_in_adults() -> None:
    axes = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        axes.append(draw_ct_pose(rng, Heart.draw(rng)).long_axis_lps)
    mean = np.mean(axes, axis=0)
    # apex to base: to the right, back and up
    assert mean[0] < -0.3 and mean[1] > 0.3 and mean[2] > 0.3
    assert np.std(axes, axis=0).min() > 0.08


def test_heart_frame_cube_is_nearly_upright() -> None:
    errors = []
    for seed in range(5):
        s = ct_heart_frame_sample(seed, shape=(24, 24, 24), spacing_mm=5.0)
        upright = np.eye(4)
        upright[:3, :3] = s.volume.direction.T
        grid_pose = HeartPose(upright)
        errors.append(axis_angle_deg(grid_pose, s.pose))
        assert (s.labels == Label.LV_CAVITY).any()
    assert 0.5 < np.mean(errors) < 25


def test_fine_grid_through_the_coarse_scene_agrees_with_the_anatomy(patient: tuple[Heart, HeartPose]) -> None:
    heart, pose = patient
    grid = cube(pose, 1.6, 60.0)
    _, labels = render_ct(heart, pose, grid, np.random.default_rng(0), **QUIET)
    truth = TISSUE_TO_LABEL[heart.tissue(pose.to_heart(grid.grid_lps()))]
    for label in (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY, Label.LEFT_ATRIUM, Label.AORTA):
        a, b = labels.array == label, truth == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.96, label.name


def test_quiet_picture_shows_each_tissues_own_brightness(patient: tuple[Heart, HeartPose]) -> None:
    heart, pose = patient
    look = Appearance.draw(np.random.default_rng(2))
    ct, labels = render_ct(heart, pose, cube(pose, 4.0, 80.0), np.random.default_rng(0), look=look, **QUIET)
    assert ct.array.dtype == np.int16
    for label, tissue in ((Label.LV_CAVITY, Tissue.LV_CAVITY), (Label.LEFT_ATRIUM, Tissue.LEFT_ATRIUM)):
        assert np.median(ct.array[labels.array == label]) == pytest.approx(look.hu[tissue], abs=60)


def test_noise_option_is_the_noise_measured(patient: tuple[Heart, HeartPose]) -> None:
    heart, pose = patient
    grid = cube(pose, 4.0, 70.0)
    quiet = render_ct(heart, pose, grid, np.random.default_rng(3), **QUIET)[0].array.astype(float)
    loud = render_ct(heart, pose, grid, np.random.default_rng(3), **{**QUIET, "noise_hu": 30.0})[0].array.astype(float)
    difference = (loud - quiet)[quiet > -900]
    assert difference.std() == pytest.approx(30.0, rel=0.1)


def test_circular_field_of_view_cuts_picture_and_labels(patient: tuple[Heart, HeartPose]) -> None:
    heart, pose = patient
    ct, labels = render_ct(heart, pose, cube(pose, 4.0, 60.0), np.random.default_rng(0), **{**QUIET, "circle": True})
    assert np.all(ct.array[:, 0, 0] == -1024) and np.all(labels.array[:, 0, 0] == 0)


def test_arteries_are_bright_narrow_at_stenoses_and_carry_calcium(patient: tuple[Heart, HeartPose]) -> None:
    heart, pose = patient
    surface = heart.epicardial_point(np.full(60, 20.0), np.linspace(0.9, 0.3, 60))
    path = pose.to_lps(surface + np.array([6.0, 0, 0]))
    radius = np.full(60, 1.8)
    radius[28:33] = 0.5
    branch = Branch("LCx", path, radius)
    narrow = Stenosis("LCx", float(branch.arc_mm[30]), path[30], 72.0, 4.0, 3.6, 1.0, calcified=True)
    look = Appearance.draw(np.random.default_rng(2))
    low = path.min(axis=0) - 6
    size = np.ceil((path.max(axis=0) + 6 - low) / 0.5).astype(int)
    grid = Volume(np.zeros(size[::-1], np.uint8), (0.5,) * 3, tuple(low), np.eye(3))
    trees = [CoronaryTree((branch,)), CoronaryTree((branch,), (narrow,))]
    plain, chalky = (
        render_ct(heart, pose, grid, np.random.default_rng(0), tree, look=look, **QUIET)[0] for tree in trees
    )
    along = sample(plain.with_array(plain.array.astype(np.float32)), path)
    assert np.median(along) == pytest.approx(look.hu[Tissue.AORTA], rel=0.15)
    grains = chalky.array.astype(int) - plain.array
    assert grains.max() > 150, "calcium is dense"
    assert (grains != 0).sum() * grid.voxel_volume_ml < 0.06, "and small"
    beside = path[30] + np.cross(path[31] - path[29], [0, 0, 1.0]) / np.linalg.norm(path[31] - path[29]) * 1.3
    assert sample(plain.with_array(plain.array.astype(np.float32)), beside[None])[0] < 0.7 * look.hu[Tissue.AORTA]


def test_clinical_grid_holds_the_heart(patient: tuple[Heart, HeartPose]) -> None:
    _, pose = patient
    for seed in range(5):
        grid = clinical_grid(pose, np.random.default_rng(seed), 1.0)
        for name in ("apex", "base", "aortic_valve"):
            index = grid.lps_to_index[:3, :3] @ pose.landmarks[name] + grid.lps_to_index[:3, 3]
            assert np.all(index > 0) and np.all(index < np.asarray(grid.size))
