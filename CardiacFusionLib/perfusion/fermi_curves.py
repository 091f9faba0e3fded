"""Curves of the Fermi model in few numbers: all of them lie close to a dozen directions of the space of curves.

The curves that the model can make for one input (any rate, shape and delay) are smooth, so that their first principal
directions hold them to 1e-4. Measured curves are projected onto these directions once; every product of a fit is then
one of a dozen numbers instead of one a frame. What lies beside the directions is noise, and counts in the misfit only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from CardiacFusionLib.perfusion.convolution import STEP_S, Convolution
from CardiacFusionLib.perfusion.response import grid, log_area, log_area_slope, response

LEFT_OUT = 3e-4  # singular value, as a share of the first, below which a direction is left out
LAG_GROWTH = 0.07
COARSE_RATES, COARSE_SHAPES, COARSE_DELAYS = 12, 8, 2  # of the dictionary; every second delay
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Atoms:
    """Curves of unit flow of a coarse dictionary: ``log_transit``, ``shape`` (j,), ``delays`` (d,) as indices of the
    convolution's, ``values`` (d, j, r) in the directions of ``FermiCurves``, ``norms`` (d, j)."""

    log_transit: Floats
    shape: Floats
    delays: NDArray[np.int64]
    values: Singles
    norms: Floats


def coarse_lags(end_s: float) -> Floats:
    """Lags at which a response is known well enough to be continued by a cubic spline: it falls over a tenth of its
    half time or more (``SHAPE_BOUNDS``), so that late lags may lie far apart."""
    lags = [0.0]
    while lags[-1] < end_s:
        lags.append(lags[-1] + max(STEP_S, LAG_GROWTH * lags[-1]))
    return np.array(lags)


class FermiCurves:
    """The model for one input at one set of times. ``blunt`` (t, t) is applied to curves of model and data alike."""

    def __init__(self, convolution: Convolution, blunt: Floats | None) -> None:
        self._convolution = convolution
        self.delays_s = convolution.delays_s
        rate, shape = grid(COARSE_RATES, COARSE_SHAPES)
        responses = response(convolution.lags_s, rate, shape)
        picked = np.arange(0, self.delays_s.size, COARSE_DELAYS)
        curves = np.stack([responses @ convolution.matrix(int(d)).T for d in picked])  # (d, j, t)
        flat = curves.reshape(-1, curves.shape[2])
        flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        values, vectors = np.linalg.eigh(flat.T @ flat)
        kept = values > LEFT_OUT**2 * values[-1]
        self._curve_basis = vectors[:, kept]  # (t, r), orthonormal: a curve is basis @ its r numbers
        # blunted curves lie in the span of the blunted basis; made orthonormal again
        self._basis, turn = (self._curve_basis, None) if blunt is None else np.linalg.qr(blunt @ self._curve_basis)
        self._turn = turn
        onto = self._curve_basis.T if turn is None else turn @ self._curve_basis.T
        self._back = self._curve_basis.T if turn is None else np.linalg.solve(turn.T, self._curve_basis.T)
        lags = coarse_lags(float(convolution.lags_s[-1]))
        self._fold = CubicSpline(lags, np.eye(lags.size))(convolution.lags_s)  # (lag, coarse lag)
        self._lags_s = lags
        self._lags = lags.astype(np.float32)
        self._tables = [self._table(onto, d) for d in range(self.delays_s.size)]
        atoms = curves @ onto.T
        norms = np.maximum(np.linalg.norm(atoms, axis=2), 1e-9)
        self.atoms = Atoms(log_area(shape) - np.log(rate), shape, picked, atoms.astype(np.float32), norms)

    def _table(self, onto: Floats, index: int) -> tuple[Singles, Singles, Floats, Floats]:
        """Of one delay: what turns a response at the coarse lags into the r numbers (lag, r), the same beside its
        product with the lag (lag, 2 r), and the input and its slope (r,)."""
        matrix = (onto @ self._convolution.matrix(index) @ self._fold).T
        both = np.concatenate([matrix, matrix * self._lags_s[:, None]], axis=1)
        now, slope = self._convolution.input(index)
        return matrix.astype(np.float32), both.astype(np.float32), onto @ now, onto @ slope

    def project(self, blunted: Floats) -> tuple[Singles, Floats]:
        """Blunted curves (n, t) as numbers (n, r), and what they hold beside the directions, squared (n,)."""
        numbers = blunted @ self._basis
        beside = np.einsum("nt,nt->n", blunted, blunted) - np.einsum("nr,nr->n", numbers, numbers)
        return numbers.astype(np.float32), np.maximum(beside, 0.0)

    def curves(self, numbers: Singles) -> Floats:
        """Model curves (n, t), not blunted, of their numbers (n, r)."""
        return np.asarray(numbers @ self._back)

    def evaluate(self, parameters: Floats) -> tuple[Singles, Singles]:
        """Model (n, r) and its derivatives (4, n, r) for ``parameters`` (4, n): log flow, log mean transit
        time, shape, delay (s).

        The delay is that of the nearest table; the rest of it moves the response along its lags, and the sliver of the
        integral that this takes beyond lag zero is taken off again.
        """
        index = np.clip(np.rint(parameters[3] / STEP_S).astype(np.int64), 0, self.delays_s.size - 1)
        r = self._basis.shape[1]
        count = parameters.shape[1]
        values = np.empty((count, 3 * r), np.float32)
        edge = np.empty((count, 2 * r), np.float32)
        order = np.argsort(index, kind="stable")
        ends = np.searchsorted(index[order], np.arange(self.delays_s.size + 1))
        offset = parameters[3] - self.delays_s[index]
        shape = parameters[2]
        rate = np.exp(log_area(shape) - parameters[1])
        start = (rate * offset + shape).astype(np.float32)
        single = rate.astype(np.float32)
        for d in range(self.delays_s.size):
            rows = order[ends[d] : ends[d + 1]]
            if rows.size == 0:
                continue
            plain, both, now, slope = self._tables[d]
            fallen = single[rows, None] * self._lags
            fallen -= start[rows, None]
            np.minimum(fallen, np.float32(60.0), out=fallen)
            np.exp(fallen, out=fallen)
            fallen += np.float32(1.0)
            np.reciprocal(fallen, out=fallen)
            values[rows, :r] = fallen @ plain
            fallen -= fallen * fallen
            values[rows, r:] = fallen @ both
            edge[rows, :r], edge[rows, r:] = now, slope
        foot = np.exp(-shape).astype(np.float32)[:, None]
        off = offset.astype(np.float32)[:, None]
        flow = np.exp(parameters[0]).astype(np.float32)[:, None]
        k = single[:, None]
        s, p, pl = values[:, :r], values[:, r : 2 * r], values[:, 2 * r :]
        now, slope = edge[:, :r], edge[:, r:]
        unit, half = np.float32(1.0), np.float32(0.5)
        derivatives = np.empty((4, count, r), np.float32)
        derivatives[0] = flow * ((unit + foot) * s - off * (now - half * off * slope))
        derivatives[1] = (flow * (unit + foot) * k) * (pl - off * p)
        derivatives[2] = flow * ((unit + foot) * p - foot * s)
        # the shape at one transit time, not at one rate
        derivatives[2] -= log_area_slope(shape).astype(np.float32)[:, None] * derivatives[1]
        derivatives[3] = flow * ((unit + foot) * k * p - now + off * slope)
        return derivatives[0], derivatives
