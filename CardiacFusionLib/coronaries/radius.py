"""Sub-voxel centrelines and lumen radii from cross-sections of the CT.

The radius follows from how much blood a cross-section holds, not from where an edge is seen: along each ray the
brightness above the ray's own background, as a share of pure blood, is integrated over the area. Blur moves blood
outwards but loses none, so that the radius stays right down to vessels thinner than the scanner's point spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates

from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

Points = NDArray[np.float64]

STEP_MM = 0.5  # distance between centreline points
RAYS = 24
REACH_MM = 4.6  # a little beyond the largest normal radius (LM 2.9 mm, Dodge 1992) plus blur
RADIAL_STEP_MM = 0.2
CALCIUM_OVER_BLOOD_HU = 150.0  # usual in CTCA: calcium is what outshines the contrast by 130-150 HU
# the artery's own wall and soft plaque lie between lumen and fat: lumen counts from their brightness upwards
WALL_HU = 0.0
ENCLOSED_SHARE = 0.12  # of the contrast: a direction counts as darker from this drop on
CENTRING_ROUNDS = 3
AVERAGE_MM = 0.7  # standard deviation of the smoothing along the vessel


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


def _read(field: NDArray[np.generic], volume: Volume, points: Points) -> NDArray[np.float32]:
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
        weight = _read(tubes, volume, cross) ** 2 * near
        total = weight.sum(axis=1)
        share = np.where(total > 1e-6, 1.0 / np.maximum(total, 1e-6), 0.0)
        shift = (weight @ u * share)[:, None] * a + (weight @ v * share)[:, None] * b
        path = path + gaussian_filter1d(shift, 0.5 / STEP_MM, axis=0)
        path = smoothed(resampled(path), 0.7)
    return path


@dataclass(frozen=True)
class Profile:
    """Along a centreline: lumen radius (n,) mm, brightness at the centre (n,) HU, calcium in the cross-section (n,).

    ``enclosed`` (n,): share of the directions across in which it gets clearly darker; near 1 for an artery, about a
    half for the edge of a chamber.
    """

    radius_mm: NDArray[np.float64]
    centre_hu: NDArray[np.float64]
    calcium: NDArray[np.bool_]
    enclosed: NDArray[np.float64]


def measured(points: Points, ct: Volume, blood_hu: float) -> Profile:
    """Lumen radius along a centreline (n, 3) LPS at steps of ``STEP_MM``; ``blood_hu``: brightness of a full lumen."""
    _, a, b = frames(points)
    angle = np.arange(RAYS) * 2 * np.pi / RAYS
    radial = np.arange(0.0, REACH_MM + 1e-6, RADIAL_STEP_MM)
    ray = np.cos(angle)[None, :, None] * a[:, None] + np.sin(angle)[None, :, None] * b[:, None]
    cross = points[:, None, None] + ray[:, :, None] * radial[None, None, :, None]
    values = _read(ct.array, ct, cross).astype(np.float64)
    inner = radial <= 2.4
    calcium_at = values > blood_hu + CALCIUM_OVER_BLOOD_HU
    calcium = calcium_at[..., inner].mean(axis=(1, 2)) > 0.02
    # neighbouring cross-sections together: less noise, same vessel
    values = gaussian_filter1d(values, AVERAGE_MM / STEP_MM, axis=0, mode="nearest")
    # brightness beyond a full lumen is calcium: not lumen, so it counts as far below blood as it lies above
    lumen = np.where(values > blood_hu + 60.0, np.maximum(2 * (blood_hu + 60.0) - values, -60.0), values)
    # the background of a ray is its first deep valley: beyond it another bright structure may follow
    falling = np.minimum.accumulate(values, axis=-1)
    rise = values - falling
    beyond = np.maximum.accumulate(rise > 0.25 * (blood_hu + 60.0), axis=-1)
    floor = np.where(beyond, np.inf, values).min(axis=-1)
    deep = values[:, 0, :1] - floor >= ENCLOSED_SHARE * (blood_hu + 60.0)
    floor = np.minimum(np.maximum(floor, WALL_HU), blood_hu - 150.0)
    valley = np.argmin(np.where(beyond, np.inf, values), axis=-1)
    share = (lumen - floor[..., None]) / (blood_hu - floor[..., None])
    share = np.clip(share, 0.0, 1.0)
    inside = np.arange(len(radial)) <= valley[..., None]
    area = 2.0 * np.sum(np.where(inside, share, 0.0) * radial * RADIAL_STEP_MM, axis=-1)
    # the mean over rays, without the rays that ran into a branch or a chamber
    area = np.sort(area, axis=1)[:, RAYS // 8 : RAYS - RAYS // 4].mean(axis=1)
    radius = np.sqrt(np.maximum(area, 0.0))
    return Profile(radius, values[:, 0, 0], calcium, deep.mean(axis=1))
