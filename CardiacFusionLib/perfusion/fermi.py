"""Myocardial blood flow by Fermi-constrained deconvolution, for all pixels at once.

Model (Jerosch-Herold, Wilke, Stillman 1998, Med Phys 25:73-84): the tissue curve is the input convolved with

    h(t) = F * (1 + exp(-u)) / (1 + exp(k * t - u)),    h(0) = F,

a Fermi function scaled so that its value at zero is the flow F itself (u = k * plateau). All curves are first compared
with a dictionary of responses (variable projection: for each shape the best F is a quotient of two products), then
refined by a batched Levenberg-Marquardt over (F, log k, u, delay) with analytic derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CardiacFusionLib.perfusion.convolution import Curves, check_curves, lags_for, matrices
from CardiacFusionLib.spatial.errors import BadInputError

MYOCARDIAL_DENSITY_G_ML = 1.05
MAX_DELAY_S = 4.0  # blood needs 1-3 s from the LV cavity to the wall, a collateral longer
DELAY_STEP_S = 0.25
# bounds of the response: k per second, u = k * plateau
RATE_BOUNDS = (0.03, 2.5)
SHAPE_BOUNDS = (-2.0, 10.0)
HALF_TIME_BOUNDS_S = (1.0, 60.0)  # a response that halves within a second is noise, not a transit through muscle
_ITERATIONS = 12
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FermiFit:
    """One value a curve: all arrays (n,), ``fitted`` (n, t).

    ``mbf_ml_min_g``; ``standard_error`` in the same unit (from the linearised fit and its own residual); ``delay_s``
    from input to tissue; ``rate_per_s`` and ``plateau_s`` of the Fermi function; ``residual``: root mean square misfit
    as a share of the curve's peak.
    """

    mbf_ml_min_g: Floats
    standard_error: Floats
    delay_s: Floats
    rate_per_s: Floats
    plateau_s: Floats
    residual: Floats
    fitted: Floats


def response(lags_s: ArrayLike, rate_per_s: ArrayLike, shape: ArrayLike) -> Floats:
    """Fermi response of unit flow at ``lags_s`` (l,) for shapes (n,): (n, l)."""
    k, u = np.atleast_1d(np.asarray(rate_per_s, float)), np.atleast_1d(np.asarray(shape, float))
    exponent = np.clip(k[:, None] * np.asarray(lags_s, float)[None, :] - u[:, None], -50, 50)
    return np.asarray((1.0 + np.exp(-u))[:, None] / (1.0 + np.exp(exponent)))


def mbf_fermi(
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
) -> FermiFit:
    """Blood flow of tissue concentration curves (n, t) for an arterial input (m,).

    Both in the same unit (mmol per litre), baselines at zero. Sampling: ``dt_s``, or ``times_s`` (t,) and, where the
    input was read at other times, ``aif_times_s``. ``fit_until_s``: only samples up to this time are fitted (first
    pass). ``haematocrit``: give it where the input is a *plasma* concentration, None where it is whole blood.
    Raises BadInputError where the arrays do not belong together.
    """
    curves = check_curves(tissue, aif, dt_s, times_s, aif_times_s)
    factor = flow_factor(haematocrit, density_g_ml)
    used = within(curves, fit_until_s)
    lags = lags_for(used)
    delays = np.arange(0.0, max(max_delay_s, 0.0) + 1e-9, DELAY_STEP_S)
    both = [matrices(used, lags, float(d)) for d in delays]
    flow, log_rate, shape, nearest = _dictionary(used, lags, both)
    offset: Floats = np.zeros_like(flow)
    covariance = np.zeros_like(flow)
    # twice: a delay refined to the edge of its step moves on to the next matrix
    for _ in range(2):
        for d in np.unique(nearest):
            mine = nearest == d
            parameters = np.stack([flow[mine], log_rate[mine], shape[mine], offset[mine]], axis=1)
            parameters, variance = _refine(used.tissue[mine], lags, both[d], parameters, max_delay_s > 0)
            flow[mine], log_rate[mine], shape[mine], offset[mine] = parameters.T
            covariance[mine] = variance
        delay = np.clip(delays[nearest] + offset, 0.0, max(max_delay_s, 0.0))
        nearest = np.clip(np.rint(delay / DELAY_STEP_S).astype(int), 0, delays.size - 1)
        offset = delay - delays[nearest]
    fitted = _curves_of(curves, flow, np.exp(log_rate), shape, delays, nearest, offset)
    misfit = (fitted - curves.tissue)[:, : used.times_s.size]
    peak = np.maximum(used.tissue.max(axis=1), 1e-12)
    return FermiFit(
        mbf_ml_min_g=flow * factor,
        standard_error=np.sqrt(np.maximum(covariance, 0.0)) * factor,
        delay_s=delay,
        rate_per_s=np.exp(log_rate),
        plateau_s=shape / np.exp(log_rate),
        residual=np.sqrt(np.mean(misfit**2, axis=1)) / peak,
        fitted=fitted,
    )


def flow_factor(haematocrit: float | None, density_g_ml: float) -> float:
    """From flow per second and tissue volume to mL/min/g of whole blood."""
    if haematocrit is not None and not 0.1 < haematocrit < 0.75:
        raise BadInputError(f"The haematocrit is {haematocrit}; give it as a fraction such as 0.42.")
    if not 0.5 < density_g_ml < 2.0:
        raise BadInputError(f"The density of the tissue is {density_g_ml} g/mL; myocardium has 1.05.")
    plasma_share = 1.0 if haematocrit is None else 1.0 - haematocrit
    return 60.0 / density_g_ml / plasma_share


def within(curves: Curves, fit_until_s: float | None) -> Curves:
    """The same curves with only the tissue samples up to ``fit_until_s``; at least eight must remain."""
    if fit_until_s is None:
        return curves
    count = int(np.searchsorted(curves.times_s, fit_until_s, side="right"))
    if count < 8:
        raise BadInputError(f"Only {count} frames lie before {fit_until_s:.1f} s; a flow fit needs at least 8.")
    return Curves(curves.tissue[:, :count], curves.times_s[:count], curves.aif, curves.aif_times_s)


def half_time_s(rate_per_s: Floats, shape: Floats) -> Floats:
    """Lag at which the response has fallen to half of its first value."""
    return np.asarray(np.log(1.0 + 2.0 * np.exp(np.minimum(shape, 50.0))) / rate_per_s)


def _dictionary(
    curves: Curves, lags: Floats, both: list[tuple[Floats, Floats]]
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Best start for every curve: flow (1/s), log rate, shape and index of the delay."""
    grid = np.meshgrid(np.geomspace(*RATE_BOUNDS, 18), np.linspace(*SHAPE_BOUNDS, 13), indexing="ij")
    rate, shape = (np.asarray(g, np.float64).ravel() for g in grid)
    half = half_time_s(rate, shape)
    fits = (half >= HALF_TIME_BOUNDS_S[0]) & (half <= HALF_TIME_BOUNDS_S[1])
    rate, shape = rate[fits], shape[fits]
    responses = response(lags, rate, shape)
    n = curves.tissue.shape[0]
    best_gain = np.full(n, -1.0)
    flow, log_rate, best_shape = np.zeros(n), np.full(n, np.log(0.3)), np.ones(n)
    nearest = np.zeros(n, dtype=np.int64)
    for d, (matrix, _) in enumerate(both):
        atoms = responses @ matrix.T
        norm = np.maximum(np.einsum("jt,jt->j", atoms, atoms), 1e-12)
        product = np.maximum(curves.tissue @ atoms.T, 0.0)
        gain = product**2 / norm
        which = np.argmax(gain, axis=1)
        value = gain[np.arange(n), which]
        better = value > best_gain
        best_gain[better] = value[better]
        flow[better] = (product[np.arange(n), which] / norm[which])[better]
        log_rate[better], best_shape[better] = np.log(rate[which])[better], shape[which][better]
        nearest[better] = d
    return flow, log_rate, best_shape, nearest


def _model(
    lags: Floats, both: tuple[Floats, Floats], parameters: Floats, derivatives: bool
) -> tuple[Floats, Floats | None]:
    """Model (n, t) and its derivatives (n, 4, t) by flow, log rate, shape and delay offset."""
    flow, log_rate, shape, offset = parameters.T
    rate = np.exp(log_rate)
    scaled = rate[:, None] * lags[None, :]
    grown = np.exp(np.clip(scaled - shape[:, None], -50, 50))
    foot = np.exp(-shape)[:, None]
    h = (1.0 + foot) / (1.0 + grown)
    matrix, slope = both
    by_delay = h @ slope.T
    unit = h @ matrix.T + offset[:, None] * by_delay
    model = flow[:, None] * unit
    if not derivatives:
        return model, None
    share = grown / (1.0 + grown)
    by_rate = (-h * share * scaled) @ matrix.T
    by_shape = (h * share - foot / (1.0 + grown)) @ matrix.T
    return model, np.stack([unit, flow[:, None] * by_rate, flow[:, None] * by_shape, flow[:, None] * by_delay], axis=1)


def _refine(
    tissue: Floats, lags: Floats, both: tuple[Floats, Floats], parameters: Floats, free_delay: bool
) -> tuple[Floats, Floats]:
    """Levenberg-Marquardt on every curve at once; returns parameters (n, 4) and the variance of the flow (n,)."""
    n = len(parameters)
    damping = np.full(n, 1e-2)
    free = 4 if free_delay else 3
    model, jacobian = _model(lags, both, parameters, True)
    error = np.einsum("nt,nt->n", tissue - model, tissue - model)
    for _ in range(_ITERATIONS):
        assert jacobian is not None
        active = jacobian[:, :free]
        normal = active @ active.transpose(0, 2, 1)
        gradient = np.einsum("nit,nt->ni", active, tissue - model)
        diagonal = np.einsum("nii->ni", normal)
        damped = normal + (damping[:, None] * diagonal + 1e-12)[:, :, None] * np.eye(free)
        step = np.zeros((n, 4))
        step[:, :free] = np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        trial = _bounded(parameters + step)
        trial_model, _ = _model(lags, both, trial, False)
        trial_error = np.einsum("nt,nt->n", tissue - trial_model, tissue - trial_model)
        better = trial_error < error
        gained = np.max(np.where(better, 1.0 - trial_error / np.maximum(error, 1e-30), 0.0), initial=0.0)
        parameters = np.where(better[:, None], trial, parameters)
        damping = np.clip(np.where(better, damping * 0.3, damping * 5.0), 1e-7, 1e7)
        model, jacobian = _model(lags, both, parameters, True)
        error = np.where(better, trial_error, error)
        if gained < 1e-5:
            break
    assert jacobian is not None
    active = jacobian[:, :free]
    normal = active @ active.transpose(0, 2, 1)
    # a parameter on its bound leaves the normal matrix singular: a tiny ridge keeps the inverse finite
    diagonal = np.einsum("nii->ni", normal)
    ridge = (1e-6 * diagonal + 1e-12)[:, :, None] * np.eye(free)
    degrees = max(tissue.shape[1] - free, 1)
    variance = np.linalg.inv(normal + ridge)[:, 0, 0] * error / degrees
    return parameters, variance


def _bounded(parameters: Floats) -> Floats:
    """Parameters moved back into their bounds."""
    flow, log_rate, shape, offset = parameters.T
    shape = np.clip(shape, *SHAPE_BOUNDS)
    reach = np.log(1.0 + 2.0 * np.exp(shape))
    # half time = reach / rate within its bounds
    low = np.maximum(np.log(reach / HALF_TIME_BOUNDS_S[1]), np.log(RATE_BOUNDS[0]))
    high = np.minimum(np.log(reach / HALF_TIME_BOUNDS_S[0]), np.log(RATE_BOUNDS[1]))
    log_rate = np.clip(log_rate, low, np.maximum(high, low))
    return np.stack([np.maximum(flow, 0.0), log_rate, shape, np.clip(offset, -DELAY_STEP_S, DELAY_STEP_S)], axis=1)


def _curves_of(
    curves: Curves,
    flow: Floats,
    rate: Floats,
    shape: Floats,
    delays: Floats,
    nearest: NDArray[np.int64],
    offset: Floats,
) -> Floats:
    """The fitted curves at all times of ``curves``, also after the fitted window."""
    lags = lags_for(curves)
    fitted = np.zeros_like(curves.tissue)
    for d in np.unique(nearest):
        mine = nearest == d
        parameters = np.stack([flow[mine], np.log(rate[mine]), shape[mine], offset[mine]], axis=1)
        fitted[mine], _ = _model(lags, matrices(curves, lags, float(delays[d])), parameters, False)
    return fitted
