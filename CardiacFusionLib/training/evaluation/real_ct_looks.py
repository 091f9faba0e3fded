"""The real CT as other scanners and other contrast protocols might have shown it: do pose and labels stay?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import resample_to, sample
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.training.evaluation.real_ct import real_scan
from CardiacFusionLib.walls.ct import segment_ct

TISSUE_HU = 60.0  # iodine and bone lie above, soft tissue at or below
NOISE_HU = 60.0  # SD added: what a dose of a few percent leaves
SOFT_HU = 175.0  # the real CT's muscle: what is brighter about the right heart holds contrast
UNENHANCED_HU, LIKE_MUSCLE_HU = 60.0, 150.0
RIGHT = (Label.RV_CAVITY, Label.RIGHT_ATRIUM, Label.PULMONARY_TRUNK)
LEFT = (Label.LV_CAVITY, Label.MYOCARDIUM, Label.LEFT_ATRIUM, Label.AORTA)

Array = NDArray[np.float32]
Look = Callable[[Array, NDArray[np.uint8]], Array]


def contrast(share: float) -> Look:
    """Iodine (and bone) ``share`` times as bright: another tube voltage, dose of contrast or moment."""
    return lambda hu, _: np.where(hu > TISSUE_HU, TISSUE_HU + (hu - TISSUE_HU) * np.float32(share), hu)


def noisy(hu: Array, _: NDArray[np.uint8]) -> Array:
    """White noise of ``NOISE_HU``, the same each time."""
    return hu + np.random.default_rng(0).normal(0, NOISE_HU, hu.shape).astype(np.float32)


def soft(hu: Array, _: NDArray[np.uint8]) -> Array:
    """A softer kernel: blurred by one voxel SD."""
    return np.asarray(ndimage.gaussian_filter(hu, 1.0), np.float32)


def washed_out(level_hu: float) -> Look:
    """The contrast has left the right heart, as after a saline chaser: blood of ``level_hu`` where labels say it is.

    What is half blood and half wall becomes half of the new blood, so that no bright rim tells what was there.
    """

    def look(hu: Array, labels: NDArray[np.uint8]) -> Array:
        right, left = np.isin(labels, RIGHT), ndimage.binary_dilation(np.isin(labels, LEFT))
        near = ndimage.binary_dilation(right, iterations=3) & ~left | right
        core = ndimage.binary_erosion(right, iterations=2)
        blood = float(np.median(hu[core if core.any() else right]))
        share = np.clip((hu - SOFT_HU) / (blood - SOFT_HU), 0, 1.5)
        return np.where(near & (hu > SOFT_HU), SOFT_HU + share * (level_hu - SOFT_HU), hu).astype(np.float32)

    return look


LOOKS: dict[str, Look] = {
    "contrast_halved": contrast(0.45),
    "contrast_half_more": contrast(1.5),
    "noisy": noisy,
    "soft_kernel": soft,
    "right_heart_washed_out": washed_out(UNENHANCED_HU),
    "right_heart_like_muscle": washed_out(LIKE_MUSCLE_HU),
}


def evaluate_looks(data_folder: Path) -> dict[str, Any]:
    """For every look: how far long axis and roll turn, and Dice of the labels with those of the CT as it is.

    There is no true label: this says whether an answer depends on the look, not whether it is right.
    """
    ct = real_scan(data_folder)
    plain = reorient(ct)
    walls = segment_ct(ct, plain).labels
    there = np.asarray(resample_to(walls, ct, order=0).array, np.uint8)
    hu = np.asarray(ct.array, np.float32)
    figures: dict[str, Any] = {}
    for name, look in LOOKS.items():
        seen: Volume = ct.with_array(look(hu, there).astype(np.float32))
        try:
            found = reorient(seen)
            labels = segment_ct(seen, found).labels
        except CardiacFusionError as error:
            figures[name] = {"failed": str(error)}
            continue
        here = sample(labels, walls.grid_lps(), order=0).astype(np.uint8)
        overlap = {
            f"{label.name.lower()}_dice": dice(here == label, walls.array == label)
            for label in (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY, Label.LEFT_ATRIUM)
        }
        turned = axis_angle_deg(found.pose, plain.pose)
        figures[name] = {"axis_deg": turned, "roll_deg": roll_angle_deg(plain.pose, found.pose), **overlap}
    return figures
