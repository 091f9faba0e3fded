"""Which pixels of the outlined wall are muscle, judged by their brightness before contrast.

A contour one pixel too wide takes in epicardial fat, which is two to three times as bright as muscle after a saturation
pulse: 15 % of fat in a pixel cost a third of its enhancement over baseline and look like ischaemia. Lung and air are
dark. Muscle of one heart has one brightness, seen through a coil that changes slowly: what stands out is not muscle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.series import SlicePose

# brightness as a share of the muscle's own at that place; fat has 2-3, blood 0.6-0.75, lung and air below 0.3
MUSCLE_RANGE = (0.55, 1.1)
NOISE_MARGIN = 2.5  # standard errors of a pixel's baseline by which the range is widened
REFERENCE_DEPTH = (0.15, 0.45)  # the coil is read here: little blood and, even if the contour is too wide, no fat
MIN_REFERENCE_PIXELS = 30
_ROUNDS = 15
Floats = NDArray[np.float64]


def muscle_brightness(baseline: Floats, depth: Floats, poses: tuple[SlicePose, ...]) -> Floats | None:
    """Brightness that muscle has (or would have) at every pixel (slice, y, x); None where too little wall is seen.

    ``baseline`` (slice, y, x): mean signal before contrast, NaN or 0 outside the wall; ``depth``: 0 endocardium .. 1
    epicardium, NaN outside. The logarithm of the brightness is a plane through all slices together with a level of each
    slice, by robust (least absolute) regression: up to nearly half of the pixels may be something else.
    """
    place = np.stack([p.grid_lps(baseline.shape[1:]) for p in poses])
    axes = poses[0].direction[:, :2]
    usable = np.isfinite(depth) & (depth >= REFERENCE_DEPTH[0]) & (depth <= REFERENCE_DEPTH[1])
    usable &= np.nan_to_num(baseline) > 0
    slices = [s for s in range(len(poses)) if usable[s].sum() >= MIN_REFERENCE_PIXELS]
    if not slices:
        return None
    centre = place[usable].mean(axis=0)
    plane = ((place - centre) @ axes) / 50.0  # about one at the edge of the heart
    level = np.zeros((len(poses), len(slices)))
    for column, s in enumerate(slices):
        level[s, column] = 1.0
    # a slice without enough wall takes the level of its nearest neighbour
    for s in set(range(len(poses))) - set(slices):
        level[s, int(np.argmin([abs(s - other) for other in slices]))] = 1.0
    design = np.concatenate(
        [plane, np.broadcast_to(level[:, None, None, :], (*plane.shape[:3], level.shape[1]))], axis=-1
    )
    kept = usable & np.isin(np.arange(len(poses)), slices)[:, None, None]
    x, y = design[kept], np.log(baseline[kept])
    weight = np.ones(len(y))
    fit: NDArray[np.floating] = np.zeros(x.shape[1])
    for _ in range(_ROUNDS):
        scaled = x * weight[:, None]
        fit = np.linalg.solve(x.T @ scaled + 1e-6 * np.eye(x.shape[1]), scaled.T @ y)
        weight = 1.0 / np.maximum(np.abs(y - x @ fit), 0.02)
    return np.asarray(np.exp(design @ fit))


def looks_like_muscle(baseline: Floats, expected: Floats, standard_error: Floats) -> NDArray[np.bool_]:
    """Which pixels have a muscle's brightness, give or take the noise of their baseline; all arrays of one shape."""
    low, high = MUSCLE_RANGE
    margin = NOISE_MARGIN * standard_error
    return np.asarray((baseline <= high * expected + margin) & (baseline >= low * expected - margin))
