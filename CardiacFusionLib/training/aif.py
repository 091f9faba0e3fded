"""The network of the blood pools: background, LV and RV blood from the frames of a first pass as channels.

Frames as channels on a coarse grid and three classes instead of two, as Xue et al. found best (2020,
10.1002/mrm.28291); the data are synthetic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.perfusion.pool_input import PIXEL_MM, SECONDS, SIZE, pool_channels
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import dice_per_class, label_loss
from CardiacFusionLib.twin.cmr.first_pass import Anatomy, draw_anatomy, draw_first_pass

CLASSES = 3
WIDTHS = (24, 48, 96, 128)
REUSE = 6  # first passes drawn in each slice: its anatomy costs most
HELD = 200  # slices from which the next one is drawn
VALIDATION_CASES = 64


@lru_cache(maxsize=HELD + 50)
def _anatomy(seed: int) -> Anatomy:
    """A drawn slice, kept for reuse by this process."""
    return draw_anatomy(seed, SIZE, PIXEL_MM)


class AifTask:
    """First passes through random slices, turned and mirrored every way."""

    name = "aif"
    batch_size = 16
    learning_rate = 2e-3
    validate_every_s = 120.0

    def build(self) -> nn.Module:
        """A fresh network."""
        return ChamberUNet(SECONDS, CLASSES, WIDTHS, dimensions=2)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``image`` (SECONDS, y, x) float32 as the network sees it, ``labels`` (1, y, x) int64."""
        rng = np.random.default_rng((seed, 21))
        return self._sample(seed // REUSE + int(rng.integers(0, HELD)), rng)

    def _sample(self, anatomy: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        drawn = draw_first_pass(_anatomy(anatomy), rng)
        image, pools = pool_channels(drawn.frames, drawn.times_s), drawn.pools
        quarters, mirror = int(rng.integers(4)), rng.random() < 0.5
        image, pools = np.rot90(image, quarters, axes=(-2, -1)), np.rot90(pools, quarters)
        if mirror:
            image, pools = image[..., ::-1], pools[..., ::-1]
        return {"image": np.ascontiguousarray(image), "labels": np.ascontiguousarray(pools)[None].astype(np.int64)}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy."""
        value: Tensor = label_loss(CLASSES)(network(batch["image"]), batch["labels"])
        return value, {}

    def validate(self, network: nn.Module) -> Metrics:
        """Dice of LV and RV blood on unseen slices, pooled, and the share of RV pixels taken for LV; ``score`` is the
        mean Dice."""
        device = next(network.parameters()).device
        found, truth = [], []
        for start in range(0, VALIDATION_CASES, 16):
            seeds = range(VALIDATION_SEED + start, VALIDATION_SEED + start + 16)
            drawn = [self._sample(s, np.random.default_rng((s, 21))) for s in seeds]
            batch = torch.from_numpy(np.stack([d["image"] for d in drawn])).to(device)
            found.append(network(batch).argmax(1).cpu())
            truth.append(torch.from_numpy(np.concatenate([d["labels"] for d in drawn])))
        prediction, true = torch.cat(found), torch.cat(truth)
        scores = dice_per_class(prediction, true, CLASSES)
        taken = float((prediction[true == 2] == 1).float().mean())
        return {
            "score": float(scores.mean()),
            "lv_dice": float(scores[0]),
            "rv_dice": float(scores[1]),
            "rv_taken_share": taken,
        }

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"inputs": SECONDS, "classes": CLASSES, "widths": list(WIDTHS), "dimensions": 2}
        return {
            "version": "1",
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {
                "grid": [SIZE, SIZE],
                "spacing_mm": PIXEL_MM,
                "channels": f"rise above the first seconds, one a second, {SECONDS} s",
                "scale": "largest rise of the picture",
            },
            "data": "digital twin, first passes of short-axis slices (synthetic); no real image",
        }
