"""When the bolus comes and goes: foot, peak and end of the first pass of a blood curve, by rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.errors import StageError

STAGE = "perfusion"
MIN_CONTRAST = 6.0  # a bolus rises at least so many noise levels above the baseline ...
MIN_RISE = 0.3  # ... and, in signal, by this share of the baseline
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bolus:
    """Frame indices: ``start`` first usable, ``foot`` last before arrival, ``peak``, ``end`` of the first pass."""

    start: int
    foot: int
    peak: int
    end: int


def leading_frames_to_skip(signal: Floats) -> int:
    """Proton-density or not-yet-steady frames at the start: much brighter than what follows, before any bolus."""
    head = np.asarray(signal, float)[:10]
    low, high = float(np.median(head[3:])), float(np.max(signal))
    skip = 0
    while skip < 3 and head[skip] > 1.5 * max(low, 1e-9) and head[skip + 1] < head[skip] * 1.02 and high > 0:
        skip += 1
    return skip


def find_bolus(curve: Floats, times_s: Floats, start: int | None = None, foot: int | None = None) -> Bolus:
    """Foot, peak and end of the first pass in a blood curve (t,), signal or concentration.

    Foot: where the tangent to the rise meets the baseline, the last frame not after it. Peak: the highest sample of the
    first high maximum. End: the first minimum after the curve has fallen below 60 % of its peak, or its fall below
    10 %; the last frame if neither comes. Raises StageError where no bolus is seen.
    """
    curve = np.asarray(curve, dtype=float)
    begin = leading_frames_to_skip(curve) if start is None else start
    y = curve[begin:]
    smooth = ndimage.convolve1d(y, np.array([0.25, 0.5, 0.25]), mode="nearest")
    noise = max(1.4826 * float(np.median(np.abs(np.diff(y) - np.median(np.diff(y))))) / np.sqrt(2), 1e-12)
    base = float(np.percentile(y, 10)) if foot is None else float(np.mean(y[: max(foot - begin + 1, 1)]))
    height = float(smooth.max()) - base
    # diffs of the bolus itself inflate the noise estimate; a real passage still stands far above it
    quiet = float(np.std(np.sort(y)[: max(len(y) // 4, 4)]))
    if height <= MIN_CONTRAST * max(min(noise, quiet * 3), 1e-12) or (foot is None and height < MIN_RISE * abs(base)):
        raise StageError(
            STAGE,
            "no bolus is seen in the LV blood pool (its signal does not rise over the series); check that this is the "
            "first-pass series and that contrast agent was given.",
        )
    # the first maximum that reaches 80 % of the height: recirculation and a late drift must not win
    peaks = [i for i in range(1, len(y) - 1) if smooth[i] >= smooth[i - 1] and smooth[i] > smooth[i + 1]]
    tall = [i for i in peaks if smooth[i] - base >= 0.8 * height]
    top = tall[0] if tall else int(np.argmax(smooth))
    low, high = max(top - 1, 0), min(top + 2, len(y))
    top = low + int(np.argmax(y[low:high]))
    if foot is None:
        found_foot, base = _foot(y, np.asarray(times_s, float)[begin:], top)
    else:
        found_foot = foot - begin
    return Bolus(begin, begin + found_foot, begin + top, begin + _end(smooth, top, base))


def _foot(y: Floats, times_s: Floats, top: int) -> tuple[int, float]:
    """Last frame before arrival, and the baseline, from the tangent to the rise; refined twice."""
    base = float(np.min(y[: top + 1]))
    foot = 0
    for _ in range(3):
        height = y[top] - base
        below = np.nonzero(y[: top + 1] < base + 0.15 * height)[0]
        first = int(below[-1]) if below.size else 0
        above = np.nonzero(y[first : top + 1] >= base + 0.5 * height)[0]
        half = first + int(above[0]) if above.size else top
        rise = y[half] - y[first]
        # tangent from the last low sample through half height, back to the baseline
        slope = rise / max(times_s[half] - times_s[first], 1e-9)
        arrival = times_s[half] - (y[half] - base) / max(slope, 1e-12)
        foot = max(int(np.searchsorted(times_s, arrival + 1e-9, side="right")) - 1, 0)
        foot = min(foot, max(half - 1, 0))
        base = float(np.mean(y[: foot + 1]))
    return foot, base


def _end(smooth: Floats, top: int, base: float) -> int:
    """Last frame of the first pass."""
    height = smooth[top] - base
    for i in range(top + 1, len(smooth) - 1):
        if smooth[i] - base < 0.6 * height and smooth[i + 1] >= smooth[i]:
            return i
        if smooth[i] - base < 0.1 * height:
            return i
    return len(smooth) - 1
