"""Losses: overlap and cross-entropy of labels, heatmaps of landmarks, angle and distance of poses."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from CardiacFusionLib.spatial.labels import Label


@lru_cache(maxsize=4)
def label_loss(classes: int) -> nn.Module:
    """Dice + cross-entropy on class scores (n, classes, ...) and labels (n, 1, ...); background counts in the
    cross-entropy only (MONAI's DiceCELoss; imported here because MONAI takes seconds to import).

    All labels weigh the same: a lower weight for the background made every wall a voxel too thick.
    """
    from monai.losses.dice import DiceCELoss

    if classes < 2:
        raise ValueError("labels need at least two classes")
    loss: nn.Module = DiceCELoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        smooth_nr=1.0,
        smooth_dr=1.0,
    )
    return loss


PLANE_SPREAD_PX = 1.5  # SD of the place that the heatmaps of slices and views are asked for


def heatmap_entropy(scores: Tensor, marks: Tensor, spread: float) -> Tensor:
    """Mean cross-entropy of scores (n, 2 · landmark, row, column or z, y, x), as ``models.heatmaps.read_maps`` reads
    them, against spots of SD ``spread`` pixels about marks (n, landmark, 2 or 3), in pixels, NaN where absent."""
    count = marks.shape[1]
    places = scores[:, :count].flatten(2)
    absent = scores[:, count:].flatten(2).mean(dim=2, keepdim=True)
    logs = torch.log_softmax(torch.cat([places, absent], dim=2).float(), dim=2)
    there = torch.isfinite(marks).all(dim=2)
    place = torch.nan_to_num(marks.float())
    steps = [torch.arange(n, device=scores.device, dtype=torch.float32) for n in scores.shape[2:]]
    grid = torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1).flatten(0, -2)
    square = ((grid - place[:, :, None]) ** 2).sum(dim=3)
    spot = torch.softmax(-square / (2 * spread**2), dim=2)
    return torch.where(there, -(spot * logs[..., :-1]).sum(dim=2), -logs[..., -1]).mean()


# the left ventricle is what the wall network is for: weights of labels 1.. in its Dice
WALL_DICE_WEIGHTS = (2.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0)
BORDER_REACH = 2  # voxels either side of the wall that count as its border
BORDER_WEIGHT = 4.0


def wall_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Dice + cross-entropy of scores (n, 8, z, y, x) and labels (n, 1, z, y, x), with the LV's borders emphasised.

    In the cross-entropy voxels within ``BORDER_REACH`` of the wall weigh ``BORDER_WEIGHT`` times as much as others; in
    the Dice (over the batch, without background) labels weigh ``WALL_DICE_WEIGHTS``.
    """
    truth = labels[:, 0]
    wall = (labels == Label.MYOCARDIUM).float()
    near = nn.functional.max_pool3d(wall, 2 * BORDER_REACH + 1, stride=1, padding=BORDER_REACH)[:, 0]
    weight = 1 + (BORDER_WEIGHT - 1) * near
    entropy = (nn.functional.cross_entropy(scores, truth, reduction="none") * weight).sum() / weight.sum()
    share = scores.softmax(1)
    total = scores.new_zeros(())
    for label, importance in enumerate(WALL_DICE_WEIGHTS, start=1):
        found, true = share[:, label], (truth == label).to(share.dtype)
        dice = (2 * (found * true).sum() + 1) / (found.sum() + true.sum() + 1)
        total = total + importance * (1 - dice)
    return entropy + total / sum(WALL_DICE_WEIGHTS)


def dice_per_class(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Dice of integer labels for classes 1.., shape (classes - 1,); NaN where a class is in neither."""
    scores = []
    for label in range(1, classes):
        p, t = prediction == label, truth == label
        total = (p.sum() + t.sum()).float()
        scores.append(2 * (p & t).sum().float() / total)
    return torch.stack(scores)


def rotation_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle (n,) in radians between rotations (n, 3, 3); its gradient is finite where they agree.

    From the chord |A - B|_F = 2 sqrt(2) sin(angle / 2), which is smooth at zero where arccos is not.
    """
    chord = torch.sqrt(((a - b) ** 2).sum((1, 2)) + 1e-8) / (2 * 2**0.5)
    return 2 * torch.asin(chord.clamp(max=1 - 1e-6))
