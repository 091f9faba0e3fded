"""Is a patch of low flow more than chance? The heart's own spread of flow, and a patch's deficit against it.

Stress flow of healthy muscle differs from place to place, by nature and by how it was measured. The spread between
regions of a segment's size is read from the heart itself, in its better half (narrowings touch the other one), and
never taken below what the perfusion stage was measured to err by. A patch's mean deficit is then so many standard
errors; since many places were looked at, its probability under chance is multiplied by their number (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from CardiacFusionLib.fusion.result import Surface

Array = NDArray[np.float64]

# Patel 2010 (JACC 56:561): endocardial stress flow in stenosed against remote territories about 0.55-0.7
LOW_SHARE = 0.74
REMOTE_QUANTILE = 0.75  # the best quarter: even with two of three vessels narrowed some muscle is well perfused
QUARTER_SD = 0.674  # the upper quartile of a normal distribution lies so many standard deviations above its mean
# standard error of a segment's flow against the truth, relative: 0.13 of 2.3 mL/min/g (Docs/perfusion.md, twin)
MIN_SPREAD = 0.07
MAX_SPREAD = 0.16  # a wider spread is disease, not noise
MIN_REGIONS = 5
SEGMENTS = 16


@dataclass(frozen=True)
class Remote:
    """Well-perfused muscle of one heart: flow of its best quarter and relative SD between regions."""

    flow: float
    spread: float
    region_g: float  # mass of a region


def weighted_quantile(values: Array, weights: Array, q: float) -> float:
    """Quantile of ``values`` by weight; NaN where nothing weighs."""
    if not len(values) or weights.sum() <= 0:
        return float("nan")
    order = np.argsort(values)
    share = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    return float(np.interp(q, share, values[order]))


def remote_of(surface: Surface, mbf: Array) -> Remote:
    """What this heart's low flow is measured against. ``mbf`` (n,) per point of the surface, NaN where not measured."""
    mass = np.asarray(surface.values["mass_g"], float)
    segment = np.asarray(surface.values["segment"]).astype(int)
    known = np.isfinite(mbf) & (mass > 0)
    best = weighted_quantile(mbf[known], mass[known], REMOTE_QUANTILE)
    total = np.bincount(segment[known], mass[known], minlength=18)[1:]
    flow = np.bincount(segment[known], mass[known] * mbf[known], minlength=18)[1:]
    seen = total > 0.3 * total.max()
    means = flow[seen] / total[seen]
    spread = MIN_SPREAD
    if len(means) >= MIN_REGIONS and best > 0:
        middle = float(np.median(means))
        upper = means[means >= middle] - middle
        # the median of the upper half of a normal distribution lies QUARTER_SD above its middle
        spread = float(np.median(upper)) / QUARTER_SD / best
    return Remote(best, float(np.clip(spread, MIN_SPREAD, MAX_SPREAD)), float(mass.sum()) / SEGMENTS)


def chance(deficit: float, mass_g: float, remote: Remote, places: int) -> float:
    """Probability (0..1) that healthy muscle shows a patch of ``mass_g`` with this relative ``deficit`` somewhere.

    ``deficit``: 1 - flow inside / best quarter; ``places``: how many such patches could have been seen. A patch larger
    than a region averages over regions, a smaller one is no less certain than its region: its errors go together.
    """
    error = remote.spread / np.sqrt(max(mass_g / remote.region_g, 1.0))
    z = (deficit - QUARTER_SD * remote.spread) / error
    return float(min(1.0, places * ndtr(-z)))
