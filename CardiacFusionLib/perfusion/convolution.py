"""Convolution with an arterial input as a matrix, so that thousands of tissue curves are one matrix product.

``tissue(t) = integral of aif(t - delay - lag) * response(lag) d lag`` is evaluated with the input as a cubic spline
through its samples and the trapezoid rule over a fine grid of lags: acquisition times need not be uniform, and tissue
and input may have been read at different times (each slice of a multi-slice series has its own). Delays lie on the same
grid as lags, so that one table of the input serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from CardiacFusionLib.spatial.errors import BadInputError

STEP_S = 0.25  # of lags and delays: a quarter of a heart beat; the trapezoid error of a bolus is then below 0.1 %
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Checked input of a deconvolution: tissue (n, t) at times_s (t,), aif (m,) at aif_times_s (m,)."""

    tissue: Floats
    times_s: Floats
    aif: Floats
    aif_times_s: Floats


def check_curves(
    tissue: ArrayLike,
    aif: ArrayLike,
    dt_s: float | None = None,
    times_s: ArrayLike | None = None,
    aif_times_s: ArrayLike | None = None,
) -> Curves:
    """Bring plain arrays into shape; BadInputError with one sentence where they do not fit each other.

    Either ``dt_s`` (uniform sampling) or ``times_s`` must be given; ``aif_times_s`` defaults to the same times.
    """
    y = np.atleast_2d(np.asarray(tissue, dtype=np.float64))
    a = np.asarray(aif, dtype=np.float64).ravel()
    if (dt_s is None) == (times_s is None):
        raise BadInputError("Give the sampling of the curves once: either dt_s for uniform frames or times_s.")
    if times_s is None:
        if not (dt_s is not None and np.isfinite(dt_s) and dt_s > 0):
            raise BadInputError(f"The frame interval is {dt_s} s; it must be above zero.")
        times = np.arange(y.shape[1]) * float(dt_s)
        aif_times = times if aif_times_s is None else np.asarray(aif_times_s, float).ravel()
    else:
        times = np.asarray(times_s, dtype=np.float64).ravel()
        aif_times = times if aif_times_s is None else np.asarray(aif_times_s, float).ravel()
    if y.ndim != 2 or y.shape[1] != times.size or a.size != aif_times.size or a.size < 4:
        raise BadInputError(
            f"Tissue curves of shape {y.shape} with {times.size} times and an input of {a.size} values with "
            f"{aif_times.size} times do not belong together; give (pixels, frames) and one time a frame (at least 4)."
        )
    for values, name in ((y, "tissue curves"), (a, "arterial input"), (times, "times"), (aif_times, "input times")):
        if not np.all(np.isfinite(values)):
            raise BadInputError(f"The {name} hold values that are not numbers (NaN); leave those pixels out.")
    if np.any(np.diff(times) <= 0) or np.any(np.diff(aif_times) <= 0):
        raise BadInputError("The frame times do not rise from frame to frame; sort the frames by time.")
    if a.max() <= 0:
        raise BadInputError(
            "The arterial input never rises above zero; subtract its baseline or choose another region."
        )
    return Curves(y, np.asarray(times, np.float64), a, np.asarray(aif_times, np.float64))


def within(curves: Curves, fit_until_s: float | None) -> Curves:
    """The same curves with only the tissue samples up to ``fit_until_s``; at least eight must remain."""
    if fit_until_s is None:
        return curves
    count = int(np.searchsorted(curves.times_s, fit_until_s, side="right"))
    if count < 8:
        raise BadInputError(f"Only {count} frames lie before {fit_until_s:.1f} s; a flow fit needs at least 8.")
    return Curves(curves.tissue[:, :count], curves.times_s[:count], curves.aif, curves.aif_times_s)


class Convolution:
    """Matrices (t, lag) that convolve a response at ``lags_s`` with the input, for every delay of ``delays_s``."""

    def __init__(self, curves: Curves, max_delay_s: float) -> None:
        span = max(float(curves.times_s[-1] - curves.aif_times_s[0]), STEP_S * 8)
        self.lags_s: Floats = np.arange(0.0, span + STEP_S, STEP_S)
        self.delays_s: Floats = np.arange(0.0, max(max_delay_s, 0.0) + 1e-9, STEP_S)
        back = np.arange(self.lags_s.size + self.delays_s.size - 1) * STEP_S
        when = curves.times_s[:, None] - back[None, :]
        first, last = float(curves.aif_times_s[0]), float(curves.aif_times_s[-1])
        spline = CubicSpline(curves.aif_times_s, curves.aif)
        # zero before the first sample, held at the last one afterwards
        self._input = np.zeros(when.shape)
        inside = when >= first
        self._input[inside] = spline(np.minimum(when[inside], last))
        now = when[:, : self.delays_s.size]
        self._slope = np.where((now < first) | (now > last), 0.0, spline(np.clip(now, first, last), 1))
        self._weights = np.full(self.lags_s.size, STEP_S)
        self._weights[0] = STEP_S / 2

    def matrix(self, index: int) -> Floats:
        """The matrix (t, lag) of the delay ``delays_s[index]``."""
        return np.asarray(self._input[:, index : index + self.lags_s.size] * self._weights)

    def input(self, index: int) -> tuple[Floats, Floats]:
        """The input so delayed, and its slope per second, at the tissue's times: (t,) each."""
        return self._input[:, index], self._slope[:, index]
