"""Myocardial blood flow by Fermi-constrained deconvolution, for all pixels at once.

Model (Jerosch-Herold, Wilke, Stillman 1998, Med Phys 25:73-84): the tissue curve is the input convolved with

    h(t) = F * (1 + exp(-u)) / (1 + exp(k * t - u)),    h(0) = F,

a Fermi function scaled so that its value at zero is the flow F itself (u = k * plateau). All curves are first compared
with a dictionary of responses (variable projection: for each shape the best F is a quotient of two products), then
refined by a batched Levenberg-Marquardt over (log F, log k, u, delay) with analytic derivatives. Single pixels may lean
on a prior (``Prior``), weighted by the noise that is found in the curves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
LOG_FLOW_FLOOR = float(np.log(1e-5))  # 0.0006 mL/min/g: no flow
_ITERATIONS = 15
_SETTLED = 1e-4  # relative gain of the squared misfit below which a curve rests
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """What the fit of a noisy pixel may lean on: a normal distribution of each quantity, as mean and SD.

    ``log_volume``: natural logarithm of flow times mean transit time, the volume the agent reaches during the first
    pass (ml per ml of tissue). It varies far less than flow (central volume theorem, Meier and Zierler 1954, J Appl
    Physiol 6:731), so that noise is kept from trading flow against transit time. ``shape``: u; ``delay_s``.
    """

    log_volume: tuple[float, float]
    shape: tuple[float, float]
    delay_s: tuple[float, float]


@dataclass(frozen=True)
class Spill:
    """What spills into a tissue curve from outside: ``curves`` (k, t) at the tissue's times, of unit share each.

    A pixel at the endocardium holds some blood, one at the septum some of the RV's, and truncation of k-space takes a
    little of the LV's brightness *away* beside it (dark rim; Di Bella 2005, Magn Reson Med 54:1295). Each share is
    found with the flow, as a normal distribution of ``share_sd`` about zero.
    """

    curves: Floats
    share_sd: float


@dataclass(frozen=True)
class FermiFit:
    """One value a curve: all arrays (n,), ``fitted`` (n, t).

    ``mbf_ml_min_g``; ``standard_error`` in the same unit (from the linearised fit and its own residual); ``delay_s``
    from input to tissue; ``rate_per_s`` and ``shape`` of the Fermi function; ``volume`` (ml per ml tissue): flow times
    mean transit time; ``residual``: root mean square misfit as a share of the curve's peak; ``spill`` (n, k): share of
    each curve of ``Spill``, included in ``fitted``.
    """

    mbf_ml_min_g: Floats
    standard_error: Floats
    delay_s: Floats
    rate_per_s: Floats
    shape: Floats
    volume: Floats
    residual: Floats
    fitted: Floats
    spill: Floats


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
    prior: Prior | None = None,
    spill: Spill | None = None,
) -> FermiFit:
    """Blood flow of tissue concentration curves (n, t) for an arterial input (m,).

    Both in the same unit (mmol per litre), baselines at zero. Sampling: ``dt_s``, or ``times_s`` (t,) and, where the
    input was read at other times, ``aif_times_s``. ``fit_until_s``: only samples up to this time are fitted (first
    pass). ``haematocrit``: give it where the input is a *plasma* concentration, None where it is whole blood.
    ``prior``: what single pixels may lean on; its weight against the data follows from the noise of the curves
    themselves. Without it every curve is fitted alone. ``spill``: curves that may be mixed in. Raises BadInputError
    where the arrays do not belong together.
    """
    curves = check_curves(tissue, aif, dt_s, times_s, aif_times_s)
    factor = flow_factor(haematocrit, density_g_ml)
    used = within(curves, fit_until_s)
    lags = lags_for(used)
    delays = np.arange(0.0, max(max_delay_s, 0.0) + 1e-9, DELAY_STEP_S)
    both = [matrices(used, lags, float(d)) for d in delays]
    noise = _noise_variance(used.tissue)
    weight = None if prior is None else _Weighted(prior, noise)
    unmixed = None if spill is None else _Unmixing.of(spill, curves, used.times_s.size, noise)
    seen = used
    if unmixed is not None:
        # shares are linear in the data: projecting them out of curves and model alike leaves the fit as it was
        used = replace(used, tissue=used.tissue @ unmixed.blunt)
        both = [(unmixed.blunt @ matrix, unmixed.blunt @ slope) for matrix, slope in both]
    parameters, nearest = _dictionary(used, lags, both, delays, weight)
    variance = np.zeros(len(parameters))
    delay = delays[nearest]
    moving = np.ones(len(parameters), dtype=bool)
    # twice: a delay refined beyond half a step goes on from the next matrix
    for _ in range(2):
        for d in np.unique(nearest[moving]):
            mine = moving & (nearest == d)
            parameters[mine], variance[mine] = _refine(
                used.tissue[mine], lags, both[d], parameters[mine], max_delay_s > 0, float(delays[d]), weight
            )
        delay = np.clip(delays[nearest] + parameters[:, 3], 0.0, max(max_delay_s, 0.0))
        now = np.clip(np.rint(delay / DELAY_STEP_S).astype(int), 0, delays.size - 1)
        moving = now != nearest
        nearest = now
        parameters[:, 3] = delay - delays[nearest]
    log_flow, log_rate, shape, _ = parameters.T
    flow = np.where(log_flow <= LOG_FLOW_FLOOR, 0.0, np.exp(log_flow))
    fitted = _curves_of(curves, parameters, delays, nearest)
    shares = np.zeros((len(fitted), 0))
    if unmixed is not None:
        shares = (seen.tissue - fitted[:, : seen.times_s.size]) @ unmixed.to_share
        fitted = fitted + shares @ unmixed.curves
    misfit = (fitted - curves.tissue)[:, : seen.times_s.size]
    peak = np.maximum(seen.tissue.max(axis=1), 1e-12)
    return FermiFit(
        mbf_ml_min_g=flow * factor,
        standard_error=np.exp(log_flow) * np.sqrt(np.maximum(variance, 0.0)) * factor,
        delay_s=delay,
        rate_per_s=np.exp(log_rate),
        shape=shape,
        volume=flow * np.exp(_log_area(shape) - log_rate),
        residual=np.sqrt(np.mean(misfit**2, axis=1)) / peak,
        fitted=fitted,
        spill=shares,
    )


@dataclass(frozen=True)
class _Unmixing:
    """``blunt`` (t, t), symmetric: takes out of a curve what mixed-in curves explain, as far as the noise lets them be
    told. ``to_share`` (t, k): from what a fit leaves over to shares. ``curves`` (k, t) over all times."""

    blunt: Floats
    to_share: Floats
    curves: Floats

    @staticmethod
    def of(spill: Spill, curves: Curves, count: int, noise: float) -> _Unmixing:
        mixed = np.atleast_2d(np.asarray(spill.curves, float))
        if mixed.shape[1] != curves.times_s.size or not np.all(np.isfinite(mixed)) or spill.share_sd <= 0:
            raise BadInputError(
                f"Curves that spill in have shape {mixed.shape} and the tissue has {curves.times_s.size} times; give "
                "one finite value a time and a positive spread of the share."
            )
        ridge = max(noise, 1e-12) / spill.share_sd**2
        u, s, vt = np.linalg.svd(mixed[:, :count].T, full_matrices=False)
        blunt = np.eye(count) - (u * (1.0 - np.sqrt(ridge / (s**2 + ridge)))) @ u.T
        return _Unmixing(blunt, (u * (s / (s**2 + ridge))) @ vt, mixed)


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


@dataclass(frozen=True)
class _Weighted:
    """A prior on the scale of the data: its squared terms times ``noise`` stand beside squared misfits."""

    prior: Prior
    noise: float  # variance of one sample

    def of_atoms(self, flow: NDArray[np.float32], rate: Floats, shape: Floats, delay_s: float) -> NDArray[np.float32]:
        """The prior's squared terms for flows (n, j) of responses (j,) at one delay."""
        p = self.prior
        log_flow = np.log(np.maximum(flow, np.float32(np.exp(LOG_FLOW_FLOOR))))
        centre = (p.log_volume[0] - (_log_area(shape) - np.log(rate))).astype(np.float32)
        off = (log_flow - centre) * np.float32(1.0 / p.log_volume[1])
        fixed = ((shape - p.shape[0]) / p.shape[1]) ** 2 + ((delay_s - p.delay_s[0]) / p.delay_s[1]) ** 2
        return np.asarray(np.float32(self.noise) * (off * off + fixed.astype(np.float32)))

    def rows(self, parameters: Floats, delay_s: float) -> tuple[Floats, Floats]:
        """Residuals (n, 3) of the prior and their derivatives (n, 3, 4), in units of the tissue curves."""
        log_flow, log_rate, shape, offset = parameters.T
        p, scale = self.prior, np.sqrt(self.noise)
        rest = np.stack(
            [
                (p.log_volume[0] - (log_flow + _log_area(shape) - log_rate)) / p.log_volume[1],
                (p.shape[0] - shape) / p.shape[1],
                (p.delay_s[0] - delay_s - offset) / p.delay_s[1],
            ],
            axis=1,
        )
        by = np.zeros((len(parameters), 3, 4))
        by[:, 0, 0], by[:, 0, 1] = 1.0 / p.log_volume[1], -1.0 / p.log_volume[1]
        by[:, 0, 2] = _log_area_slope(shape) / p.log_volume[1]
        by[:, 1, 2] = 1.0 / p.shape[1]
        by[:, 2, 3] = 1.0 / p.delay_s[1]
        return rest * scale, by * scale


def _log_area(shape: Floats) -> Floats:
    """Logarithm of the mean transit time of a response with k = 1: its area, as it starts at one."""
    return np.asarray(np.log1p(np.exp(-shape)) + np.log(np.log1p(np.exp(shape))))


def _log_area_slope(shape: Floats) -> Floats:
    rising = 1.0 / (1.0 + np.exp(-shape))
    return np.asarray(rising / np.log1p(np.exp(shape)) - (1.0 - rising))


def _noise_variance(tissue: Floats) -> float:
    """Variance of one sample from second differences, which a smooth curve hardly has; one value for all curves."""
    bend = np.diff(tissue, n=2, axis=1)
    spread = 1.4826 * np.median(np.abs(bend - np.median(bend, axis=1, keepdims=True)), axis=1) / np.sqrt(6.0)
    return float(np.median(spread) ** 2)


def _dictionary(
    curves: Curves, lags: Floats, both: list[tuple[Floats, Floats]], delays: Floats, weight: _Weighted | None
) -> tuple[Floats, NDArray[np.int64]]:
    """Best start for every curve: parameters (n, 4) as in :func:`_refine`, and the index of the delay."""
    grid = np.meshgrid(np.geomspace(*RATE_BOUNDS, 18), np.linspace(*SHAPE_BOUNDS, 13), indexing="ij")
    rate, shape = (np.asarray(g, np.float64).ravel() for g in grid)
    half = np.log(1.0 + 2.0 * np.exp(shape)) / rate
    fits = (half >= HALF_TIME_BOUNDS_S[0]) & (half <= HALF_TIME_BOUNDS_S[1])
    rate, shape = rate[fits], shape[fits]
    responses = response(lags, rate, shape)
    n = curves.tissue.shape[0]
    row = np.arange(n)
    best = np.full(n, -np.inf, np.float32)
    which = np.zeros(n, dtype=np.int64)
    nearest = np.zeros(n, dtype=np.int64)
    # single precision: it only has to tell neighbours of a coarse grid apart
    tissue = curves.tissue.astype(np.float32)
    norms = np.empty((len(both), len(rate)))
    for d, (matrix, _) in enumerate(both):
        atoms = responses @ matrix.T
        norms[d] = np.maximum(np.sqrt(np.einsum("jt,jt->j", atoms, atoms)), 1e-6)
        # against atoms of length one, the squared product is what an atom explains of the squared curve
        score = tissue @ (atoms / norms[d][:, None]).T.astype(np.float32)
        np.maximum(score, 0.0, out=score)
        if weight is not None:
            score = score**2 - weight.of_atoms(score / norms[d].astype(np.float32), rate, shape, float(delays[d]))
        found = np.argmax(score, axis=1)
        better = score[row, found] > best
        best[better] = score[row, found][better]
        which[better], nearest[better] = found[better], d
    parameters = np.stack([np.zeros(n), np.log(rate[which]), shape[which], np.zeros(n)], axis=1)
    for d in np.unique(nearest):
        mine = nearest == d
        atoms = responses[which[mine]] @ both[d][0].T
        product = np.einsum("nt,nt->n", curves.tissue[mine], atoms) / norms[d][which[mine]] ** 2
        parameters[mine, 0] = np.maximum(np.log(np.maximum(product, 1e-30)), LOG_FLOW_FLOOR)
    return parameters, nearest


def _model(
    lags: Floats, both: tuple[Floats, Floats], parameters: Floats, derivatives: bool
) -> tuple[Floats, Floats | None]:
    """Model (n, t) and its derivatives (n, t, 4) by log flow, log rate, shape and delay offset."""
    log_flow, log_rate, shape, offset = parameters.T
    flow = np.exp(log_flow)[:, None]
    scaled = np.exp(log_rate)[:, None] * lags[None, :]
    grown = np.exp(np.clip(scaled - shape[:, None], -50, 50))
    foot = np.exp(-shape)[:, None]
    h = (1.0 + foot) / (1.0 + grown)
    matrix, slope = both
    by_delay = flow * (h @ slope.T)
    model = flow * (h @ matrix.T) + offset[:, None] * by_delay
    if not derivatives:
        return model, None
    share = grown / (1.0 + grown)
    by_rate = flow * ((-h * share * scaled) @ matrix.T)
    by_shape = flow * ((h * share - foot / (1.0 + grown)) @ matrix.T)
    return model, np.stack([model, by_rate, by_shape, by_delay], axis=2)


def _refine(
    tissue: Floats,
    lags: Floats,
    both: tuple[Floats, Floats],
    parameters: Floats,
    free_delay: bool,
    delay_s: float,
    weight: _Weighted | None,
) -> tuple[Floats, Floats]:
    """Levenberg-Marquardt on every curve at once; returns parameters (n, 4) and the variance of log flow (n,).

    Parameters: log flow (1/s), log rate, shape, delay offset from ``delay_s``. Curves that no longer gain rest.
    """
    parameters = parameters.copy()
    free = 4 if free_delay else 3
    active = np.arange(len(parameters))
    damping = np.full(len(parameters), 1e-2)
    rest, jacobian = _residuals(tissue, lags, both, parameters, delay_s, weight)
    error = np.einsum("nt,nt->n", rest, rest)
    for _ in range(_ITERATIONS):
        now = parameters[active]
        rest, jacobian = _residuals(tissue[active], lags, both, now, delay_s, weight)
        normal, gradient = _normal(jacobian, rest, free)
        diagonal = np.einsum("nii->ni", normal)
        damped = normal + (damping[active, None] * diagonal + 1e-12)[:, :, None] * np.eye(free)
        step = np.zeros((len(active), 4))
        step[:, :free] = np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]
        trial = _bounded(now + step)
        trial_rest, _ = _residuals(tissue[active], lags, both, trial, delay_s, weight, derivatives=False)
        trial_error = np.einsum("nt,nt->n", trial_rest, trial_rest)
        before = error[active]
        better = trial_error < before
        parameters[active[better]] = trial[better]
        error[active[better]] = trial_error[better]
        damping[active] = np.clip(np.where(better, damping[active] * 0.3, damping[active] * 8.0), 1e-7, 1e7)
        settled = better & (before - trial_error < _SETTLED * before) | (damping[active] > 1e5)
        active = active[~settled]
        if active.size == 0:
            break
    rest, jacobian = _residuals(tissue, lags, both, parameters, delay_s, weight)
    normal, _ = _normal(jacobian, rest, free)
    # a parameter on its bound leaves the normal matrix singular: a tiny ridge keeps the inverse finite
    diagonal = np.einsum("nii->ni", normal)
    ridge = (1e-6 * diagonal + 1e-12)[:, :, None] * np.eye(free)
    degrees = max(tissue.shape[1] - free, 1)
    misfit = np.sum(rest[:, : tissue.shape[1]] ** 2, axis=1) / degrees
    return parameters, np.linalg.inv(normal + ridge)[:, 0, 0] * misfit


def _residuals(
    tissue: Floats,
    lags: Floats,
    both: tuple[Floats, Floats],
    parameters: Floats,
    delay_s: float,
    weight: _Weighted | None,
    derivatives: bool = True,
) -> tuple[Floats, Floats]:
    """Misfits (n, t [+ 3 of the prior]) and the model's derivatives (n, t [+ 3], 4) (empty unless wanted)."""
    model, jacobian = _model(lags, both, parameters, derivatives)
    by = np.zeros((0, 0, 4)) if jacobian is None else jacobian
    rest = tissue - model
    if weight is not None:
        extra, extra_by = weight.rows(parameters, delay_s)
        rest = np.concatenate([rest, extra], axis=1)
        if derivatives:
            by = np.concatenate([by, extra_by], axis=1)
    return rest, by


def _normal(jacobian: Floats, rest: Floats, free: int) -> tuple[Floats, Floats]:
    part = jacobian[:, :, :free]
    return part.transpose(0, 2, 1) @ part, np.einsum("nti,nt->ni", part, rest)


def _bounded(parameters: Floats) -> Floats:
    """Parameters moved back into their bounds."""
    log_flow, log_rate, shape, offset = parameters.T
    shape = np.clip(shape, *SHAPE_BOUNDS)
    reach = np.log(1.0 + 2.0 * np.exp(shape))
    # half time = reach / rate within its bounds
    low = np.maximum(np.log(reach / HALF_TIME_BOUNDS_S[1]), np.log(RATE_BOUNDS[0]))
    high = np.minimum(np.log(reach / HALF_TIME_BOUNDS_S[0]), np.log(RATE_BOUNDS[1]))
    log_rate = np.clip(log_rate, low, np.maximum(high, low))
    log_flow = np.clip(log_flow, LOG_FLOW_FLOOR, 2.0)
    return np.stack([log_flow, log_rate, shape, np.clip(offset, -DELAY_STEP_S, DELAY_STEP_S)], axis=1)


def _curves_of(curves: Curves, parameters: Floats, delays: Floats, nearest: NDArray[np.int64]) -> Floats:
    """The fitted curves at all times of ``curves``, also after the fitted window."""
    lags = lags_for(curves)
    fitted = np.zeros_like(curves.tissue)
    for d in np.unique(nearest):
        mine = nearest == d
        fitted[mine], _ = _model(lags, matrices(curves, lags, float(delays[d])), parameters[mine], False)
    return fitted
