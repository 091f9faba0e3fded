"""Noise of magnitude frames, and the floor it puts under dark tissue.

Magnitude images are never negative: where signal is only a few noise levels high its mean is too high by about
``noise**2 / (2 * signal)`` (Gudbjartsson and Patz 1995, Magn Reson Med 34:910). Blood before contrast is that dark, its
baseline divides the whole input curve, and two percent there become five in the flow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

SPREAD_SCATTER = 0.175  # of one pixel's robust spread over 60 frames of pure noise, relative
ADDED = 1.03  # what motion and contrast still add to the lower fifth (digital twins 1000-1007)
LOWER_FIFTH = 0.842  # so many standard deviations below the mean lies a normal distribution's lower fifth


def noise_sd(frames: NDArray[np.floating]) -> float:
    """Standard deviation of the noise of one slice's frames (t, y, x), before any interpolation.

    From second differences over time (contrast change is smoother than noise) in the brighter half of the pixels,
    robustly over time (the bolus is an outlier). Each pixel's value is corrected for what the magnitude takes from the
    noise of dark pixels (Koay and Basser 2006). Motion only adds to it: the lower fifth of all pixels is taken, and
    what that fifth is of the true value in frames of pure noise is made good.
    """
    flat = np.asarray(frames, dtype=np.float64).reshape(len(frames), -1)
    mean = flat.mean(axis=0)
    bright = flat[:, mean >= np.median(mean)]
    spread = 1.4826 * np.median(np.abs(np.diff(bright, n=2, axis=0)), axis=0) / np.sqrt(6.0)
    _, level, sd = _rice()
    high = np.median(bright, axis=0) / np.maximum(spread, 1e-12)
    spread = spread / np.interp(high, level / sd, sd)
    scatter = SPREAD_SCATTER * np.sqrt(60.0 / len(frames))
    return float(np.percentile(spread, 20) / (1.0 - LOWER_FIFTH * scatter) / ADDED)


def _rice() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Signals in units of the noise, and mean and standard deviation of their magnitude (Rice distribution)."""
    signal = np.linspace(0.0, 12.0, 1201)
    quarter = signal**2 / 4
    bessel = (1 + 2 * quarter) * special.ive(0, quarter) + 2 * quarter * special.ive(1, quarter)
    mean = np.sqrt(np.pi / 2) * bessel
    return signal, mean, np.sqrt(2.0 + signal**2 - mean**2)


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
    ratio, mean, _ = _rice()
    high = values / sd
    low = np.maximum(np.interp(high, mean, ratio), 0.1)
    return np.where(high < mean[-1], low * sd, above_noise(values, sd))
