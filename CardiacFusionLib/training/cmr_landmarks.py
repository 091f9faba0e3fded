"""The stack landmark network: outlined short-axis stacks with slices left out, and where apex and base truly lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from CardiacFusionLib.networks.stack_landmarks import StackLandmarks
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.mistakes import outlined
from CardiacFusionLib.twin.cmr.plan import THREE_LEVELS
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.placement import draw_pose
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL
from CardiacFusionLib.walls.stack_input import FACT_COUNT, SliceMeasures, centre_of, facts_of, measure_slice
from CardiacFusionLib.walls.stack_landmarks import NAMES

WINDOW, PIXEL_MM = 64, 2.0  # the cuts
MOST_SLICES = 12
PLANNED = 0.5  # share of stacks planned as for perfusion; the others are what is left of a cine stack
REUSE = 40  # times a stack is shown, with other errors and other slices left out
HELD = 400  # stacks in turn
UNUSUAL = 0.35
TILT_DEG = 5.0  # SD of the planned normal about each axis
VALIDATION_CASES = 96


@dataclass(frozen=True)
class DrawnStack:
    """Labels (slice, y, x) on a grid of ``PIXEL_MM``, heights (slice,), and landmarks (3, 3): standard axes, mm."""

    labels: NDArray[np.uint8]
    height_mm: NDArray[np.float64]
    marks_mm: NDArray[np.float64]


@lru_cache(maxsize=HELD + 200)
def draw_stack(seed: int) -> DrawnStack:
    """A stack of parallel cuts through a random heart in a random phase."""
    rng = np.random.default_rng((seed, 11))
    heart = Heart.draw(rng, UNUSUAL).at_phase(float(rng.uniform(0, 1)))
    pose = draw_pose(rng, heart)
    tip, base = float(heart.landmarks["lv_cavity_tip"][2]), float(heart.landmarks["base"][2])
    tilt = Rotation.from_rotvec(np.deg2rad([*rng.normal(0, TILT_DEG, 2), 0.0])).as_matrix()
    axes = canonical_axes(pose.heart_to_lps[:3, :3] @ tilt[:, 2])
    to_heart = pose.lps_to_heart[:3, :3] @ axes  # standard axes -> heart frame, directions
    heights = tip + _levels(rng, base - tip) * (base - tip)
    centres = np.concatenate([heart.lv_centre(heights), heights[:, None]], axis=1)
    middle = centres.mean(axis=0)
    # parallel planes through the axis at these heights, one window for all of them
    along = (centres - middle) @ to_heart[:, 2]
    step = (np.arange(WINDOW) - (WINDOW - 1) / 2) * PIXEL_MM
    v, u = np.meshgrid(step, step, indexing="ij")
    cuts = [TISSUE_TO_LABEL[heart.tissue(_points(u, v, z, to_heart, middle))] for z in along]
    marks = np.stack([(heart.landmarks[name] - middle) @ to_heart for name in NAMES])
    return DrawnStack(np.stack(cuts), along, marks)


def _points(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    z: float,
    to_heart: NDArray[np.float64],
    middle: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.stack([u, v, np.full_like(u, z)], axis=-1) @ to_heart.T + middle


def _levels(rng: np.random.Generator, length_mm: float) -> NDArray[np.float64]:
    """Levels (0 tip of the cavity, 1 base) of a stack as operators plan it, or of a cine stack from base to tip."""
    if rng.random() < PLANNED:
        gap = (THREE_LEVELS[0] - THREE_LEVELS[-1]) / 2 * float(np.exp(rng.normal(0, 0.15)))
        return THREE_LEVELS[1] + rng.normal(0, 0.06) + gap * np.array([1.0, 0.0, -1.0])
    step = float(rng.uniform(6.0, 20.0)) / length_mm
    top = 1.0 + float(rng.uniform(-0.4, 0.25))
    count = int(np.clip(np.ceil((top + float(rng.uniform(-0.3, 0.2))) / step), 1, MOST_SLICES))
    return np.asarray(top - step * np.arange(count))


class CmrLandmarksTask:
    """Stacks of label pictures: some slices left out, outlines with errors, breath-holds that do not match."""

    name = "cmr_landmarks"
    batch_size = 64
    learning_rate = 2e-3
    validate_every_s = 60.0

    def build(self) -> nn.Module:
        """A fresh network."""
        return StackLandmarks(FACT_COUNT, len(NAMES))

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``facts`` (slice, fact), ``height`` and ``there`` (slice,), ``marks`` (landmark, 3), float32."""
        rng = np.random.default_rng((seed, 12))
        return self._sample(seed // REUSE + int(rng.integers(0, HELD)), rng)

    def _sample(self, stack: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        drawn = draw_stack(stack)
        kept = self._kept(len(drawn.labels), rng)
        wrong = rng.random() < 0.75
        slices = [measure_slice(outlined(one, rng) if wrong else one, (PIXEL_MM,) * 2) for one in drawn.labels[kept]]
        apart = float(rng.choice([0.0, 1.5]))  # breath-holds, slice by slice
        slices = [_away(one, rng.normal(0, apart, 2) - (WINDOW - 1) / 2 * PIXEL_MM) for one in slices]
        found = centre_of(slices)
        middle = np.array([*(np.zeros(2) if found is None else found), drawn.height_mm[kept].mean()])
        facts = np.zeros((MOST_SLICES, FACT_COUNT), np.float32)
        height = np.zeros(MOST_SLICES, np.float32)
        there = np.zeros(MOST_SLICES, np.float32)
        facts[: len(kept)] = [facts_of(one, middle[:2]) for one in slices]
        height[: len(kept)] = drawn.height_mm[kept] - middle[2]
        there[: len(kept)] = 1.0
        marks = (drawn.marks_mm - middle).astype(np.float32)
        return {"facts": facts, "height": height, "there": there, "marks": marks}

    def _kept(self, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Slices that are left: all, or a run of them."""
        if count <= 1 or rng.random() < 0.5:
            return np.arange(count)
        left = int(rng.integers(1, count + 1))
        first = int(rng.integers(0, count - left + 1))
        return np.arange(first, first + left)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Negative logarithm of a Laplace density a coordinate: a few hopeless stacks do not lead."""
        place, spread = network(batch["facts"], batch["height"], batch["there"])
        away = (place - batch["marks"]).abs()
        value = (away / spread + spread.log()).mean()
        return value, {"mm": float(away.pow(2).sum(-1).sqrt().mean().detach())}

    def validate(self, network: nn.Module) -> Metrics:
        """Mean distance in mm on unseen stacks, of three slices by themselves too; ``score`` is its negative."""
        device = next(network.parameters()).device
        far: dict[int, list[NDArray[np.float64]]] = {}
        for seed in range(VALIDATION_SEED, VALIDATION_SEED + VALIDATION_CASES):
            drawn = self._sample(seed, np.random.default_rng((seed, 12)))
            given = [torch.from_numpy(drawn[k])[None].to(device) for k in ("facts", "height", "there")]
            place = network(*given)[0][0].cpu().numpy()
            far.setdefault(int(drawn["there"].sum()), []).append(np.linalg.norm(place - drawn["marks"], axis=1))
        whole = np.concatenate(list(far.values()))
        figures = {f"{name}_mm": float(value) for name, value in zip(NAMES, whole.mean(axis=0))}
        three = np.array(far.get(3, [[np.nan] * len(NAMES)]))
        return {"score": -float(whole.mean()), **figures, "three_slices_mm": float(three.mean())}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        kwargs = {"facts": FACT_COUNT, "landmarks": len(NAMES)}
        return {
            "version": "1",
            "architecture": {"network": "stack_landmarks:StackLandmarks", "kwargs": kwargs},
            "input": {"facts": "walls.stack_input.facts_of", "classes": ["cavity", "wall", "rv"]},
            "data": "digital twin, label pictures of short-axis stacks (synthetic); no real image",
        }


def _away(one: SliceMeasures, by_mm: NDArray[np.float64]) -> SliceMeasures:
    lv, rv = (None if c is None else c + by_mm for c in (one.lv_mm, one.rv_mm))
    return replace(one, lv_mm=lv, rv_mm=rv)
