"""Chamber labels of a whole CT at low resolution: find the heart, then label a cube about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import AIR_HU, coarse_image, normalised_hu, probabilities, sliding_probabilities
from CardiacFusionLib.models.loading import entry_of, load
from CardiacFusionLib.reorientation.refine import CoarseHeart
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.volume import Volume

if TYPE_CHECKING:
    from torch import nn

MARGIN_VOXELS = 1
LV_FOUND_ML = 25.0  # cavity and wall together; the smallest adult left ventricles are above 80 ml
# where the second look is centred about the first: averaging a few shifted looks steadies the labels
LOOKS_VOXELS = ((0, 0, 0), (3, -3, 3), (-3, 3, -3), (3, 3, -3))
FINE_MM = 2.0  # grid on which the smooth probabilities are turned into labels


def lps_grid(ct: Volume, spacing_mm: float) -> Volume:
    """An empty grid with axes along patient LPS that covers the whole CT, however its own axes run."""
    nx, ny, nz = ct.size
    corners = np.array([[x, y, z] for x in (0, nx - 1) for y in (0, ny - 1) for z in (0, nz - 1)], dtype=float)
    points = corners @ ct.index_to_lps[:3, :3].T + ct.index_to_lps[:3, 3]
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.ceil((high - low) / spacing_mm).astype(int) + MARGIN_VOXELS
    return Volume(np.zeros(tuple(size[::-1]), np.uint8), (spacing_mm,) * 3, tuple(low), np.eye(3))


def label_heart(ct: Volume, progress: Callable[[float, str], None] | None = None) -> CoarseHeart:
    """Chamber probabilities about the heart (4 mm) and labels (2 mm), on grids with axes along patient LPS.

    ``ct`` is a contrast-enhanced CT in HU with any axes. Raises StageError where no heart is found.
    """
    network, entry = load("ct_chambers"), entry_of("ct_chambers")
    cube, spacing = int(entry.input["cube"]), float(entry.input["spacing_mm"])
    image = coarse_image(ct, lps_grid(ct, spacing))
    if progress:
        progress(0.2, "looking for the heart")
    normal = normalised_hu(image.array)
    outside = float(normalised_hu(np.array([AIR_HU]))[0])
    coarse = sliding_probabilities(network, normal, cube, cube // 2, outside)
    centre = _heart_centre(coarse, spacing)
    if progress:
        progress(0.6, "labelling the chambers")
    fine, corner = _looks(network, normal, centre, cube, outside)
    origin = image.index_to_lps[:3, :3] @ corner[::-1].astype(float) + image.index_to_lps[:3, 3]
    grid = Volume(np.zeros(fine.shape[1:], np.uint8), image.spacing_mm, tuple(origin), np.eye(3))
    return CoarseHeart(fine, grid, fine_labels(fine, grid))


def _heart_centre(found: NDArray[np.float32], spacing_mm: float) -> NDArray[np.float64]:
    """Index (z, y, x) of the middle of the heart: the largest connected left ventricle, drawn towards the chambers."""
    left = found[Label.LV_CAVITY] + found[Label.MYOCARDIUM] > 0.5
    parts, count = ndimage.label(left)
    sizes = ndimage.sum_labels(left, parts, np.arange(1, count + 1)) if count else np.zeros(1)
    if float(np.max(sizes)) * spacing_mm**3 / 1000 < LV_FOUND_ML:
        raise StageError(
            "reorient",
            "no heart was found in this CT; give a contrast-enhanced chest CT that holds the whole left ventricle.",
        )
    middle = np.array(ndimage.center_of_mass(parts == int(np.argmax(sizes)) + 1))
    # chambers near this ventricle only: stray labels elsewhere must not pull the cube away
    z, y, x = np.meshgrid(*(np.arange(n) for n in left.shape), indexing="ij")
    near = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 < (110 / spacing_mm) ** 2
    weight = (1.0 - found[Label.BACKGROUND]) * near
    return 0.5 * middle + 0.5 * np.array([float((axis * weight).sum() / weight.sum()) for axis in (z, y, x)])


def _looks(
    network: nn.Module, image: NDArray[np.float32], centre: NDArray[np.float64], cube: int, outside: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean probabilities of a few shifted cubes about the heart, and the index (z, y, x) of the first voxel."""
    padded = np.pad(image, cube, constant_values=outside)  # so that no cube can reach over the edge
    shifts = np.array(LOOKS_VOXELS, dtype=np.int64)
    corner: NDArray[np.int64] = np.rint(centre).astype(np.int64) - cube // 2 + shifts.min(axis=0)
    offsets = shifts - shifts.min(axis=0)
    cuts = [padded[_cube_at(corner + offset + cube, cube)] for offset in offsets]
    found = probabilities(network, np.stack(cuts)[:, None])
    total = np.zeros((found.shape[1], *(int(n) + cube for n in offsets.max(axis=0))), np.float32)
    count = np.zeros(total.shape[1:], np.float32)
    for offset, one in zip(offsets, found):
        here = _cube_at(offset, cube)
        total[(slice(None), *here)] += one
        count[here] += 1
    total[Label.BACKGROUND][count == 0] = 1
    total /= np.maximum(count, 1)
    return total, corner


def _cube_at(first: NDArray[np.int64], side: int) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(a) + side) for a in first)


def fine_labels(probabilities: NDArray[np.float32], grid: Volume, spacing_mm: float = FINE_MM) -> Volume:
    """Probabilities (label, z, y, x) interpolated to a finer grid of the same axes, the likeliest label taken, small
    islands of each label dropped."""
    factor = round(grid.spacing_mm[0] / spacing_mm)
    fine = np.stack([ndimage.zoom(p, factor, order=1, mode="nearest", grid_mode=True) for p in probabilities])
    labels = keep_largest(fine.argmax(axis=0).astype(np.uint8))
    spacing = np.asarray(grid.spacing_mm) / factor
    # the first fine voxel's centre lies inside the first coarse voxel
    origin = np.asarray(grid.origin_mm) + grid.direction @ ((spacing - np.asarray(grid.spacing_mm)) / 2)
    return Volume(labels, tuple(spacing), tuple(origin), grid.direction)


def keep_largest(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each label's largest connected part; for the aorta (root and descending) and the wall with its cavity the parts
    above a tenth of the largest."""
    result = np.zeros_like(labels)
    for label in Label:
        if label is Label.BACKGROUND:
            continue
        parts, count = ndimage.label(labels == label)
        if not count:
            continue
        sizes = np.asarray(ndimage.sum_labels(np.ones_like(parts), parts, np.arange(1, count + 1)))
        share = 0.1 if label in (Label.AORTA, Label.MYOCARDIUM) else 1.0
        kept = np.flatnonzero(sizes >= share * sizes.max()) + 1
        result[np.isin(parts, kept)] = label
    return result
