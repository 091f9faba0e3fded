"""3D ResNet18 that reads a pose correction from label probabilities, and the rotation it speaks in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CardiacFusionLib.networks.blocks import ConvBlock, ResidualBlock

GROUP = 8  # channels normalised together


def rotation_from_axes(six: Tensor) -> Tensor:
    """Six numbers (n, 6) -> rotation matrices (n, 3, 3) with rows x, y, z.

    The first three numbers point along the rows' z (long axis), the next three along y; y is made square to z
    (Zhou 2019, arXiv 1812.07035: continuous, unlike angles).
    """
    z = nn.functional.normalize(six[:, :3], dim=1, eps=1e-6)
    y = six[:, 3:] - (six[:, 3:] * z).sum(1, keepdim=True) * z
    y = nn.functional.normalize(y, dim=1, eps=1e-6)
    return torch.stack([torch.linalg.cross(y, z), y, z], dim=1)


class PoseResNet(nn.Module):
    """ResNet18 layout (He 2016) in 3D: stem, four stages of two residual blocks, mean pooling, nine numbers.

    Input (n, channels, z, y, x) on a cube about the present guess of the pose, in its axes. Output: rotation
    (n, 3, 3) and translation (n, 3) in mm, the map from the present guess's frame to the heart frame
    (x_heart = R x + t). An untrained network answers 'no correction'.
    """

    def __init__(self, channels: int = 8, width: int = 16, translation_scale_mm: float = 20.0) -> None:
        super().__init__()
        self.translation_scale_mm = translation_scale_mm
        stages: list[nn.Module] = [ConvBlock(channels, width, stride=2, group=GROUP)]
        inputs = width
        for stage in range(4):
            outputs = width * 2**stage
            stages.append(ResidualBlock(inputs, outputs, stride=1 if stage == 0 else 2, group=GROUP))
            stages.append(ResidualBlock(outputs, outputs, group=GROUP))
            inputs = outputs
        self.features = nn.Sequential(*stages)
        self.head = nn.Linear(inputs * 8, 9)
        nn.init.normal_(self.head.weight, std=1e-3)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        # pooled to 2x2x2, not to one value: where things lie is the very question
        pooled = nn.functional.adaptive_avg_pool3d(self.features(x), 2).flatten(1)
        numbers = self.head(pooled).float()
        return rotation_from_axes(numbers[:, :6]), numbers[:, 6:] * self.translation_scale_mm
