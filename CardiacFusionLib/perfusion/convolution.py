"""Convolution with an arterial input as a matrix, so that thousands of tissue curves are one matrix product.

``tissue(t) = integral of aif(t - delay - lag) * response(lag) d lag`` is evaluated with the input as a cubic spline
through its samples and the trapezoid rule over a fine grid of lags: acquisition times need not be uniform, and tissue
and input may have been read at different times (each slice of a multi-slice series has its own).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from CardiacFusionLib.spatial.errors import BadInputError

LAG_STEP_S = 0.25  # four times finer than a heart beat; the trapezoid error of a bolus is then below 0.1 %
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


def lags_for(curves: Curves) -> Floats:
    """The uniform grid of lags (seconds) that spans from the first input sample to the last tissue sample."""
    span = max(float(curves.times_s[-1] - curves.aif_times_s[0]), LAG_STEP_S * 8)
    return np.arange(0.0, span + LAG_STEP_S, LAG_STEP_S)


class InputFunction:
    """The arterial input between its samples: value and slope at any time, zero before the first sample."""

    def __init__(self, curves: Curves) -> None:
        self._spline = CubicSpline(curves.aif_times_s, curves.aif)
        self._slope = self._spline.derivative()
        self._first, self._last = float(curves.aif_times_s[0]), float(curves.aif_times_s[-1])

    def __call__(self, times_s: Floats) -> Floats:
        """Input at ``times_s``; held at its last sample afterwards."""
        inside = np.clip(times_s, self._first, self._last)
        return np.where(times_s < self._first, 0.0, self._spline(inside))

    def slope(self, times_s: Floats) -> Floats:
        """Derivative of the input, per second; zero outside its samples."""
        outside = (times_s < self._first) | (times_s > self._last)
        return np.where(outside, 0.0, self._slope(np.clip(times_s, self._first, self._last)))


def matrices(curves: Curves, lags_s: Floats, delay_s: float) -> tuple[Floats, Floats]:
    """Matrix (t, lag) that convolves a response with the delayed input, and its derivative by the delay."""
    source = InputFunction(curves)
    weights = np.full(lags_s.size, LAG_STEP_S)
    weights[0] = LAG_STEP_S / 2
    when = curves.times_s[:, None] - delay_s - lags_s[None, :]
    return source(when) * weights, -source.slope(when) * weights
