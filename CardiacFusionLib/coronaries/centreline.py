"""Polylines along a vessel: equal steps, smoothing, frames across, and moving them onto the middle of the lumen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

Points = NDArray[np.float64]

STEP_MM = 0.5  # distance between centreline points
CENTRING_ROUNDS = 3


def resampled(points: Points, step_mm: float = STEP_MM) -> Points:
    """The polyline (n, 3) at equal steps of about ``step_mm``; its ends stay."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    keep = np.concatenate([[True], np.diff(arc) > 1e-9])
    wanted = np.linspace(0.0, arc[-1], max(2, round(arc[-1] / step_mm) + 1))
    return np.stack([np.interp(wanted, arc[keep], points[keep, k]) for k in range(3)], axis=1)


def smoothed(points: Points, sigma_mm: float, step_mm: float = STEP_MM) -> Points:
    """The polyline smoothed along itself; its ends stay where they are."""
    if len(points) < 4:
        return points
    # odd reflection about the ends keeps them in place and does not shorten the curve
    n = min(len(points) - 1, int(np.ceil(4 * sigma_mm / step_mm)))
    before = 2 * points[0] - points[n:0:-1]
    after = 2 * points[-1] - points[-2 : -n - 2 : -1]
    padded = np.concatenate([before, points, after])
    return np.asarray(gaussian_filter1d(padded, sigma_mm / step_mm, axis=0)[n : n + len(points)])


def frames(points: Points) -> tuple[Points, Points, Points]:
    """Unit tangent and two unit normals (n, 3) of a polyline, the normals turning as little as possible."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    first = np.zeros_like(points)
    guess = np.eye(3)[int(np.argmin(np.abs(tangent[0])))]
    for i, t in enumerate(tangent):
        guess = guess - (guess @ t) * t
        guess = guess / max(float(np.linalg.norm(guess)), 1e-9)
        first[i] = guess
    return tangent, first, np.cross(tangent, first)


def read(field: NDArray[np.generic], volume: Volume, points: Points) -> NDArray[np.float32]:
    """Values of ``field`` (on the grid of ``volume``) at LPS points (..., 3), linear; the border goes on outside."""
    index = np.moveaxis(apply(volume.lps_to_index, points)[..., ::-1], -1, 0)
    return np.asarray(map_coordinates(field, index, order=1, mode="nearest", output=np.float32))


def centred(points: Points, tubes: NDArray[np.float32], volume: Volume) -> Points:
    """The path (n, 3) moved onto the ridge of the vesselness ``tubes`` (on the grid of ``volume``), at equal steps.

    Each point goes to the centre of mass of the squared vesselness in its cross-section, near its place; shifts are
    smoothed along the vessel. Where nothing is tubular (a bridged gap) the point stays.
    """
    path = smoothed(resampled(points), 1.5)
    offsets = np.arange(-1.8, 1.81, 0.45)
    u, v = (g.ravel() for g in np.meshgrid(offsets, offsets))
    near = np.exp(-(u**2 + v**2) / (2 * 1.0**2))
    for _ in range(CENTRING_ROUNDS):
        _, a, b = frames(path)
        cross = path[:, None] + u[None, :, None] * a[:, None] + v[None, :, None] * b[:, None]
        weight = read(tubes, volume, cross) ** 2 * near
        total = weight.sum(axis=1)
        share = np.where(total > 1e-6, 1.0 / np.maximum(total, 1e-6), 0.0)
        shift = (weight @ u * share)[:, None] * a + (weight @ v * share)[:, None] * b
        path = path + gaussian_filter1d(shift, 0.5 / STEP_MM, axis=0)
        path = smoothed(resampled(path), 0.7)
    return path
