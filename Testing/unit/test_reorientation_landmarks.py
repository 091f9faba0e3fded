"""The heatmap network of the CT's apex and base: windows, maps, training looks, and what the shipped weights see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import nn

from CardiacFusionLib.models.heatmaps import read_maps
from CardiacFusionLib.reorientation import landmarks
from CardiacFusionLib.reorientation.landmarks import NAMES, REACH_VOXELS, SHAPE, SPACING_MM, see_landmarks
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.training.augment import AIR_HU
from CardiacFusionLib.training.ct_landmarks import CtLandmarksTask, cut_near_landmark, landmark_loss, look

PLACES_MM = {"apex": np.array([3.0, -5.0, -41.0]), "base": np.array([-6.0, 2.0, 44.0])}  # in the heart frame


def spot(at_zyx: tuple[float, ...], height: float = 20.0) -> np.ndarray:
    """A map (z, y, x) of scores whose softmax is a Gaussian about ``at_zyx``."""
    away = sum((axis - a) ** 2 for axis, a in zip(np.indices(SHAPE), at_zyx))
    return height - away / 2


def tilted_pose() -> HeartPose:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", [40, -25, 15], degrees=True).as_matrix()
    matrix[:3, 3] = [12.0, -30.0, 55.0]
    return HeartPose(matrix)


class SpotReader(nn.Module):
    """Takes the brightest place of the lower half for the apex and of the upper half for the base."""

    def __init__(self) -> None:
        super().__init__()
        self.dummy = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = 4.0 * x.clone(), 4.0 * x.clone()
        low[:, :, SHAPE[0] // 2 :] = -50.0
        high[:, :, : SHAPE[0] // 2] = -50.0
        return torch.cat([low, high, torch.full_like(low, -50.0), torch.full_like(low, -50.0)], dim=1)


def test_a_heatmap_is_read_between_its_voxels_and_absent_outweighs_it() -> None:
    one = spot((10.3, 14.7, 12.6))
    there, absent = read_maps(np.stack([one, one, np.zeros(SHAPE), np.full(SHAPE, 40.0)]), REACH_VOXELS)
    assert there.place == pytest.approx([10.3, 14.7, 12.6], abs=0.05)
    assert there.belief > 0.95
    assert absent.belief < 1e-3


def test_a_map_with_two_blobs_believes_less_in_the_likelier() -> None:
    two = np.logaddexp(spot((8, 14, 14)), spot((26, 14, 14), 19.5))
    (seen,) = read_maps(np.stack([two, np.full(SHAPE, -50.0)]), REACH_VOXELS)
    assert seen.place == pytest.approx([8, 14, 14], abs=0.1)
    assert seen.belief == pytest.approx(1 / (1 + np.exp(-0.5)), abs=0.03)


@pytest.mark.parametrize("spacing_mm", [1.5, 2.6])
def test_places_are_told_in_the_patient_however_the_heart_lies(monkeypatch, spacing_mm: float) -> None:
    monkeypatch.setattr(landmarks, "load", lambda name: SpotReader())
    pose = tilted_pose()
    side = int(170 / spacing_mm)
    grid = heart_grid(HeartPose(np.eye(4)), (side,) * 3, spacing_mm, tuple(pose.to_lps(np.zeros(3))))
    points = pose.to_heart(grid.grid_lps())
    hu = np.full(points.shape[:3], -300.0, np.float32)
    for place in PLACES_MM.values():
        hu += 900.0 * np.exp(-((points - place) ** 2).sum(axis=-1) / (2 * 9.0**2)).astype(np.float32)
    found = see_landmarks(grid.with_array(hu), pose)
    assert set(found) == set(NAMES)
    for name, place in PLACES_MM.items():
        assert found[name].place == pytest.approx(pose.to_lps(place), abs=0.6)


def test_the_loss_falls_towards_the_true_place_and_towards_absent() -> None:
    marks = torch.tensor([[[12.0, 14.0, 9.0], [float("nan")] * 3]])

    def scores(at: tuple[float, ...], absent: float) -> torch.Tensor:
        maps = np.stack([spot(at), np.zeros(SHAPE), np.full(SHAPE, -20.0), np.full(SHAPE, absent)])
        return torch.from_numpy(maps.astype(np.float32))[None]

    right, off = landmark_loss(scores((12.0, 14.0, 9.0), 20.0), marks)
    assert float(off) < 0.05
    shifted, off = landmark_loss(scores((14.0, 14.0, 9.0), 20.0), marks)
    assert float(off) == pytest.approx(2.0, abs=0.05)
    assert right < shifted
    assert right < landmark_loss(scores((12.0, 14.0, 9.0), -20.0), marks)[0]


def test_marks_go_with_the_picture_when_it_is_turned_and_shifted() -> None:
    shape = (58, 42, 42)
    mark = np.array([18.0, 22.0, 19.0])
    image = np.exp(-sum((a - m) ** 2 for a, m in zip(np.indices(shape), mark)) / 8).astype(np.float32) + 1
    seen_any = 0
    for seed in range(8):
        seen, marks = look(image, np.stack([mark, [1e4, 0, 0]]), np.random.default_rng(seed))
        assert seen.shape == SHAPE
        assert np.isnan(marks[1]).all()  # far outside every window
        if np.isfinite(marks[0]).all():
            seen_any += 1
            bright = np.where(seen > 1.1, seen - 1, 0)
            assert ndimage.center_of_mass(bright) == pytest.approx(marks[0], abs=0.5)
    assert seen_any


def test_a_landmark_beyond_the_scans_end_is_absent_and_lies_in_air() -> None:
    marks = np.array([[6.0, 14.0, 13.0], [29.0, 13.0, 14.0]])
    lost = 0
    for seed in range(12):
        image, kept = cut_near_landmark(np.zeros(SHAPE, np.float32), marks, np.random.default_rng(seed))
        assert (image == AIR_HU).any()
        for was, now in zip(marks, kept):
            z, y, x = (int(v) for v in was)
            assert np.isnan(now).all() == (image[z, y, x] == AIR_HU)
            lost += int(np.isnan(now).all())
    assert 3 < lost < 20
    image, kept = cut_near_landmark(np.zeros(SHAPE, np.float32), marks * np.nan, np.random.default_rng(0))
    assert not image.any()


def test_a_training_window_shows_the_apex_below_the_base() -> None:
    task = CtLandmarksTask()
    drawn = [task.sample(50_000_000 + k) for k in range(3)]
    again = CtLandmarksTask().sample(50_000_000)
    assert np.array_equal(drawn[0]["image"], again["image"])
    there = [d["marks"] for d in drawn if np.isfinite(d["marks"]).all()]
    assert there
    for one in drawn:
        assert one["image"].shape == (1, *SHAPE)
    for marks in there:
        assert 60 < SPACING_MM * np.linalg.norm(marks[1] - marks[0]) < 150
        assert marks[0, 0] < marks[1, 0]
