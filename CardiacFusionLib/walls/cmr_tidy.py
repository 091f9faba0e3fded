"""What remains of the network's labels: one left ventricle without holes or bays, and the right one beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from CardiacFusionLib.spatial.labels import Label

RV_REACH_MM = 6.0  # RV blood farther from the LV wall is another vessel
MIN_LV_MM2 = 60.0  # less than this, cavity and wall together, is no LV cross-section
EDGE_SMOOTH_PX = 0.7  # distances to a stair-stepped outline are evened out by so much before they are compared


def tidy(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """One LV, its holes filled, and the one RV beside it; small separate islands are removed."""
    result = np.zeros_like(labels)
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    parts, count = ndimage.label(lv, np.ones((3, 3)))
    pixel = spacing_mm[0] * spacing_mm[1]
    if count == 0:
        return result
    sizes = ndimage.sum_labels(lv, parts, np.arange(1, count + 1))
    lv = parts == 1 + int(np.argmax(sizes))
    if lv.sum() * pixel < MIN_LV_MM2:
        return result
    filled = ndimage.binary_fill_holes(lv)
    result[lv] = labels[lv]
    result[filled & ~lv] = Label.LV_CAVITY
    cavities, count = ndimage.label(result == Label.LV_CAVITY)
    if count > 1:  # the cavity is one room: islands belong to the wall around them
        sizes = ndimage.sum_labels(cavities > 0, cavities, np.arange(1, count + 1))
        result[(cavities > 0) & (cavities != 1 + int(np.argmax(sizes)))] = Label.MYOCARDIUM
    cavity = result == Label.LV_CAVITY
    # papillary muscles and trabeculae count as blood pool: the endocardial contour runs around them
    # (Schulz-Menger 2020, J Cardiovasc Magn Reson 22:19), so it has no bays
    result[_hull(cavity) & (result == Label.MYOCARDIUM)] = Label.LV_CAVITY
    rv, count = ndimage.label((labels == Label.RV_CAVITY) & ~filled, np.ones((3, 3)))
    if count:
        away = ndimage.distance_transform_edt(~filled, sampling=spacing_mm[::-1])
        index = np.arange(1, count + 1)
        near = ndimage.minimum(away, rv, index) <= RV_REACH_MM
        sizes = ndimage.sum_labels(rv > 0, rv, index) * near
        if sizes.max() > 0:
            result[rv == 1 + int(np.argmax(sizes))] = Label.RV_CAVITY
    return result


def widened(labels: NDArray[np.uint8], spacing_mm: tuple[float, float], margin_mm: float) -> NDArray[np.uint8]:
    """Labels (y, x) with the cavity's outline ``margin_mm`` farther out, into the wall only; parts of a pixel count.

    ``spacing_mm`` (x, y). The outer edge of the wall, the RV and a cavity without a wall stay as they are.
    """
    cavity = labels == Label.LV_CAVITY
    if margin_mm <= 0 or not cavity.any():
        return labels
    sampling = spacing_mm[::-1]
    # distances run between pixels' centres, the edge half way between them
    half = 0.5 * float(np.mean(spacing_mm))
    outside = ndimage.distance_transform_edt(~cavity, sampling=sampling)
    inside = ndimage.distance_transform_edt(cavity, sampling=sampling)
    beyond = np.where(cavity, half - inside, outside - half)
    result = labels.copy()
    near = ndimage.gaussian_filter(beyond, EDGE_SMOOTH_PX) <= margin_mm
    result[near & (labels == Label.MYOCARDIUM)] = Label.LV_CAVITY
    return result


def _hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels (y, x) whose centres lie within the convex hull of the mask's pixel centres; through the pixels' corners,
    the usual hull of a picture, it would be a third of a pixel too wide."""
    places = np.argwhere(mask)
    if len(places) < 3 or np.linalg.matrix_rank(places - places[0]) < 2:  # a line has no inside
        return mask
    return np.asarray(convex_hull_image(mask, offset_coordinates=False), dtype=bool)
