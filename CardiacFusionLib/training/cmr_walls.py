"""The CMR wall network: LV cavity, myocardium and RV from the phases of a first pass, or from a single frame."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import dice_per_class, label_loss
from CardiacFusionLib.twin.cmr.training import CmrSample, cmr_training_slice
from CardiacFusionLib.walls.cmr_input import CHANNELS, PIXEL_MM, even_out

WIDTHS = (16, 32, 64, 128, 160)
CROP = 112  # pixels a side of a training picture (168 mm): the network takes any grid, small ones train faster
SOURCE_SIZE = 144  # pixels a side of the drawn slice: wider than the crop, so that turning leaves few empty corners
SERIES_SHARE = 0.4  # of the samples show a first pass
CINE_SHARE = 0.4  # show one cine frame; the rest show one perfusion frame
# ... in which the LV's blood is brighter than the muscle (of ``twin.cmr.training.CHANNELS``). Before that, a dark disc
# beside a bright RV is cavity and wall; learning to see a cavity in it makes one in the thick muscle of a cine frame
LIT = (2, 3)
CINE = 4
VALIDATION_CASES = 40
REUSE = 4  # crops drawn of each slice: making a slice costs several times as much as a training step
WINDOW = 250  # slices from which the next crop is drawn, so that a batch mixes hearts


@lru_cache(maxsize=WINDOW + 50)
def _slice(seed: int) -> CmrSample:
    """A drawn slice, kept for reuse by this process."""
    return cmr_training_slice(seed, SOURCE_SIZE)


def turned_places(
    rng: np.random.Generator, size: int, *, wide: bool, turned_share: float = 0.4
) -> tuple[NDArray[np.float64], bool]:
    """Where the pixels of a turned, mirrored, scaled, shifted and gently bent window lie: (x, y) in mm about the middle
    of the slice, shape (2, size, size), and whether it is mirrored. ``wide``: any scale, as pictures without a pixel
    size have. ``turned_share`` of the windows are turned by any angle. Now and then the heart lies at the edge.
    """
    angle = rng.uniform(-180, 180) if rng.random() < turned_share else rng.normal(0, 15)
    mirror = -1.0 if rng.random() < 0.15 else 1.0
    scale = float(np.exp(rng.uniform(-0.5, 0.45) if wide else rng.normal(0, 0.12)))
    stretch = float(np.exp(rng.normal(0, 0.05)))
    reach = 45.0 if rng.random() < 0.2 else 12.0
    shift = rng.uniform(-reach, reach, 2)
    step = (np.arange(size) - (size - 1) / 2) * PIXEL_MM
    v, u = np.meshgrid(step, step, indexing="ij")
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    x = (c * u * mirror - s * v) * scale * stretch + shift[0]
    y = (s * u * mirror + c * v) * scale / stretch + shift[1]
    return np.stack([x, y]), mirror < 0


def bent(places: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Places (2, size, size) of a window, half of the time with a gentle bend of a few millimetres."""
    if rng.random() < 0.5:
        bend = rng.normal(0, 1, (2, 6, 6)) * rng.uniform(0, 2.5)
        size = places.shape[-1]
        return np.stack([p + ndimage.zoom(b, size / 6, order=3, mode="nearest") for p, b in zip(places, bend)])
    return places


def turned_window(
    images: NDArray[np.floating],
    labels: NDArray[np.uint8],
    spacing_mm: float,
    rng: np.random.Generator,
    *,
    wide: bool,
    centre_xy: NDArray[np.floating] | None = None,
) -> tuple[NDArray, NDArray]:
    """Images (channel, y, x) and labels (y, x) in a bent window of :func:`turned_places` on the network's grid.

    It lies about ``centre_xy`` (pixels, default the middle).
    """
    middle = (np.array(images.shape[:0:-1]) - 1) / 2 if centre_xy is None else centre_xy
    x, y = bent(turned_places(rng, CROP, wide=wide)[0], rng)
    at = [y / spacing_mm + middle[1], x / spacing_mm + middle[0]]
    shown = np.stack([ndimage.map_coordinates(i, at, order=1, mode="constant") for i in images])
    return shown, ndimage.map_coordinates(labels, at, order=0, mode="constant")


def vary(images: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Other contrast curves, resolutions, window settings and artefacts; same shape."""
    level = max(float(np.percentile(images, 99)), 1e-6)
    x = np.clip(images / level, 0, 3.0)
    if rng.random() < 0.5:
        x = x ** rng.uniform(0.6, 1.6)
    if rng.random() < 0.3:
        x = np.clip(x - rng.uniform(0, 0.08), 0, None)
    if rng.random() < 0.2:  # eight-bit export with a tight window
        x = np.minimum(x, rng.uniform(0.5, 1.0))
    if rng.random() < 0.3:
        x = ndimage.gaussian_filter(x, (0, *[rng.uniform(0.3, 1.0)] * 2))
    if rng.random() < 0.15:  # ghost along the phase-encoding direction
        x = x + rng.uniform(0.02, 0.12) * np.roll(x, int(rng.integers(20, 100)), axis=int(rng.integers(1, 3)))
    if rng.random() < 0.3:
        x = np.abs(x + rng.normal(0, rng.uniform(0.005, 0.04), x.shape))
    return np.asarray(x, dtype=np.float32)


class CmrWallsTask:
    """Slices of random hearts, as the four phases of a first pass or as one frame in all four channels."""

    name = "cmr_walls"
    batch_size = 8
    learning_rate = 1.2e-3
    validate_every_s = 420.0
    validation_cases = VALIDATION_CASES

    def build(self) -> nn.Module:
        """A fresh network."""
        return ChamberUNet(CHANNELS, CMR_LABEL_COUNT, WIDTHS, dimensions=2)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``image`` (4, y, x) float32 as the network sees it, ``labels`` (1, y, x) int64."""
        rng = np.random.default_rng((seed, 1))
        kind = "series" if rng.random() < SERIES_SHARE else "frame"
        return self._sample(seed // REUSE + int(rng.integers(0, WINDOW)), rng, kind)

    def _sample(self, seed: int, rng: np.random.Generator, kind: str) -> dict[str, NDArray[Any]]:
        drawn = _slice(seed)
        if kind == "series":
            chosen = drawn.channels[:4]
        else:
            cine = rng.random() < CINE_SHARE / (1 - SERIES_SHARE)
            chosen = drawn.channels[[CINE if cine else int(rng.choice(LIT))]]
        # single frames often come without a pixel size
        wide = rng.random() < (0.4 if kind == "frame" else 0.15)
        images, labels = turned_window(chosen, drawn.labels, drawn.spacing_mm, rng, wide=wide)
        images = vary(images, rng)
        if len(images) == 1:
            images = np.repeat(images, CHANNELS, axis=0)
        return {"image": even_out(images), "labels": labels[None].astype(np.int64)}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy."""
        return self.synthetic_loss(network(batch["image"]), batch["labels"]), {}

    def synthetic_loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Dice + cross-entropy of class scores (n, class, y, x) and labels (n, 1, y, x) that know every class."""
        value: Tensor = label_loss(CMR_LABEL_COUNT)(scores, labels)
        return value

    def validate(self, network: nn.Module) -> Metrics:
        """Dice of all slices of unseen hearts, pooled, for first pass and cine; ``score`` is the mean for the LV."""
        figures: Metrics = {}
        device = next(network.parameters()).device
        for kind in ("series", "frame"):
            found, truth = [], []
            for start in range(0, self.validation_cases, 8):
                seeds = range(VALIDATION_SEED + start, VALIDATION_SEED + min(start + 8, self.validation_cases))
                drawn = [self._sample(s, np.random.default_rng((s, 1)), kind) for s in seeds]
                batch = torch.from_numpy(np.stack([d["image"] for d in drawn])).to(device)
                found.append(network(batch).argmax(1).cpu())
                truth.append(torch.from_numpy(np.concatenate([d["labels"] for d in drawn])))
            scores = dice_per_class(torch.cat(found), torch.cat(truth), CMR_LABEL_COUNT)
            names = ("cavity_dice", "myocardium_dice", "rv_dice")
            figures |= {f"{kind}_{name}": float(v) for name, v in zip(names, scores)}
        lv = [v for k, v in figures.items() if "rv" not in k]
        return {"score": float(np.mean(lv)), **figures}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"inputs": CHANNELS, "classes": CMR_LABEL_COUNT, "widths": list(WIDTHS), "dimensions": 2}
        return {
            "version": "1",
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {
                "grid": "any",
                "spacing_mm": PIXEL_MM,
                "channels": ["baseline", "rv_peak", "lv_peak", "myocardium"],
                "scale": "local root mean square",
            },
            "data": "digital twin, CMR slices (synthetic); no real image",
        }
