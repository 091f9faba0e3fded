"""Lumen radius from cross-sections of the CT: a cylinder model fitted to what the scanner made of it.

A cross-section is a disc of blood in the wall's tube on a background, blurred by the scanner's point spread (Worz and
Rohr 2007, IEEE Trans Image Process 16:1994, with a wall added). Along a ray from the centre,

    v(x) = B + (W - B) D(x; R) + (H - W) D(x; r),    D(x; r) = P(|N((x, 0), s^2)| <= r),

with lumen radius r, outer radius R, blood H, wall W and the ray's own background B. The blur s is one number for the
whole CT, found from its wide vessels. The fit reads the radius right where the lumen is thinner than the blur and its
edge, or its height, would not tell. Rays that meet calcium, a branch or a chamber are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import chndtr

from CardiacFusionLib.coronaries.centreline import STEP_MM, frames, read
from CardiacFusionLib.spatial.volume import Volume

Points = NDArray[np.float64]
Array = NDArray[np.float64]

RAYS = 24
REACH_MM = 4.6  # a little beyond the largest normal radius (LM 2.9 mm, Dodge 1992) plus blur
RADIAL_STEP_MM = 0.2
CALCIUM_OVER_BLOOD_HU = 120.0  # calcium is what outshines the contrast; blurred small grains only just do
CALCIUM_SHARE = 0.012  # of a cross-section
OVER_BLOOD_HU = 80.0  # a ray that is so much brighter than blood somewhere near meets blurred calcium
WALL_HU = 60.0  # the wall and soft plaque: 30-100 HU in CT (Leber 2004, J Am Coll Cardiol 43:1241)
WALL_MM = 0.6  # thickness of a normal coronary wall with its adventitia: 0.5-1 mm
ENCLOSED_SHARE = 0.12  # of the contrast: a direction counts as darker from this drop on
AVERAGE_MM = 0.5  # standard deviation of the smoothing along the vessel
RADII_MM = np.arange(0.0, 3.61, 0.1)
BLURS_MM = np.arange(0.3, 1.51, 0.1)
USUAL_BLUR_MM = 0.6
KEPT_SHARE = 0.7  # of the rays: the worst fitting ones do not vote
WALL_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
WALL_ALONG_MM = 0.5  # standard deviation along the vessel over which wall and lumen are judged together
WALL_SHARPNESS = 5.0  # a wall that explains the picture worse by a fifth (squared misfit) has 1/e of the say
BACKGROUND_HU = (-950.0, 250.0)  # lung .. enhanced muscle and a pale right heart


@dataclass(frozen=True)
class Profile:
    """Along a centreline: lumen radius (n,) mm, brightness at the centre (n,) HU, calcium in the cross-section (n,).

    ``enclosed`` (n,): share of the directions across in which it gets clearly darker; near 1 for an artery, about a
    half for the edge of a chamber.
    """

    radius_mm: Array
    centre_hu: Array
    calcium: NDArray[np.bool_]
    enclosed: Array


@dataclass(frozen=True)
class CrossSections:
    """Brightness (n, rays, steps) around a centreline, which samples belong to the vessel, and what they say."""

    values: NDArray[np.float32]
    inside: NDArray[np.bool_]  # up to the ray's valley
    fit: NDArray[np.bool_]  # (n, rays) rays that may vote
    calcium: NDArray[np.bool_]  # (n,)
    enclosed: Array  # (n,)
    floor: NDArray[np.float32]  # (n, rays) darkest value of the ray


def radial_steps() -> Array:
    """Distances (steps,) in mm from the centre at which a ray is read."""
    return np.arange(0.0, REACH_MM + 1e-6, RADIAL_STEP_MM)


def cross_sections(
    points: Points,
    ct: Volume,
    blood_hu: float,
    darker_share: float = ENCLOSED_SHARE,
    bloom: Volume | None = None,
) -> CrossSections:
    """Rays across a centreline (n, 3) LPS at steps of ``STEP_MM``; ``blood_hu``: brightness of a full lumen.

    ``darker_share``: of the contrast; the drop along a ray from which the direction counts as darker. ``bloom``: what
    calcium adds to the picture (``calcium.blooming``), taken off; rays through the calcium itself do not vote.
    """
    _, a, b = frames(points)
    angle = np.arange(RAYS) * 2 * np.pi / RAYS
    radial = radial_steps()
    ray = np.cos(angle)[None, :, None] * a[:, None] + np.sin(angle)[None, :, None] * b[:, None]
    raw = read(ct.array, ct, points[:, None, None] + ray[:, :, None] * radial[None, None, :, None])
    # neighbouring cross-sections together: less noise, same vessel
    values = gaussian_filter1d(raw, AVERAGE_MM / STEP_MM, axis=0, mode="nearest")
    bright = (values > blood_hu + OVER_BLOOD_HU) & (radial <= 2.8)
    calcium = (values > blood_hu + CALCIUM_OVER_BLOOD_HU)[..., radial <= 2.8].mean(axis=(1, 2)) > CALCIUM_SHARE
    if bloom is not None:
        added = read(bloom.array, bloom, points[:, None, None] + ray[:, :, None] * radial[None, None, :, None])
        if added.any():
            values = values - gaussian_filter1d(added, AVERAGE_MM / STEP_MM, axis=0, mode="nearest")
    # a ray ends where it rises again out of its first deep valley: there another bright structure begins
    rise = values - np.minimum.accumulate(values, axis=-1)
    beyond = np.maximum.accumulate(rise > 0.2 * (blood_hu + 60.0), axis=-1)
    open_ = np.where(beyond, np.inf, values)
    floor, valley = open_.min(axis=-1), np.argmin(open_, axis=-1)
    enclosed = values[:, 0, :1] - floor >= darker_share * (blood_hu + 60.0)
    stop = np.where(beyond.any(axis=-1), valley, len(radial) - 1)
    inside = np.arange(len(radial)) <= stop[..., None]
    fit = ~bright.any(axis=-1) & (floor < 0.6 * blood_hu)
    return CrossSections(values, inside, fit, calcium, enclosed.mean(axis=1), floor.astype(np.float32))


def disc(blur_mm: float) -> Array:
    """Brightness (radius, steps) of discs of radius ``RADII_MM`` after the blur, at ``radial_steps``; 1 is full."""
    radial = radial_steps()
    return np.asarray(chndtr((RADII_MM[:, None] / blur_mm) ** 2, 2.0, (radial[None] / blur_mm) ** 2))


def _misfit(cut: CrossSections, blood_hu: float, blur_mm: float, outer_mm: Array | None) -> Array:
    """Mean squared misfit (n, radii) in HU^2 of every candidate radius; rays vote by their better ``KEPT_SHARE``."""
    table = disc(blur_mm).astype(np.float32)
    n = len(cut.values)
    misfit = np.empty((n, len(RADII_MM)))
    inside = cut.inside.astype(np.float32)
    samples = np.maximum(inside.sum(axis=-1), 1.0)
    enough = cut.fit.sum(axis=1) >= RAYS // 4
    votes = np.where(enough[:, None], cut.fit, True)
    kept = np.maximum(1, np.round(KEPT_SHARE * votes.sum(axis=1)).astype(int))
    wall = np.float32(WALL_HU)
    for k, radius in enumerate(RADII_MM):
        outer = np.full(n, radius) if outer_mm is None else np.maximum(outer_mm, radius)
        at = np.clip((outer + WALL_MM) / 0.1, 0, len(RADII_MM) - 1.001)
        low = at.astype(int)
        share = (at - low).astype(np.float32)[:, None]
        tube = ((1 - share) * table[low] + share * table[low + 1])[:, None]  # (n, 1, steps)
        rest = (cut.values - wall * tube - (np.float32(blood_hu) - wall) * table[k]) * inside
        open_ = (1.0 - tube) * inside
        # the ray's background; a weak pull towards its darkest value where the ray ends before it
        pull = np.float32(0.05)
        background = ((rest * open_).sum(-1) + cut.floor * pull) / ((open_**2).sum(-1) + pull)
        background = np.clip(background, *BACKGROUND_HU)
        error = ((rest - background[..., None] * open_) ** 2 * inside).sum(-1) / samples
        error = np.sort(np.where(votes, error, np.inf), axis=1)
        total = np.cumsum(np.where(np.isfinite(error), error, 0.0), axis=1)
        misfit[:, k] = total[np.arange(n), kept - 1] / kept
    return misfit


def _best(misfit: Array) -> Array:
    """Radius (n,) of least misfit, between the candidates by a parabola."""
    n, count = misfit.shape
    k = np.argmin(misfit, axis=1)
    inner = np.clip(k, 1, count - 2)
    row = np.arange(n)
    a, b, c = misfit[row, inner - 1], misfit[row, inner], misfit[row, inner + 1]
    bend = a - 2 * b + c
    shift = np.where((bend > 1e-9) & (k == inner), 0.5 * (a - c) / np.where(bend > 1e-9, bend, 1.0), 0.0)
    return np.asarray(RADII_MM[k] + 0.1 * np.clip(shift, -0.5, 0.5), dtype=float)


def blur_of(cut: CrossSections, blood_hu: float) -> float:
    """The scanner's blur (mm, SD) that explains these cross-sections best; of wide, well enclosed vessels."""
    clear = np.flatnonzero((cut.enclosed > 0.9) & ~cut.calcium & (cut.fit.mean(axis=1) > 0.7))
    if len(clear) < 20:
        return USUAL_BLUR_MM
    some = clear[np.linspace(0, len(clear) - 1, min(len(clear), 150)).astype(int)]
    part = CrossSections(*(getattr(cut, f.name)[some] for f in fields(cut)))
    by_blur = [_misfit(part, blood_hu, float(s), None) for s in BLURS_MM]
    wide = _best(by_blur[3]) > 1.0
    if wide.sum() < 20:
        wide[:] = True
    error = np.array([m.min(axis=1)[wide].mean() for m in by_blur])
    k = int(np.clip(np.argmin(error), 1, len(error) - 2))
    a, b, c = error[k - 1 : k + 2]
    shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c > 1e-9 else 0.0
    return float(BLURS_MM[k] + 0.1 * np.clip(shift, -1.0, 1.0))


def measured(
    cut: CrossSections, blood_hu: float, blur_mm: float = USUAL_BLUR_MM, outer_mm: Array | None = None
) -> Profile:
    """Lumen radius along the centreline. ``outer_mm`` (n,): radius of the healthy lumen where plaque may have taken
    part of it; without, the wall is taken to lie on the lumen."""
    radius = _best(_misfit(cut, blood_hu, blur_mm, outer_mm))
    return Profile(radius, np.asarray(cut.values[:, 0, 0], float), cut.calcium, cut.enclosed)


def within_wall(cut: CrossSections, blood_hu: float, blur_mm: float, lumen_mm: Array, healthy_mm: Array) -> Array:
    """Lumen radius (n,) of a narrowed vessel whose outer wall lies anywhere between lumen and healthy lumen.

    Narrowed arteries remodel both ways (Glagov, N Engl J Med 1987, 316:1371), so the picture decides: the lumen is
    fitted with the wall at each of ``WALL_SHARES`` of the way from ``lumen_mm`` to ``healthy_mm`` (n,), and the radii
    are averaged by how well each explains the cross-sections about (``WALL_ALONG_MM``).
    """
    radii, errors = [], []
    for share in WALL_SHARES:
        misfit = _misfit(cut, blood_hu, blur_mm, lumen_mm + share * np.maximum(healthy_mm - lumen_mm, 0.0))
        # one cross-section of a lumen thinner than the blur says little: its neighbours have a say
        misfit = gaussian_filter1d(misfit, WALL_ALONG_MM / STEP_MM, axis=0, mode="nearest")
        radii.append(_best(misfit))
        errors.append(misfit.min(axis=1))
    error = np.asarray(errors)
    weight = np.exp(-WALL_SHARPNESS * (error / np.maximum(error.min(axis=0), 1e-6) - 1.0))
    return np.asarray((weight * np.asarray(radii)).sum(axis=0) / weight.sum(axis=0), dtype=float)
