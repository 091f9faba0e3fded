"""The network of the CT's apex and base: upright windows about the LV of drawn CTs, a heatmap for either landmark."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from CardiacFusionLib.models.cubes import normalised_hu
from CardiacFusionLib.models.heatmaps import read_maps
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.reorientation.landmarks import NAMES, REACH_VOXELS, SHAPE, SPACING_MM
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.training.augment import AIR_HU, vary_ct
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import heatmap_entropy

WIDTHS = (16, 32, 64)
SOURCE_SHAPE = (58, 42, 42)  # drawn at the window's spacing: windows are cut, turned and shifted out of it
REUSE, WINDOW = 6, 48  # looks at each heart, and hearts in turn before the first is seen again
# SD of the frame a heart is drawn in, and of what a look adds: several times what the pose stage leaves, for the answer
# must come from the picture and not from where the window lies
DRAWN_DEG, DRAWN_MM = 6.0, 6.0
LOOK_DEG, LOOK_MM, LOOK_SCALE = 5.0, 4.0, 0.04
FAR_SHARE, FAR_MM = 0.2, np.array([36.0, 20.0, 20.0])  # windows (z, y, x) that may miss apex or base
CUT_SHARE, CUT_SD_MM = 0.15, 10.0  # scans that end near a landmark, before or behind it
SPREAD_VOXELS = 1.0  # SD of the place that the heatmap is asked for
PLACE_WEIGHT = 0.1  # of the centroid's error in voxels, beside the cross-entropy
VALIDATION_CASES = 40
FAR_ERROR_MM = 15.0


@dataclass(frozen=True)
class _Heart:
    """A drawn CT (z, y, x) in HU, and the marks (landmark, 3) as its voxel z, y, x; NaN beyond the scan."""

    image: NDArray[np.float32]
    marks: NDArray[np.float64]


class CtLandmarksTask:
    """Windows of 36 x 28 x 28 voxels of 4 mm, from the sampler of ``ct_walls``; ``marks`` in voxels, or absent."""

    name = "ct_landmarks"
    version = "1"
    batch_size = 2
    learning_rate = 3e-3
    validate_every_s = 240.0

    def __init__(self) -> None:
        self._hearts: OrderedDict[int, _Heart] = OrderedDict()
        self._validation: list[Mapping[str, NDArray[Any]]] = []

    def build(self) -> nn.Module:
        """A fresh three-level residual U-Net: a place map and an 'absent' map for each landmark."""
        return ChamberUNet(1, 2 * len(NAMES), WIDTHS)

    def sample(self, seed: int) -> Mapping[str, NDArray[Any]]:
        """``image`` (1, z, y, x) normalised; ``marks`` (landmark, 3) float32 voxel (z, y, x), NaN where absent."""
        block, place = divmod(seed, WINDOW * REUSE)
        heart = self._heart(block * WINDOW * REUSE + place % WINDOW)
        rng = np.random.default_rng([seed, 31])
        image, marks = look(heart.image, heart.marks, rng)
        image = vary_ct(image, rng)
        if rng.random() < CUT_SHARE:
            image, marks = cut_near_landmark(image, marks, rng)
        return {"image": normalised_hu(image)[None], "marks": marks.astype(np.float32)}

    def _heart(self, seed: int) -> _Heart:
        if seed not in self._hearts:
            self._hearts[seed] = draw(seed)
            if len(self._hearts) > WINDOW:
                self._hearts.popitem(last=False)
        return self._hearts[seed]

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross-entropy between the softmax over all places and 'absent', and a spot about the true place; and how far
        the softmax's centroid lies off where the landmark is there."""
        value, off = landmark_loss(network(batch["image"]), batch["marks"])
        return value, {"off_mm": float(off.detach()) * SPACING_MM}

    def validate(self, network: nn.Module) -> Metrics:
        """On windows of unseen hearts: distance in mm where the landmark is there, share within 5 mm, and how often
        'there or not' is told rightly. ``score``: the negative distance, far ones all alike."""
        if not self._validation:
            self._validation = [self.sample(VALIDATION_SEED + k) for k in range(VALIDATION_CASES)]
        device = next(network.parameters()).device
        away: dict[str, list[float]] = {name: [] for name in NAMES}
        right: list[bool] = []
        for first in range(0, VALIDATION_CASES, 2):  # pairs: a processor convolves single windows far slower
            pair = self._validation[first : first + 2]
            images = torch.from_numpy(np.stack([c["image"] for c in pair])).to(device)
            for case, scores in zip(pair, network(images).double().cpu().numpy()):
                for name, seen, mark in zip(NAMES, read_maps(scores, REACH_VOXELS), case["marks"]):
                    there = bool(np.isfinite(mark).all())
                    right.append((seen.belief > 0.5) == there)
                    if there:
                        away[name].append(SPACING_MM * float(np.linalg.norm(seen.place - mark)))
        every = np.concatenate([np.array(values) for values in away.values()])
        return {
            "score": -float(np.minimum(every, FAR_ERROR_MM).mean()),
            **{f"{name}_median_mm": float(np.median(values)) for name, values in away.items()},
            "within_5mm": float(np.mean(every < 5.0)),
            "presence": float(np.mean(right)),
        }

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"inputs": 1, "classes": 2 * len(NAMES), "widths": list(WIDTHS)}
        return {
            "version": self.version,
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {"grid": list(SHAPE), "spacing_mm": SPACING_MM, "axes": "heart", "unit": "HU"},
            "data": "synthetic hearts of the digital twin only",
        }


def draw(seed: int) -> _Heart:
    """One synthetic CT about a wrong frame, as another network's wall cubes are drawn."""
    from CardiacFusionLib.twin.ct.sampling import ct_heart_frame_sample

    drawn = ct_heart_frame_sample(seed, SOURCE_SHAPE, SPACING_MM, DRAWN_DEG, DRAWN_MM)
    marks = np.stack([apply(drawn.volume.lps_to_index, drawn.pose.landmarks[name])[::-1] for name in NAMES])
    beyond = drawn.image <= AIR_HU + 1
    for mark in marks:
        z, y, x = (int(v) for v in np.rint(mark))
        around = beyond[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        if around.size == 0 or around.mean() > 0.5:
            mark[:] = np.nan
    return _Heart(drawn.image, marks)


def look(
    image: NDArray[np.float32], marks: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A window of ``SHAPE`` out of a drawn CT (z, y, x), turned, shifted and a little larger or smaller; the marks
    (landmark, 3) in its voxels, NaN where they lie beyond it."""
    turn = Rotation.from_rotvec(np.deg2rad(rng.normal(0, LOOK_DEG, 3))).as_matrix() * np.exp(rng.normal(0, LOOK_SCALE))
    shift = rng.uniform(-1, 1, 3) * FAR_MM if rng.random() < FAR_SHARE else rng.normal(0, LOOK_MM, 3)
    middle, centre = (np.array(image.shape) - 1) / 2, (np.array(SHAPE) - 1) / 2
    offset = middle + shift / SPACING_MM - turn @ centre
    seen = ndimage.affine_transform(image, turn, offset, SHAPE, order=1, mode="constant", cval=AIR_HU)
    moved = np.linalg.solve(turn, (marks - offset).T).T
    moved[~((moved >= 0) & (moved <= np.array(SHAPE) - 1)).all(axis=1)] = np.nan
    return np.asarray(seen, np.float32), moved


def cut_near_landmark(
    image: NDArray[np.float32], marks: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The scan ends in a plane that passes before or behind one of the landmarks (if any is there): air beyond it."""
    there = np.flatnonzero(np.isfinite(marks).all(axis=1))
    if not len(there):
        return image, marks
    mark = marks[rng.choice(there)]
    out = mark - (np.array(SHAPE) - 1) / 2
    normal = out / max(float(np.linalg.norm(out)), 1e-6) + rng.normal(0, 0.5, 3)
    normal /= np.linalg.norm(normal)
    limit = float(normal @ mark) + rng.normal(0, CUT_SD_MM) / SPACING_MM
    height = np.tensordot(normal, np.indices(image.shape), axes=1)
    kept = marks.copy()
    kept[marks @ normal > limit] = np.nan
    return np.where(height > limit, np.float32(AIR_HU), image), kept


def landmark_loss(scores: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of heatmaps (n, 2 · landmark, z, y, x) against marks (n, landmark, 3) in voxels, NaN where absent,
    with a share of the mean distance in voxels of the softmax's centroid; and that distance."""
    share = scores[:, : marks.shape[1]].flatten(2).float().softmax(2).unflatten(2, scores.shape[2:])
    axes = [torch.arange(n, device=scores.device, dtype=torch.float32) for n in scores.shape[2:]]
    centroid = torch.stack(
        [(share.sum([d for d in (2, 3, 4) if d != k + 2]) * axis).sum(2) for k, axis in enumerate(axes)], dim=2
    )
    there = torch.isfinite(marks).all(dim=2)
    away = (centroid - torch.nan_to_num(marks.float())).abs().sum(2) * there
    off = away.sum() / there.sum().clamp_min(1)
    return heatmap_entropy(scores, marks, SPREAD_VOXELS) + PLACE_WEIGHT * off, off
