"""Pixels on the wall's borders that are partly blood: their curves are mixtures and their flow means nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# between these depths a pixel is muscle only, give or take half a pixel at 1.5-2 mm; a segment's curve is read here
CORE_DEPTH = (0.2, 0.8)
# a border pixel above the core's highest flows by this factor, or peaking in so small a share of its time, holds blood
FLOW_FACTOR = 1.15
PEAK_TIME_SHARE = 0.7


def mixed_pixels(maps: Mapping[str, NDArray[np.float32]], depth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Border pixels (slice, y, x) that show more flow, or an earlier peak, than any muscle of this heart.

    ``maps`` "mbf" and "time_to_peak" (slice, y, x); ``depth`` 0 endocardium .. 1 epicardium. Only pixels outside
    ``CORE_DEPTH`` are judged, by the 98th percentile of flow and the 5th of the time to peak in the core.
    """
    flow, peak_s = maps["mbf"], maps["time_to_peak"]
    known = np.isfinite(flow) & np.isfinite(depth)
    core = known & (depth > CORE_DEPTH[0]) & (depth < CORE_DEPTH[1])
    if core.sum() < 20:
        return np.zeros(flow.shape, dtype=bool)
    highest = FLOW_FACTOR * float(np.percentile(flow[core], 98))
    earliest = PEAK_TIME_SHARE * float(np.percentile(peak_s[core], 5))
    border = known & ~core
    return np.asarray(border & ((flow > highest) | (peak_s < earliest)))
