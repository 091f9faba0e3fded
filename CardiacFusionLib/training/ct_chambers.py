"""The chamber network: eight labels on a 4 mm cube of chest CT, whatever way the heart lies in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CardiacFusionLib.models.cubes import normalised_hu
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT, Label
from CardiacFusionLib.training.augment import cut_field, vary_ct
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import dice_per_class, label_loss

CUBE = 48
SPACING_MM = 4.0
WIDTHS = (8, 16, 32, 64)
VALIDATION_CASES = 8
WINDOW = 64  # hearts in turn before the first is shown again


@dataclass(frozen=True)
class DrawnHeart:
    """One synthetic heart on a cube (z, y, x): ``image`` in HU, ``labels``, and, for a network that is given another's
    opinion, that ``prior`` as probabilities of the labels 1.. (label, z, y, x)."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    prior: NDArray[np.float32] | None = None


class CtLabelTask(ABC):
    """What the chamber and the wall network share: an image cube in, eight labels out."""

    name = "ct_labels"
    version = "0.4.0"
    batch_size = 2
    learning_rate = 6e-3
    validate_every_s = 180.0
    widths: tuple[int, ...] = WIDTHS
    inputs = 1
    reuse = 1  # times a drawn heart is shown, each time as another scanner would show it

    def __init__(self) -> None:
        self._validation: list[Mapping[str, NDArray[Any]]] = []
        self._drawn: OrderedDict[int, DrawnHeart] = OrderedDict()

    def build(self) -> nn.Module:
        """A fresh U-Net."""
        return ChamberUNet(self.inputs, CT_LABEL_COUNT, self.widths)

    @abstractmethod
    def draw(self, seed: int) -> DrawnHeart:
        """One synthetic heart."""

    def sample(self, seed: int) -> Mapping[str, NDArray[Any]]:
        """``image`` (channels, z, y, x) normalised, ``labels`` (1, z, y, x)."""
        block, place = divmod(seed, WINDOW * self.reuse)
        heart = block * WINDOW * self.reuse + place % WINDOW
        if heart not in self._drawn:
            self._drawn[heart] = self.draw(heart)
            if len(self._drawn) > WINDOW:
                self._drawn.popitem(last=False)
        return self.arrays(self._drawn[heart], np.random.default_rng([seed, 77]))

    def arrays(self, heart: DrawnHeart, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """What the network is given and must answer."""
        image, labels = cut_field(vary_ct(heart.image, rng), heart.labels, rng)
        return {"image": normalised_hu(image)[None], "labels": labels[None]}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy."""
        value: Tensor = label_loss(CT_LABEL_COUNT)(network(batch["image"]), batch["labels"].long())
        return value, {}

    def validate(self, network: nn.Module) -> Metrics:
        """Dice of each label on unseen hearts; ``score`` is their mean with cavity and myocardium counted twice."""
        if not self._validation:
            self._validation = [self.sample(VALIDATION_SEED + k) for k in range(VALIDATION_CASES)]
        rows = []
        device = next(network.parameters()).device
        for case in self._validation:
            found = network(torch.from_numpy(case["image"])[None].to(device)).argmax(1).cpu()
            truth = torch.from_numpy(case["labels"]).long()
            rows.append(dice_per_class(found, truth, CT_LABEL_COUNT).numpy())
        dice = np.nanmean(np.stack(rows), axis=0)
        figures = {label.name.lower(): float(dice[label - 1]) for label in Label if label}
        return {"score": float((dice.sum() + dice[0] + dice[1]) / (len(dice) + 2)), **figures}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "version": self.version,
            "architecture": {
                "network": "chamber_unet:ChamberUNet",
                "kwargs": {"inputs": self.inputs, "classes": CT_LABEL_COUNT, "widths": list(self.widths)},
            },
            "data": "synthetic hearts of the digital twin only",
        }


class CtChambers(CtLabelTask):
    """Cubes of 48 x 4 mm, axes along patient LPS; half of the patients lie turned, as far as 40 degrees."""

    name = "ct_chambers"
    reuse = 2

    def draw(self, seed: int) -> DrawnHeart:
        """See :class:`CtLabelTask`."""
        from CardiacFusionLib.twin.ct.sampling import ct_turned_sample

        drawn = ct_turned_sample(seed, shape=(CUBE,) * 3, spacing_mm=SPACING_MM)
        return DrawnHeart(drawn.image, drawn.labels)

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {**super().facts(), "input": {"cube": CUBE, "spacing_mm": SPACING_MM, "axes": "LPS", "unit": "HU"}}
