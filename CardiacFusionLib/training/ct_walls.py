"""The wall network: sharper labels on a 2 mm upright cube from the CT and the coarse chamber labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from CardiacFusionLib.models.cubes import normalised_hu, probabilities
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.reorientation.chambers import fine_labels
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.augment import cut_field, vary_ct
from CardiacFusionLib.training.ct_chambers import CUBE as CHAMBER_CUBE
from CardiacFusionLib.training.ct_chambers import SPACING_MM as CHAMBER_MM
from CardiacFusionLib.training.ct_chambers import CtLabelTask, DrawnHeart
from CardiacFusionLib.training.harness import Batch, Metrics
from CardiacFusionLib.training.losses import wall_loss
from CardiacFusionLib.training.mistakes import marred
from CardiacFusionLib.twin.ct.sampling import CtSample, ct_pair_sample

CUBE = 64
SPACING_MM = 2.0
COARSE = 2  # the chamber network's voxels are as many times as large
SEEN_SHARE = 0.6  # share of hearts whose prior is what ct_chambers made of them; the others' is marred truth
NO_PRIOR = 0.12  # share of samples without a prior, so that the image itself is read


class CtWallsTask(CtLabelTask):
    """Cubes of 64 x 2 mm, axes along a heart frame that is a few degrees and millimetres wrong.

    Beside the CT the network is shown the coarse labels (one channel each, without background): it needs to learn
    where borders truly run, not what a heart is. In training they come from ``ct_chambers`` itself, or they are the
    truth at 4 mm with errors.
    """

    name = "ct_walls"
    version = "0.5.0"
    inputs = CT_LABEL_COUNT
    reuse = 6

    def draw(self, seed: int) -> DrawnHeart:
        """See :class:`CtLabelTask`."""
        rng = np.random.default_rng([seed, 8])
        given = rng.random() < SEEN_SHARE
        fine, coarse = ct_pair_sample(
            seed, (CUBE,) * 3, SPACING_MM, 5.0, 6.0, coarse=(CHAMBER_CUBE, CHAMBER_MM) if given else None
        )
        prior = marred_prior(fine.labels, rng) if coarse is None else chamber_prior(fine, coarse, rng)
        return DrawnHeart(fine.image, fine.labels, prior)

    def arrays(self, heart: DrawnHeart, rng: np.random.Generator) -> Mapping[str, NDArray[Any]]:
        """``image`` (8, z, y, x): CT and coarse labels; ``labels`` (1, z, y, x)."""
        assert heart.prior is not None  # draw() gives one
        prior = heart.prior if rng.random() > NO_PRIOR else np.zeros_like(heart.prior)
        image = normalised_hu(vary_ct(heart.image, rng))
        return {"image": np.concatenate([image[None], prior]), "labels": heart.labels[None]}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy with the left ventricle's borders emphasised."""
        value: Tensor = wall_loss(network(batch["image"]), batch["labels"].long())
        return value, {}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        facts = super().facts()
        facts["input"] = {"cube": CUBE, "spacing_mm": SPACING_MM, "axes": "heart", "unit": "HU and coarse labels"}
        return facts


def chamber_prior(fine: CtSample, coarse: CtSample, rng: np.random.Generator) -> NDArray[np.float32]:
    """What ``ct_chambers`` labels in the coarse cube, read on the fine one: labels 1.. with soft edges."""
    image, _ = cut_field(vary_ct(coarse.image, rng), coarse.labels, rng)
    found = probabilities(load("ct_chambers", "cpu"), normalised_hu(image)[None, None])[0]
    return label_channels(fine_labels(found, coarse.volume), fine.volume)


def label_channels(labels: Volume, grid: Volume) -> NDArray[np.float32]:
    """Labels 1.. of a label volume as one channel each on another grid (label, z, y, x), edges interpolated."""
    channels = [
        resample_to(labels.with_array((labels.array == label).astype(np.float32)), grid).array
        for label in range(1, CT_LABEL_COUNT)
    ]
    return np.stack(channels).astype(np.float32)


def marred_prior(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """The true labels as a chamber network at twice the voxel size might have given them (label, z, y, x)."""
    offset = rng.integers(0, COARSE, 3)  # the coarse grid may lie anywhere against the fine one
    z, y, x = (int(o) for o in offset)
    small = marred(labels[z::COARSE, y::COARSE, x::COARSE], rng)
    # fine voxel i lies at coarse place (i - offset) / COARSE: without the offset every prior would be shifted
    fine = np.stack(
        [
            ndimage.affine_transform(
                p, np.full(3, 1 / COARSE), -offset / COARSE, output_shape=labels.shape, order=1, mode="nearest"
            )
            for p in small
        ]
    )
    likeliest = fine.argmax(axis=0)
    return np.stack(
        [ndimage.gaussian_filter((likeliest == k).astype(np.float32), 0.4) for k in range(1, CT_LABEL_COUNT)]
    )
