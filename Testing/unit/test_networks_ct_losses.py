"""The losses and the batching of the CT networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CardiacFusionLib.models.cubes import probabilities, sliding_probabilities
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT, Label
from CardiacFusionLib.training.losses import wall_loss


def scores_of(labels: torch.Tensor, sure: float = 12.0) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels[:, 0], CT_LABEL_COUNT).movedim(-1, 1).float() * sure


def ventricle() -> torch.Tensor:
    radius = torch.linspace(-1, 1, 24).square()
    distance = (radius[:, None, None] + radius[:, None] + radius).sqrt()
    labels = torch.zeros(24, 24, 24, dtype=torch.long)
    labels[distance < 0.7] = int(Label.MYOCARDIUM)
    labels[distance < 0.45] = int(Label.LV_CAVITY)
    return labels[None, None]


def test_the_right_answer_costs_next_to_nothing() -> None:
    labels = ventricle()
    assert float(wall_loss(scores_of(labels, 20.0), labels)) < 0.01


def test_a_mistake_at_the_wall_costs_more_than_one_far_away() -> None:
    labels = ventricle()
    near, far = labels.clone(), labels.clone()  # the same number of voxels called the same wrong thing
    rim = torch.argwhere(labels[0, 0] == int(Label.MYOCARDIUM))[:40]
    near[0, 0, rim[:, 0], rim[:, 1], rim[:, 2]] = int(Label.BACKGROUND)
    far.view(-1)[:40] = int(Label.MYOCARDIUM)
    assert float(wall_loss(scores_of(near), labels)) > float(wall_loss(scores_of(far), labels))


def test_a_cube_gives_the_same_alone_and_in_company() -> None:
    torch.manual_seed(0)
    network = ChamberUNet(1, 8, (4, 8, 16)).eval()
    cubes = np.random.default_rng(0).normal(size=(3, 1, 16, 16, 16)).astype(np.float32)
    together = probabilities(network, cubes)
    alone = np.concatenate([probabilities(network, cube[None]) for cube in cubes])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert together.sum(axis=1) == pytest.approx(np.ones((3, 16, 16, 16)), abs=1e-5)


def test_overlapping_cubes_cover_a_volume_of_any_size() -> None:
    torch.manual_seed(0)
    network = ChamberUNet(1, 8, (4, 8, 16)).eval()
    image = np.random.default_rng(0).normal(size=(10, 37, 22)).astype(np.float32)
    found = sliding_probabilities(network, image, 16, 10, -1.0)
    assert found.shape == (8, 10, 37, 22)
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-4)
