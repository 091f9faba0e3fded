"""The network of the RV insertions: windows about the LV of drawn slices, a heatmap for either end of the septum."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, read_maps
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.cmr_walls import CINE, LIT, vary
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import PLANE_SPREAD_PX, heatmap_entropy
from CardiacFusionLib.twin.cmr.training import CmrSample, cmr_training_slice
from CardiacFusionLib.walls.cmr_input import CHANNELS, View
from CardiacFusionLib.walls.cmr_insertions import LV_PIXELS, NAMES, SIZE, lv_window, window_input

WIDTHS = (8, 16, 32, 64, 64)
SOURCE_SIZE = 144
SERIES_SHARE, CINE_SHARE = 0.5, 0.35  # the rest are single perfusion frames
REUSE, WINDOW = 8, 250
TURN_DEG, SHIFT_MM, SCALE = 15.0, 4.0, 0.1  # SD: other rolls, and outlines that are not quite right
VALIDATION_CASES = 64
FAR_MM = 10.0


@lru_cache(maxsize=WINDOW + 50)
def _slice(seed: int) -> CmrSample:
    return cmr_training_slice(seed, SOURCE_SIZE)


def sample_pose(drawn: CmrSample) -> SlicePose:
    """A drawn slice as if planned at the usual lie of the heart: rows and columns are the standard axes."""
    return SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), (drawn.spacing_mm,) * 2, 8.0)


class CmrInsertionsTask:
    """Windows as the wall stage cuts them, from first passes and single frames; ``marks`` in pixels, or absent."""

    name = "cmr_insertions"
    batch_size = 8
    learning_rate = 2e-3
    validate_every_s = 180.0

    def build(self) -> nn.Module:
        """A fresh network: a place map and an 'absent' map for each landmark."""
        return ChamberUNet(CHANNELS, 2 * len(NAMES), WIDTHS, dimensions=2)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``image`` (4, row, column) float32; ``marks`` (landmark, 2) float32 pixel (row, column), NaN where absent."""
        rng = np.random.default_rng((seed, 21))
        at = seed // REUSE + int(rng.integers(0, WINDOW))
        kind = float(rng.random())
        while True:  # a slice without a ventricle has no window
            found = self._sample(_slice(at), rng, kind)
            if found is not None:
                return found
            at += WINDOW  # another one, by the same seed

    def _sample(self, drawn: CmrSample, rng: np.random.Generator, kind: float) -> dict[str, NDArray[Any]] | None:
        pose = sample_pose(drawn)
        axes = canonical_axes(pose.normal)
        usual = lv_window(drawn.labels, pose, axes)
        if usual is None:
            return None
        if kind < SERIES_SHARE:
            chosen = drawn.channels[:CHANNELS]
        else:
            one = CINE if kind < SERIES_SHARE + CINE_SHARE else int(rng.choice(LIT))
            chosen = np.repeat(drawn.channels[[one]], CHANNELS, axis=0)
        view = View(
            usual.centre_uv_mm + rng.normal(0.0, SHIFT_MM, 2),
            SIZE,
            float(rng.normal(0.0, TURN_DEG)),
            usual.pixel_mm * float(np.exp(rng.normal(0.0, SCALE))),
        )
        images = vary(chosen[:1] if np.ptp(chosen, axis=0).max() == 0 else chosen, rng)
        if len(images) == 1:
            images = np.repeat(images, CHANNELS, axis=0)
        marks = np.full((len(NAMES), 2), np.nan, np.float32)
        for k, name in enumerate(NAMES):
            if name in drawn.landmarks:
                place = view.pixels(pose.points_lps(drawn.landmarks[name]) @ axes[:, :2])
                if np.all((place > 0) & (place < SIZE - 1)):
                    marks[k] = place
        return {"image": window_input(images, pose, axes, view), "marks": marks}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross-entropy between the softmax over all places and 'absent', and a spot about the true place."""
        scores = network(batch["image"])
        return heatmap_entropy(scores, batch["marks"], PLANE_SPREAD_PX), {}

    def validate(self, network: nn.Module) -> Metrics:
        """On slices of unseen hearts: distance in mm where the landmark is there, share within 5 mm, and how often
        'there or not' is told rightly. ``score``: the negative distance, far ones all alike."""
        device = next(network.parameters()).device
        away: list[float] = []
        right: list[bool] = []
        for seed in range(VALIDATION_SEED, VALIDATION_SEED + VALIDATION_CASES):
            drawn = self.sample(seed)
            scores = network(torch.from_numpy(drawn["image"])[None].to(device))[0].double().cpu().numpy()
            for seen, mark in zip(read_maps(scores, PLANE_REACH_PX), drawn["marks"]):
                there = bool(np.isfinite(mark).all())
                right.append((seen.belief > 0.5) == there)
                if there:
                    away.append(float(np.linalg.norm(seen.place - mark)) * 75.0 / LV_PIXELS)
        return {
            "score": -float(np.minimum(away, FAR_MM).mean()),
            "mean_mm": float(np.mean(away)),
            "median_mm": float(np.median(away)),
            "within_5mm": float(np.mean(np.array(away) < 5.0)),
            "presence": float(np.mean(right)),
        }

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"inputs": CHANNELS, "classes": 2 * len(NAMES), "widths": list(WIDTHS), "dimensions": 2}
        return {
            "version": "1",
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {
                "grid": [SIZE, SIZE],
                "scale": "local root mean square; the LV's epicardium 48 pixels wide",
                "channels": ["baseline", "rv_peak", "lv_peak", "myocardium"],
            },
            "data": "digital twin, CMR slices (synthetic); no real image",
        }
