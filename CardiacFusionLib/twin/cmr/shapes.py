"""Shapes beyond the twin's own range for training slices: dilated, thick-walled, small and irregular hearts.

The twin draws usual hearts. Real ones also hold cavities of 80 mm under a wall of 5 mm, walls of 20 mm around a slit,
and right ventricles of every size. Points are bent before the anatomy is asked what lies there, so that tissues stay
sharp and every label remains true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_CAVITY_MM = 43.0  # radius of the widest left ventricles seen (severe dilated cardiomyopathy)
WALL_MM = (4.0, 22.0)
# end-systole of a thick-walled heart: a slit or a spot of blood in the middle of 12-24 mm of muscle
CLOSED_SHARE = 0.2  # of the bent slices
CLOSED_CAVITY_MM = (2.0, 11.0)
CLOSED_WALL_MM = (12.0, 24.0)
UNEVEN_SHARE, UNEVEN = 0.4, 0.45  # of the bent slices have one side of the wall thicker; the shift, in thicknesses
FADE_MM = 70.0  # beyond the wall the bending dies out over this distance


@dataclass(frozen=True)
class Bend:
    """Where drawn points (heart frame, in the slice plane) are read in the twin's anatomy.

    ``centre`` (2,): LV centre, mm. ``drawn``, ``source``: radii (endocardium, epicardium, end of the bending) in the
    picture and in the twin. ``rv_centre`` (2,) and ``rv_stretch``: the right ventricle grows about its own middle by
    that factor within ``rv_reach`` mm. ``waves`` (2, 3): irregular outlines, shift of the radius by angle
    (harmonics 2..4, cosine and sine). ``aside`` (2,): the cavity lies so many mm off the middle of its wall, which is
    thicker on the other side, as the septum of hypertrophic hearts.
    """

    centre: Array
    drawn: Array
    source: Array
    rv_centre: Array | None
    rv_stretch: float
    rv_reach: float
    waves: Array
    aside: Array

    def __call__(self, points: Array) -> Array:
        """Points (..., 3) of the picture -> points of the twin's anatomy."""
        xy = points[..., :2]
        if self.rv_centre is not None:
            away = xy - self.rv_centre
            near = np.exp(-0.5 * np.sum(away**2, axis=-1, keepdims=True) / self.rv_reach**2)
            xy = self.rv_centre + away * (1.0 + (1.0 / self.rv_stretch - 1.0) * near)
        away = xy - self.centre
        inner, outer = self.drawn[:2]
        within = (outer - np.hypot(away[..., 0], away[..., 1])) / (outer - inner + np.hypot(*self.aside))
        away = away - self.aside * np.clip(within, 0.0, 1.0)[..., None]
        radius = np.hypot(away[..., 0], away[..., 1])
        angle = np.arctan2(away[..., 1], away[..., 0])
        uneven = np.ones_like(radius)
        for harmonic, (cosine, sine) in enumerate(self.waves.T, start=2):
            uneven += cosine * np.cos(harmonic * angle) + sine * np.sin(harmonic * angle)
        knots = np.concatenate([[0.0], self.drawn])
        target = np.interp(radius * uneven, knots, np.concatenate([[0.0], self.source]))
        inside = radius < self.drawn[-1]
        factor = np.where(inside & (radius > 1e-6), target / np.maximum(radius, 1e-6), 1.0)
        # the waves fade with the bending, or the picture would tear at its edge
        fade = np.clip((self.drawn[-1] - radius) / FADE_MM, 0.0, 1.0)
        factor = fade * factor + (1.0 - fade) * np.where(
            inside & (radius > 1e-6), np.interp(radius, knots, [0.0, *self.source]) / np.maximum(radius, 1e-6), 1.0
        )
        result = points.copy()
        result[..., :2] = self.centre + away * factor[..., None]
        return result


def draw_bend(
    rng: np.random.Generator,
    centre: Array,
    cavity_mm2: float,
    wall_mm2: float,
    rv_centre: Array | None,
    usual: float = 0.3,
) -> Bend | None:
    """A random bend for a slice whose LV has these areas; None (shape as it is) for a share ``usual`` of the draws."""
    inner = float(np.sqrt(cavity_mm2 / np.pi))
    outer = float(np.sqrt((cavity_mm2 + wall_mm2) / np.pi))
    thickness = outer - inner
    if rng.random() < usual or thickness < 2.0:
        return None
    new_inner = min(inner * float(np.exp(rng.uniform(-0.5, 0.65))), MAX_CAVITY_MM)
    thickness = float(np.clip(thickness * np.exp(rng.uniform(-0.65, 0.5)), *WALL_MM))
    if inner > CLOSED_CAVITY_MM[0] and rng.random() < CLOSED_SHARE:
        new_inner = min(float(rng.uniform(*CLOSED_CAVITY_MM)), inner)
        thickness = float(rng.uniform(*CLOSED_WALL_MM))
    new_inner = max(new_inner, 0.3)
    new_outer = new_inner + thickness
    end = max(outer, new_outer) + FADE_MM
    side = rng.uniform(0.0, 2 * np.pi)
    far = thickness * float(rng.uniform(0.0, UNEVEN)) if rng.random() < UNEVEN_SHARE else 0.0
    grows = rv_centre is not None and rng.random() < 0.6
    return Bend(
        np.asarray(centre, float),
        np.array([new_inner, new_outer, end]),
        np.array([max(inner, 0.3), max(outer, 0.6), end]),
        np.asarray(rv_centre, float) if grows and rv_centre is not None else None,
        float(np.exp(rng.uniform(-0.35, 0.6))),
        float(rng.uniform(25.0, 45.0)),
        rng.normal(0.0, 0.03, (2, 3)) / np.array([1.0, 1.5, 2.0]),
        far * np.array([np.cos(side), np.sin(side)]),
    )
