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
MARGIN_MM = 10.0  # of surroundings on every side of the ventricle
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
    crop = _surroundings(ct, labels)
    spacing = np.asarray(ct.spacing_mm[::-1])
    stride = [max(1, round(GRID_MM / s)) for s in spacing]
    return max(_along(np.moveaxis(crop, k, 0), np.delete(spacing, k), stride[k]) for k in range(3))


def _surroundings(ct: Volume, labels: Volume) -> NDArray[np.float32]:
    """The part of ``ct`` (z, y, x) about the ventricle, in the window; empty without one."""
    inside = np.argwhere(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)))[:, ::-1]
    if not len(inside):
        return np.zeros((0, 0, 0), np.float32)
    to_ct = ct.lps_to_index @ labels.index_to_lps
    seen = inside @ to_ct[:3, :3].T + to_ct[:3, 3]
    margin = MARGIN_MM / np.asarray(ct.spacing_mm)
    low = np.clip(np.floor(seen.min(axis=0) - margin), 0, ct.size).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0) + margin) + 1, 0, ct.size).astype(int)
    crop = ct.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    return np.clip(crop, *WINDOW_HU).astype(np.float32)


def _along(slices: NDArray[np.float32], pixel_mm: Floats, stride: int) -> float:
    """The steps of ``slices`` (n, rows, columns) with pixels of ``pixel_mm``, compared ``stride`` slices apart.

    Whatever slice a step lies at, for one of the first ``stride`` to begin with two that are compared lie astride it.
    """
    block = [max(1, round(GRID_MM / s)) for s in pixel_mm]
    rows, columns = (n // k for n, k in zip(slices.shape[1:], block))
    coarse = slices[:, : rows * block[0], : columns * block[1]]
    coarse = coarse.reshape(len(slices), rows, block[0], columns, block[1]).mean(axis=(2, 4))
    wide = np.asarray(pixel_mm) * block
    smooth = ndimage.gaussian_filter(coarse, (0.0, *(SMOOTH_MM / wide)))
    return max(_steps_mm(smooth[first::stride], wide) for first in range(stride))


def _steps_mm(slices: NDArray[np.float32], pixel_mm: Floats) -> float:
    """Second largest step between neighbouring ``slices`` (n, rows, columns) with pixels of ``pixel_mm``."""
    if len(slices) < 2 * NEIGHBOURS + 2 or min(slices.shape[1:]) < 2:
        return 0.0
    apart = np.abs(np.diff(slices, axis=0)).mean(axis=(1, 2))
    slope = np.mean([np.abs(np.diff(slices, axis=k)).mean() / pixel_mm[k - 1] for k in (1, 2)])
    around = np.pad(apart, NEIGHBOURS, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * NEIGHBOURS + 1)
    usual = np.nanmedian(np.delete(windows, NEIGHBOURS, axis=1), axis=1)
    return float(np.sort(np.maximum(apart - usual, 0.0))[-2] / max(float(slope), 1e-6))
