"""The arterial input function from the LV blood pool: where, when, and whether it can be trusted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.bolus import Bolus, find_bolus, leading_frames_to_skip
from CardiacFusionLib.perfusion.concentration import concentration, sequence_known
from CardiacFusionLib.perfusion.noise import mean_above_noise, noise_sd
from CardiacFusionLib.perfusion.pools import blood_pools
from CardiacFusionLib.perfusion.proton_density import NEAR_NOISE, blood_before_contrast
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.mr_signal import (
    RELAXIVITY_PER_MMOL_S,
    T1_BLOOD_MS,
    sr_flash_signal,
    t1_with_contrast_ms,
)
from CardiacFusionLib.spatial.quality import Flag, Level
from CardiacFusionLib.spatial.series import Sequence, Series
from CardiacFusionLib.walls.result import CmrWalls

STAGE = "perfusion"
MIN_CORE_PIXELS = 6
MIN_POOL_PIXELS = 3  # of a coarse arterial-input image
CUT_OFF_SHARE = (0.25, 0.5)  # of the peak still there when the series ends: doubtful, unusable
# share of the concentration's relative step that still reaches the signal; below it, noise and T1 errors are blown up
SATURATION_GAIN = 0.2
PLATEAU_SHARE = 0.01  # relative mode: three samples within 1 % of the peak are a clipped top
Floats = NDArray[np.float64]


def find_aif(
    series: Series,
    walls: CmrWalls,
    *,
    curve: Floats | None = None,
    curve_times_s: Floats | None = None,
    mask: NDArray[np.bool_] | None = None,
    noise: Floats | None = None,
) -> Aif:
    """The arterial input of a motion-corrected series.

    ``mask`` (slice, y, x) bool: the user's own region instead of the LV cavity. ``curve`` (t,) with ``curve_times_s``
    (default: the times of the first slice): the user's own baseline-free curve in mmol/L instead of any region. A
    dual-sequence ``series.aif_frames`` whose own sequence is known is read in place of the (saturating) perfusion
    frames. ``noise`` (slice,): noise SD of the frames; None estimates it here. Raises StageError where no blood pool or
    no bolus can be found, BadInputError where an override does not fit.
    """
    shape = (series.slice_count, *series.array.shape[2:])
    if curve is not None:
        return _given(curve, series.times_s[:, 0] if curve_times_s is None else curve_times_s, shape)
    if mask is not None:
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != shape or not mask.any():
            raise BadInputError(f"The region of the arterial input must be a non-empty mask of shape {shape}.")
    if mask is None and _usable_aif_frames(series):
        return _from_dual_sequence(series)
    pixels = _core(series, walls) if mask is None else mask
    # one slice, so that all samples share one time: the one with the most pixels
    slice_index = int(np.argmax(pixels.sum(axis=(1, 2))))
    kept = np.zeros(shape, dtype=bool)
    kept[slice_index] = pixels[slice_index]
    signal = series.array[:, slice_index][:, pixels[slice_index]].mean(axis=1)
    sd = noise_sd(series.array[:, slice_index]) if noise is None else float(noise[slice_index])
    signal, times = mean_above_noise(signal, sd), series.times_s[:, slice_index]
    bolus = find_bolus(signal, times)
    before = slice(bolus.start, bolus.foot + 1)
    known = None
    if signal[before].mean() < NEAR_NOISE * sd:
        muscle, frames = walls.labels[slice_index] == Label.MYOCARDIUM, series.array[:, slice_index]
        known = blood_before_contrast(frames, before, muscle, kept[slice_index], series.sequence, sd)
    return _read(signal, times, series.sequence, kept, known)


def aif_flags(aif: Aif, series: Series) -> list[Flag]:
    """What a reader must know about this input: saturation, bolus cut off, few frames before arrival, a gap in it."""
    flags = []
    if aif.saturated:
        flags.append(
            Flag(
                STAGE,
                "aif_saturated",
                Level.DOUBTFUL,
                "The arterial input saturates at its peak (single-sequence acquisition): flow may be overestimated. "
                "Give a dual-sequence or dual-bolus input where there is one.",
            )
        )
    if series.aif_frames is not None and not _usable_aif_frames(series):
        flags.append(
            Flag(
                STAGE,
                "aif_frames_unused",
                Level.DOUBTFUL,
                "The arterial-input images do not say their own saturation time, TR and flip angle, so that their "
                "input has no scale: it is read from the perfusion frames, where it saturates. Give the three "
                '("aif": {"sequence": ...} in the sidecar) or export the images with their full headers.',
            )
        )
    top = float(aif.curve[aif.peak])
    left = float(aif.curve[-1]) / max(top, 1e-12)
    if aif.end >= aif.curve.size - 1 and left > CUT_OFF_SHARE[0]:
        flags.append(
            Flag(
                STAGE,
                "bolus_cut_off",
                Level.UNUSABLE if left > CUT_OFF_SHARE[1] else Level.DOUBTFUL,
                f"The series ends at {aif.times_s[-1]:.0f} s while the bolus in the LV is still at "
                f"{100 * left:.0f} % of its peak: the first pass is cut off.",
            )
        )
    if aif.foot < 2:
        flags.append(
            Flag(
                STAGE,
                "no_baseline",
                Level.DOUBTFUL,
                f"Only {aif.foot + 1} frame(s) lie before the contrast agent reaches the LV; the baseline is unsure.",
            )
        )
    return flags


def _usable_aif_frames(series: Series) -> bool:
    """Whether there are arterial-input frames on one scale with the muscle: their own saturation time is known, or
    nothing is and all is relative."""
    if series.aif_frames is None:
        return False
    own = series.aif_sequence
    return not sequence_known(series.sequence) or (own is not None and sequence_known(own))


def _core(series: Series, walls: CmrWalls) -> NDArray[np.bool_]:
    """The brightest stable part of the LV cavity: away from the wall, high first-pass peak, peaking together."""
    cavity = walls.labels == Label.LV_CAVITY
    if walls.labels.shape != (series.slice_count, *series.array.shape[2:]):
        raise BadInputError(
            f"The walls have shape {walls.labels.shape}, the series has slices of "
            f"{(series.slice_count, *series.array.shape[2:])}; segment this series again."
        )
    core = np.zeros_like(cavity)
    for s in range(series.slice_count):
        depth = ndimage.distance_transform_edt(cavity[s])
        for margin in (3.0, 2.0, 1.0, 0.5):  # papillary muscles and trabeculae lie near the wall
            inner = depth > margin
            if inner.sum() >= MIN_CORE_PIXELS:
                break
        if inner.sum() < MIN_CORE_PIXELS:
            continue
        curves = series.array[:, s][:, inner].astype(float)
        start = leading_frames_to_skip(curves.mean(axis=1))
        smooth = ndimage.uniform_filter1d(curves[start:], 3, axis=0, mode="nearest")
        when = np.argmax(smooth, axis=0)
        middle = int(np.median(when))
        together = np.abs(when - middle) <= 2
        # the peak alone decides: taking the baseline into account would pick pixels whose baseline noise is low. (The
        # mean of the frames about the common peak in its place scattered the input's height by 2.5 in place of 2.1 %
        # on development twins 1000-1009.)
        rise = smooth.max(axis=0)
        bright = rise >= np.percentile(rise[together], 50) if together.any() else np.zeros_like(together)
        good = together & bright
        chosen = np.zeros_like(inner)
        chosen[inner] = good if good.sum() >= MIN_CORE_PIXELS else rise >= np.median(rise)
        core[s] = chosen
    if core.sum() < MIN_CORE_PIXELS:
        raise StageError(
            STAGE,
            "no LV blood pool of at least six pixels was found for the arterial input; correct the LV cavity or draw a "
            "region for the input.",
        )
    return core


def _read(
    signal: Floats, times_s: Floats, sequence: Sequence, mask: NDArray[np.bool_], baseline: float | None = None
) -> Aif:
    """Bolus by rule on the signal, then concentration, then peak and end again on the concentration."""
    bolus = find_bolus(signal, times_s)
    before = slice(bolus.start, bolus.foot + 1)
    blood = concentration(signal, before, sequence, tissue="blood", baseline=baseline)
    curve = blood.curves[0]
    # before arrival there is no contrast agent: what stands there is noise or a proton-density frame
    curve[: bolus.start] = 0.0
    after = find_bolus(curve, times_s, start=bolus.start, foot=bolus.foot)
    return Aif(
        curve=curve,
        times_s=np.asarray(times_s, float),
        foot=bolus.foot,
        peak=after.peak,
        end=after.end,
        mask=mask,
        saturated=_saturated(curve, signal, after, sequence, blood.relative),
    )


def _saturated(curve: Floats, signal: Floats, bolus: Bolus, sequence: Sequence, relative: bool) -> bool:
    top = curve[bolus.peak]
    clipped = int(np.sum(signal[bolus.foot : bolus.end + 1] >= signal.max() * (1 - 1e-6))) >= 3
    if relative:
        near = curve[bolus.foot : bolus.end + 1] >= (1 - PLATEAU_SHARE) * top
        return bool(clipped or near.sum() >= 3)
    assert sequence.ti_ms is not None and sequence.tr_ms is not None and sequence.flip_deg is not None
    t1 = sequence.baseline_t1_blood_ms or T1_BLOOD_MS
    relaxivity = sequence.relaxivity_per_mmol_s or RELAXIVITY_PER_MMOL_S
    around = np.array([0.98, 1.02]) * max(float(top), 1e-6)
    low, high = sr_flash_signal(
        t1_with_contrast_ms(around, t1, relaxivity),
        ti_ms=sequence.ti_ms,
        tr_ms=sequence.tr_ms,
        flip_deg=sequence.flip_deg,
    )
    gain = np.log(high / low) / np.log(around[1] / around[0])
    return bool(clipped or gain < SATURATION_GAIN)


def _from_dual_sequence(series: Series) -> Aif:
    """From low-resolution arterial-input frames (t, y, x): the brighter half of the LV blood that the network sees."""
    assert series.aif_frames is not None and series.aif_pose is not None
    frames, times = np.asarray(series.aif_frames, dtype=float), series.times_s[:, 0]
    left, right = blood_pools([(frames, times)], series.aif_pose.spacing_mm)[0]
    pool = (left > 0.5) & (left > right)
    if pool.sum() < MIN_POOL_PIXELS:
        raise StageError(
            STAGE,
            "no LV blood pool was found in the arterial-input frames; draw a region for the input, or leave those "
            "frames out.",
        )
    curves = frames[:, pool]
    start = leading_frames_to_skip(curves.mean(axis=1))
    smooth = ndimage.uniform_filter1d(curves[start:], 3, axis=0, mode="nearest")
    rise = smooth.max(axis=0) - np.median(curves[start : start + 3], axis=0)
    core = rise >= np.median(rise)
    shape = (series.slice_count, *series.array.shape[2:])
    signal = mean_above_noise(curves[:, core].mean(axis=1), noise_sd(frames))
    sequence = series.sequence
    if sequence_known(sequence):
        # the blood is the same, the readout is not: taken for the muscle's, its input would be off several times over
        own = series.aif_sequence or Sequence()
        sequence = replace(sequence, ti_ms=own.ti_ms, tr_ms=own.tr_ms, flip_deg=own.flip_deg)
    return _read(signal, times, sequence, np.zeros(shape, bool))


def _given(curve: Floats, times_s: Floats, shape: tuple[int, ...]) -> Aif:
    curve, times = np.asarray(curve, dtype=float).ravel(), np.asarray(times_s, dtype=float).ravel()
    if curve.size != times.size or curve.size < 10 or not np.all(np.isfinite(curve)):
        raise BadInputError(
            f"The arterial input given has {curve.size} values and {times.size} times; give one finite value a "
            f"time, at "
            "least ten."
        )
    bolus = find_bolus(curve, times)
    return Aif(curve, times, bolus.foot, bolus.peak, bolus.end, np.zeros(shape, dtype=bool))
