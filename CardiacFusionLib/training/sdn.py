"""The nonrigid SDN: pairs of label pictures of one heart, as CT and CMR would outline it, at different phases."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from CardiacFusionLib.networks.sdn import NonrigidSdn, warp
from CardiacFusionLib.registration.deformation import folded_share, from_maps, one_hot, wall_dice, warp_maps
from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.mistakes import outlined
from CardiacFusionLib.twin.cmr.training import label_slice, upright_plane
from CardiacFusionLib.twin.heart.anatomy import Heart

WIDTHS = (16, 32, 48, 64, 64)
REUSE = 8  # pairs drawn of each pair of cuts, with other errors
WINDOW = 120
VALIDATION_CASES = 32
SMOOTHNESS = 0.6  # weight of the squared gradient of the displacement against one unit of Dice
SHIFT_SD_MM, ROLL_SD_DEG = 3.0, 5.0  # what pairing leaves in the plane
HEIGHT_SD_MM = 4.0  # and along the axis


@lru_cache(maxsize=WINDOW + 20)
def _cuts(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels of the CT (fixed) and of the CMR (moving) of a heart on the common grid, errors of pairing along z."""
    rng = np.random.default_rng((seed, 7))
    heart = Heart.draw(rng)
    ct = heart.at_phase(float(np.clip(rng.normal(0.1, 0.15), 0, 1)))
    cmr = heart.at_phase(float(rng.uniform(0, 1)))
    level = float(rng.uniform(0.02, 1.0))
    pictures = []
    for one, error in ((ct, 0.0), (cmr, float(rng.normal(0, HEIGHT_SD_MM)))):
        tip, base = one.landmarks["lv_cavity_tip"][2], one.landmarks["base"][2]
        z = tip + level * (base - tip) + error
        plane = upright_plane(z, GRID_SHAPE[0], GRID_SPACING_MM)
        pictures.append(label_slice(one, plane, GRID_SHAPE[0]))
    return pictures[0], pictures[1]


def _placed(labels: NDArray[np.uint8], rng: np.random.Generator, rigid: float, wobble_mm: float) -> NDArray[np.uint8]:
    """Labels moved by a rigid error (``rigid`` times the usual) and a smooth wobble of the outline."""
    angle = np.deg2rad(rng.normal(0, ROLL_SD_DEG * rigid))
    shift = rng.normal(0, SHIFT_SD_MM * rigid, 2)
    scale = float(np.exp(rng.normal(0, 0.04 * rigid)))
    half = (GRID_SHAPE[0] - 1) / 2
    y, x = np.mgrid[0 : GRID_SHAPE[0], 0 : GRID_SHAPE[1]].astype(float) - half
    c, s = np.cos(angle), np.sin(angle)
    bend = [
        ndimage.zoom(rng.normal(0, wobble_mm, (8, 8)), GRID_SHAPE[0] / 8, order=3, mode="nearest") for _ in range(2)
    ]
    to = np.stack([(c * x - s * y) * scale + shift[0] + bend[0] - x, (s * x + c * y) * scale + shift[1] + bend[1] - y])
    return from_maps(warp_maps(one_hot(labels), to))


def _soft_dice(a: Tensor, b: Tensor) -> Tensor:
    """1 − Dice (n, class), 0 where a class lacks in either picture (what is not there cannot be matched)."""
    inter, total = (a * b).sum((2, 3)), (a + b).sum((2, 3))
    present = (a.sum((2, 3)) > 20) & (b.sum((2, 3)) > 20)
    return (1 - 2 * inter / total.clamp_min(1.0)) * present


def _roughness(u: Tensor) -> Tensor:
    return (u.diff(dim=2) ** 2).mean() + (u.diff(dim=3) ** 2).mean()


class SdnTask:
    """Cuts of one random heart at two phases, with errors of pairing and outlining."""

    name = "sdn"
    batch_size = 8
    learning_rate = 1e-3
    validate_every_s = 120.0

    def build(self) -> nn.Module:
        """A fresh network."""
        return NonrigidSdn(3, WIDTHS)

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """``fixed`` and ``moving`` class maps (3, y, x) float32."""
        rng = np.random.default_rng((seed, 3))
        return self._sample(seed // REUSE + int(rng.integers(0, WINDOW)), rng)

    def _sample(self, base: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        fixed, moving = _cuts(base)
        turn = float(rng.uniform(0.3, 1.0))  # the CT's frame has errors too: both are moved
        fixed = outlined(_placed(fixed, rng, turn, 0.4), rng)
        moving = outlined(_placed(moving, rng, 1.0, 1.2), rng)
        return {"fixed": one_hot(fixed), "moving": one_hot(moving)}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice of cavity, wall (twice) and RV, both ways, and the squared gradient of the displacement."""
        fixed, moving = batch["fixed"], batch["moving"]
        there, back = network(fixed, moving)
        weights = torch.tensor([1.0, 2.0, 1.0], device=fixed.device) / 4
        overlap = (_soft_dice(warp(moving, there), fixed) * weights).sum(1).mean()
        overlap_back = (_soft_dice(warp(fixed, back), moving) * weights).sum(1).mean()
        rough = _roughness(there) + _roughness(back)
        value = (overlap + overlap_back) / 2 + SMOOTHNESS * rough / 2
        return value, {"overlap": float(overlap.detach()), "rough": float(rough.detach())}

    def validate(self, network: nn.Module) -> Metrics:
        """Wall Dice before and after, and folding, on unseen hearts; ``score`` is Dice after less what folds."""
        before, after, folded = [], [], []
        device = next(network.parameters()).device
        for seed in range(VALIDATION_SEED, VALIDATION_SEED + VALIDATION_CASES):
            drawn = self._sample(seed, np.random.default_rng((seed, 3)))
            pair = [torch.from_numpy(drawn[k])[None].to(device) for k in ("fixed", "moving")]
            there = network(*pair)[0][0].float().cpu().numpy() * GRID_SPACING_MM
            fixed, moving = (from_maps(drawn[k]) for k in ("fixed", "moving"))
            if min((fixed == Label.MYOCARDIUM).sum(), (moving == Label.MYOCARDIUM).sum()) < 100:
                continue
            before.append(wall_dice(fixed, moving))
            after.append(wall_dice(fixed, from_maps(warp_maps(drawn["moving"], there))))
            folded.append(folded_share(there))
        score = float(np.mean(after)) - 10 * float(np.mean(folded))
        return {
            "score": score,
            "wall_dice_before": float(np.mean(before)),
            "wall_dice": float(np.mean(after)),
            "folded_share": float(np.mean(folded)),
        }

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "version": "1",
            "architecture": {"network": "sdn:NonrigidSdn", "kwargs": {"classes": 3, "widths": list(WIDTHS)}},
            "input": {"grid": list(GRID_SHAPE), "spacing_mm": GRID_SPACING_MM, "classes": ["cavity", "wall", "rv"]},
            "data": "digital twin, label pictures of one heart at two phases (synthetic)",
        }
