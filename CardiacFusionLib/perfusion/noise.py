"""Noise of magnitude frames, and the floor it puts under dark tissue.

Magnitude images are never negative: where signal is only a few noise levels high its mean is too high by about
``noise**2 / (2 * signal)`` (Gudbjartsson and Patz 1995, Magn Reson Med 34:910). Blood before contrast is that dark, its
baseline divides the whole input curve, and two percent there become five in the flow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def noise_sd(frames: NDArray[np.floating]) -> float:
    """Standard deviation of the noise of one slice's frames (t, y, x), before any interpolation.

    From second differences over time (contrast change is smoother than noise) in the brighter half of the pixels,
    robustly over time (motion and the bolus are outliers) and over pixels (most of the body stands still).
    """
    flat = np.asarray(frames, dtype=np.float64).reshape(len(frames), -1)
    mean = flat.mean(axis=0)
    bright = flat[:, mean >= np.median(mean)]
    bend = np.diff(bright, n=2, axis=0)
    spread = 1.4826 * np.median(np.abs(bend), axis=0) / np.sqrt(6.0)
    return float(np.percentile(spread, 35))


def above_noise(signal: ArrayLike, sd: float) -> NDArray[np.float64]:
    """Single samples with the noise floor taken out: ``sqrt(signal**2 - sd**2)``, at least a tenth of the noise."""
    values = np.asarray(signal, dtype=np.float64)
    return np.sqrt(np.maximum(values**2 - sd**2, (0.1 * sd) ** 2))


def mean_above_noise(mean_signal: ArrayLike, sd: float) -> NDArray[np.float64]:
    """Means over many samples with the noise floor taken out exactly: the signal whose Rician mean this is.

    The mean of a Rice distribution is inverted by look-up (Koay and Basser 2006, J Magn Reson 179:317); needed where
    signal is less than three noise levels high, as blood before contrast may be.
    """
    values = np.asarray(mean_signal, dtype=np.float64)
    if sd <= 0:
        return values
    ratio = np.linspace(0.0, 12.0, 1201)
    quarter = ratio**2 / 4
    bessel = (1 + 2 * quarter) * special.ive(0, quarter) + 2 * quarter * special.ive(1, quarter)
    mean = np.sqrt(np.pi / 2) * bessel
    high = values / sd
    low = np.maximum(np.interp(high, mean, ratio), 0.1)
    return np.where(high < mean[-1], low * sd, above_noise(values, sd))
