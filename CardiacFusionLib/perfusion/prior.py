"""What the fit of a noisy curve may lean on, and how much: normal distributions of volume, shape and delay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
class Weighted:
    """A prior on the scale of the data: its squared terms times ``noise`` stand beside squared misfits."""

    prior: Prior
    noise: float  # variance of one sample

    def of_atoms(
        self, flow: NDArray[np.float32], log_transit: Floats, shape: Floats, delay_s: float, floor: float
    ) -> NDArray[np.float32]:
        """The prior's squared terms for flows (n, j), at least ``floor``, of responses (j,) at one delay."""
        p = self.prior
        centre = (p.log_volume[0] - log_transit).astype(np.float32)
        off = (np.log(np.maximum(flow, np.float32(floor))) - centre) * np.float32(1.0 / p.log_volume[1])
        fixed = ((shape - p.shape[0]) / p.shape[1]) ** 2 + ((delay_s - p.delay_s[0]) / p.delay_s[1]) ** 2
        return np.asarray(np.float32(self.noise) * (off * off + fixed.astype(np.float32)))

    def added(self, parameters: Floats) -> tuple[Floats, Floats, Floats]:
        """What the prior adds for ``parameters`` (4, n) (log flow, log transit time, shape, delay): to the squared
        misfit (n,), to the gradient (4, n) and, the same for all, to the lower triangle of the normal matrix (10,)."""
        p = self.prior
        volume = p.log_volume[0] - parameters[0] - parameters[1]
        rest = np.stack([volume, volume, p.shape[0] - parameters[2], p.delay_s[0] - parameters[3]])
        weight = self.noise / np.array([p.log_volume[1], p.log_volume[1], p.shape[1], p.delay_s[1]]) ** 2
        gradient = rest * weight[:, None]
        normal = np.zeros(10)
        normal[[0, 1, 2]] = weight[0]
        normal[[5, 9]] = weight[2:]
        return np.einsum("in,in->n", gradient[1:], rest[1:]), gradient, normal


def noise_variance(tissue: Floats) -> float:
    """Variance of one sample of curves (n, t) from second differences, which a smooth curve hardly has; one value for
    all curves."""
    bend = np.diff(tissue, n=2, axis=1)
    spread = 1.4826 * np.median(np.abs(bend - np.median(bend, axis=1, keepdims=True)), axis=1) / np.sqrt(6.0)
    return float(np.median(spread) ** 2)
