"""Semi-quantitative reading of first-pass curves: upslope index, peak and time to peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.convolution import check_curves

UPSLOPE_POINTS = 4  # a line through 3-5 frames is the usual compromise of noise and blur
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Semiquantitative:
    """All (n,): ``upslope`` (share of the input's own upslope), ``peak`` (unit of the curves), ``time_to_peak_s``."""

    upslope: Floats
    peak: Floats
    time_to_peak_s: Floats


def steepest(curves: Floats, times_s: Floats, points: int = UPSLOPE_POINTS) -> Floats:
    """Greatest slope (per second) of a least-squares line through ``points`` neighbouring samples: (n,)."""
    y = np.lib.stride_tricks.sliding_window_view(np.atleast_2d(curves), points, axis=1)
    x = np.lib.stride_tricks.sliding_window_view(times_s, points)
    x = x - x.mean(axis=1, keepdims=True)
    return np.asarray(np.einsum("nwp,wp->nw", y, x) / np.sum(x**2, axis=1)).max(axis=1)


def semiquantitative(
    tissue: Floats,
    aif: Floats,
    times_s: Floats,
    *,
    aif_times_s: Floats | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
    points: int = UPSLOPE_POINTS,
) -> Semiquantitative:
    """Upslope index, peak and time to peak of baseline-free tissue curves (n, t).

    Slope and peak are sought up to ``end_s`` (the end of the first pass plus the transit through the wall); the
    input's upslope in its own curve. ``time_to_peak_s`` counts from ``start_s``, the foot of the input. The peak is
    read from a curve smoothed over three frames and refined by a parabola, so that noise does not raise it.
    """
    checked = check_curves(tissue, aif, None, times_s, aif_times_s)
    until = checked.times_s[-1] if end_s is None else end_s
    count = max(int(np.searchsorted(checked.times_s, until, side="right")), points + 1)
    y, t = checked.tissue[:, :count], checked.times_s[:count]
    index = steepest(y, t, points) / steepest(checked.aif[None], checked.aif_times_s, points)[0]
    smooth = ndimage.convolve1d(y, np.array([0.25, 0.5, 0.25]), axis=1, mode="nearest")
    top = np.clip(np.argmax(smooth, axis=1), 1, count - 2)
    row = np.arange(len(y))
    before, at, after = smooth[row, top - 1], smooth[row, top], smooth[row, top + 1]
    bend = before - 2 * at + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
    shift = np.clip(shift, -0.5, 0.5)
    step = np.where(shift > 0, t[top + 1] - t[top], t[top] - t[top - 1])
    return Semiquantitative(
        upslope=np.maximum(index, 0.0),
        peak=np.maximum(at - 0.25 * (before - after) * shift, 0.0),
        time_to_peak_s=t[top] + shift * step - start_s,
    )
