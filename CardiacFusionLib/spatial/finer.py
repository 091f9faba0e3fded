"""Labels on a finer grid than the probabilities they are read from, so that borders fall between voxels."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.volume import Volume


def finer_labels(probabilities: NDArray[np.float32], grid: Volume, factor: int) -> Volume:
    """The likeliest label (uint8) of probabilities (label, z, y, x) on ``grid``, interpolated linearly to a grid
    ``factor`` times as fine that fills the same voxels; one label at a time, to spare memory."""
    labels: NDArray[np.uint8] | None = None
    best: NDArray[np.float32] | None = None
    for label, one in enumerate(probabilities):
        fine = _finer(np.asarray(one, dtype=np.float32), factor)
        if labels is None or best is None:
            labels, best = np.full(fine.shape, label, np.uint8), fine
            continue
        labels[fine > best] = label
        np.maximum(best, fine, out=best)
    if labels is None:
        raise ValueError("there must be at least one label")
    spacing = np.asarray(grid.spacing_mm) / factor
    # the first fine voxel's centre lies inside the first coarse voxel
    origin = np.asarray(grid.origin_mm) + grid.direction @ ((spacing - np.asarray(grid.spacing_mm)) / 2)
    return Volume(labels, tuple(spacing), tuple(origin), grid.direction)


def _finer(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Linear interpolation between voxel centres; beyond the outermost ones their values stand."""
    for axis in range(values.ndim):
        ends = [values.take([0], axis), values, values.take([-1], axis)]
        padded = np.concatenate(ends, axis=axis)
        n = values.shape[axis]
        shape = list(values.shape)
        shape[axis] = n * factor
        result = np.empty(shape, np.float32)
        for k in range(factor):
            place = (k + 0.5) / factor + 0.5  # in voxels of ``padded``, from the one before on
            low, share = int(place), np.float32(place - int(place))
            cut = partial(_along, axis=axis, dimensions=values.ndim)
            nearer = padded[cut(slice(low, low + n))]
            farther = padded[cut(slice(low + 1, low + 1 + n))] if share else nearer
            result[cut(slice(k, None, factor))] = nearer * (1 - share) + farther * share
        values = result
    return values


def _along(part: slice, axis: int, dimensions: int) -> tuple[slice, ...]:
    return tuple(part if k == axis else slice(None) for k in range(dimensions))
