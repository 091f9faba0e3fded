"""What spills into a tissue curve from outside it, and how it is told from the muscle's own curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError

Floats = NDArray[np.float64]


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
class Unmixing:
    """``blunt`` (t, t), symmetric: takes out of a curve what mixed-in curves explain, as far as the noise lets them be
    told. ``to_share`` (t, k): from what a fit leaves over to shares. ``curves`` (k, t).

    Shares are linear in the data: projecting them out of curves and model alike leaves the fit of the rest as it was.
    """

    blunt: Floats
    to_share: Floats
    curves: Floats

    @staticmethod
    def of(spill: Spill, all_times: int, fitted_times: int, noise: float) -> Unmixing:
        """``all_times``: samples of the tissue curves; ``fitted_times``: of them, the first so many are fitted;
        ``noise``: variance of one sample. Raises BadInputError where the curves do not fit the tissue."""
        mixed = np.atleast_2d(np.asarray(spill.curves, float))
        if mixed.shape[1] != all_times or not np.all(np.isfinite(mixed)) or spill.share_sd <= 0:
            raise BadInputError(
                f"Curves that spill in have shape {mixed.shape} and the tissue has {all_times} times; give one finite "
                "value a time and a positive spread of the share."
            )
        ridge = max(noise, 1e-12) / spill.share_sd**2
        mixed = mixed[:, :fitted_times]
        u, s, vt = np.linalg.svd(mixed.T, full_matrices=False)
        blunt = np.eye(fitted_times) - (u * (1.0 - np.sqrt(ridge / (s**2 + ridge)))) @ u.T
        return Unmixing(blunt, (u * (s / (s**2 + ridge))) @ vt, mixed)
