"""Pixels of the outlined wall that are partly something else: their flow means nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# a border pixel above the core's highest flows by this factor, or peaking in so small a share of its time, holds blood
FLOW_FACTOR = 1.15
PEAK_TIME_SHARE = 0.7
MOST_BLOOD = 0.15  # share of blood above which what is left of the muscle's curve is a guess


def mixed_pixels(
    maps: Mapping[str, NDArray[np.float32]], core: NDArray[np.bool_], blood_share: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Pixels (slice, y, x) that hold much blood, or lie at a border and show more flow or an earlier peak than any
    muscle of this heart.

    ``maps`` "mbf" and "time_to_peak", ``blood_share`` (slice, y, x); ``core`` (slice, y, x): away from both borders.
    The heart's own muscle is the 98th percentile of flow and the 5th of the time to peak in the core.
    """
    flow, peak_s = maps["mbf"], maps["time_to_peak"]
    known = np.isfinite(flow)
    bloody = known & (np.nan_to_num(blood_share) > MOST_BLOOD)
    core = known & ~bloody & core
    if core.sum() < 20:
        return np.asarray(bloody)
    highest = FLOW_FACTOR * float(np.percentile(flow[core], 98))
    earliest = PEAK_TIME_SHARE * float(np.percentile(peak_s[core], 5))
    border = known & ~core
    return np.asarray(bloody | (border & ((flow > highest) | (peak_s < earliest))))
