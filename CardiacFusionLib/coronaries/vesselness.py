"""Multi-scale Hessian vesselness of a CT in HU at its own spacing, inside a mask, with bounded memory.

A bright tube has two strongly negative curvatures across and almost none along. With curvatures ordered by size,
``a >= b >= c``, the measure is ``sigma^2 * |b|`` (Sato 1998: a plate has one strong curvature only, so |b| is small),
damped where ``a`` is strongly negative too (a blob, Frangi 1998). Divided by the contrast of blood against its
surroundings it is a share of that contrast: a straight tube of matched width gives about 0.3, whatever the scanner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# gaussian standard deviations in mm: a tube of radius r answers most at sigma = r / sqrt(2), so 0.8-2.5 mm radius
SIGMAS_MM = (0.6, 1.0, 1.6)
# below this share of a voxel a sampled gaussian is no longer a gaussian (Lindeberg 1990)
MIN_SIGMA_VOXELS = 0.7
SLAB_VOXELS = 6_000_000  # voxels worked on at once: about 200 MB with the six curvatures
TRUNCATE = 3.0  # gaussian kernels end at this many standard deviations

Floats = NDArray[np.float32]


def symmetric_eigenvalues(
    xx: Floats, yy: Floats, zz: Floats, xy: Floats, xz: Floats, yz: Floats
) -> tuple[Floats, Floats, Floats]:
    """Eigenvalues of symmetric 3x3 matrices given by their six entries (n,), in descending order.

    The trigonometric solution of the characteristic cubic (Smith 1961, Commun. ACM 4:168).
    """
    mean = (xx + yy + zz) / 3.0
    dx, dy, dz = xx - mean, yy - mean, zz - mean
    off = xy * xy + xz * xz + yz * yz
    p = np.sqrt((dx * dx + dy * dy + dz * dz + 2.0 * off) / 6.0)
    determinant = dx * (dy * dz - yz * yz) - xy * (xy * dz - yz * xz) + xz * (xy * yz - dy * xz)
    safe = np.where(p > 0, p, 1.0)
    angle = np.arccos(np.clip(determinant / (2.0 * safe**3), -1.0, 1.0)) / 3.0
    largest = mean + 2.0 * p * np.cos(angle)
    smallest = mean + 2.0 * p * np.cos(angle + 2.0 * np.pi / 3.0)
    return largest, 3.0 * mean - largest - smallest, smallest


def _curvatures(smooth: Floats, where: NDArray[np.intp], spacing_zyx: Sequence[float]) -> list[Floats]:
    """Second derivatives (xx, yy, zz, xy, xz, yz) per mm^2 by central differences at flat indices ``where``.

    Differences of a gaussian-smoothed volume are its discrete gaussian derivatives; taken at the mask's voxels only.
    """
    flat = smooth.ravel()
    sz, sy, sx = spacing_zyx
    step_z, step_y = smooth.shape[1] * smooth.shape[2], smooth.shape[2]
    centre = flat[where]

    def second(step: int, h: float) -> Floats:
        return (flat[where + step] - 2.0 * centre + flat[where - step]) / np.float32(h * h)

    def mixed(a: int, b: int, ha: float, hb: float) -> Floats:
        return (flat[where + a + b] - flat[where + a - b] - flat[where - a + b] + flat[where - a - b]) / np.float32(
            4.0 * ha * hb
        )

    return [
        second(1, sx), second(step_y, sy), second(step_z, sz),
        mixed(1, step_y, sx, sy), mixed(1, step_z, sx, sz), mixed(step_y, step_z, sy, sz),
    ]  # fmt: skip


def tube_response(curvatures: Sequence[Floats], sigma_mm: float) -> Floats:
    """Brightness-tube response (n,) in the image's units of one scale from its six curvatures (n,)."""
    a, b, c = symmetric_eigenvalues(*curvatures)
    bright = b < 0
    middle = np.where(bright, -b, 0.0)
    # blob: all three alike; plate: already small because |b| is
    along = np.where(bright, np.clip(np.abs(a) / np.maximum(middle, 1e-6), 0.0, 1.0), 1.0)
    # a flattened tube (a vessel against bright wall) keeps most of its response
    flatness = np.sqrt(np.clip(middle / np.maximum(-c, 1e-6), 0.0, 1.0))
    return np.asarray(sigma_mm**2 * middle * flatness * (1.0 - 0.8 * along**2), dtype=np.float32)


def _slabs(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    depth = max(8, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], depth):
        yield start, min(shape[0], start + depth)


def vesselness(
    array_hu: NDArray[np.generic],
    spacing_zyx_mm: Sequence[float],
    mask: NDArray[np.bool_],
    contrast_hu: float,
    clip_hu: tuple[float, float] = (-150.0, 600.0),
    sigmas_mm: Sequence[float] = SIGMAS_MM,
    progress: Callable[[float], None] | None = None,
) -> Floats:
    """Vesselness (z, y, x) float32, 0 outside ``mask``; unit: share of ``contrast_hu``.

    ``array_hu`` (z, y, x); values are clipped to ``clip_hu`` first, so that air, bone and calcium cast no shadow.
    Scales finer than the grid are raised to ``MIN_SIGMA_VOXELS``. Memory beyond the result: a few slabs.
    """
    if array_hu.shape != mask.shape:
        raise ValueError(f"mask {mask.shape} does not fit the image {array_hu.shape}")
    result = np.zeros(array_hu.shape, np.float32)
    floor = MIN_SIGMA_VOXELS * max(spacing_zyx_mm)
    scales = sorted({round(max(s, floor), 3) for s in sigmas_mm})
    margin = int(np.ceil(TRUNCATE * max(scales) / spacing_zyx_mm[0])) + 1
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1, 1:-1] = mask[1:-1, 1:-1, 1:-1]
    for start, stop in _slabs(array_hu.shape):
        low, high = max(0, start - margin), min(array_hu.shape[0], stop + margin)
        chosen = np.zeros((high - low, *mask.shape[1:]), bool)
        chosen[start - low : stop - low] = inner[start:stop]
        where = np.flatnonzero(chosen)
        if not len(where):
            continue
        block = np.clip(array_hu[low:high], *clip_hu).astype(np.float32)
        best = np.zeros(len(where), np.float32)
        for sigma in scales:
            smooth = block
            for axis, spacing in enumerate(spacing_zyx_mm):
                smooth = ndimage.gaussian_filter1d(smooth, sigma / spacing, axis=axis, truncate=TRUNCATE)
            np.maximum(best, tube_response(_curvatures(smooth, where, spacing_zyx_mm), sigma), out=best)
        part = np.zeros(chosen.shape, np.float32)
        part.ravel()[where] = best / np.float32(contrast_hu)
        result[start:stop] = part[start - low : stop - low]
        if progress:
            progress(stop / array_hu.shape[0])
    return result
