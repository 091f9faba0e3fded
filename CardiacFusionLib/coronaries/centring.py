"""The centreline moved into the middle of the lumen by the picture itself, to a fraction of a voxel.

Where the line lies ``o`` beside the middle, the profile along a ray in direction ``d`` is the model's moved by ``o.d``:

    v(x) - m(x) = -(o.d) m'(x) + noise,

with ``m`` the blurred cylinder of ``radius.py``. Two unknowns a cross-section, by linear least squares over the rays
that may vote (a Gauss-Newton step), smoothed along the vessel and repeated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from CardiacFusionLib.coronaries.centreline import STEP_MM, frames, smoothed
from CardiacFusionLib.coronaries.radius import (
    BACKGROUND_HU,
    RADIAL_STEP_MM,
    RADII_MM,
    RAYS,
    WALL_HU,
    WALL_MM,
    CrossSections,
    cross_sections,
    disc,
)
from CardiacFusionLib.spatial.volume import Volume

Array = NDArray[np.float64]

ROUNDS = 2
MAX_STEP_MM = 0.6  # beyond it the linear step does not hold
FAT_HU = -120.0  # nothing darker than fat lies on an artery
ALONG_MM = 1.0  # standard deviation of the smoothing of the steps along the vessel
SMOOTH_MM = 0.7
# of a clear cross-section's information: with less than that the line stays where it is
RIDGE_SHARE = 0.15


def recentred(
    points: Array,
    cut: CrossSections,
    radius_mm: Array,
    outer_mm: Array,
    ct: Volume,
    blood_hu: float,
    blur_mm: float,
    bloom: Volume | None = None,
) -> tuple[Array, CrossSections]:
    """Centreline (n, 3) LPS moved into the lumen, and its cross-sections. The first point stays (it is the fork's).

    ``cut``: the cross-sections of ``points``; ``radius_mm``, ``outer_mm`` (n,): lumen and healthy lumen as measured on
    them; ``bloom``: as for ``cross_sections``.
    """
    if len(points) < 4:
        return points, cut
    for _ in range(ROUNDS):
        a, b = _offsets(cut, radius_mm, np.maximum(outer_mm, radius_mm), blood_hu, blur_mm)
        _, first, second = frames(points)
        moved = points + a[:, None] * first + b[:, None] * second
        moved = smoothed(moved, SMOOTH_MM)
        moved[0] = points[0]
        points = moved
        cut = cross_sections(points, ct, blood_hu, bloom=bloom)
    return points, cut


def _rows(table: NDArray[np.float32], radius_mm: Array) -> NDArray[np.float32]:
    """Rows (n, steps) of a table by radius, between the tabulated ones."""
    at = np.clip(radius_mm / float(RADII_MM[1]), 0, len(RADII_MM) - 1.001)
    low = at.astype(int)
    share = (at - low).astype(np.float32)[:, None]
    return (1 - share) * table[low] + share * table[low + 1]


def _offsets(
    cut: CrossSections, radius_mm: Array, outer_mm: Array, blood_hu: float, blur_mm: float
) -> tuple[Array, Array]:
    """Where the middle lies (n,), (n,) mm along the two normals of the centreline's frames."""
    table = disc(blur_mm).astype(np.float32)
    slope = np.gradient(table, RADIAL_STEP_MM, axis=1).astype(np.float32)
    wall, blood = np.float32(WALL_HU), np.float32(blood_hu)
    lumen, tube = _rows(table, radius_mm)[:, None], _rows(table, outer_mm + WALL_MM)[:, None]
    # only the way down from the lumen speaks of its middle; what comes after the darkest place is something else
    falling = np.arange(cut.values.shape[-1]) <= np.argmin(np.where(cut.inside, cut.values, np.inf), axis=-1)[..., None]
    votes = (falling & cut.fit[..., None]).astype(np.float32)
    # lung behind the fat is a second, far deeper edge that would draw the line outwards
    rest = np.maximum(cut.values, np.float32(FAT_HU)) - wall * tube - (blood - wall) * lumen
    open_ = 1.0 - tube
    pull = np.float32(0.05)
    background = ((rest * open_ * votes).sum(-1) + np.maximum(cut.floor, np.float32(FAT_HU)) * pull) / (
        (open_**2 * votes).sum(-1) + pull
    )
    background = np.clip(background, FAT_HU, BACKGROUND_HU[1])[..., None]
    residual = (rest - background * open_) * votes
    fall = -(
        (wall - background) * _rows(slope, outer_mm + WALL_MM)[:, None]
        + (blood - wall) * _rows(slope, radius_mm)[:, None]
    )
    fall = fall * votes
    angle = (np.arange(RAYS) * 2 * np.pi / RAYS).astype(np.float32)[None, :]
    own, gain = (residual * fall).sum(-1), (fall**2).sum(-1)  # (n, rays)
    c, s = np.cos(angle), np.sin(angle)

    def along(values: NDArray[np.float32]) -> Array:
        return gaussian_filter1d(values.sum(axis=1).astype(float), ALONG_MM / STEP_MM, mode="nearest")

    # neighbouring cross-sections vote together, each by what it has to say
    cc, ss, cs = along(gain * c * c), along(gain * s * s), along(gain * c * s)
    rc, rs = along(own * c), along(own * s)
    ridge = RIDGE_SHARE * float(np.median(cc + ss)) / 2 + 1e-9
    cc, ss = cc + ridge, ss + ridge
    det = np.maximum(cc * ss - cs * cs, 1e-12)
    a, b = (ss * rc - cs * rs) / det, (cc * rs - cs * rc) / det
    size = np.hypot(a, b)
    share = np.minimum(1.0, MAX_STEP_MM / np.maximum(size, 1e-9))
    return a * share, b * share
