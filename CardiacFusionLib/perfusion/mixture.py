"""Pixels of the outlined wall that are partly something else: their flow means nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# a border pixel above the core's highest flows by this factor, or peaking in so small a share of its time, holds blood
FLOW_FACTOR = 1.15
PEAK_TIME_SHARE = 0.7
MOST_BLOOD = 0.15  # share of blood above which what is left of the muscle's curve is a guess
# away from the borders there should be none, and a smaller share says that the outline runs through blood. On 28 twins
# (seeds 1000-1056) it leaves out 37 % of the core's pixels that are no muscle, 0.3 % of those deep in muscle
MOST_BLOOD_IN_CORE = 0.10
# muscle peaks later than the blood that feeds it; of those pixels deep in muscle 0.1 % within 1.3 s, 0.5 % within 1.8 s
LEAST_LAG_S = 0.75


def mixed_pixels(
    maps: Mapping[str, NDArray[np.float32]],
    core: NDArray[np.bool_],
    blood_share: NDArray[np.float32],
    input_peak_s: float,
) -> NDArray[np.bool_]:
    """Pixels (slice, y, x) that hold much blood, peak with it, or lie at a border and show more flow or an earlier peak
    than any muscle of this heart.

    ``maps`` "mbf" and "time_to_peak", ``blood_share`` (slice, y, x); ``core`` (slice, y, x): away from both borders;
    ``input_peak_s``: time from foot to peak of the input, as ``time_to_peak`` counts. A core pixel of blood alone gets
    a share far *below* zero, because its flow is then without bounds: both signs count there. The heart's own muscle
    is the 98th percentile of flow and the 5th of the time to peak in the core.
    """
    flow, peak_s = maps["mbf"], maps["time_to_peak"]
    known = np.isfinite(flow)
    share = np.nan_to_num(blood_share)
    much = np.where(core, np.abs(share) > MOST_BLOOD_IN_CORE, share > MOST_BLOOD)
    bloody = known & (much | (np.nan_to_num(peak_s) < input_peak_s + LEAST_LAG_S))
    core = known & ~bloody & core
    if core.sum() < 20:
        return np.asarray(bloody)
    highest = FLOW_FACTOR * float(np.percentile(flow[core], 98))
    earliest = PEAK_TIME_SHARE * float(np.percentile(peak_s[core], 5))
    border = known & ~core
    return np.asarray(bloody | (border & ((flow > highest) | (peak_s < earliest))))
