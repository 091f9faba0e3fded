"""The real cine stack as other scanners and sequences might have shown it: do cavity and insertions stay in place?

Contours and points keep their places in the patient, so the figures are distances from the same truth every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.errors import BadInputError, CardiacFusionError
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.evaluation.real_cmr import PHASES, read_cine, read_points, slice_figures, summary
from CardiacFusionLib.walls.cmr import segment_stack

FADING = (2.0, 0.8)  # signal falls by exp(-2) from row to row and exp(-0.8) along a row: one surface coil
COARSE = 2.2  # pixels so many times as wide: 3 mm, as in a fast first pass
CUT_OFF = 6  # a sixth of the picture is left out on every side
Images = NDArray[np.float32]
Poses = Sequence[SlicePose]
Look = Callable[[Images, Poses], tuple[Images, Poses]]


def _noisy(share: float) -> Look:
    """Rician noise, the same each time; its SD is ``share`` of the brightest value."""

    def look(images: Images, poses: Poses) -> tuple[Images, Poses]:
        rng = np.random.default_rng(0)
        real, imaginary = rng.normal(0, share * float(images.max()), (2, *images.shape))
        return np.hypot(images + real, imaginary).astype(np.float32), poses

    return look


def _shaded(images: Images, poses: Poses) -> tuple[Images, Poses]:
    down, right = (np.linspace(0, rate, n) for rate, n in zip(FADING, images.shape[1:]))
    return (images * np.exp(-down[:, None] - right)).astype(np.float32), poses


def _soft(images: Images, poses: Poses) -> tuple[Images, Poses]:
    return np.asarray(ndimage.gaussian_filter(images, (0, 1, 1)), np.float32), poses


def _gamma(power: float) -> Look:
    """Another contrast between blood, muscle and fat; their order stays."""

    def look(images: Images, poses: Poses) -> tuple[Images, Poses]:
        bright = float(np.percentile(images, 99.5))
        return (np.clip(images / bright, 0, None) ** power * bright).astype(np.float32), poses

    return look


def _coarse(images: Images, poses: Poses) -> tuple[Images, Poses]:
    blurred = ndimage.gaussian_filter(images, (0, COARSE / 2.5, COARSE / 2.5))
    small = ndimage.zoom(blurred, (1, 1 / COARSE, 1 / COARSE), order=1, grid_mode=True, mode="nearest")
    ratio = (np.array(images.shape[1:]) / small.shape[1:])[::-1]  # (x, y)
    wider = [
        replace(p, origin_mm=tuple(p.points_lps((ratio - 1) / 2)), spacing_mm=tuple(ratio * p.spacing_mm))
        for p in poses
    ]
    return np.asarray(small, np.float32), wider


def _cropped(images: Images, poses: Poses) -> tuple[Images, Poses]:
    low = np.array(images.shape[1:]) // CUT_OFF
    part = images[:, low[0] : -low[0], low[1] : -low[1]]
    return np.ascontiguousarray(part), [
        replace(p, origin_mm=tuple(p.points_lps(low[::-1].astype(float)))) for p in poses
    ]


def _stored_otherwise(images: Images, poses: Poses) -> tuple[Images, Poses]:
    """A quarter turn, mirrored, base and apex exchanged in the file."""
    turned = []
    for pose in poses:  # rows and columns change places: that is a quarter turn and a mirror in one
        x, y, normal = pose.direction.T
        turned.append(
            replace(
                pose, direction=np.column_stack([y, x, -normal]), spacing_mm=(pose.spacing_mm[1], pose.spacing_mm[0])
            )
        )
    return np.ascontiguousarray(images.transpose(0, 2, 1)[::-1]), turned[::-1]


LOOKS: dict[str, Look] = {
    "as_it_is": lambda images, poses: (images, poses),
    "noisy": _noisy(0.03),
    "very_noisy": _noisy(0.08),
    "shaded": _shaded,
    "soft": _soft,
    "flat_contrast": _gamma(0.5),
    "steep_contrast": _gamma(1.8),
    "coarse_pixels": _coarse,
    "small_field_of_view": _cropped,
    "stored_otherwise": _stored_otherwise,
}


def evaluate_cine_looks(data_folder: Path) -> dict[str, Any]:
    """For every look: mean and worst cavity Dice, mean and worst distance (mm) of the RV insertions, both phases.

    Raises BadInputError where the cine stack is missing.
    """
    folder = data_folder / "cine"
    if not folder.exists():
        raise BadInputError(f"{data_folder} holds no 'cine'; set CARDIACFUSION_DATA to a folder that does.")
    figures: dict[str, Any] = {}
    for name, look in LOOKS.items():
        rows = []
        try:
            for phase in PHASES:
                images, poses = look(*read_cine(folder, phase))
                walls = segment_stack(images, list(poses))
                rows += slice_figures(walls, list(poses), read_points(folder / f"contours_{phase}.csv"))
        except CardiacFusionError as error:
            figures[name] = {"failed": str(error)}
            continue
        figures[name] = summary(rows)
    return figures
