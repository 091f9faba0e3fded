"""Blood flow without a model of the response: Tikhonov deconvolution, the cross-check of the Fermi fit.

The response is piecewise linear on a grid of lags, falls monotonically, is never negative (blood that entered can only
leave) and is kept smooth by a second-difference penalty. Flow is the response at zero lag. After Jerosch-Herold et al.
2002, J Magn Reson Imaging 15:466 (model-independent quantification by a regularised response). The penalty's weight is
fixed: motion correction leaves neighbouring samples with correlated noise, where cross-validation chose too little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CardiacFusionLib.perfusion.convolution import STEP_S, Convolution, check_curves, within
from CardiacFusionLib.perfusion.fermi import MAX_DELAY_S, MYOCARDIAL_DENSITY_G_ML, flow_factor
from CardiacFusionLib.perfusion.nonnegative import non_negative

# weight of the penalty, in units where data and penalty have the same trace: twice as much lowers the flow of clean
# curves by 1-2 %; a tenth lets noise raise it (bench curves of 0.6-3.5 mL/min/g, contrast-to-noise 10 and 50)
SMOOTHING = 15.0
FIRST_STEP_S, STEP_GROWTH, LAST_STEP_S = 1.0, 1.2, 6.0  # between the knots of the response
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ModelFreeFit:
    """One value a curve: ``mbf_ml_min_g``, ``delay_s``, ``residual`` (share of the peak), all (n,)."""

    mbf_ml_min_g: Floats
    delay_s: Floats
    residual: Floats


def mbf_model_free(
    tissue: ArrayLike,
    aif: ArrayLike,
    dt_s: float | None = None,
    *,
    times_s: ArrayLike | None = None,
    aif_times_s: ArrayLike | None = None,
    max_delay_s: float = MAX_DELAY_S,
    fit_until_s: float | None = None,
    haematocrit: float | None = None,
    density_g_ml: float = MYOCARDIAL_DENSITY_G_ML,
    smoothing: float = SMOOTHING,
    delay_s: ArrayLike | None = None,
) -> ModelFreeFit:
    """Blood flow of tissue curves (n, t); arguments as :func:`fermi.mbf_fermi`.

    ``smoothing``: weight of the penalty relative to the data. ``delay_s`` (n,): the delay of each curve where it is
    known (rounded to a quarter of a second); None tries all.
    """
    curves = check_curves(tissue, aif, dt_s, times_s, aif_times_s)
    factor = flow_factor(haematocrit, density_g_ml)
    used = within(curves, fit_until_s)
    convolution = Convolution(used, max_delay_s)
    lags, delays = convolution.lags_s, convolution.delays_s
    knots = _knots(float(lags[-1]))
    hats = _hats(lags, knots)
    penalty = _second_differences(knots)
    n = used.tissue.shape[0]
    # g = falling @ q with q >= 0: every non-negative falling response, and nothing else
    falling = np.triu(np.ones((knots.size, knots.size)))
    systems = np.stack([convolution.matrix(j) @ hats for j in range(delays.size)])
    weight = smoothing * np.einsum("jtk,jtk->j", systems, systems) / np.sum(penalty**2)
    bend = penalty @ falling
    systems = systems @ falling
    problem = _Problem(systems, weight[:, None, None] * (bend.T @ bend))
    if delay_s is not None:
        nearest = np.rint(np.broadcast_to(np.asarray(delay_s, float), (n,)) / STEP_S).astype(int)
        nearest = np.clip(nearest, 0, delays.size - 1)
        parts, error, _ = problem.solve(nearest, used.tissue)
    else:
        cost = np.full(n, np.inf)
        parts, error, nearest = np.zeros((n, knots.size)), np.zeros(n), np.zeros(n, dtype=int)
        for j in range(delays.size):
            tried, missed, paid = problem.solve(np.full(n, j), used.tissue)
            # the delay is judged with the penalty: a late input fits by a spike in the response, an early one needs
            # none
            better = paid < cost
            parts[better], error[better], cost[better], nearest[better] = tried[better], missed[better], paid[better], j
    peak = np.maximum(used.tissue.max(axis=1), 1e-12)
    residual = np.sqrt(np.maximum(error, 0.0) / used.times_s.size) / peak
    return ModelFreeFit(parts.sum(axis=1) * factor, delays[nearest], residual)


class _Problem:
    """Least squares from steps of the response (k,) to tissue, one ``systems`` (d, t, k) and ``penalty`` a delay."""

    def __init__(self, systems: Floats, penalty: Floats) -> None:
        self._systems = systems
        self._plain = systems.transpose(0, 2, 1) @ systems
        self._penalty = penalty

    def solve(self, which: NDArray[np.integer], tissue: Floats) -> tuple[Floats, Floats, Floats]:
        """For each curve (n, t) under the delay ``which``: steps of the response (n, k), squared misfit, and the misfit
        with the penalty (n,)."""
        product = np.empty((len(tissue), self._plain.shape[1]))
        groups = [(j, which == j) for j in np.unique(which)]
        for j, mine in groups:
            product[mine] = tissue[mine] @ self._systems[j]
        parts = non_negative(self._plain + self._penalty, which, product)
        error = np.einsum("nt,nt->n", tissue, tissue) - 2.0 * np.einsum("nk,nk->n", parts, product)
        paid = np.empty(len(tissue))
        for j, mine in groups:
            error[mine] += np.einsum("nk,nk->n", parts[mine] @ self._plain[j], parts[mine])
            paid[mine] = np.einsum("nk,nk->n", parts[mine] @ self._penalty[j], parts[mine])
        return parts, error, error + paid


def _knots(end_s: float) -> Floats:
    """Lags of the response's knots: dense where it falls, wide where it only tails."""
    knots, step = [0.0], FIRST_STEP_S
    while knots[-1] < end_s:
        knots.append(knots[-1] + step)
        step = min(step * STEP_GROWTH, LAST_STEP_S)
    return np.array(knots)


def _hats(lags: Floats, knots: Floats) -> Floats:
    """Linear interpolation from knots to lags, (lag, knot)."""
    return np.stack([np.interp(lags, knots, column) for column in np.eye(knots.size)], axis=1)


def _second_differences(knots: Floats) -> Floats:
    """Curvature of a piecewise linear response at its inner knots, (knot - 2, knot)."""
    step = np.diff(knots)
    rows = np.zeros((knots.size - 2, knots.size))
    for i in range(knots.size - 2):
        rows[i, i] = 1 / step[i]
        rows[i, i + 1] = -1 / step[i] - 1 / step[i + 1]
        rows[i, i + 2] = 1 / step[i + 1]
    return rows
