"""Displacement fields on the common short-axis grid: composing, warping labels, folding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM
from CardiacFusionLib.spatial.labels import Label


def grid_xy_mm() -> NDArray[np.float64]:
    """Heart-frame (x, y) in mm of every pixel of the common grid, shape (y, x, 2)."""
    axes = [(np.arange(n) - (n - 1) / 2) * GRID_SPACING_MM for n in GRID_SHAPE]
    y, x = np.meshgrid(*axes, indexing="ij")
    return np.stack([x, y], axis=-1)


def warp_maps(maps: NDArray[np.floating], displacement_mm: NDArray[np.floating]) -> NDArray[np.float32]:
    """Maps (c, y, x) of a grid read at p + displacement(p); displacement (2, y, x) mm, order (x, y). Linear, the edge's
    value beyond the edge.
    """
    rows, columns = maps.shape[1:]
    y = np.clip(np.arange(rows)[:, None] + displacement_mm[1] / GRID_SPACING_MM, 0, rows - 1)
    x = np.clip(np.arange(columns) + displacement_mm[0] / GRID_SPACING_MM, 0, columns - 1)
    top, left = np.minimum(y.astype(np.intp), rows - 2), np.minimum(x.astype(np.intp), columns - 2)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    flat, corner = maps.astype(np.float32, copy=False).reshape(len(maps), -1), top * columns + left
    # all maps are read at the same places: the places are found once
    upper = flat[:, corner] * (1 - right) + flat[:, corner + 1] * right
    lower = flat[:, corner + columns] * (1 - right) + flat[:, corner + columns + 1] * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def jacobian(displacement_mm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Determinant (y, x) of the gradient of p + displacement(p); zero or below where the map folds."""
    u = displacement_mm.astype(float)
    dx_dy, dx_dx = np.gradient(u[0], GRID_SPACING_MM)
    dy_dy, dy_dx = np.gradient(u[1], GRID_SPACING_MM)
    return np.asarray((1 + dx_dx) * (1 + dy_dy) - dx_dy * dy_dx)


def folded_share(displacement_mm: NDArray[np.floating]) -> float:
    """Share of the grid's pixels where the map folds (Jacobian ≤ 0)."""
    return float(np.mean(jacobian(displacement_mm) <= 0))


def wall_dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Dice of the myocardium of two label pictures; NaN where neither holds any."""
    p, t = a == Label.MYOCARDIUM, b == Label.MYOCARDIUM
    total = int(p.sum()) + int(t.sum())
    return float(2 * (p & t).sum() / total) if total else float("nan")


def one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cavity, myocardium and RV as (3, y, x) float32."""
    return np.stack([labels == k for k in (1, 2, 3)]).astype(np.float32)


def from_maps(maps: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Labels (y, x) of class maps (3, y, x); background takes what is left."""
    full = np.concatenate([1.0 - maps.sum(axis=0, keepdims=True), maps])
    return np.asarray(full.argmax(axis=0).astype(np.uint8))
