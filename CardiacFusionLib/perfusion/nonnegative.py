"""Non-negative least squares for thousands of right-hand sides of a few matrices.

Block principal pivoting (Portugal, Judice, Vicente 1994, Math Comput 63:625; Kim and Park 2011, SIAM J Sci Comput
33:3261): columns are exchanged between 'free' and 'zero' for all curves at once until every curve keeps the conditions
of its optimum. The answer is exact; a few rounds are enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.cholesky import solve

ROUNDS = 100
PATIENCE = 3  # rounds that all of the infeasible may be exchanged although their number does not fall
_TOLERANCE = 1e-9
Floats = NDArray[np.float64]


def non_negative(grams: Floats, which: NDArray[np.integer], product: Floats) -> Floats:
    """The x >= 0 (n, k) that minimise ``x' G x / 2 - product' x`` for each row of ``product`` (n, k).

    ``grams`` (d, k, k), positive definite: M' M of d least-squares matrices M; ``which`` (n,): the one of each row;
    ``product``: targets (n, t) @ M.
    """
    scale = np.sqrt(np.einsum("dii->di", grams))
    grams = grams / (scale[:, :, None] * scale[:, None, :])
    scale = scale[which]
    scaled = product / scale
    if not len(product):
        return np.zeros_like(product)
    # all begin where the curve in the middle of them ends: most of its zeros are theirs too
    usual = np.full(1, int(np.median(which)))
    start = _pivoted(grams, usual, scaled.mean(axis=0)[:, None], np.ones((product.shape[1], 1), dtype=bool)) > 0
    return _pivoted(grams, which, scaled.T, np.repeat(start.T, len(product), axis=1)) / scale


def _pivoted(grams: Floats, which: NDArray[np.integer], product: Floats, free: NDArray[np.bool_]) -> Floats:
    """Answers (n, k) for products (k, n), from a first guess of their ``free`` columns (k, n); the diagonals of
    ``grams`` are one."""
    k, n = product.shape
    limit = _TOLERANCE * np.abs(product).max(axis=0)
    by_row = np.ascontiguousarray(grams.transpose(1, 2, 0))  # systems run fastest
    fewest, patience = np.full(n, k + 1), np.full(n, PATIENCE)
    result = np.zeros((k, n))
    active = np.arange(n)
    for _ in range(ROUNDS):
        here, matrix = free[:, active], which[active]
        # a column at zero is an equation of its own: x = 0
        lower = [by_row[i, : i + 1][:, matrix] * (here[i] & here[: i + 1]) for i in range(k)]
        for i in range(k):
            lower[i][i] += np.where(here[i], 1e-12, 1.0)
        x = solve(lower, product[:, active] * here)
        slack = np.empty_like(x)
        for d in np.unique(matrix):
            mine = matrix == d
            slack[:, mine] = grams[d] @ x[:, mine]
        slack -= product[:, active]
        wrong = np.where(here, x, slack) < -limit[active]
        count = wrong.sum(axis=0)
        result[:, active] = x
        fewer = count < fewest[active]
        fewest[active] = np.minimum(fewest[active], count)
        patience[active] = np.where(fewer, PATIENCE, patience[active] - 1)
        # out of patience: only the last of them (Murty's rule), which cannot go round in circles
        last = np.zeros_like(wrong)
        last[k - 1 - np.argmax(wrong[::-1], axis=0), np.arange(active.size)] = True
        free[:, active] = here ^ (wrong & ((patience[active] >= 0) | last))
        active = active[count > 0]
        if active.size == 0:
            break
    return np.asarray(np.maximum(result, 0.0).T)
