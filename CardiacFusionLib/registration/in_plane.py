"""Every CMR slice laid upon the CT's section in its plane: breath-holds and trigger delays move slices apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from CardiacFusionLib.registration.deformation import one_hot
from CardiacFusionLib.registration.result import GRID_SPACING_MM

# slices are misplaced by their breath-holds (Chandler 2008, J Cardiovasc Magn Reson 10:13); farther is an error
REACH_MM = 15.0
SMOOTH_MM = 3.0  # outlines of two phases differ by about so much: what is compared is blurred by it
USUAL_MM = 4.0  # SD of a slice's offset: it holds back where the pictures say little
WEIGHT = 0.016  # of that expectation against the share of the pictures that does not agree


def in_plane_offset(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Offset (x, y) in mm of labels ``moving`` (y, x) against ``fixed`` on the common grid: fixed p shows moving
    p + offset, as of a displacement. Zero where either shows no left ventricle.

    Blurred cavity, wall and RV are compared together: a small contracted ring may hug either side of a large one at the
    same overlap of walls, its blood and the RV's place tell which.
    """
    maps = [one_hot(labels) for labels in (fixed, moving)]
    if not all(side[:2].any(axis=(1, 2)).all() for side in maps):
        return np.zeros(2)
    blur = (0, SMOOTH_MM / GRID_SPACING_MM, SMOOTH_MM / GRID_SPACING_MM)
    target, source = (ndimage.gaussian_filter(side, blur, mode="constant") for side in maps)
    alike = np.sum([signal.fftconvolve(s, t[::-1, ::-1], mode="same") for t, s in zip(target, source)], axis=0)
    y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in alike.shape), indexing="ij")
    # the squared difference of the pictures is a constant less twice their correlation
    apart2 = (x**2 + y**2) * GRID_SPACING_MM**2
    cost = -2 * alike / float(np.square(target).sum()) + WEIGHT * apart2 / (2 * USUAL_MM**2)
    cost[apart2 > REACH_MM**2] = np.inf
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return np.array([x[row, column], y[row, column]], dtype=float) * GRID_SPACING_MM
