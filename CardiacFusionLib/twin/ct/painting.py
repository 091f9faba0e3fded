"""Layers to voxels: soft edges from the distances, directly or by upsampling a coarse grid slice by slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.appearance import Appearance, field_values
from CardiacFusionLib.twin.heart.anatomy import FAR_MM, Heart, Layer
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL, Tissue

Image = NDArray[np.float32]


def heart_points(heart_from_index: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Heart-frame points (n, 3) of all voxels (z, y, x) of a grid whose 4x4 index (x, y, z) -> heart frame is given."""
    m = heart_from_index.astype(np.float32)
    nz, ny, nx = shape
    x = np.arange(nx, dtype=np.float32)[:, None] * m[:3, 0]
    y = np.arange(ny, dtype=np.float32)[:, None] * m[:3, 1]
    z = np.arange(nz, dtype=np.float32)[:, None] * m[:3, 2] + m[:3, 3]
    return (z[:, None, None] + y[None, :, None] + x[None, None]).reshape(-1, 3)


def paint(
    layers: list[Layer], shape: tuple[int, int, int], look: Appearance, fields: Mapping[str, Image], edge_mm: float
) -> tuple[Image, NDArray[np.uint8]]:
    """HU and labels (z, y, x) of layers evaluated at exactly these voxels; edges are ``edge_mm`` wide."""
    count = int(np.prod(shape))
    hu = np.full(count, look.hu[Tissue.AIR], np.float32)
    labels = np.zeros(count, np.uint8)
    flat = {name: f.reshape(-1) for name, f in fields.items()}
    for tissue, index, distance in layers:
        near = np.flatnonzero(distance < edge_mm / 2)
        if not near.size:
            continue
        d = distance[near]
        where = near if index is None else index[near]
        value: Image | np.float32 = look.hu[tissue]
        for name, strength in look.fields_of(tissue):
            value = value + field_values(name, flat[name][where]) * np.float32(strength)
        cover = np.minimum(np.float32(0.5) - d * np.float32(1 / edge_mm), 1)
        old = hu[where]
        hu[where] = old + cover * (value - old)
        labels[where[d < 0]] = TISSUE_TO_LABEL[tissue]
    return hu.reshape(shape), labels.reshape(shape)


def _interpolation(count: int, step: float, coarse_step: float, coarse_count: int) -> NDArray[np.float32]:
    """(count, coarse_count) matrix of linear interpolation, both grids starting at the same place."""
    place = (np.arange(count) * step / coarse_step).clip(0, coarse_count - 1.0001)
    low = place.astype(int)
    matrix = np.zeros((count, coarse_count), np.float32)
    matrix[np.arange(count), low] = 1 - (place - low)
    matrix[np.arange(count), low + 1] = place - low
    return matrix


def _box(near: NDArray[np.bool_]) -> list[slice] | None:
    """Bounding slices of the true voxels, one voxel wider."""
    result = []
    for axis in range(3):
        hit = np.flatnonzero(near.any(axis=tuple(i for i in range(3) if i != axis)))
        if not hit.size:
            return None
        result.append(slice(max(int(hit[0]) - 1, 0), min(int(hit[-1]) + 2, near.shape[axis])))
    return result


class CoarseScene:
    """Distances on a coarse grid, read at the voxels of a fine one, slice by slice."""

    def __init__(self, heart: Heart, heart_from_index: NDArray[np.float64], grid: Volume, step_mm: float) -> None:
        fine = np.asarray(grid.spacing_mm, float)[::-1]
        self.shape = grid.array.shape
        step = np.maximum(fine, step_mm)
        self.coarse_shape: tuple[int, int, int] = tuple(  # type: ignore[assignment]
            int(np.ceil((n - 1) * f / s)) + 2 for n, f, s in zip(self.shape, fine, step, strict=True)
        )
        self.step = step
        scale = np.diag([*(step / fine)[::-1], 1.0])
        points = heart_points(heart_from_index @ scale, self.coarse_shape)
        self.matrices = [
            _interpolation(n, f, s, c) for n, f, s, c in zip(self.shape, fine, step, self.coarse_shape, strict=True)
        ]
        self.layers: list[tuple[Tissue, list[slice], Image]] = []
        reach = float(step.max()) * 1.5
        for tissue, index, distance in heart.layers(points):
            if index is None:
                full = distance
            else:
                full = np.full(len(points), FAR_MM, np.float32)
                full[index] = distance
            full = full.reshape(self.coarse_shape)
            box = _box(full < reach)
            if box is not None:
                self.layers.append((tissue, box, np.clip(full[tuple(box)], -FAR_MM, FAR_MM)))

    def slice_field(self, field: Image, z: int) -> Image:
        """A coarse field at fine slice z."""
        mz, my, mx = self.matrices
        low = int(np.flatnonzero(mz[z])[0])
        plane = mz[z, low] * field[low] + mz[z, low + 1] * field[low + 1]
        return my @ plane @ mx.T

    def paint_slice(
        self, z: int, look: Appearance, fields: Mapping[str, Image], edge_mm: float
    ) -> tuple[Image, NDArray[np.uint8]]:
        """HU and labels (y, x) of fine slice z."""
        mz, my, mx = self.matrices
        hu = np.full(self.shape[1:], look.hu[Tissue.AIR], np.float32)
        labels = np.zeros(self.shape[1:], np.uint8)
        low = int(np.flatnonzero(mz[z])[0])
        cache: dict[str, Image] = {}
        for tissue, box, distance in self.layers:
            if not box[0].start <= low < box[0].stop - 1:
                continue
            k = low - box[0].start
            plane = mz[z, low] * distance[k] + mz[z, low + 1] * distance[k + 1]
            if float(plane.min()) > edge_mm:
                continue
            rows = self._span(1, box[1])
            columns = self._span(2, box[2])
            d = my[rows, box[1]] @ plane @ mx[columns, box[2]].T
            cover = np.clip(np.float32(0.5) - d * np.float32(1 / edge_mm), 0, 1)
            value: Image | np.float32 = look.hu[tissue]
            for name, strength in look.fields_of(tissue):
                if name not in cache:
                    cache[name] = self.slice_field(fields[name], z)
                value = value + field_values(name, cache[name][rows, columns]) * np.float32(strength)
            target = hu[rows, columns]
            target += cover * (value - target)
            labels[rows, columns][d < 0] = TISSUE_TO_LABEL[tissue]
        return hu, labels

    def _span(self, axis: int, box: slice) -> slice:
        """Fine voxels whose two coarse neighbours both lie in the box."""
        matrix = self.matrices[axis]
        inside = np.flatnonzero(matrix[:, box].sum(axis=1) > 0.9999)
        return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
