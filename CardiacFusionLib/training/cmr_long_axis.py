"""The network of the long-axis views: mitral points and apex, each as a heatmap with 'absent' beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, read_maps
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.long_axis import NAMES
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.cmr_real_vary import shaded
from CardiacFusionLib.training.cmr_walls import CINE, vary
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import PLANE_SPREAD_PX, heatmap_entropy
from CardiacFusionLib.twin.cmr.long_axis import LongAxisSample, long_axis_view
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane
from CardiacFusionLib.walls.long_axis import COARSE_MM, FINE_MM, MODEL, SIZE, close_view

WIDTHS = (8, 16, 40, 80, 112)
CINE_SHARE = 0.65  # the rest are frames of a first pass: blood of the right, of the left, muscle
FINE_SHARE = 0.6  # of the samples are windows about the ventricle, the rest the whole picture
REUSE, WINDOW = 20, 200
STRETCH = 0.1  # SD of the logarithm of the pixel's width, and of its height: other hearts
TURN_DEG, SHIFT_MM, SCALE = 8.0, 7.0, 0.12  # SD: how the first look errs
CROPPED, CUT_OFF = 0.2, 0.2  # of the pictures end somewhere near the heart; just before one of the landmarks
VALIDATION_CASES = 48
FAR_MM = 25.0
AXES = np.eye(3)


@dataclass(frozen=True)
class Shown:
    """One frame (y, x) on square pixels in the standard orientation; ``landmarks`` that it shows and ``ends`` (apex and
    mitral centre, also where they are not shown) as pixel (x, y)."""

    image: NDArray[np.float32]
    spacing_mm: float
    landmarks: Mapping[str, NDArray[np.float64]]
    ends: Mapping[str, NDArray[np.float64]]


@lru_cache(maxsize=WINDOW + 50)
def _view(seed: int) -> LongAxisSample:
    return long_axis_view(seed)


class CmrLongAxisTask:
    """Whole pictures and windows about the ventricle, as the wall stage looks at them; ``marks`` in pixels."""

    name = MODEL
    batch_size = 8
    learning_rate = 2e-3
    validate_every_s = 240.0

    def build(self) -> nn.Module:
        """A fresh network: a place map and an 'absent' map for each landmark."""
        return ChamberUNet(1, 2 * len(NAMES), WIDTHS, dimensions=2)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``image`` (1, row, column) float32; ``marks`` (landmark, 2) float32 pixel (row, column), NaN where absent;
        ``pixel_mm`` () float32."""
        rng = np.random.default_rng((seed, 43))
        at = self.source(seed, rng)
        fine = bool(rng.random() < FINE_SHARE)
        return self._sample(self.shown(at, rng), rng, fine=fine)

    def source(self, seed: int, rng: np.random.Generator) -> int:
        """The number of the view behind a sample: one of a window of views, each drawn several times."""
        return seed if seed >= VALIDATION_SEED else seed // REUSE + int(rng.integers(0, WINDOW))

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        """A frame of a view."""
        drawn = _view(number)
        channel = CINE if rng.random() < CINE_SHARE else int(rng.integers(1, CINE))
        return Shown(drawn.channels[channel], drawn.spacing_mm, drawn.landmarks, drawn.ends)

    def _sample(self, drawn: Shown, rng: np.random.Generator, *, fine: bool) -> dict[str, NDArray[Any]]:
        image = np.array(drawn.image)
        low, high = _cropped(image, drawn, rng)
        across, down = drawn.spacing_mm * np.exp(rng.normal(0.0, STRETCH, 2))
        pose = SlicePose((0.0, 0.0, 0.0), AXES, (float(across), float(down)), 6.0)
        view = _look(drawn, pose, rng, fine=fine)
        shown = vary(read_plane(image[None], pose, AXES, view), rng)
        if rng.random() < 0.3:
            shown = shaded(shown, view.pixel_mm, rng)
        marks = np.full((len(NAMES), 2), np.nan, np.float32)
        for k, name in enumerate(NAMES):
            place = drawn.landmarks.get(name)
            if place is not None and np.all(place >= low) and np.all(place <= high):
                at = view.pixels(pose.points_lps(place)[:2])
                if np.all((at > 0) & (at < SIZE - 1)):
                    marks[k] = at
        pixel = np.array(view.pixel_mm, np.float32)
        return {"image": even_out(shown, view.pixel_mm), "marks": marks, "pixel_mm": pixel}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Cross-entropy between the softmax over all places and 'absent', and a spot about the true place."""
        return heatmap_entropy(network(batch["image"]), batch["marks"], PLANE_SPREAD_PX), {}

    def validate(self, network: nn.Module) -> Metrics:
        """On views of unseen hearts, whole and near: distance in mm of landmarks that are there, and how often 'there
        or not' is told rightly. ``score``: the negative distance in near windows, far ones all alike."""
        device = next(network.parameters()).device
        figures: Metrics = {}
        for kind in ("near", "whole"):
            away: dict[str, list[float]] = {name: [] for name in NAMES}
            right: list[bool] = []
            for seed in range(VALIDATION_SEED, VALIDATION_SEED + VALIDATION_CASES):
                rng = np.random.default_rng((seed, 43))
                drawn = self._sample(self.shown(self.source(seed, rng), rng), rng, fine=kind == "near")
                scores = network(torch.from_numpy(drawn["image"])[None].to(device))[0].double().cpu().numpy()
                for name, seen, mark in zip(NAMES, read_maps(scores, PLANE_REACH_PX), drawn["marks"]):
                    there = bool(np.isfinite(mark).all())
                    right.append((seen.belief > 0.5) == there)
                    if there:
                        away[name].append(float(np.linalg.norm(seen.place - mark) * drawn["pixel_mm"]))
            figures |= {f"{kind}_{name}_mm": float(np.mean(v)) for name, v in away.items() if v}
            every = np.concatenate([np.array(v) for v in away.values()])
            figures |= {
                f"{kind}_median_mm": float(np.median(every)),
                f"{kind}_within_10mm": float(np.mean(every < 10.0)),
                f"{kind}_presence": float(np.mean(right)),
            }
            if kind == "near":
                figures["score"] = -float(np.minimum(every, FAR_MM).mean())
        return figures

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"inputs": 1, "classes": 2 * len(NAMES), "widths": list(WIDTHS), "dimensions": 2}
        return {
            "version": "1",
            "architecture": {"network": "chamber_unet:ChamberUNet", "kwargs": kwargs},
            "input": {
                "grid": "any; trained on 96 x 96",
                "scale": "local root mean square; first the whole picture at 2.6 mm, then the LV 54 pixels long",
                "channels": ["one cine or perfusion frame"],
            },
            "data": "digital twin, long-axis CMR views (synthetic); no real image",
        }


def _cropped(image: NDArray[np.float32], drawn: Shown, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Blackens what lies beyond a random field of view, in place; its first and last pixel (x, y). Some fields end
    just before a landmark, so that the network learns not to guess it."""
    size = np.array(image.shape[::-1])
    low, high = np.zeros(2), size - 1.0
    kind = float(rng.random())
    if kind < CROPPED:
        low = np.floor(rng.uniform(0.0, 0.42, 2) * (rng.random(2) < 0.5) * size)
        high = np.ceil((1.0 - rng.uniform(0.0, 0.42, 2) * (rng.random(2) < 0.5)) * (size - 1))
    elif kind < CROPPED + CUT_OFF and drawn.landmarks:
        place = drawn.landmarks[str(rng.choice(sorted(drawn.landmarks)))]
        away = place - (drawn.ends["apex"] + drawn.ends["base"]) / 2
        side = int(np.argmax(np.abs(away)))
        edge = np.clip(place[side] - np.sign(away[side]) * rng.uniform(-3.0, 25.0), 0.2 * size[side], 0.8 * size[side])
        if away[side] < 0:
            low[side] = np.ceil(edge)
        else:
            high[side] = np.floor(edge)
    if kind < CROPPED + CUT_OFF:
        kept = np.zeros(image.shape, bool)
        kept[int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1] = True
        image[~kept] = 0.0
    return low, high


def _look(drawn: Shown, pose: SlicePose, rng: np.random.Generator, *, fine: bool) -> View:
    """A window that is a little wrong: as the second look after the first one, or as the first one."""
    apex, base = (pose.points_lps(drawn.ends[name])[:2] for name in ("apex", "base"))
    wild = 2.5 if rng.random() < 0.15 else 1.0
    if fine and np.linalg.norm(apex - base) > 45.0:
        view = close_view(apex, base)
        return View(
            view.centre_uv_mm + rng.normal(0.0, wild * SHIFT_MM, 2),
            SIZE,
            view.angle_deg + float(rng.normal(0.0, wild * TURN_DEG)),
            float(np.clip(view.pixel_mm * np.exp(rng.normal(0.0, SCALE)), *FINE_MM)),
        )
    turn = float(rng.uniform(-180.0, 180.0) if rng.random() < 0.12 else rng.normal(0.0, 20.0))
    middle = (apex + base) / 2 + rng.uniform(-60.0, 60.0, 2)
    return View(middle, SIZE, turn, COARSE_MM * float(np.exp(rng.normal(0.0, SCALE))))
