"""Labels with errors such as a network makes, so that what builds on labels learns to live with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.registration.deformation import from_maps, one_hot
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT, Label


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


def outlined(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """CMR labels (y, x) as a network or a hand might have outlined them: wobbly, too thick or thin, parts missing."""
    result = labels.copy()
    if rng.random() < 0.5:  # the wall gains or loses a pixel at one of its borders
        wall = result == Label.MYOCARDIUM
        if rng.random() < 0.5:
            ring = ndimage.binary_dilation(wall, iterations=int(rng.integers(1, 3)))
            kinds = [Label.BACKGROUND, Label.LV_CAVITY, Label.RV_CAVITY]
            target = int(rng.choice(kinds))
            result[ring & (result == target)] = Label.MYOCARDIUM
        else:
            inside = ndimage.binary_erosion(wall, iterations=1)
            cavity = ndimage.binary_dilation(result == Label.LV_CAVITY, iterations=2)
            result[wall & ~inside] = np.where(cavity, Label.LV_CAVITY, Label.BACKGROUND)[wall & ~inside]
    if rng.random() < 0.1:
        result[result == Label.RV_CAVITY] = 0
    elif rng.random() < 0.2:  # a part of the RV is missed
        y, x = np.mgrid[0 : labels.shape[0], 0 : labels.shape[1]]
        along = rng.normal(0, 1, 2)
        value = along[0] * x + along[1] * y
        rv = result == Label.RV_CAVITY
        if rv.any():
            result[rv & (value > np.quantile(value[rv], rng.uniform(0.5, 0.95)))] = 0
    if rng.random() < 0.15:  # a gap in the wall
        wall = result == Label.MYOCARDIUM
        where = np.argwhere(wall)
        if len(where):
            y, x = where[int(rng.integers(len(where)))]
            yy, xx = np.ogrid[0 : labels.shape[0], 0 : labels.shape[1]]
            result[wall & ((yy - y) ** 2 + (xx - x) ** 2 < rng.uniform(4, 10) ** 2)] = 0
    maps = ndimage.gaussian_filter(one_hot(result), (0, 0.8, 0.8))
    return from_maps(maps)


def _slow_field(shape: tuple[int, ...], rng: np.random.Generator, knots: int) -> NDArray[np.float32]:
    field = rng.normal(0, 1, (knots,) * 3).astype(np.float32)
    return np.asarray(ndimage.zoom(field, np.array(shape) / knots, order=1, mode="nearest", grid_mode=True))
