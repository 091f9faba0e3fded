"""The CT networks: shapes, the rotation they speak in, and that an untrained pose network changes nothing much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.networks.pose_resnet import PoseResNet, rotation_from_axes


@pytest.mark.parametrize("shape", [(16, 16, 16), (19, 24, 17)])
def test_every_voxel_gets_a_score_for_every_label_whatever_the_grid(shape: tuple[int, int, int]) -> None:
    network = ChamberUNet(1, 8, (4, 8, 16)).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, *shape)).shape == (1, 8, *shape)


def test_the_same_net_labels_flat_pictures() -> None:
    network = ChamberUNet(5, 4, (4, 8, 16), dimensions=2).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 5, 32, 40)).shape == (2, 4, 32, 40)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_six_numbers_always_make_a_rotation(numbers: list[float]) -> None:
    six = torch.tensor([numbers])
    z, y = six[0, :3], six[0, 3:]
    if z.norm() < 0.1 or torch.linalg.cross(z, y).norm() < 0.1:
        return  # two axes along one line, or none, leave the rotation open
    rotation = rotation_from_axes(six)[0].double()
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-5)
    assert float(torch.det(rotation)) == pytest.approx(1.0, abs=1e-5)
    assert float(rotation[2] @ z.double()) == pytest.approx(float(z.norm()), rel=1e-4)


def test_an_untrained_pose_network_leaves_the_heart_where_it_is() -> None:
    torch.manual_seed(0)
    network = PoseResNet(7, 8).eval()
    with torch.inference_mode():
        rotation, shift = network(torch.rand(2, 7, 24, 24, 24))
    np.testing.assert_allclose(rotation.numpy(), np.broadcast_to(np.eye(3), (2, 3, 3)), atol=0.1)
    assert float(shift.abs().max()) < 3.0


def test_the_pose_network_tells_left_from_right() -> None:
    torch.manual_seed(0)
    network = PoseResNet(1, 8).eval()
    picture = torch.zeros(1, 1, 24, 24, 24)
    picture[..., :8] = 1
    with torch.inference_mode():
        here, mirrored = network(picture)[1], network(picture.flip(-1))[1]
    assert not torch.allclose(here, mirrored, atol=1e-5)
