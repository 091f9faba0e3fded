"""A small U-Net that gives every voxel (or pixel) a chamber label (Ronneberger 2015; 3D: Cicek 2016)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from CardiacFusionLib.networks.blocks import ConvBlock, ResidualBlock, match_grid


class ChamberUNet(nn.Module):
    """U-Net with residual encoder; any grid size of at least ``2 ** (len(widths) - 1)`` voxels a side.

    ``widths``: channels a level, finest first. Decoder levels hold one convolution each, because on a processor the
    finest level is nearly all of the cost.
    """

    def __init__(
        self, inputs: int = 1, classes: int = 8, widths: Sequence[int] = (12, 24, 48, 96), dimensions: int = 3
    ) -> None:
        super().__init__()
        self.stem = ConvBlock(inputs, widths[0], dimensions=dimensions)
        self.stem2 = ConvBlock(widths[0], widths[0], dimensions=dimensions)
        self.downs = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(above, here, stride=2, dimensions=dimensions),
                ResidualBlock(here, here, dimensions=dimensions),
            )
            for above, here in itertools.pairwise(widths)
        )
        one = nn.Conv3d if dimensions == 3 else nn.Conv2d
        pairs = list(itertools.pairwise(widths))[::-1]
        self.lifts = nn.ModuleList(one(below, here, 1, bias=False) for here, below in pairs)
        self.ups = nn.ModuleList(ConvBlock(2 * here, here, dimensions=dimensions) for here, _ in pairs)
        self.head = one(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, z, y, x) -> class scores before softmax (n, classes, z, y, x)."""
        levels = [self.stem2(self.stem(x))]
        for down in self.downs:
            levels.append(down(levels[-1]))
        result = levels.pop()
        for lift, up in zip(self.lifts, self.ups):
            beside = levels.pop()
            result = up(torch.cat([match_grid(lift(result), beside), beside], dim=1))
        scores: Tensor = self.head(result)
        return scores
