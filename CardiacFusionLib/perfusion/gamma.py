"""The first pass of an input as a gamma variate: the bolus without recirculation and without a clipped top.

Thompson, Starmer, Whalen, McIntosh 1964, Circ Res 14:502, in the form of Madsen 1992, Phys Med Biol 37:1597:
``C(t) = h x**a exp(a (1 - x))`` with ``x = (t - arrival) / rise``, so that height and time of the peak are parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from CardiacFusionLib.perfusion.result import Aif

DOWN_TO_SHARE = 0.4  # the fall is fitted down to this share of the peak; below it blood comes back
CLIPPED_SHARE = 0.85  # of a saturated curve, what lies above this share of its top is left out
MIN_SAMPLES = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GammaVariate:
    """``height`` in the curve's unit, ``arrival_s``, ``rise_s`` from arrival to peak, ``shape`` a, and ``residual``:
    root mean square misfit of the fitted samples as a share of the height."""

    height: float
    arrival_s: float
    rise_s: float
    shape: float
    residual: float

    def __call__(self, times_s: Floats) -> Floats:
        """The curve at ``times_s``; zero before arrival."""
        x = np.maximum((np.asarray(times_s, float) - self.arrival_s) / self.rise_s, 1e-9)
        later = np.asarray(times_s, float) > self.arrival_s
        return np.where(later, self.height * np.exp(self.shape * (np.log(x) + 1.0 - x)), 0.0)

    @property
    def area(self) -> float:
        """Integral of the whole first pass (unit times seconds), without recirculation."""
        from scipy.special import gammaln

        a = self.shape
        return float(self.height * self.rise_s * np.exp(a + gammaln(a + 1) - (a + 1) * np.log(a)))


def first_pass(aif: Aif) -> GammaVariate | None:
    """The gamma variate of the rise and the upper fall of an input; None where too few samples tell it.

    A saturated input is fitted below its clipped top, which is thereby continued; it is shown beside the curve and
    never put in its place.
    """
    top = float(aif.curve[aif.peak])
    fall = np.nonzero(aif.curve[aif.peak : aif.end + 1] >= DOWN_TO_SHARE * top)[0]
    last = aif.peak + (int(fall[-1]) if fall.size else 0)
    index = np.arange(aif.foot, last + 1)
    if aif.saturated:
        index = index[aif.curve[index] < CLIPPED_SHARE * top]
    if index.size < MIN_SAMPLES or top <= 0:
        return None
    times, values = aif.times_s[index], aif.curve[index]
    foot_s, peak_s = float(aif.times_s[aif.foot]), float(aif.times_s[aif.peak])
    rise = max(peak_s - foot_s, 0.5)

    def of(p: Floats) -> GammaVariate:
        return GammaVariate(
            float(np.exp(p[0])) * top, foot_s + float(p[1]), float(np.exp(p[2])), float(np.exp(p[3])), 0
        )

    fit = least_squares(
        lambda p: (of(p)(times) - values) / top,
        np.array([0.0, 0.0, np.log(rise), np.log(2.5)]),
        bounds=([-1.0, -6.0, np.log(0.3), np.log(0.3)], [2.0, rise, np.log(30.0), np.log(30.0)]),
    )
    found = of(fit.x)
    return GammaVariate(
        found.height,
        found.arrival_s,
        found.rise_s,
        found.shape,
        float(np.sqrt(np.mean(fit.fun**2)) * top / found.height),
    )
