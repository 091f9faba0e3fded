"""Flow of a study: what its segments' mean curves agree on, then every segment and every pixel leaning on that.

A pixel's curve is too noisy to tell flow from transit time and delay by itself; the mean curves of all segments
together are not. The study's prior is found from them in rounds (empirical Bayes): fit with a wide physiological
prior, take the centre of what came out, narrow it, fit again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.fermi import FermiFit, mbf_fermi
from CardiacFusionLib.perfusion.prior import Prior
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.perfusion.spill import Spill
from CardiacFusionLib.perfusion.wall_curves import SliceCurves

Floats = NDArray[np.float64]

# Volume reached in the first pass: blood (0.08-0.1) and part of the interstitium, 0.15-0.3 ml/ml; delay from LV cavity
# to wall 0.5-2 s. The first round is wide; the last leaves each pixel the spread found between people's segments.
START = Prior(log_volume=(float(np.log(0.2)), 0.4), shape=(2.0, 2.0), delay_s=(1.0, 0.6))
NARROWING = ((0.3, 1.5, 0.4), (0.22, 1.0, 0.3), (0.18, 0.7, 0.25))
# segments of one heart without a narrowing differ by a quarter; half as much again as the well-perfused ones is blood
OUTLIER_FACTOR = 1.5
MIXED_SHARE = 0.3  # of a segment's pixels are muscle: fewer leave its flow to chance
RELATIVE_VOLUME_SD = 1.5  # relative curves have no common scale with their input: the volume is hardly known


@dataclass(frozen=True)
class SegmentFlow:
    """Flow of one segment: value, standard error (mL/min/g), fit residual, mean curve (blood taken out) at the input's
    times. ``mbf_curve`` is the flow of that mean curve, beside the value, which is the median of the pixels."""

    mbf_ml_min_g: float
    standard_error: float
    residual: float
    delay_s: float
    curve: Floats
    trusted_share: float  # of its pixels: neither fat nor blood
    trusted: int  # pixels that the value is the median of
    mbf_curve: float = float("nan")


@dataclass(frozen=True)
class _Mean:
    slice_index: int
    segment: int
    pixels: int  # of the segment in this slice
    trusted: int  # of them, whose mean the curve is
    curve: Floats


MIN_PIXELS = 5  # a mean curve of fewer is as noisy as its pixels, and a median of fewer is chance
# what no fit of one curve can see: height of the input, texture of the coil, fat and blood that stayed in. Relative SD
# of segments about the truth on 28 digital twins (seeds 1000-1056), beyond their own errors
SYSTEMATIC_SHARE = 0.06
BLOOD_SHARE_SD = 0.05  # of the mean curve of a segment; its border pixels hold more


def study_prior(slices: list[SliceCurves], aif: Aif, fit_until_s: float, relative: bool) -> Prior:
    """What the curves of this study agree on: volume, shape and delay, each with its spread."""
    means = _means(slices, [part.muscle for part in slices])
    prior = START if not relative else Prior((START.log_volume[0], RELATIVE_VOLUME_SD), START.shape, START.delay_s)
    fits = _fit(means, slices, aif, fit_until_s, prior)
    for volume_sd, shape_sd, delay_sd in NARROWING:
        prior = Prior(
            (_centre([float(np.log(max(f.volume[0], 1e-3))) for f in fits], fits), volume_sd),
            (_centre([float(f.shape[0]) for f in fits], fits), shape_sd),
            (_centre([float(f.delay_s[0]) for f in fits], fits), delay_sd),
        )
        fits = _fit(means, slices, aif, fit_until_s, prior)
    return prior


def segment_flow(
    slices: list[SliceCurves], pixel_flow: list[Floats], aif: Aif, fit_until_s: float, prior: Prior
) -> dict[int, SegmentFlow]:
    """Flow of every segment: the median of its pixels, with the fit of their mean curve beside it.

    ``pixel_flow``: flow (n,) of each wall pixel of a slice, NaN where the pixel is not muscle. The median, because what
    is wrong in a segment is wrong in some of its pixels: fat or blood that no rule has seen, or a frame that did not
    settle. They pull a mean curve along (limits of segments +/-0.37 in place of 0.30 mL/min/g on digital twins
    1000-1056, 28 of them, walls of the network) and leave a median where it is.
    """
    means = _means(slices, [np.isfinite(flow) for flow in pixel_flow])
    fits = _fit(means, slices, aif, fit_until_s, prior)
    result = {}
    for number in sorted({m.segment for m in means}):
        mine = [i for i, m in enumerate(means) if m.segment == number]
        share = np.array([means[i].trusted for i in mine], dtype=float)
        share /= share.sum()
        errors = np.array([fits[i].standard_error[0] for i in mine])
        pure = [means[i].curve - fits[i].spill[0] @ slices[means[i].slice_index].blood for i in mine]
        on_input_times = [
            np.interp(aif.times_s, slices[means[i].slice_index].times_s, curve) for i, curve in zip(mine, pure)
        ]
        pixels = np.concatenate([f[(s.segment == number) & np.isfinite(f)] for s, f in zip(slices, pixel_flow)])
        value = float(np.median(pixels))
        own = max(float(np.sqrt(np.sum((share * errors) ** 2))), _error_of_median(pixels))
        result[number] = SegmentFlow(
            mbf_ml_min_g=value,
            standard_error=float(np.hypot(own, SYSTEMATIC_SHARE * value)),
            residual=float(share @ [fits[i].residual[0] for i in mine]),
            delay_s=float(share @ [fits[i].delay_s[0] for i in mine]),
            curve=np.asarray(share @ np.array(on_input_times)),
            trusted_share=sum(means[i].trusted for i in mine) / sum(means[i].pixels for i in mine),
            trusted=pixels.size,
            mbf_curve=float(share @ [fits[i].mbf_ml_min_g[0] for i in mine]),
        )
    return result


def _error_of_median(values: Floats) -> float:
    """Standard error of a median of independent normal values, from their own robust spread."""
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return 1.2533 * spread / float(np.sqrt(values.size))


def _means(slices: list[SliceCurves], trusted: list[NDArray[np.bool_]]) -> list[_Mean]:
    """Mean curve of each segment in each slice: of the trusted pixels of its core, else of its trusted pixels."""
    means = []
    for s, (part, good) in enumerate(zip(slices, trusted)):
        for number in np.unique(part.segment[part.segment > 0]):
            here = part.segment == number
            kept = next((c for c in (here & good & part.core, here & good) if c.sum() >= MIN_PIXELS), here & good)
            if kept.any():
                count = int((here & good).sum())
                means.append(_Mean(s, int(number), int(here.sum()), count, part.mean(kept)))
    return means


def _fit(means: list[_Mean], slices: list[SliceCurves], aif: Aif, fit_until_s: float, prior: Prior) -> list[FermiFit]:
    """One fit a mean curve, in the order of ``means``; the curves of one slice share its times."""
    fits: list[FermiFit] = []
    for s in sorted({m.slice_index for m in means}):
        mine = [m.curve for m in means if m.slice_index == s]
        blood = slices[s].blood
        fit = mbf_fermi(
            np.array(mine),
            aif.curve,
            times_s=slices[s].times_s,
            aif_times_s=aif.times_s,
            fit_until_s=fit_until_s,
            prior=prior,
            spill=Spill(blood, BLOOD_SHARE_SD) if len(blood) else None,
        )
        fits += [_single(fit, i) for i in range(len(mine))]
    return fits


def _single(fit: FermiFit, i: int) -> FermiFit:
    part = slice(i, i + 1)
    return FermiFit(**{name: getattr(fit, name)[part] for name in fit.__dataclass_fields__})


def _centre(values: list[float], fits: list[FermiFit]) -> float:
    """Weighted median: well-perfused segments with a good fit say most about transit and delay."""
    value = np.array(values)
    peak = np.array([max(float(f.fitted[0].max()), 1e-9) for f in fits])
    trust = peak / (np.array([float(f.residual[0]) for f in fits]) + 0.02)
    order = np.argsort(value)
    share = np.cumsum(trust[order]) / trust.sum()
    return float(value[order][int(np.searchsorted(share, 0.5))])


def standing_out(flow: Mapping[int, SegmentFlow]) -> list[int]:
    """Segments whose flow is higher than any muscle of this heart can be expected to have."""
    values = {number: found.mbf_ml_min_g for number, found in flow.items()}
    return [n for n, v in values.items() if _stands_out(v, [other for m, other in values.items() if m != n])]


def left_out(flow: Mapping[int, SegmentFlow]) -> list[int]:
    """Segments that stand out and hold hardly any muscle: what they show is blood, and no flow is given for them.

    Standing out alone is not enough: in disease of all vessels the one healthy segment does so too.
    """
    return [n for n in standing_out(flow) if flow[n].trusted_share < MIXED_SHARE]


def too_small(flow: Mapping[int, SegmentFlow]) -> list[int]:
    """Segments in whose outline there are too few pixels of muscle to give a flow."""
    return [n for n, found in flow.items() if found.trusted < MIN_PIXELS]


def _stands_out(value: float, others: list[float]) -> bool:
    """Whether a segment's flow is higher than any muscle of this heart can be expected to have."""
    return len(others) >= 5 and value > OUTLIER_FACTOR * float(np.percentile(others, 90))
