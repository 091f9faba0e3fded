"""Noise of magnitude frames, and the floor it puts under dark tissue.

Magnitude images are never negative: where signal is only a few noise levels high its mean is too high by about
``noise**2 / (2 * signal)`` (Gudbjartsson and Patz 1995, Magn Reson Med 34:910). Blood before contrast is that dark, its
baseline divides the whole input curve, and two percent there become five in the flow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    """Signal with the noise floor taken out: ``sqrt(signal**2 - sd**2)``, never below a tenth of the noise."""
    values = np.asarray(signal, dtype=np.float64)
    return np.sqrt(np.maximum(values**2 - sd**2, (0.1 * sd) ** 2))
