"""The loop: a toy network learns, a run resumes, the same seed gives the same weights, export ships them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.training import harness, registry
from CardiacFusionLib.training.augment import cut_field, vary_ct
from CardiacFusionLib.training.losses import dice_per_class, label_loss, rotation_angle


class Discs:
    """Find a bright disc in noise."""

    name = "toy"
    batch_size = 2
    learning_rate = 3e-3
    validate_every_s = 0.5

    def build(self) -> torch.nn.Module:
        return ChamberUNet(1, 2, (8, 16), 2)

    def sample(self, seed: int) -> Mapping[str, NDArray[Any]]:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:24, :24]
        centre = rng.uniform(6, 18, 2)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 25
        return {
            "image": (disc + rng.normal(0, 0.3, disc.shape)).astype(np.float32)[None],
            "labels": disc.astype(np.int64),
        }

    def loss(self, network: torch.nn.Module, batch: harness.Batch) -> tuple[torch.Tensor, harness.Metrics]:
        return torch.nn.functional.cross_entropy(network(batch["image"]), batch["labels"]), {}

    def validate(self, network: torch.nn.Module) -> harness.Metrics:
        cases = [self.sample(harness.VALIDATION_SEED + k) for k in range(4)]
        found = network(torch.from_numpy(np.stack([c["image"] for c in cases]))).argmax(1).numpy()
        return {"score": float((found == np.stack([c["labels"] for c in cases])).mean())}

    def facts(self) -> dict[str, Any]:
        architecture = {
            "network": "chamber_unet:ChamberUNet",
            "kwargs": {"inputs": 1, "classes": 2, "widths": [8, 16], "dimensions": 2},
        }
        return {"version": "0", "architecture": architecture, "input": {}, "data": "discs"}


def weights(result: harness.TrainingResult) -> torch.Tensor:
    return torch.cat([p.detach().ravel() for p in result.network.parameters()])


def test_a_network_learns_and_leaves_its_log(tmp_path: Path) -> None:
    result = harness.train(Discs(), tmp_path, steps=120, workers=0, device="cpu")
    assert result.best["score"] > 0.95
    assert {"log.csv", "validation.csv", "curve.png", "last.ckpt", "best.ckpt"} <= {p.name for p in tmp_path.iterdir()}


def test_the_same_seed_gives_the_same_weights_however_many_workers_draw(tmp_path: Path) -> None:
    one = harness.train(Discs(), tmp_path / "a", steps=12, seed=3, workers=0, device="cpu")
    two = harness.train(Discs(), tmp_path / "b", steps=12, seed=3, workers=2, device="cpu")
    other = harness.train(Discs(), tmp_path / "c", steps=12, seed=4, workers=0, device="cpu")
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = harness.train(Discs(), tmp_path, steps=20, workers=0, device="cpu")
    second = harness.train(Discs(), tmp_path, steps=40, workers=0, resume=True, device="cpu")
    assert (first.steps, second.steps) == (20, 40)
    steps = [int(line.split(",")[0]) for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert steps == [20, 40]


def test_training_needs_a_budget_and_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="budget"):
        harness.train(Discs(), tmp_path)
    with pytest.raises(BadInputError, match="resume"):
        harness.train(Discs(), tmp_path, steps=1, resume=True)
    with pytest.raises(BadInputError, match="ct_chambers"):
        registry.train("no_such_network", tmp_path, steps=1)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    class Broken(Discs):
        def loss(self, network: torch.nn.Module, batch: harness.Batch) -> tuple[torch.Tensor, harness.Metrics]:
            value, figures = super().loss(network, batch)
            return value * float("nan"), figures

    with pytest.raises(StageError, match="not a number"):
        harness.train(Broken(), tmp_path, steps=3, workers=0, device="cpu")


def test_a_run_becomes_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.TASKS, "toy", Discs)
    registry.train("toy", tmp_path / "run", steps=6, seed=7, workers=0)
    entry = registry.export("toy", tmp_path / "run", tmp_path / "models", notes={"note": 1})
    assert (entry.seed, entry.steps, entry.metrics["note"]) == (7, 6, 1)
    assert len(entry.sha256) == 64
    assert (tmp_path / "models" / "toy.safetensors").exists()


def test_weights_can_be_averaged_with_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.TASKS, "toy", Discs)
    registry.train("toy", tmp_path / "run", steps=6, seed=7, workers=0)
    registry.train("toy", tmp_path / "next", steps=6, seed=8, workers=0, start=tmp_path / "run")
    before, after = (harness.read_weights(tmp_path / run) for run in ("run", "next"))
    entry = registry.export("toy", tmp_path / "next", tmp_path / "models", average_with=tmp_path / "run")
    mean = harness.read_weights(tmp_path / "models" / "toy.safetensors")
    assert entry.metrics == {} and "mean" in entry.data
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for name, values in mean.items():
        torch.testing.assert_close(values, (before[name] + after[name]) / 2, rtol=2e-3, atol=2e-4)
    other = tmp_path / "other.ckpt"
    torch.save({"network": {name: torch.zeros(3) for name in before}}, other)
    with pytest.raises(BadInputError, match="another network"):
        registry.export("toy", tmp_path / "next", tmp_path / "models", average_with=other)


def test_the_weights_at_the_end_can_be_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.TASKS, "toy", Discs)
    registry.train("toy", tmp_path / "run", steps=6, seed=7, workers=0)
    end = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    end["ema"] = {name: values + 0.25 for name, values in end["ema"].items()}
    torch.save(end, tmp_path / "run" / "last.ckpt")
    entry = registry.export("toy", tmp_path / "run", tmp_path / "models", last=True)
    found = harness.read_weights(tmp_path / "models" / "toy.safetensors")
    for name, values in found.items():
        torch.testing.assert_close(values, end["ema"][name], rtol=2e-3, atol=2e-4)
    assert entry.steps == 6 and "score" in entry.metrics


def test_every_registered_network_can_be_built() -> None:
    for name in registry.TASKS:
        task = registry.task(name)
        assert isinstance(task, harness.TrainingTask)
        assert task.name == name
        assert sum(p.numel() for p in task.build().parameters()) > 1000


def test_losses_are_zero_where_all_is_right_and_grow_with_error() -> None:
    labels = torch.randint(0, 8, (1, 1, 6, 6, 6), generator=torch.Generator().manual_seed(0))
    right = 30.0 * torch.nn.functional.one_hot(labels[:, 0], 8).movedim(-1, 1).float()
    loss = label_loss(8)
    assert float(loss(right, labels)) == pytest.approx(0.0, abs=1e-3)
    assert float(loss(-right, labels)) > 1.0
    dice = dice_per_class(torch.tensor([1, 1, 0, 2]), torch.tensor([1, 0, 0, 2]), 4)
    assert dice[0] == pytest.approx(2 / 3)
    assert dice[1] == 1.0
    assert torch.isnan(dice[2])


@pytest.mark.parametrize("degrees", [0.5, 20.0, 90.0])
def test_the_rotation_loss_is_the_angle(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    turned = torch.tensor([[[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]])
    still = torch.eye(3, dtype=turned.dtype, requires_grad=True)[None]
    found = rotation_angle(still, turned)
    assert float(np.rad2deg(found.detach())) == pytest.approx(degrees, abs=0.05)
    found.sum().backward()


def test_scanner_variation_keeps_shape_and_is_seeded() -> None:
    image = np.random.default_rng(0).normal(50, 200, (16, 16, 16)).astype(np.float32)
    once, again = (vary_ct(image, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == image.shape
    assert not np.array_equal(once, vary_ct(image, np.random.default_rng(2)))


def test_what_is_cut_off_the_image_is_cut_off_the_labels() -> None:
    image, labels = np.zeros((24, 24, 24), np.float32), np.ones((24, 24, 24), np.uint8)
    cut = 0
    for seed in range(30):
        seen, kept = cut_field(image, labels, np.random.default_rng(seed))
        np.testing.assert_array_equal(seen < -1000, kept == 0)
        cut += bool((kept == 0).any())
    assert 3 < cut < 25
