"""Coordinate regression from a stack of outlined short-axis slices: where are apex and base, seen or not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEIGHT_SCALE_MM = 40.0  # heights are given to the network, and coordinates answered, in these units
LOG_SD_RANGE = (-4.0, 1.5)  # of the answered spread, in the same units: 0.7 .. 180 mm


class StackLandmarks(nn.Module):
    """A set network (Zaheer 2017, arXiv 1703.06114): measures of every slice and its height pass one perceptron, the
    slices are pooled by mean and maximum, and the pool answers coordinates with their spread. Any number of slices, in
    any order.

    Landmarks that no slice shows are extrapolated, as in Fum 2024 (10.1002/mp.17349): trained on stacks from which
    slices were left out. It reads measures, not pictures: a 2D encoder in their place had learnt nothing beyond the
    mean place after 300 steps of 32 stacks.
    """

    def __init__(self, facts: int = 10, landmarks: int = 2, hidden: int = 160) -> None:
        super().__init__()
        self.landmarks = landmarks
        self.slice = nn.Sequential(
            nn.Linear(facts + 4, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )
        self.stack = nn.Sequential(nn.Linear(2 * hidden + 3, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.head = nn.Linear(hidden, landmarks * 6)
        nn.init.normal_(self.head.weight, std=1e-2)
        nn.init.zeros_(self.head.bias)

    def forward(self, facts: Tensor, height_mm: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Measures (n, slice, fact), heights (n, slice) in mm from the stack's middle, and 1 where a slice exists
        (n, slice) -> coordinates and spreads (n, landmark, 3) in mm, from the middle of stack and window."""
        height = height_mm / HEIGHT_SCALE_MM
        count = there.sum(1, keepdim=True)
        low = height.masked_fill(there == 0, float("inf")).amin(1, keepdim=True)
        high = height.masked_fill(there == 0, float("-inf")).amax(1, keepdim=True)
        whole = torch.cat([1.0 / count.clamp_min(1.0), low, high], dim=1)
        own = torch.cat([facts, height[..., None], whole[:, None].expand(-1, height.shape[1], -1)], dim=-1)
        each = self.slice(own)
        kept = there[..., None]
        mean = (each * kept).sum(1) / kept.sum(1).clamp_min(1.0)
        most = each.masked_fill(kept == 0, float("-inf")).amax(1)
        answer = self.head(self.stack(torch.cat([mean, most, whole], dim=1))).float()
        answer = answer.reshape(-1, self.landmarks, 6)
        log_sd = answer[..., 3:].clamp(*LOG_SD_RANGE)
        return answer[..., :3] * HEIGHT_SCALE_MM, log_sd.exp() * HEIGHT_SCALE_MM
