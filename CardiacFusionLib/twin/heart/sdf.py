"""Signed distances (mm, negative inside) of the simple bodies the twin is built from; points (n, 3) float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Distance = NDArray[np.float32]


def ellipsoid(points: Points, centre: Sequence[float], axes: Sequence[float] | NDArray[np.float64]) -> Distance:
    """Approximate distance to an axis-aligned ellipsoid, exact on its surface to first order (Quilez's k0(k0-1)/k1)."""
    k0 = np.zeros(len(points), np.float32)
    k1 = np.zeros(len(points), np.float32)
    for i in range(3):
        d = points[:, i] - np.float32(centre[i])
        d *= np.float32(1.0 / axes[i])
        d *= d
        k0 += d
        d *= np.float32(1.0 / axes[i] ** 2)
        k1 += d
    np.sqrt(k0, out=k0)
    np.sqrt(k1, out=k1)
    k1 += np.float32(1e-6)
    result = k0 * (k0 - np.float32(1.0)) / k1
    # at the very centre the formula tends to 0/0; the depth there is the smallest half axis
    return np.where(k0 < 1e-3, np.float32(-min(axes)), result)


def oriented_ellipsoid(
    points: Points,
    centre: NDArray[np.float64],
    axes: Sequence[float] | NDArray[np.float64],
    rotation: NDArray[np.float64],
) -> Distance:
    """Ellipsoid whose own axes are the rows of ``rotation`` (3, 3)."""
    local = (points - np.asarray(centre, np.float32)) @ rotation.T.astype(np.float32)
    return ellipsoid(local, (0.0, 0.0, 0.0), axes)


def tube(
    points: Points, path: NDArray[np.float64], radius: NDArray[np.float64] | float, margin: float = 16.0
) -> Distance:
    """Distance to a chain of round cones along ``path`` (m, 3) with ``radius`` (m,) or one radius.

    Right up to ``margin`` mm from the surface; farther points get ``margin`` (they are skipped, for speed).
    """
    path32 = np.asarray(path, np.float32)
    radii = np.broadcast_to(np.asarray(radius, np.float32), len(path32))
    best = np.full(len(points), np.float32(margin), np.float32)
    x, y, z = (np.ascontiguousarray(points[:, i]) for i in range(3))
    for start in range(0, len(path32) - 1, 4):
        part, width = path32[start : start + 5], radii[start : start + 5]
        reach = width.max() + np.float32(margin)
        low, high = part.min(axis=0) - reach, part.max(axis=0) + reach
        index = np.flatnonzero(z > low[2])
        index = index[z[index] < high[2]]
        for v, axis in ((x, 0), (y, 1)):
            value = v[index]
            index = index[(value > low[axis]) & (value < high[axis])]
        if not index.size:
            continue
        best[index] = np.minimum(best[index], _cones(x[index], y[index], z[index], part, width))
    return best


def _cones(x: Distance, y: Distance, z: Distance, path: Points, radii: Distance) -> Distance:
    best = np.full(len(x), np.inf, np.float32)
    for a, b, ra, rb in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        ab = b - a
        dx, dy, dz = x - a[0], y - a[1], z - a[2]
        t = dx * ab[0]
        t += dy * ab[1]
        t += dz * ab[2]
        t *= np.float32(1.0 / max(float(ab @ ab), 1e-9))
        np.clip(t, 0.0, 1.0, out=t)
        dx -= t * ab[0]
        dy -= t * ab[1]
        dz -= t * ab[2]
        dx *= dx
        dy *= dy
        dz *= dz
        dx += dy
        dx += dz
        np.sqrt(dx, out=dx)
        t *= rb - ra
        t += ra
        dx -= t
        np.minimum(best, dx, out=best)
    return best


def plane(points: Points, point: Sequence[float] | NDArray[np.float64], normal: NDArray[np.float64]) -> Distance:
    """Distance along the unit ``normal``: positive on the side it points to."""
    n = np.asarray(normal, np.float32)
    return points @ n - np.float32(np.asarray(point, float) @ np.asarray(normal, float))


def smooth_min(a: Distance, b: Distance, width: float) -> Distance:
    """Union with a fillet about ``width`` mm wide (polynomial smooth minimum)."""
    h = np.abs(a - b)
    np.subtract(np.float32(width), h, out=h)
    np.maximum(h, 0, out=h)
    h *= h
    h *= np.float32(0.25 / width)
    return np.minimum(a, b) - h


def smooth_max(a: Distance, b: Distance, width: float) -> Distance:
    """Intersection with a rounded edge about ``width`` mm wide."""
    return -smooth_min(-a, -b, width)


def smooth_path(control: NDArray[np.float64], per_span: int = 3) -> NDArray[np.float64]:
    """Catmull-Rom curve through ``control`` (m, k), ``per_span`` pieces a span: ((m-1) * per_span + 1, k)."""
    p = np.asarray(control, float)
    p = np.concatenate([[2 * p[0] - p[1]], p, [2 * p[-1] - p[-2]]])
    t = np.arange(per_span)[:, None] / per_span
    spans = []
    for i in range(1, len(p) - 2):
        p0, p1, p2, p3 = p[i - 1 : i + 3]
        spans.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    return np.concatenate([*spans, p[-2:-1]])


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector (3,) at length one."""
    v = np.asarray(vector, float)
    return np.asarray(v / np.linalg.norm(v))
