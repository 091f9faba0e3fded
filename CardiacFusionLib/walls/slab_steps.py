"""Are the slices of a CT shifted against each other? The stair-step of a heart that moved between two parts of a scan.

A coronary CT is put together from slabs taken in different beats. Where the heart (or the patient's breath) was
elsewhere in the next beat, all of a picture jumps from one slice to the next. Networks still draw a smooth ventricle
through such steps, and each of its outlines looks like a heart; only the picture tells that it is not one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.volume import Volume

GRID_MM = 2.0  # finer pixels are averaged to about this, finer slices compared as far apart
MARGIN_MM = 6.0  # of surroundings about the ventricle: beyond may lie the flat inside of the chest
WINDOW_HU = (-200.0, 600.0)  # lung and metal count no more than fat and blood
SMOOTH_MM = 2.0  # within slices: noise is no gradient
NEIGHBOURS = 3  # slices to either side that tell how much two slices of this heart differ by nature
Floats = NDArray[np.floating]


def slab_steps_mm(ct: Volume, labels: Volume) -> float:
    """By how many millimetres the slices about the ventricle jump against each other: the second largest step along
    the stored axis where it is largest. 0 where too few slices are seen.

    The second: one jump alone may be a flat end of what is shown, and a heart of 8-13 cm holds several slabs.

    ``ct`` (HU) as it was stored: a step lies between two of its slices, and a reformatted CT no longer shows it as one.
    ``labels``: LV cavity and wall on any grid.

    A step's size is what two neighbouring slices differ by, beyond what their neighbours do, over the mean gradient
    within slices: for shifts up to the width of the heart's borders that is the shift; of a larger one it tells less.
    """
    spacing = np.asarray(ct.spacing_mm[::-1])
    stride = np.maximum(np.rint(GRID_MM / spacing), 1).astype(int)
    image, near = _surroundings(ct, labels, stride)
    return max(
        _along(np.moveaxis(image, k, 0), np.moveaxis(near, k, 0), np.roll(spacing, -k), np.roll(stride, -k))
        for k in range(3)
    )


def _surroundings(
    ct: Volume, labels: Volume, stride: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The part of ``ct`` (z, y, x) about the ventricle, in the window, and which blocks of ``stride`` voxels of it lie
    in the ventricle or within ``MARGIN_MM``. Both empty without one."""
    inside = np.argwhere(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)))[:, ::-1]
    if not len(inside):
        return np.zeros((0, 0, 0), np.float32), np.zeros((0, 0, 0), dtype=bool)
    to_ct = ct.lps_to_index @ labels.index_to_lps
    seen = (inside @ to_ct[:3, :3].T + to_ct[:3, 3])[:, ::-1]
    margin = MARGIN_MM / np.asarray(ct.spacing_mm[::-1])
    shape = np.array(ct.array.shape)
    low = np.clip(np.floor(seen.min(axis=0) - margin), 0, shape).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + margin) + 1, 0, shape).astype(int)
    blocks = (high - low) // stride
    crop = ct.array[tuple(slice(a, a + n) for a, n in zip(low, blocks * stride))]
    at = ((np.rint(seen) - low) // stride).astype(int)
    at = at[np.all((at >= 0) & (at < blocks), axis=1)]
    near = np.zeros(tuple(blocks), dtype=bool)
    near[tuple(at.T)] = True
    if near.any():  # labels coarser than the CT leave gaps, which are closed as well
        near = ndimage.binary_dilation(near, iterations=round(MARGIN_MM / GRID_MM))
    return np.clip(crop, *WINDOW_HU).astype(np.float32), near


def _along(slices: NDArray[np.float32], near: NDArray[np.bool_], spacing: Floats, stride: NDArray[np.integer]) -> float:
    """The steps of ``slices`` (n, rows, columns), compared ``stride[0]`` slices apart, where blocks are ``near``.

    Whatever slice a step lies at, for one of the first slices to begin with two that are compared lie astride it.
    """
    rows, columns = near.shape[1:]
    if not near.any():
        return 0.0
    coarse = slices.reshape(len(slices), rows, stride[1], columns, stride[2]).mean(axis=(2, 4))
    pixel_mm = spacing[1:] * stride[1:]
    smooth = ndimage.gaussian_filter(coarse, (0.0, *(SMOOTH_MM / pixel_mm)))
    inside = np.repeat(near, stride[0], axis=0)
    return max(_steps_mm(smooth[k :: stride[0]], inside[k :: stride[0]], pixel_mm) for k in range(stride[0]))


def _steps_mm(slices: NDArray[np.float32], near: NDArray[np.bool_], pixel_mm: Floats) -> float:
    """Second largest step between neighbouring ``slices`` (n, rows, columns) with pixels of ``pixel_mm``; only those
    ``near`` count. Differences are summed, so that the ventricle's ends, where few are near, weigh little."""
    if len(slices) < 2 * NEIGHBOURS + 2 or min(slices.shape[1:]) < 2:
        return 0.0
    either = near[1:] | near[:-1]
    apart = (np.abs(np.diff(slices, axis=0)) * either).sum(axis=(1, 2)) / either.sum(axis=(1, 2)).mean()
    rows, columns = np.abs(np.diff(slices, axis=1)), np.abs(np.diff(slices, axis=2))
    slope = (rows[near[:, 1:]].mean() / pixel_mm[0] + columns[near[:, :, 1:]].mean() / pixel_mm[1]) / 2
    around = np.pad(apart, NEIGHBOURS, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * NEIGHBOURS + 1)
    usual = np.nanmedian(np.delete(windows, NEIGHBOURS, axis=1), axis=1)
    return float(np.sort(np.maximum(apart - usual, 0.0))[-2] / max(float(slope), 1e-6))
