"""The network of whole first passes: walls and RV insertions from frames as channels (Xue 2020, PMC7706884)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, read_maps
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT
from CardiacFusionLib.training.cmr_walls import bent, turned_places, vary
from CardiacFusionLib.training.cut_network import State, cut
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import PLANE_SPREAD_PX, dice_per_class, heatmap_entropy, label_loss
from CardiacFusionLib.twin.cmr.painting import coil, truncated
from CardiacFusionLib.twin.cmr.passing import Passing, Still, draw_passing, draw_still
from CardiacFusionLib.walls.cmr_input import PIXEL_MM, even_out
from CardiacFusionLib.walls.cmr_insertions import NAMES
from CardiacFusionLib.walls.cmr_series_input import CHANNELS, EDGES_S, course_weights, read_linear

WIDTHS = (16, 32, 64, 96, 112)
CROP = 96  # pixels a side of a training picture (144 mm)
SOURCE_SIZE, SOURCE_MM = 128, 1.6  # of the drawn slice
PASSES = 3  # first passes drawn through each slice: its anatomy costs most
REUSE, WINDOW = 6, 120  # looks at each first pass, and passes from which the next look is taken
TURNED_SHARE = 0.25  # of the windows are turned by any angle
MARK_WEIGHT = 0.15  # of the insertions' loss beside that of the labels
PEAK_SD_S, LOST_SHARE, LOST_S = 0.6, 0.08, 3.0  # how well the RV's peak is found, and how far it is now and then missed
VALIDATION_CASES = 40
# seconds from the RV's peak between which its own phase, the LV's and the wall's mostly lie
PHASES_S = ((-2.0, 2.0), (3.0, 9.0), (10.0, 22.0))


@lru_cache(maxsize=WINDOW + 20)
def _still(seed: int) -> Still:
    """A drawn slice, kept for reuse by this process."""
    return draw_still(seed, SOURCE_SIZE, SOURCE_MM)


@lru_cache(maxsize=WINDOW + 20)
def _passing(seed: int) -> Passing:
    """A drawn first pass, kept for reuse by this process."""
    return draw_passing(_still(seed // PASSES), np.random.default_rng((seed, 32)))


class CmrSeriesTask:
    """First passes of random hearts as the wall stage gathers them, after a motion correction that left a little."""

    name = "cmr_series"
    batch_size = 8
    learning_rate = 1.5e-3
    validate_every_s = 300.0

    def build(self) -> nn.Module:
        """A fresh network: scores of the four classes, then a place map and an 'absent' map for each insertion."""
        return ChamberUNet(CHANNELS, CMR_LABEL_COUNT + 2 * len(NAMES), WIDTHS, dimensions=2)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``image`` (CHANNELS, y, x) float32 as the network sees it, ``labels`` (1, y, x) int64, ``marks`` (2, 2)
        float32 pixel (row, column) of the insertions, NaN where absent. In a mirrored picture they change places: which
        is which follows from the side the RV lies on."""
        rng = np.random.default_rng((seed, 31))
        drawn = seed // REUSE + int(rng.integers(0, WINDOW))
        still, passing = _still(drawn // PASSES), _passing(drawn)
        places, mirrored = turned_places(rng, CROP, wide=rng.random() < 0.1, turned_share=TURNED_SHARE)
        places = bent(places, rng)
        column, row = places / SOURCE_MM + (SOURCE_SIZE - 1) / 2
        labels = ndimage.map_coordinates(still.labels, [row, column], order=0, mode="constant")
        marks = np.full((len(NAMES), 2), np.nan, np.float32)
        for k, name in enumerate(NAMES[::-1] if mirrored else NAMES):
            if name in still.landmarks:
                marks[k] = _pixel_of(still.landmarks[name], column, row)
        image = _scanned(passing, column, row, rng)
        return {"image": even_out(image), "labels": labels[None].astype(np.int64), "marks": marks}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy of the labels, and the insertions' heatmaps."""
        scores = network(batch["image"])
        outline = label_loss(CMR_LABEL_COUNT)(scores[:, :CMR_LABEL_COUNT], batch["labels"])
        marks = heatmap_entropy(scores[:, CMR_LABEL_COUNT:], batch["marks"], PLANE_SPREAD_PX)
        return outline + MARK_WEIGHT * marks, {"outline": float(outline.detach()), "marks": float(marks.detach())}

    def validate(self, network: nn.Module) -> Metrics:
        """Dice of all slices of unseen hearts, pooled, and the distance of insertions that are there; ``score`` is the
        mean Dice less a hundredth for each millimetre."""
        device = next(network.parameters()).device
        found, truth, away = [], [], []
        for start in range(0, VALIDATION_CASES, 8):
            drawn = [self.sample(VALIDATION_SEED + k) for k in range(start, start + 8)]
            scores = network(torch.from_numpy(np.stack([d["image"] for d in drawn])).to(device)).cpu()
            found.append(scores[:, :CMR_LABEL_COUNT].argmax(1))
            truth.append(torch.from_numpy(np.concatenate([d["labels"] for d in drawn])))
            for one, d in zip(scores[:, CMR_LABEL_COUNT:].double().numpy(), drawn):
                for seen, mark in zip(read_maps(one, PLANE_REACH_PX), d["marks"]):
                    if np.isfinite(mark).all():
                        away.append(float(np.linalg.norm(seen.place - mark)) * PIXEL_MM)
        dice = dice_per_class(torch.cat(found), torch.cat(truth), CMR_LABEL_COUNT)
        names = ("cavity_dice", "myocardium_dice", "rv_dice")
        figures = {name: float(v) for name, v in zip(names, dice)}
        mean = float(np.minimum(away, 15.0).mean())
        return {
            "score": float(dice.mean()) - 0.01 * mean,
            **figures,
            "insertions_mm": mean,
            "insertions_median_mm": float(np.median(away)),
        }

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        classes = CMR_LABEL_COUNT + 2 * len(NAMES)
        kwargs = {"inputs": CHANNELS, "classes": classes, "widths": list(WIDTHS), "dimensions": 2}
        return {
            "version": "1",
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {
                "grid": "any",
                "spacing_mm": PIXEL_MM,
                "channels": f"before contrast; {CHANNELS - 1} stretches from 5 s before the RV's peak to 38 s after it",
                "scale": "local root mean square",
            },
            "data": "digital twin, first passes of short-axis slices (synthetic); no real image",
        }


def start_from_walls(walls: State, seed: int = 0) -> State:
    """Weights to begin from, made of those of ``cmr_walls``: cut to this network's widths, its four phases spread over
    the channels in which they lie, its four classes kept, the insertions' maps fresh."""
    old = walls["stem.0.weight"].float()
    middle = torch.from_numpy((EDGES_S[:-1] + EDGES_S[1:]) / 2)
    stem = torch.zeros(old.shape[0], CHANNELS, 3, 3)
    stem[:, 0] = old[:, 0]
    for phase, (first, last) in enumerate(PHASES_S, start=1):
        there = 1 + torch.nonzero((middle > first) & (middle < last))[:, 0]
        stem[:, there] += old[:, phase, None] / len(there)
    fresh = torch.randn(2 * len(NAMES), WIDTHS[0], 1, 1, generator=torch.Generator().manual_seed(seed)) * 0.1
    head = torch.cat([walls["head.weight"].float(), fresh])
    bias = torch.cat([walls["head.bias"].float(), torch.zeros(2 * len(NAMES))])
    return cut({k: v.float() for k, v in walls.items()}, WIDTHS, stem, head, bias)


def _pixel_of(place_xy: NDArray[np.float64], column: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray:
    """Window pixel (row, column) that shows ``place_xy`` of the slice, from what each shows; NaN where none does."""
    away = np.hypot(column - place_xy[0], row - place_xy[1])
    at = np.array(np.unravel_index(int(np.argmin(away)), away.shape))
    if np.any(at < 1) or np.any(at > np.array(away.shape) - 2):
        return np.full(2, np.nan, np.float32)
    r, c = at
    steps = np.array(
        [[(f[r + 1, c] - f[r - 1, c]) / 2, (f[r, c + 1] - f[r, c - 1]) / 2] for f in (column, row)]
    )  # change of (column, row) of the slice by one row, one column of the window
    miss = np.array([place_xy[0] - column[r, c], place_xy[1] - row[r, c]])
    return np.asarray(at + np.linalg.solve(steps, miss), dtype=np.float32)


def _scanned(
    passing: Passing, column: NDArray[np.float64], row: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The course (CHANNELS, y, x) of a first pass in a window of the slice, as acquired and corrected."""
    peak = passing.rv_peak_s + float(rng.normal(0.0, PEAK_SD_S))
    if rng.random() < LOST_SHARE:
        peak += float(rng.uniform(-LOST_S, LOST_S))
    before = np.flatnonzero(passing.times_s < max(passing.arrival_s + float(rng.uniform(-1.0, 1.0)), 0.1))
    weights = course_weights(passing.times_s, peak, before[:1] if len(before) < 2 else before)
    shares = read_linear(passing.shares, row, column)
    course = (weights @ passing.signal).astype(np.float32)
    if rng.random() < 0.1:  # a frame of proton density was taken for one before contrast
        course[0] *= rng.uniform(1.0, 1.6)
    images = np.tensordot(course, shares, axes=1)
    images *= coil(rng, CROP).astype(np.float32)
    images = _moved(images, weights, passing.times_s, rng)
    if rng.random() < 0.3:
        images = truncated(images, rng).astype(np.float32)
    return vary(_noisy(images, weights, rng), rng)


def _moved(
    images: NDArray[np.float32], weights: NDArray[np.float32], times_s: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Images with the breathing that the correction left, frame by frame and averaged as the frames are."""
    kind = rng.random()
    if kind < 0.35:
        return images
    reach = rng.uniform(0.2, 1.0) if kind < 0.9 else rng.uniform(1.0, 3.0)  # pixels; now and then not corrected at all
    count = len(times_s)
    path = np.cumsum(rng.normal(size=(count, 2)), axis=0) / np.sqrt(count) * 0.7
    breath = np.sin(2 * np.pi * (times_s / rng.uniform(3.0, 6.0) + rng.random()))
    path += breath[:, None] * rng.normal(size=2)
    shift = weights @ ((path - np.median(path, axis=0)) * reach)
    return np.stack([ndimage.shift(i, s, order=1, mode="nearest") for i, s in zip(images, shift)])


def _noisy(images: NDArray[np.float32], weights: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Images with the noise of magnitude pictures, less of it where many frames are averaged, and blurred a little."""
    sigma = np.percentile(images[:, ::4, ::4], 98) * rng.uniform(0.004, 0.06)
    kept = np.sqrt(np.square(weights).sum(axis=1)).reshape(-1, 1, 1)
    noise = rng.standard_normal((2, *images.shape), dtype=np.float32) * (sigma * kept).astype(np.float32)
    noisy = np.hypot(images + noise[0], noise[1])
    blur = rng.uniform(0.0, 0.8)
    return ndimage.gaussian_filter(noisy, (0.0, blur, blur)) if blur > 0.25 else noisy
