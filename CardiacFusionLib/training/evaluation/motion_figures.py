"""Figures of motion correction on a twin whose motion is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.result import Motion
from CardiacFusionLib.perfusion.segments import segment_labels
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import slice_landmarks
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.twin.cmr.plan import THREE_LEVELS
from CardiacFusionLib.twin.truth import Truth
from CardiacFusionLib.walls.result import CmrWalls

Floats = NDArray[np.float64]


def reference_offset(motion: Motion, truth: Truth, series: Series) -> Floats:
    """Where motion correction has put the heart, relative to the truth's reference position: (slice, 2) pixels x, y."""
    assert truth.motion_mm is not None
    spacing = np.array([p.spacing_mm for p in series.poses])
    return np.asarray(np.median(truth.motion_mm - motion.shift_mm, axis=0) / spacing)


def shifted(labels: NDArray[np.uint8], offset_px: Floats) -> NDArray[np.uint8]:
    """Labels (slice, y, x) moved by pixels (slice, 2), order x, y."""
    return np.stack(
        [ndimage.shift(one, (y, x), order=0, mode="nearest") for one, (x, y) in zip(labels, offset_px, strict=True)]
    )


def motion_figures(
    before: Series,
    after: Series,
    motion: Motion,
    truth: Truth,
    walls: NDArray[np.uint8],
    still: Series | None = None,
    levels: tuple[float, ...] = THREE_LEVELS,
) -> dict[str, float]:
    """Dice of the wall over time against its middle position, and total variation of the segments' curves.

    The true wall of a frame is the reference wall under that frame's true shift; after correction it is read at
    p + shift + displacement, as the frames are. Curves: mean signal of the AHA segments of ``walls`` (slice, y, x), the
    true wall where motion correction has put it; their total variation is the sum of |differences of neighbouring
    frames|, given as a share of that before correction (``variation_share``, mean over segments). ``still``: the same
    heart without breathing; its curves, under the reference wall, rise, fall and are noisy all the same, which no
    correction can go below (``variation_floor``). ``levels``: of the slices, 0 tip .. 1 base.
    """
    assert truth.motion_mm is not None
    dices: tuple[list[float], list[float]] = ([], [])
    for s, pose in enumerate(before.poses):
        spacing = np.array(pose.spacing_mm)
        wall = (truth.cmr_labels[s] == Label.MYOCARDIUM).astype(np.float32)
        true = truth.motion_mm[:, s] / spacing
        found = motion.shift_mm[:, s] / spacing
        field_px = None
        if motion.displacement_mm is not None:
            field_px = motion.displacement_mm[:, s] / spacing[:, None, None]
        middle = np.median(true, axis=0)
        rest = np.median(true - found, axis=0)
        stands, aims = read_at(wall, -middle), read_at(wall, -rest)
        for t in range(len(true)):
            dices[0].append(dice(read_at(wall, -true[t]), stands))
            bend = None if field_px is None else field_px[t]
            dices[1].append(dice(read_at(wall, found[t] - true[t], bend), aims))
    raw, corrected = (_variations(series, walls, levels) for series in (before, after))
    figures = {
        "dice_before": float(np.mean(dices[0])),
        "dice_after": float(np.mean(dices[1])),
        "variation_share": float(np.mean([corrected[k] / max(raw[k], 1e-9) for k in raw])),
    }
    if still is not None:
        floor = _variations(still, truth.cmr_labels, levels)
        figures["variation_floor"] = float(np.mean([floor[k] / max(raw[k], 1e-9) for k in raw if k in floor]))
    true_all = truth.motion_mm - np.median(truth.motion_mm, axis=0)
    left = truth.motion_mm - motion.shift_mm
    left = left - np.median(left, axis=0)
    figures["shift_before_mm"] = float(np.sqrt((true_all**2).sum(-1).mean()))
    figures["shift_after_mm"] = float(np.sqrt((left**2).sum(-1).mean()))
    return figures


def _variations(series: Series, walls: NDArray[np.uint8], levels: tuple[float, ...]) -> dict[int, float]:
    """Total variation of the mean signal of every AHA segment that is seen."""
    marks = tuple(slice_landmarks(one, pose) for one, pose in zip(walls, series.poses, strict=True))
    labels = segment_labels(CmrWalls(walls, marks), series.poses, np.array(levels))
    numbers = [int(n) for n in np.unique(labels) if n > 0]
    return {n: float(np.abs(np.diff(series.array[:, labels == n].mean(axis=1, dtype=float))).sum()) for n in numbers}


def read_at(mask: NDArray[np.float32], shift_px: Floats, bend: NDArray[np.floating] | None = None) -> NDArray[np.bool_]:
    """The mask at p + shift (+ bend (2, y, x)), pixels x, y."""
    y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in mask.shape), indexing="ij")
    where = [y + shift_px[1], x + shift_px[0]]
    if bend is not None:
        where = [where[0] + bend[1], where[1] + bend[0]]
    return np.asarray(ndimage.map_coordinates(mask, where, order=1, mode="nearest") >= 0.5)
