"""The wall network: sharper labels on a 2 mm upright cube from the CT and the coarse chamber labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import normalised_hu
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT
from CardiacFusionLib.training.augment import vary_ct
from CardiacFusionLib.training.ct_chambers import CtLabelTask
from CardiacFusionLib.training.mistakes import marred

CUBE = 64
SPACING_MM = 2.0
COARSE = 2  # the chamber network's voxels are as many times as large


class CtWallsTask(CtLabelTask):
    """Cubes of 64 x 2 mm, axes along a heart frame that is a few degrees and millimetres wrong.

    Beside the CT the network is shown the coarse labels (one channel each, without background): it needs to learn
    where borders truly run, not what a heart is. In training the coarse labels are the truth at 4 mm with errors.
    """

    name = "ct_walls"
    inputs = CT_LABEL_COUNT
    reuse = 3

    def draw(self, seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See :class:`CtLabelTask`."""
        from CardiacFusionLib.twin.ct.sampling import ct_heart_frame_sample

        drawn = ct_heart_frame_sample(seed, (CUBE,) * 3, SPACING_MM, pose_error_deg=7.0, pose_error_mm=8.0)
        return drawn.image, drawn.labels

    def arrays(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> Mapping[str, NDArray[Any]]:
        """``image`` (8, z, y, x): CT and coarse labels; ``labels`` (1, z, y, x)."""
        coarse = coarse_labels(labels, rng)
        given = [normalised_hu(vary_ct(image, rng))]
        given += [(coarse == label).astype(np.float32) for label in range(1, CT_LABEL_COUNT)]
        return {"image": np.stack(given), "labels": labels[None]}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        facts = super().facts()
        facts["input"] = {"cube": CUBE, "spacing_mm": SPACING_MM, "axes": "heart", "unit": "HU and coarse labels"}
        return facts


def coarse_labels(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The labels as a chamber network at twice the voxel size might have given them, on the same grid (z, y, x)."""
    offset = rng.integers(0, COARSE, 3)  # the coarse grid may lie anywhere against the fine one
    shifted = np.roll(labels, tuple(int(-o) for o in offset), axis=(0, 1, 2))
    small = marred(shifted[::COARSE, ::COARSE, ::COARSE], rng)
    fine = np.stack([ndimage.zoom(p, COARSE, order=1, mode="nearest", grid_mode=True) for p in small])
    found = fine.argmax(axis=0).astype(np.uint8)
    return np.asarray(np.roll(found, tuple(int(o) for o in offset), axis=(0, 1, 2)))
