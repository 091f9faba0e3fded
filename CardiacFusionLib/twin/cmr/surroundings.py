"""What lies around the heart in training slices: random organs that need not exist, and round things that are no heart.

The twin's chest is tidy. Real ones hold bowel, folds, vessels and fat of every shape; a network that has only seen tidy
chests takes a stomach for a ventricle. Everything outside the heart may therefore be painted from a random label map.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]


def smooth_field(rng: np.random.Generator, size: int, sigma_px: float) -> Array:
    """Smooth random field (size, size) of SD 1; coarse fields are drawn coarsely, so that they cost little."""
    step = max(1, int(sigma_px // 1.5))
    n = size // step + 4
    coarse = ndimage.gaussian_filter(rng.normal(size=(n, n)), sigma_px / step)
    if step > 1:
        place = np.arange(size) / step + 1.5
        coarse = ndimage.map_coordinates(coarse, np.meshgrid(place, place, indexing="ij"), order=1)
    else:
        coarse = coarse[:size, :size]
    return np.asarray(coarse / max(float(coarse.std()), 1e-9))


def other_world(images: Array, outside: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Images (n, y, x) whose pixels ``outside`` the heart are, wholly or in patches, random organs."""
    if rng.random() < 0.25:
        return images
    size = images.shape[-1]
    level = np.percentile(images, 90, axis=(1, 2), keepdims=True)
    kinds = int(rng.integers(3, 8))
    scale = rng.uniform(5.0, 22.0)
    winner = np.argmax([smooth_field(rng, size, scale * rng.uniform(0.6, 1.6)) for _ in range(kinds)], axis=0)
    # brightness of each random organ in each contrast; alike across contrasts up to a factor, dark ones often
    tones = rng.uniform(0.02, 1.4, (1, kinds)) ** rng.uniform(1.0, 2.0) * np.exp(
        rng.normal(0, 0.35, (len(images), kinds))
    )
    world = tones[:, winner] * level * (1.0 + 0.15 * smooth_field(rng, size, rng.uniform(1.0, 4.0)))
    if rng.random() < 0.25:  # everywhere: nothing of the twin's chest remains
        share = np.ones((size, size))
    else:
        share = np.clip((smooth_field(rng, size, rng.uniform(10.0, 25.0)) - rng.uniform(-0.8, 0.9)) / 0.15, 0.0, 1.0)
    edge = ndimage.gaussian_filter((outside * share).astype(float), 0.6)
    return np.asarray(images * (1.0 - edge) + world * edge)


def round_places(
    outside: NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator, most: int
) -> Iterator[tuple[float, NDArray[np.intp]]]:
    """Radius (mm) and middle (row, column) of up to ``most`` round things that lie mostly ``outside`` the heart."""
    room = ndimage.distance_transform_edt(outside) * spacing_mm
    for _ in range(int(rng.integers(0, most + 1))):
        radius = float(np.exp(rng.uniform(np.log(7.0), np.log(38.0))))
        places = np.argwhere(room > 0.6 * radius)
        if len(places):
            yield radius, places[rng.integers(len(places))]


def decoys(
    images: Array, outside: NDArray[np.bool_], blood: Array, rng: np.random.Generator, spacing_mm: float
) -> Array:
    """Images (n, y, x) with some round, rimmed, blood-bright things ``outside`` the heart: stomach, bowel, vessels.

    ``blood`` (n,): brightness of blood in each image.
    """
    size = images.shape[-1]
    y, x = np.mgrid[0:size, 0:size].astype(float)
    for radius, at in round_places(outside, spacing_mm, rng, 3):
        turn, oblong = rng.uniform(0, np.pi), np.exp(rng.uniform(-0.5, 0.5))
        u = (np.cos(turn) * (x - at[1]) + np.sin(turn) * (y - at[0])) * spacing_mm * oblong
        v = (-np.sin(turn) * (x - at[1]) + np.cos(turn) * (y - at[0])) * spacing_mm / oblong
        depth = radius * (1.0 + 0.08 * smooth_field(rng, size, 8.0)) - np.hypot(u, v)
        rim = rng.uniform(0.0, 6.0)
        inner = np.clip(depth / spacing_mm + 0.5, 0, 1) * outside
        outer = np.clip((depth + rim) / spacing_mm + 0.5, 0, 1) * outside
        bright = (blood * rng.uniform(0.3, 1.4, len(images))).reshape(-1, 1, 1)
        dark = bright * rng.uniform(0.05, 0.8)
        filling = bright * (1.0 + rng.uniform(0, 0.25) * smooth_field(rng, size, 4.0))
        if rng.random() < 0.3:  # two layers, as gas over fluid
            filling = np.where(v > rng.uniform(-0.6, 0.6) * radius, filling, dark)
        images = images * (1.0 - outer) + dark * outer
        images = images * (1.0 - inner) + filling * inner
    return np.asarray(images)
