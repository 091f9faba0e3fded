"""Labels with errors such as a network makes, so that what builds on labels learns to live with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT


def marred(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """True labels (z, y, x) with errors such as a network makes, as probabilities (label, z, y, x).

    Borders are warped by a few millimetres, blurred, and shifted between labels by slow random scores.
    """
    shape = labels.shape
    warp = [_slow_field(shape, rng, 5) * rng.uniform(0.0, 0.8) for _ in range(3)]
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    moved = [g + w for g, w in zip(grid, warp)]
    strength, blur = rng.uniform(0.0, 1.5), rng.uniform(0.4, 0.9)
    scores = []
    for label in range(CT_LABEL_COUNT):
        mask = ndimage.map_coordinates((labels == label).astype(np.float32), moved, order=1, mode="nearest")
        soft = ndimage.gaussian_filter(mask, blur)
        scores.append(np.log(soft + 1e-3) + strength * _slow_field(shape, rng, 6))
    stacked = np.stack(scores)
    stacked = np.exp(2.0 * (stacked - stacked.max(axis=0)))
    return np.asarray(stacked / stacked.sum(axis=0), dtype=np.float32)


def _slow_field(shape: tuple[int, ...], rng: np.random.Generator, knots: int) -> NDArray[np.float32]:
    field = rng.normal(0, 1, (knots,) * 3).astype(np.float32)
    return np.asarray(ndimage.zoom(field, np.array(shape) / knots, order=1, mode="nearest", grid_mode=True))
