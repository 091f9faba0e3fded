"""What spoils a coronary CT, done to the picture of a fine twin: noise, thick slices, calcium, steps, a bright right.

Each takes a case and gives it back with another CT (and, for the step, the tree where the picture now shows it). The
labels stay those of the undisturbed heart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.coronaries.lumen import blood_of_root, labels_on
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.fine_coronaries import FineCase
from CardiacFusionLib.twin.ct.arteries import add_blooming
from CardiacFusionLib.twin.ct.scanner import add_noise

Disturbance = Callable[[FineCase, np.random.Generator], FineCase]

THICK_MM = 0.8
STEP_MM = 2.0
SOFT_MM = 0.6  # edge of the brightened chambers


def _with(case: FineCase, hu: NDArray[np.floating]) -> FineCase:
    return replace(case, ct=case.ct.with_array(np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)))


def _spread(case: FineCase) -> float:
    """Spread of the aorta's HU: the picture's noise, with what texture blood has."""
    return blood_of_root(case.ct, labels_on(case.ct, case.walls.labels)).sd_hu


def doubled_noise(case: FineCase, rng: np.random.Generator) -> FineCase:
    """Twice the noise: as much again added in quadrature."""
    hu = case.ct.array.astype(np.float32)
    add_noise(hu, np.asarray(case.ct.spacing_mm[::-1]), float(np.sqrt(3.0)) * _spread(case), rng)
    return _with(case, hu)


def thick_slices(case: FineCase, rng: np.random.Generator) -> FineCase:
    """Slices of 0.8 mm: blurred along z to that thickness and read at that distance."""
    ct = case.ct
    step = ct.spacing_mm[2]
    blurred = ct.array.astype(np.float32)
    if step < THICK_MM:
        sigma = np.sqrt(THICK_MM**2 - step**2) / 2.355 / step
        blurred = ndimage.gaussian_filter1d(blurred, sigma, axis=0)
    at = np.arange(0.0, ct.array.shape[0] - 1.0, THICK_MM / step)
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float32)[:, None, None]
    hu = np.rint(blurred[low] * (1 - share) + blurred[low + 1] * share).astype(np.int16)
    return replace(case, ct=Volume(hu, (*ct.spacing_mm[:2], THICK_MM), ct.origin_mm, ct.direction))


def blooming(case: FineCase, rng: np.random.Generator) -> FineCase:
    """Dense calcium in the walls of the main branches, blurred wide."""
    hu = case.ct.array.astype(np.float32)
    add_blooming(hu, case.ct, case.tree, rng)
    return _with(case, hu)


def step(case: FineCase, rng: np.random.Generator) -> FineCase:
    """Everything above the middle of the ventricles moved by 2 mm in the slice: two heart beats that do not fit."""
    ct, labels = case.ct, case.walls.labels
    ventricles = np.argwhere(np.isin(labels.array, (int(Label.LV_CAVITY), int(Label.RV_CAVITY))))
    middle = apply(labels.index_to_lps, ventricles[:, ::-1].astype(float).mean(axis=0))
    cut = round(float(apply(ct.lps_to_index, middle)[2]))
    angle = rng.uniform(0, 2 * np.pi)
    move = STEP_MM * np.array([np.cos(angle), np.sin(angle)])  # x, y
    hu = ct.array.astype(np.float32)
    for z in range(max(cut, 0), len(hu)):
        hu[z] = ndimage.shift(hu[z], (move[1] / ct.spacing_mm[1], move[0] / ct.spacing_mm[0]), order=1, mode="nearest")
    offset = np.asarray(ct.direction) @ np.array([*move, 0.0])

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        above = np.atleast_2d(apply(ct.lps_to_index, points))[:, 2] >= cut - 0.5
        return np.asarray(points + np.where(above[:, None], offset, 0.0)).reshape(np.shape(points))

    tree = replace(
        case.tree,
        branches=tuple(replace(b, points_mm=moved(b.points_mm)) for b in case.tree.branches),
        stenoses=tuple(replace(s, point_mm=moved(s.point_mm)) for s in case.tree.stenoses),
    )
    return replace(_with(case, hu), tree=tree)


def bright_right_heart(case: FineCase, rng: np.random.Generator) -> FineCase:
    """The right heart as bright as the aorta: contrast that was followed by no saline."""
    labels = labels_on(case.ct, case.walls.labels)
    hu = case.ct.array.astype(np.float32)
    right = np.isin(labels, (int(Label.RV_CAVITY), int(Label.RIGHT_ATRIUM)))
    missing = float(np.median(hu[labels == Label.AORTA]) - np.median(hu[right]))
    soft = ndimage.gaussian_filter(
        right.astype(np.float32), [SOFT_MM / s for s in case.ct.spacing_mm[::-1]], truncate=3.0
    )
    return _with(case, hu + np.float32(max(missing, 0.0)) * soft)


DISTURBANCES: dict[str, Disturbance] = {
    "noise_doubled": doubled_noise,
    "slices_0.8_mm": thick_slices,
    "blooming": blooming,
    "step_2_mm": step,
    "right_heart": bright_right_heart,
}
