"""Building blocks shared by the networks: normalised convolutions in two or three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _convolution(dimensions: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv3d if dimensions == 3 else nn.Conv2d


def normalisation(channels: int, group: int = 1) -> nn.GroupNorm:
    """Normalisation over groups of ``group`` channels: independent of the batch, so that small batches can train.

    Label networks take each channel by itself: they learnt rare labels several times sooner so than with groups of
    eight. Networks that answer with numbers take groups: how strong a channel is against others must not be lost.
    """
    return nn.GroupNorm(max(channels // group, 1), channels)


class ConvBlock(nn.Sequential):
    """3-wide convolution, channel normalisation, leaky ReLU; ``stride`` 2 halves the grid."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dimensions: int = 3, group: int = 1) -> None:
        super().__init__(
            _convolution(dimensions)(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            normalisation(outputs, group),
            nn.LeakyReLU(0.01, inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two normalised convolutions around a shortcut (He 2016, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dimensions: int = 3, group: int = 1) -> None:
        super().__init__()
        convolution = _convolution(dimensions)
        self.first = ConvBlock(inputs, outputs, stride, dimensions, group)
        self.second = nn.Sequential(
            convolution(outputs, outputs, 3, padding=1, bias=False), normalisation(outputs, group)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride=stride, bias=False)
        self.activation = nn.LeakyReLU(0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, ...) -> (n, outputs, .../stride)."""
        return self.activation(self.second(self.first(x)) + self.shortcut(x))


def match_grid(x: Tensor, like: Tensor) -> Tensor:
    """``x`` interpolated (linear) onto the spatial grid of ``like``."""
    if x.shape[2:] == like.shape[2:]:
        return x
    mode = "trilinear" if x.ndim == 5 else "bilinear"
    return torch.nn.functional.interpolate(x, size=like.shape[2:], mode=mode, align_corners=False)
