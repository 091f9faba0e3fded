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

from CardiacFusionLib.perfusion.convolution import check_curves, lags_for, matrices
from CardiacFusionLib.perfusion.fermi import MAX_DELAY_S, MYOCARDIAL_DENSITY_G_ML, flow_factor, within

_DELAY_STEP_S = 0.25
_SWEEPS = 60
# weight of the penalty, in units where data and penalty have the same trace. From 30 to 300 the flow of noisy and of
# clean curves moves by a few percent; below 1 noise raises it by a fifth (measured on the digital twin)
SMOOTHING = 100.0
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
    lags = lags_for(used)
    knots = _knots(float(lags[-1]))
    hats = _hats(lags, knots)
    penalty = _second_differences(knots)
    delays = np.arange(0.0, max(max_delay_s, 0.0) + 1e-9, _DELAY_STEP_S)
    n = used.tissue.shape[0]
    allowed = np.ones((n, delays.size), dtype=bool)
    if delay_s is not None:
        nearest = np.rint(np.broadcast_to(np.asarray(delay_s, float), (n,)) / _DELAY_STEP_S).astype(int)
        allowed = np.clip(nearest, 0, delays.size - 1)[:, None] == np.arange(delays.size)
    systems = [matrices(used, lags, float(d))[0] @ hats for d in delays]
    best = np.full(n, np.inf)
    flow, delay, error = np.zeros(n), np.zeros(n), np.zeros(n)
    # g = falling @ q with q >= 0: every non-negative falling response, and nothing else
    falling = np.triu(np.ones((knots.size, knots.size)))
    for j, (d, system) in enumerate(zip(delays, systems)):
        mine = np.nonzero(allowed[:, j])[0]
        if mine.size == 0:
            continue
        tissue_here = used.tissue[mine]
        scale = np.trace(system.T @ system) / np.trace(penalty.T @ penalty)
        stacked = np.concatenate([system, np.sqrt(smoothing * scale) * penalty]) @ falling
        target = np.concatenate([tissue_here, np.zeros((mine.size, penalty.shape[0]))], axis=1)
        parts = _non_negative(stacked, target)
        # the delay is judged with the penalty: a late input fits by a spike in the response, an early one needs none
        cost = np.sum((parts @ stacked.T - target) ** 2, axis=1)
        better = cost < best[mine]
        which = mine[better]
        best[which], delay[which] = cost[better], d
        error[which] = np.sum((parts @ (system @ falling).T - tissue_here)[better] ** 2, axis=1)
        flow[which] = parts.sum(axis=1)[better]
    peak = np.maximum(used.tissue.max(axis=1), 1e-12)
    return ModelFreeFit(flow * factor, delay, np.sqrt(error / used.times_s.size) / peak)


def _knots(end_s: float) -> Floats:
    """Lags of the response's knots: dense where it falls, wide where it only tails."""
    early = np.arange(0.0, 12.0, 1.0)
    late = np.arange(12.0, max(end_s, 13.0) + 3.0, 3.0)
    return np.concatenate([early, late])


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


def _non_negative(matrix: Floats, target: Floats) -> Floats:
    """Non-negative least squares for many right-hand sides by cyclic coordinate descent: (n, columns)."""
    gram = matrix.T @ matrix
    product = target @ matrix
    diagonal = np.maximum(np.diag(gram), 1e-12)
    # start from the ridge solution, cut at zero: near the answer for smooth responses
    start = np.linalg.solve(gram + 1e-6 * np.trace(gram) / len(gram) * np.eye(len(gram)), product.T).T
    parts = np.maximum(start, 0.0)
    gradient = parts @ gram - product
    for _ in range(_SWEEPS):
        for j in range(len(gram)):
            new = np.maximum(parts[:, j] - gradient[:, j] / diagonal[j], 0.0)
            change = new - parts[:, j]
            gradient += change[:, None] * gram[j]
            parts[:, j] = new
    return parts
