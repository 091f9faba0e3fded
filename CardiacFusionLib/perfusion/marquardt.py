"""Levenberg-Marquardt for thousands of Fermi curves at once.

Every curve has its own damping and rests as soon as a step is no longer worth a look at the curve. Parameters are log
flow (1/s), log mean transit time (s), shape and delay (s): at one transit time the shape hardly changes the flow, which
keeps the valley of the misfit straight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.cholesky import solve
from CardiacFusionLib.perfusion.fermi_curves import FermiCurves
from CardiacFusionLib.perfusion.prior import Weighted
from CardiacFusionLib.perfusion.response import SHAPE_BOUNDS, log_transit_bounds

ITERATIONS = 30
SETTLED = 1e-4  # relative gain of the squared misfit below which a curve rests
FIRST_DAMPING, LESS, MORE = 1e-2, 0.1, 4.0
DAMPING_RANGE = (1e-7, 1e5)
LARGEST_LOG_FLOW = 2.0
_AT = 1e-9  # so near to a bound is on it
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class _Limits:
    """Bounds of the parameters."""

    log_flow: float
    delay_s: float

    def within(self, parameters: Floats) -> Floats:
        """Parameters (4, n) moved back into their bounds."""
        log_flow, log_transit, shape, delay = parameters
        shape = np.clip(shape, *SHAPE_BOUNDS)
        log_transit = np.clip(log_transit, *log_transit_bounds(shape))
        flow = np.clip(log_flow, self.log_flow, LARGEST_LOG_FLOW)
        return np.stack([flow, log_transit, shape, np.clip(delay, 0.0, self.delay_s)])

    def free(self, parameters: Floats, gradient: Floats) -> NDArray[np.bool_]:
        """Which parameters (4, n) may move the way that lowers the misfit: not out of their bounds."""
        low, high = log_transit_bounds(parameters[2])
        bounds: tuple[tuple[Floats | float, Floats | float], ...] = (
            (self.log_flow, LARGEST_LOG_FLOW), (low, high), SHAPE_BOUNDS, (0.0, self.delay_s)
        )  # fmt: skip
        free = np.empty(parameters.shape, dtype=bool)
        for i, (least, most) in enumerate(bounds):
            p, g = parameters[i], gradient[i]
            free[i] = ((p > least + _AT) | (g >= 0)) & ((p < most - _AT) | (g <= 0))
        return free


@dataclass
class _Standing:
    """Where each curve stands: parameters (4, n), squared misfit (n,), gradient (4, n), lower triangle of the normal
    matrix (10, n), row by row, and the model (n, r)."""

    parameters: Floats
    error: Floats
    gradient: Floats
    normal: Floats
    found: Singles

    def take(self, other: _Standing, better: NDArray[np.bool_]) -> None:
        """Replace the curves that are ``better`` (n,) by those of ``other``."""
        np.copyto(self.parameters, other.parameters, where=better)
        np.copyto(self.error, other.error, where=better)
        np.copyto(self.gradient, other.gradient, where=better)
        np.copyto(self.normal, other.normal, where=better)
        np.copyto(self.found, other.found, where=better[:, None])

    def put(self, rows: NDArray[np.intp], other: _Standing, chosen: NDArray[np.bool_]) -> None:
        """Write the ``chosen`` curves of ``other`` to ``rows``."""
        self.parameters[:, rows] = other.parameters[:, chosen]
        self.error[rows] = other.error[chosen]
        self.normal[:, rows] = other.normal[:, chosen]
        self.found[rows] = other.found[chosen]

    def only(self, kept: NDArray[np.bool_]) -> _Standing:
        """Some of the curves."""
        return _Standing(
            self.parameters[:, kept], self.error[kept], self.gradient[:, kept], self.normal[:, kept], self.found[kept]
        )


def refine(
    model: FermiCurves,
    numbers: Singles,
    beside: Floats,
    start: Floats,
    samples: int,
    weight: Weighted | None,
    *,
    free_delay: bool,
    floor: float,
) -> tuple[Floats, Floats, Singles]:
    """From ``start`` (4, n) to the nearest minimum: parameters (4, n), variance of log flow (n,), model (n, r).

    ``numbers`` (n, r) and ``beside`` (n,) as from ``FermiCurves.project``; ``samples``: of a measured curve; ``floor``:
    least log flow.
    """
    free = 4 if free_delay else 3
    limits = _Limits(floor, float(model.delays_s[-1]))
    now = _evaluate(model, numbers, beside, start, weight)
    done = _Standing(now.parameters.copy(), now.error.copy(), now.gradient.copy(), now.normal.copy(), now.found.copy())
    active, damping = np.arange(start.shape[1]), np.full(start.shape[1], FIRST_DAMPING)
    for _ in range(ITERATIONS):
        inside = limits.free(now.parameters, now.gradient)
        step = np.zeros_like(now.parameters)
        step[:free] = _steps(now.normal, damping, now.gradient[:free], inside)
        trial = limits.within(now.parameters + step)
        # what the step can gain at most, by the linearised model
        gain = np.einsum("in,in->n", trial - now.parameters, now.gradient)
        worth = (gain > SETTLED * now.error) & (damping < DAMPING_RANGE[1])
        if not worth.all():
            done.put(active[~worth], now, ~worth)
            active, damping, trial, now = active[worth], damping[worth], trial[:, worth], now.only(worth)
            numbers, beside = numbers[worth], beside[worth]
            if active.size == 0:
                break
        new = _evaluate(model, numbers, beside, trial, weight)
        better = new.error < now.error
        damping = np.clip(np.where(better, LESS, MORE) * damping, *DAMPING_RANGE)
        now.take(new, better)
    done.put(active, now, np.ones(active.size, dtype=bool))
    # a parameter on its bound leaves the normal matrix singular: a tiny ridge keeps the inverse finite
    first = np.zeros((free, done.error.size))
    first[0] = 1.0
    spread = _steps(done.normal, np.full(done.error.size, 1e-6), first, np.ones((4, done.error.size), dtype=bool))[0]
    misfit = done.error if weight is None else done.error - weight.added(done.parameters)[0]
    degrees = max(samples - free, 1)
    return done.parameters, np.maximum(spread * misfit / degrees, 0.0), done.found


def _steps(normal: Floats, damping: Floats, right: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Steps (k, n) of the damped systems; parameters that are not ``inside`` (4, n) stay where they are."""
    lower = []
    for i in range(len(right)):
        first = i * (i + 1) // 2
        row = normal[first : first + i + 1] * (inside[i] & inside[: i + 1])
        row[i] = normal[first + i] * (1.0 + damping) + 1e-12
        lower.append(row)
    return solve(lower, right * inside[: len(right)])


def _evaluate(
    model: FermiCurves, numbers: Singles, beside: Floats, parameters: Floats, weight: Weighted | None
) -> _Standing:
    found, derivatives = model.evaluate(parameters)
    rest = numbers - found
    error = np.einsum("nr,nr->n", rest, rest).astype(np.float64) + beside
    gradient = np.empty((4, len(rest)))
    normal = np.empty((10, len(rest)))
    for i in range(4):
        gradient[i] = np.einsum("nr,nr->n", derivatives[i], rest)
        for j in range(i + 1):
            normal[i * (i + 1) // 2 + j] = np.einsum("nr,nr->n", derivatives[i], derivatives[j])
    if weight is not None:
        extra_error, extra_gradient, extra_normal = weight.added(parameters)
        error += extra_error
        gradient += extra_gradient
        normal += extra_normal[:, None]
    return _Standing(parameters.copy(), error, gradient, normal, found)
