"""Training of the network of whole first passes: its pictures and marks, and its start from a wider network."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.training import cmr_series
from CardiacFusionLib.training.cmr_series import CROP, CmrSeriesTask, start_from_walls
from CardiacFusionLib.training.cut_network import cut
from CardiacFusionLib.twin.cmr.passing import Passing, Still, draw_passing, draw_still
from CardiacFusionLib.twin.heart.tissues import Tissue
from CardiacFusionLib.walls.cmr_series_input import CHANNELS

SEEDS = range(600_000, 600_012)


@lru_cache(maxsize=1)
def samples() -> list[dict[str, np.ndarray]]:
    return [CmrSeriesTask().sample(seed) for seed in SEEDS]


@lru_cache(maxsize=1)
def middle() -> Still:
    """A slice that shows both ventricles well."""
    for seed in range(700, 760):
        still = draw_still(seed, 96, 2.0)
        if min(int((still.labels == label).sum()) for label in (1, 2, 3)) > 150 and len(still.landmarks) == 3:
            return still
    raise AssertionError("no slice shows both ventricles")


def test_a_sample_is_a_course_with_labels_and_marks_and_comes_back_the_same() -> None:
    one = samples()[0]
    assert one["image"].shape == (CHANNELS, CROP, CROP) and one["image"].dtype == np.float32
    assert one["labels"].shape == (1, CROP, CROP) and set(np.unique(one["labels"])) <= {0, 1, 2, 3}
    assert one["marks"].shape == (2, 2)
    again = CmrSeriesTask().sample(SEEDS[0])
    assert all(np.array_equal(one[name], again[name], equal_nan=True) for name in one)


def test_the_anterior_mark_follows_from_the_side_of_the_rv_also_where_the_picture_is_mirrored() -> None:
    told = 0
    for one in samples():
        labels = one["labels"][0]
        if not np.isfinite(one["marks"]).all() or (labels == Label.RV_CAVITY).sum() < 40:
            continue
        lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
        lateral = np.argwhere(lv).mean(axis=0) - np.argwhere(labels == Label.RV_CAVITY).mean(axis=0)
        down = one["marks"][1] - one["marks"][0]
        assert lateral[1] * down[0] - lateral[0] * down[1] > 0  # rows run down, columns to the lateral wall
        told += 1
    assert told >= 4


def test_a_mark_lies_where_the_window_shows_it() -> None:
    v, u = np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij")
    column, row = 30 + 0.8 * u - 0.3 * v, 12 + 0.3 * u + 0.8 * v + 0.004 * u * u
    place = np.array([30 + 0.8 * 17.3 - 0.3 * 21.6, 12 + 0.3 * 17.3 + 0.8 * 21.6 + 0.004 * 17.3**2])
    assert cmr_series._pixel_of(place, column, row) == pytest.approx([21.6, 17.3], abs=0.05)
    assert np.isnan(cmr_series._pixel_of(np.array([500.0, 500.0]), column, row)).all()


def _brightest_s(passing: Passing, share: np.ndarray) -> float:
    curve = passing.signal @ (passing.shares * share).sum(axis=(1, 2))
    return float(passing.times_s[int(np.argmax(curve))])


def test_the_bolus_fills_the_right_ventricle_before_the_left() -> None:
    still = middle()
    for seed in range(4):
        passing = draw_passing(still, np.random.default_rng(seed))
        left, right = ((still.codes[0] == room) for room in (Tissue.LV_CAVITY, Tissue.RV_CAVITY))
        assert _brightest_s(passing, right) < _brightest_s(passing, left)
        assert abs(_brightest_s(passing, right) - passing.rv_peak_s) < 3.0
        assert passing.arrival_s < passing.rv_peak_s


def test_some_boluses_hardly_come_round_again() -> None:
    still = middle()
    wall, left = (still.codes[0] == tissue for tissue in (Tissue.MYOCARDIUM, Tissue.LV_CAVITY))
    late = []
    for seed in range(30):
        passing = draw_passing(still, np.random.default_rng(seed))
        blood, muscle = (
            passing.signal[-1] @ (passing.shares * part).sum(axis=(1, 2)) / part.sum() for part in (left, wall)
        )
        late.append(blood > muscle)
    assert 0 < late.count(False) < 15, "now and then late muscle is brighter than blood, mostly it is not"


def test_every_pixel_is_filled_once_but_for_its_texture() -> None:
    passing = draw_passing(middle(), np.random.default_rng(7))
    total = passing.shares.sum(axis=0)
    assert total.min() > 0.15 and float(np.median(total)) == pytest.approx(1.0, abs=0.15)
    assert passing.signal.shape == (len(passing.times_s), len(passing.shares))
    assert passing.signal.min() >= 0


def test_a_network_cut_to_its_own_widths_answers_as_before() -> None:
    torch.manual_seed(0)
    wide = ChamberUNet(4, 4, (8, 12, 16), dimensions=2).eval()
    state = wide.state_dict()
    same = ChamberUNet(4, 4, (8, 12, 16), dimensions=2).eval()
    same.load_state_dict(cut(state, (8, 12, 16), state["stem.0.weight"], state["head.weight"], state["head.bias"]))
    x = torch.randn(1, 4, 24, 24)
    with torch.no_grad():
        assert torch.allclose(wide(x), same(x), atol=1e-6)


def test_channels_that_nothing_weighs_are_those_cut_away() -> None:
    torch.manual_seed(1)
    wide = ChamberUNet(2, 3, (8, 12, 16), dimensions=2).eval()
    state = wide.state_dict()
    with torch.no_grad():  # the last four channels of the deepest level, and within its blocks, lead nowhere
        state["lifts.0.weight"][:, 12:] = 0
        for block in (0, 1):
            state[f"downs.1.{block}.second.0.weight"][:, 12:] = 0
        state["downs.1.1.first.0.weight"][:, 12:] = 0
    narrow = ChamberUNet(2, 3, (8, 12, 12), dimensions=2).eval()
    narrow.load_state_dict(cut(state, (8, 12, 12), state["stem.0.weight"], state["head.weight"], state["head.bias"]))
    x = torch.randn(1, 2, 24, 24)
    with torch.no_grad():
        assert torch.allclose(wide(x), narrow(x), atol=1e-5)


def test_the_walls_weights_give_a_start_for_the_series_network() -> None:
    torch.manual_seed(2)
    walls = ChamberUNet(4, 4, (16, 32, 64, 128, 160), dimensions=2)
    network = CmrSeriesTask().build()
    network.load_state_dict(start_from_walls(walls.state_dict()))
    with torch.no_grad():
        assert network(torch.zeros(1, CHANNELS, 32, 32)).shape == (1, 8, 32, 32)


def test_one_step_teaches_outline_and_marks() -> None:
    task = CmrSeriesTask()
    torch.manual_seed(3)
    network = task.build()
    batch = {k: torch.from_numpy(np.stack([s[k] for s in samples()[:2]])) for k in samples()[0]}
    loss, figures = task.loss(network, batch)
    loss.backward()
    assert np.isfinite(figures["outline"]) and np.isfinite(figures["marks"])
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())
