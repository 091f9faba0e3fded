"""Thousands of small positive definite systems at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def solve(lower: list[Floats], right: Floats) -> Floats:
    """Solutions (k, n) of n symmetric positive definite systems of k equations, k small; overwrites both arguments.

    ``lower``: row i of the lower triangles, (i + 1, n); ``right`` (k, n). Cholesky, column by column over all systems
    at once: a library call for each of them takes longer than its sums."""
    k = len(lower)
    for j in range(k):
        root = np.sqrt(np.maximum(lower[j][j], 1e-300))
        lower[j][j] = root
        right[j] /= root
        for i in range(j + 1, k):
            row = lower[i]
            row[j] /= root
            right[i] -= row[j] * right[j]
            for m in range(j + 1, i + 1):
                row[m] -= row[j] * lower[m][j]
    for j in reversed(range(k)):
        right[j] /= lower[j][j]
        right[:j] -= lower[j][:j] * right[j]
    return right
