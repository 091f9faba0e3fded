"""What scanners do to a CT that anatomy does not: tube voltage, contrast timing, kernel, noise, cut-off fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU = -1024.0


def vary_ct(image_hu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A CT as another scanner might have shown it; same shape (z, y, x), HU."""
    hu = image_hu.astype(np.float32, copy=True)
    if rng.random() < 0.7:  # iodine and bone change with tube voltage and timing, soft tissue hardly does
        hu = np.where(hu > 60, 60 + (hu - 60) * rng.uniform(0.65, 1.45), hu)
    if rng.random() < 0.5:
        hu = hu * rng.uniform(0.94, 1.06) + rng.uniform(-25, 25)
    if rng.random() < 0.5:  # slow shading: beam hardening, unequal mixing
        shading = rng.normal(0, 1, (4, 4, 4)).astype(np.float32)
        shading = ndimage.zoom(shading, np.array(hu.shape) / 4, order=1, mode="nearest", grid_mode=True)
        hu = hu + rng.uniform(5, 35) * shading
    if rng.random() < 0.3:
        hu = ndimage.gaussian_filter(hu, rng.uniform(0.3, 0.8))
    if rng.random() < 0.5:
        grain = rng.normal(0, rng.uniform(5, 45), hu.shape).astype(np.float32)
        if rng.random() < 0.5:
            grain = ndimage.gaussian_filter(grain, 0.6) * 2
        hu = hu + grain
    if rng.random() < 0.2:
        hu = _metal(hu, rng)
    return np.asarray(hu, dtype=np.float32)


def cut_field(
    image_hu: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Now and then cut slabs off the sides, as a tight field of view or a short scan does; labels go with them."""
    if rng.random() > 0.4:
        return image_hu, labels
    image, kept = image_hu.copy(), labels.copy()
    for axis in range(3):
        for side in (0, 1):
            if rng.random() < 0.3:
                width = int(rng.integers(1, max(image.shape[axis] // 6, 2)))
                index: list[slice] = [slice(None)] * 3
                index[axis] = slice(0, width) if side == 0 else slice(image.shape[axis] - width, None)
                image[tuple(index)] = AIR_HU
                kept[tuple(index)] = 0
    return image, kept


def _metal(hu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Wires, clips and leads: a few bright spots of one or two voxels."""
    for _ in range(int(rng.integers(1, 5))):
        corner = tuple(int(rng.integers(0, n - 2)) for n in hu.shape)
        hu[corner[0] : corner[0] + 2, corner[1] : corner[1] + 1, corner[2] : corner[2] + 1] = rng.uniform(900, 3000)
    return hu
