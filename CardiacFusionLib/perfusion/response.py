"""The Fermi response of muscle to blood: its shape, its area, and the bounds within which it is a transit.

    h(t) = (1 + exp(-u)) / (1 + exp(k * t - u)),    h(0) = 1,

times the flow (Jerosch-Herold, Wilke, Stillman 1998, Med Phys 25:73-84; u = k * plateau).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# bounds of the response: k per second, u = k * plateau
RATE_BOUNDS = (0.03, 2.5)
SHAPE_BOUNDS = (-2.0, 10.0)
HALF_TIME_BOUNDS_S = (1.0, 60.0)  # a response that halves within a second is noise, not a transit through muscle
Floats = NDArray[np.float64]


def response(lags_s: ArrayLike, rate_per_s: ArrayLike, shape: ArrayLike) -> Floats:
    """Fermi response of unit flow at ``lags_s`` (l,) for shapes (n,): (n, l)."""
    k, u = np.atleast_1d(np.asarray(rate_per_s, float)), np.atleast_1d(np.asarray(shape, float))
    exponent = np.clip(k[:, None] * np.asarray(lags_s, float)[None, :] - u[:, None], -50, 50)
    return np.asarray((1.0 + np.exp(-u))[:, None] / (1.0 + np.exp(exponent)))


def log_area(shape: Floats) -> Floats:
    """Logarithm of the mean transit time of a response with k = 1: its area, as it starts at one."""
    return np.asarray(np.log1p(np.exp(-shape)) + np.log(np.log1p(np.exp(shape))))


def log_area_slope(shape: Floats) -> Floats:
    """Derivative of :func:`log_area` by the shape."""
    rising = 1.0 / (1.0 + np.exp(-shape))
    return np.asarray(rising / np.log1p(np.exp(shape)) - (1.0 - rising))


def grid(rates: int, shapes: int) -> tuple[Floats, Floats]:
    """Rates and shapes (j,) spread over all responses within the bounds."""
    both = np.meshgrid(np.geomspace(*RATE_BOUNDS, rates), np.linspace(*SHAPE_BOUNDS, shapes), indexing="ij")
    rate, shape = (np.asarray(g, np.float64).ravel() for g in both)
    half = np.log(1.0 + 2.0 * np.exp(shape)) / rate
    fits = (half >= HALF_TIME_BOUNDS_S[0]) & (half <= HALF_TIME_BOUNDS_S[1])
    return rate[fits], shape[fits]


def _log_transit_bounds(shape: Floats) -> tuple[Floats, Floats]:
    area, reach = log_area(shape), np.log1p(2.0 * np.exp(shape))  # half time = reach / rate
    low = area - np.log(np.minimum(reach / HALF_TIME_BOUNDS_S[0], RATE_BOUNDS[1]))
    high = area - np.log(np.maximum(reach / HALF_TIME_BOUNDS_S[1], RATE_BOUNDS[0]))
    return np.minimum(low, high), high


# looked up: every step of a fit asks for thousands
_SHAPES = np.linspace(*SHAPE_BOUNDS, 481)
_BOUNDS = _log_transit_bounds(_SHAPES)


def log_transit_bounds(shape: Floats) -> tuple[Floats, Floats]:
    """Least and largest logarithm of the mean transit time (s) for shapes within their bounds: rate and half time keep
    theirs."""
    return np.interp(shape, _SHAPES, _BOUNDS[0]), np.interp(shape, _SHAPES, _BOUNDS[1])
