"""Nonrigid SDN: a 2D network that bends one short-axis slice onto another by a diffeomorphism.

The VoxelMorph form (Balakrishnan 2019, IEEE TMI 38:1788; diffeomorphic: Dalca 2019, Med Image Anal 57:226): a U-Net
reads both pictures and answers with a stationary velocity field; scaling and squaring integrates it (Arsigny 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from CardiacFusionLib.networks.blocks import ConvBlock
from CardiacFusionLib.networks.chamber_unet import ChamberUNet

SQUARINGS = 7
SMOOTHING_PX = 1.5  # the velocity is smooth by construction on its half-size grid


def identity_grid(shape: tuple[int, int], like: Tensor) -> Tensor:
    """Pixel coordinates (1, 2, y, x), order (x, y)."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=like.dtype, device=like.device) for n in shape), indexing="ij")
    return torch.stack([x, y])[None]


def warp(image: Tensor, displacement: Tensor) -> Tensor:
    """``image`` (n, c, y, x) read at p + displacement(p); displacement (n, 2, y, x) in pixels, order (x, y).

    Linear; at the border the edge value goes on.
    """
    shape = (image.shape[2], image.shape[3])
    place = identity_grid(shape, displacement) + displacement
    scale = torch.tensor([shape[1] - 1, shape[0] - 1], dtype=place.dtype, device=place.device).reshape(1, 2, 1, 1)
    grid = (2 * place / scale - 1).permute(0, 2, 3, 1)
    return nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def integrate(velocity: Tensor, squarings: int = SQUARINGS) -> Tensor:
    """Displacement (n, 2, y, x) of the flow of a stationary velocity field after unit time; its inverse is that of
    ``-velocity``. Both in pixels."""
    displacement = velocity / 2**squarings
    for _ in range(squarings):
        displacement = displacement + warp(displacement, displacement)
    return displacement


def _gaussian(sigma: float) -> Tensor:
    reach = int(3 * sigma + 0.5)
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return kernel / kernel.sum()


class NonrigidSdn(nn.Module):
    """(fixed, moving) class maps -> velocity. Both (n, classes, y, x), y and x divisible by 2.

    The velocity lives on a grid of half the size, in pixels of the full grid. An untrained network answers with
    nearly no motion.
    """

    kernel: Tensor

    def __init__(self, classes: int = 3, widths: Sequence[int] = (16, 32, 48, 64, 64)) -> None:
        super().__init__()
        self.stem = ConvBlock(2 * classes, widths[0], stride=2, dimensions=2)
        self.body = ChamberUNet(widths[0], 2, widths, dimensions=2)
        nn.init.normal_(self.body.head.weight, std=1e-3)
        assert self.body.head.bias is not None
        nn.init.zeros_(self.body.head.bias)
        self.register_buffer("kernel", _gaussian(SMOOTHING_PX), persistent=False)

    def velocity(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Smooth stationary velocity (n, 2, y/2, x/2), order (x, y), in pixels of the full grid."""
        raw = self.body(self.stem(torch.cat([fixed, moving], dim=1))) * 4.0
        reach = len(self.kernel) // 2
        kernel = self.kernel.expand(2, 1, -1)
        raw = nn.functional.pad(raw, (reach, reach, reach, reach), mode="replicate")
        raw = nn.functional.conv2d(raw, kernel[:, :, None, :], groups=2)
        return nn.functional.conv2d(raw, kernel[:, :, :, None], groups=2)

    @staticmethod
    def displacement(velocity: Tensor) -> Tensor:
        """Full-size displacement (n, 2, y, x) in pixels from a half-size velocity."""
        half = integrate(velocity / 2)  # half-size pixels are twice as wide
        return 2 * nn.functional.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement and its inverse, (n, 2, y, x) in pixels: fixed pixel p shows moving at p + displacement(p)."""
        velocity = self.velocity(fixed, moving)
        return self.displacement(velocity), self.displacement(-velocity)
