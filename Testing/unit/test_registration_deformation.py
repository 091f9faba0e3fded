"""Folding, warping and integrating displacement fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CardiacFusionLib.networks.sdn import NonrigidSdn, integrate, warp
from CardiacFusionLib.registration.deformation import folded_share, from_maps, grid_xy_mm, jacobian, one_hot, warp_maps


def smooth_velocity(seed: int, size: int = 96, strength: float = 6.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 2, 8, 8, generator=generator) * strength
    coarse[:, :, [0, -1], :] = 0
    coarse[:, :, :, [0, -1]] = 0
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_undoes_the_deformation(seed: int) -> None:
    velocity = smooth_velocity(seed)
    there, back = integrate(velocity), integrate(-velocity)
    both = back + warp(there, back)
    inner = both[:, :, 12:-12, 12:-12]
    assert float(there.abs().max()) > 3.0
    assert float(inner.abs().mean()) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_an_integrated_velocity_does_not_fold(seed: int) -> None:
    field = torch.nn.functional.interpolate(integrate(smooth_velocity(seed)), size=(128, 128), mode="bilinear")
    assert folded_share(field[0].numpy()) == 0.0


def test_a_constant_velocity_moves_everything_by_itself() -> None:
    velocity = torch.zeros(1, 2, 64, 64)
    velocity[:, 0], velocity[:, 1] = 3.0, -2.0
    moved = integrate(velocity)
    assert moved[0, 0, 32, 32] == pytest.approx(3.0, abs=1e-4)
    assert moved[0, 1, 32, 32] == pytest.approx(-2.0, abs=1e-4)


def test_an_untrained_network_hardly_moves_anything() -> None:
    torch.manual_seed(0)
    network = NonrigidSdn().eval()
    picture = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        there, back = network(picture, picture.flip(3))
    assert there.shape == back.shape == (1, 2, 128, 128)
    assert float(there.abs().max()) < 1.0


def test_the_jacobian_of_a_scaling_is_its_area_factor() -> None:
    xy = grid_xy_mm()
    stretch = np.stack([0.2 * xy[..., 0], -0.1 * xy[..., 1]])
    assert jacobian(stretch) == pytest.approx(np.full((128, 128), 1.2 * 0.9))
    assert folded_share(stretch) == 0.0


def test_a_mirror_image_is_folded_everywhere() -> None:
    mirror = np.stack([-2 * grid_xy_mm()[..., 0], np.zeros((128, 128))])
    assert folded_share(mirror) == 1.0


def test_labels_survive_the_identity_and_follow_a_shift() -> None:
    labels = np.zeros((128, 128), np.uint8)
    labels[50:70, 40:60] = 2
    still = np.zeros((2, 128, 128))
    assert np.array_equal(from_maps(warp_maps(one_hot(labels), still)), labels)
    shift = still.copy()
    shift[0] = 5.0  # pixel p shows what lies 5 mm further along x
    assert np.array_equal(from_maps(warp_maps(one_hot(labels), shift)), np.roll(labels, -5, axis=1))
