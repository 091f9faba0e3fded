"""The network of the RV insertions: its windows, its heatmaps, and what happens where it is unsure or not installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, Seen, read_maps
from CardiacFusionLib.models.manifest import models_folder
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.cmr_insertions import CmrInsertionsTask
from CardiacFusionLib.training.losses import PLANE_SPREAD_PX, heatmap_entropy
from CardiacFusionLib.walls import cmr_insertions
from CardiacFusionLib.walls.cmr import _flags
from CardiacFusionLib.walls.cmr_insertions import (
    LV_PIXELS,
    NAMES,
    SIZE,
    lv_window,
    see_insertions,
    with_insertions,
)

AXES = canonical_axes(MEAN_LONG_AXIS_LPS)
SHAPE, SPACING = (90, 110), 1.7
POSE = SlicePose((12.0, -40.0, 30.0), AXES, (SPACING, SPACING), 8.0)
MARKS_XY = np.array([[40.0, 27.5], [37.0, 61.0]])  # pixels: anterior, inferior


def ring() -> np.ndarray:
    """Labels (y, x) of a round ventricle of 60 mm."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(x - 55.0, y - 44.0) * SPACING
    return np.where(radius < 20, 1, np.where(radius < 30, 2, 0)).astype(np.uint8)


def spots() -> np.ndarray:
    """Phases (4, y, x) whose second and third show one bright spot each, at the marks."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    shown = [np.exp(-0.5 * ((x - mx) ** 2 + (y - my) ** 2) / 2.0**2) for mx, my in MARKS_XY]
    flat = np.full(SHAPE, 0.05)
    return np.stack([flat, shown[0] + 0.05, shown[1] + 0.05, flat]).astype(np.float32)


class SpotReader(nn.Module):
    """Takes the bright spot of the second and third channel for the landmarks; ``absent`` weighs against them."""

    def __init__(self, absent: float) -> None:
        super().__init__()
        self.dummy = nn.Parameter(torch.zeros(1))
        self.absent = absent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([8.0 * x[:, 1:3], torch.full_like(x[:, 1:3], self.absent)], dim=1)


def test_a_heatmap_is_read_between_its_pixels() -> None:
    row, column = np.mgrid[:SIZE, :SIZE]
    spot = -0.5 * ((row - 40.3) ** 2 + (column - 61.7) ** 2) / 1.5**2 + 20.0
    seen = read_maps(np.stack([spot, spot, np.zeros_like(spot), np.full_like(spot, 40.0)]), PLANE_REACH_PX)
    assert seen[0].place == pytest.approx([40.3, 61.7], abs=0.05)
    assert seen[0].belief > 0.95
    assert seen[1].belief < 1e-3  # 'absent' outweighs the same spot


def test_the_window_lies_about_the_ventricle_at_its_scale() -> None:
    view = lv_window(ring(), POSE, AXES)
    assert view is not None
    assert view.centre_uv_mm == pytest.approx(POSE.points_lps(np.array([55.0, 44.0])) @ AXES[:, :2], abs=0.5)
    assert view.pixel_mm * LV_PIXELS == pytest.approx(60.0, abs=1.0)
    assert lv_window(np.zeros(SHAPE, np.uint8), POSE, AXES) is None


@pytest.mark.parametrize("flipped", [False, True])
def test_places_are_told_in_the_patient_however_the_picture_is_stored(monkeypatch, flipped: bool) -> None:
    monkeypatch.setattr(cmr_insertions, "load", lambda name: SpotReader(0.0))
    images, labels, pose = spots(), ring(), POSE
    if flipped:
        x, y, n = POSE.direction.T
        origin = np.asarray(POSE.origin_mm) + x * (SHAPE[1] - 1) * SPACING
        pose = SlicePose(tuple(origin), np.stack([-x, y, -n], axis=1), POSE.spacing_mm, 8.0)
        images, labels = images[..., ::-1], labels[:, ::-1]
    found = see_insertions(np.ascontiguousarray(images), labels, pose)
    for name, place in zip(NAMES, MARKS_XY):
        assert found[name].place == pytest.approx(POSE.points_lps(place), abs=0.7)


@pytest.mark.parametrize(("rv_mm", "kept_too"), [(30.0, True), (6.0, False)])
def test_where_the_network_is_unsure_outlined_marks_stay_unless_of_a_sliver(monkeypatch, rv_mm, kept_too) -> None:
    monkeypatch.setattr(cmr_insertions, "load", lambda name: SpotReader(100.0))
    monkeypatch.setattr(cmr_insertions, "read_manifest", lambda: {cmr_insertions.MODEL: None})
    outlined = {"lv_centre": np.zeros(3), NAMES[0]: np.ones(3)}
    labels = ring()
    x = np.mgrid[: SHAPE[0], : SHAPE[1]][1]
    beside = (labels == 0) & (x < 55) & (x > 55 - (30.0 + rv_mm) / SPACING)
    beside[: int(44 - 25 / SPACING)] = beside[int(44 + 25 / SPACING) :] = False
    labels[beside] = Label.RV_CAVITY
    (kept,) = with_insertions([outlined], [spots()], [labels], [POSE])
    assert (NAMES[0] in kept) is kept_too
    assert "lv_centre" in kept


def test_without_its_weights_the_outlines_landmarks_stay(monkeypatch, tmp_path) -> None:
    listed = json.loads((models_folder() / "manifest.json").read_text())
    listed["models"] = [one for one in listed["models"] if one["name"] != cmr_insertions.MODEL]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    monkeypatch.setenv("CARDIACFUSION_MODELS", str(tmp_path))
    outlined = {"lv_centre": np.zeros(3)}
    (kept,) = with_insertions([outlined], [spots()], [ring()], [POSE])
    assert set(kept) == {"lv_centre"}


def test_a_slice_that_shows_one_insertion_only_is_doubted_and_stops_nothing(monkeypatch) -> None:
    """The picture may show one insertion where the outlines show none."""
    one_of_two = {NAMES[0]: Seen(np.ones(3), 0.9), NAMES[1]: Seen(np.zeros(3), 0.1)}
    monkeypatch.setattr(cmr_insertions, "see_insertions", lambda image, labels, pose: one_of_two)
    monkeypatch.setattr(cmr_insertions, "read_manifest", lambda: {cmr_insertions.MODEL: None})
    landmarks = with_insertions([{"lv_centre": np.zeros(3)}], [spots()], [ring()], [POSE])
    assert set(landmarks[0]) == {"lv_centre", NAMES[0]}
    assert "no_insertions" in [f.name for f in _flags([ring()], [POSE], [1.0], landmarks)]


def test_the_loss_falls_towards_the_true_place_and_towards_absent() -> None:
    marks = torch.tensor([[[30.0, 50.0], [float("nan")] * 2]])
    row, column = torch.meshgrid(*(torch.arange(SIZE, dtype=torch.float32),) * 2, indexing="ij")

    def scores(at: tuple[float, float], absent: float) -> torch.Tensor:
        spot = -((row - at[0]) ** 2 + (column - at[1]) ** 2) / 4.5 + 15.0
        return torch.stack([spot, 0 * spot, 0 * spot, 0 * spot + absent])[None]

    right = heatmap_entropy(scores((30.0, 50.0), 20.0), marks, PLANE_SPREAD_PX)
    assert right < heatmap_entropy(scores((34.0, 50.0), 20.0), marks, PLANE_SPREAD_PX)
    assert right < heatmap_entropy(scores((30.0, 50.0), -20.0), marks, PLANE_SPREAD_PX)
    assert torch.isfinite(right)


def test_a_training_window_shows_the_septums_ends_on_either_side_of_the_ventricle() -> None:
    task = CmrInsertionsTask()
    drawn = [task.sample(40_000_000 + k) for k in range(6)]
    again = task.sample(40_000_000)
    assert np.array_equal(drawn[0]["image"], again["image"])
    there = [d["marks"] for d in drawn if np.isfinite(d["marks"]).all()]
    assert there
    for marks in there:
        assert marks[0, 0] < marks[1, 0]  # the anterior one lies higher in the picture
        assert marks.min() > 0
        assert marks.max() < SIZE - 1
