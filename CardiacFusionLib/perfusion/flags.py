"""What a reader must know about a quantified study: named, and with its place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.bolus import leading_frames_to_skip
from CardiacFusionLib.perfusion.concentration import sequence_known
from CardiacFusionLib.perfusion.flow import MIXED_SHARE, SegmentFlow, left_out, standing_out, too_small
from CardiacFusionLib.perfusion.noise import mean_above_noise
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.perfusion.study import first_pass_end
from CardiacFusionLib.spatial.quality import Flag, Level
from CardiacFusionLib.spatial.series import Series

STAGE = "perfusion"
GAP_FACTOR = 1.7  # an interval so many times the usual one is a missed beat
POOR_FIT = 0.12  # root mean square misfit of a segment's mean curve as a share of its peak; 0.01-0.03 in twins
NO_RESPONSE_ML_MIN_G = 1.4  # above normal resting flow (about 1.1), below normal stress flow (2.2; PMC7706884)
# noise levels: below, 5 % of error in the noise are 2 % in the input and more (Rice distribution)
DARKEST_BLOOD = 2.0


def rhythm_flags(series: Series, aif: Aif) -> list[Flag]:
    """Missed beats inside the first pass, where the flow is decided."""
    flags = []
    for s in range(series.slice_count):
        interval = np.diff(series.times_s[:, s])
        usual = float(np.median(interval))
        inside = (series.times_s[:-1, s] >= aif.times_s[aif.foot] - usual) & (
            series.times_s[:-1, s] <= first_pass_end(aif)
        )
        gaps = np.nonzero(inside & (interval > GAP_FACTOR * usual))[0]
        if gaps.size:
            flags.append(
                Flag(
                    STAGE,
                    "rhythm_gaps",
                    Level.DOUBTFUL,
                    f"Slice {s + 1}: {gaps.size} gap(s) of up to {interval[gaps].max():.1f} s in the first pass (first "
                    f"after frame {gaps[0] + 1}; usual interval {usual:.2f} s): missed beats.",
                )
            )
    return flags


def input_flags(aif: Aif, series: Series, noise: NDArray[np.float64]) -> list[Flag]:
    """Blood so dark before contrast that its height over the noise, by which the input is divided, is a guess.

    ``noise`` (slice,): SD of one sample. Nothing is said of an input that was not read from the frames, or that
    proton-density frames have helped (``proton_density``).
    """
    if not aif.mask.any():
        return []
    s = int(np.argmax(aif.mask.sum(axis=(1, 2))))
    signal = series.array[:, s][:, aif.mask[s]].mean(axis=1, dtype=float)
    start = leading_frames_to_skip(signal)
    before = float(signal[min(start, aif.foot) : aif.foot + 1].mean())
    if start > 0 and sequence_known(series.sequence):
        return []
    levels = float(mean_above_noise(before, float(noise[s]))) / max(float(noise[s]), 1e-12)
    if levels >= DARKEST_BLOOD:
        return []
    reason = (
        f"Before contrast the blood is only {levels:.1f} noise levels bright, and the height of the arterial input "
        "hangs on it: all flow may be off by a tenth. Give a dual-sequence input where there is one."
    )
    return [Flag(STAGE, "input_near_noise", Level.DOUBTFUL, reason)]


def fit_flags(flow: Mapping[int, SegmentFlow], labels: NDArray[np.int8]) -> list[Flag]:
    """Segments that the model does not follow, and segments that are hardly muscle or could not be measured."""
    flags = []
    poor = [number for number, found in flow.items() if found.residual > POOR_FIT]
    if poor:
        reason = f"The flow model does not follow the measured curve in segment(s) {_listed(poor)}."
        flags.append(Flag(STAGE, "poor_fit", Level.DOUBTFUL, reason))
    few = too_small(flow)
    lost = [int(n) for n in np.unique(labels[labels > 0]) if int(n) not in flow or int(n) in few]
    mixed = [number for number, found in flow.items() if found.trusted_share < MIXED_SHARE and number not in few]
    if lost or mixed:
        parts = [f"most of segment(s) {_listed(mixed)} is not muscle" if mixed else ""]
        parts += [f"segment(s) {_listed(lost)} could not be measured" if lost else ""]
        reason = f"In the outlined wall, {' and '.join(p for p in parts if p)} (blood or fat); check the outline there."
        flags.append(Flag(STAGE, "mixed_segments", Level.DOUBTFUL, reason))
    out = [n for n in left_out(flow) if n not in few]
    high = [n for n in standing_out(flow) if n not in (*out, *few)]
    for numbers, what in ((out, "it is left empty"), (high, "correct the outline there, or leave the segment out")):
        if numbers:
            reason = (
                f"Flow in segment(s) {_listed(numbers)} is far above that of all others: blood in a thin wall rather "
                f"than muscle; {what}."
            )
            flags.append(Flag(STAGE, "implausible_flow", Level.DOUBTFUL, reason))
    return flags


def response_flags(flow: Mapping[int, SegmentFlow], state: str, relative: bool) -> list[Flag]:
    """Stress flow that is nowhere above rest: a rest series in its place, a failed stress, or disease everywhere."""
    if state != "stress" or relative or not flow:
        return []
    best = float(np.percentile([f.mbf_ml_min_g for f in flow.values()], 75))
    if best >= NO_RESPONSE_ML_MIN_G:
        return []
    reason = (
        f"Flow under stress is as low as at rest everywhere (upper quartile {best:.1f} mL/min/g): a rest series given "
        "as stress, a stress agent without effect, or disease of all vessels or of the small ones."
    )
    return [Flag(STAGE, "no_stress_response", Level.DOUBTFUL, reason)]


def relative_flag() -> Flag:
    """The sequence is unknown: nothing here is absolute."""
    return Flag(
        STAGE,
        "relative",
        Level.DOUBTFUL,
        "TI, TR or flip angle of the sequence are not known: the maps are relative, not mL/min/g.",
    )


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
