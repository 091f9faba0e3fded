"""From signal to contrast-agent concentration, or to relative enhancement where the sequence is unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CardiacFusionLib.perfusion.noise import above_noise, mean_above_noise
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.mr_signal import (
    RELAXIVITY_PER_MMOL_S,
    T1_BLOOD_MS,
    T1_MYOCARDIUM_MS,
    concentration_from_ratio,
)
from CardiacFusionLib.spatial.series import Sequence

CONCENTRATION_UNIT = "mmol/L"
RELATIVE_UNIT = "relative"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Concentration:
    """``curves`` (n, t) with their baseline at zero; ``relative`` True where they are not mmol/L."""

    curves: Floats
    relative: bool


def sequence_known(sequence: Sequence) -> bool:
    """True where TI, TR and flip angle are all given, so that signal can be turned into mmol/L."""
    return sequence.ti_ms is not None and sequence.tr_ms is not None and sequence.flip_deg is not None


def concentration(
    signal: ArrayLike,
    baseline_frames: slice,
    sequence: Sequence,
    tissue: str = "myocardium",
    noise_sd: float = 0.0,
    baseline: float | None = None,
) -> Concentration:
    """[Gd] of signal curves (n, t), each against the mean of its own ``baseline_frames``.

    With TI, TR and flip angle: look-up in the saturation-recovery FLASH equation (``spatial.mr_signal``), in mmol per
    litre of ``tissue`` ("blood" or "myocardium"; for blood, whole blood: no haematocrit enters). Otherwise relative
    enhancement ``S/S0 - 1`` times the native relaxation rate of the tissue over the relaxivity: proportional to [Gd] as
    long as signal rises in proportion to 1/T1, with blood and muscle on one scale; never an absolute value.
    ``noise_sd``: noise of one sample, whose floor under magnitude signal is taken out (see ``noise``). ``baseline``:
    signal before contrast where it is known better than from those frames.
    """
    y = np.atleast_2d(np.asarray(signal, dtype=np.float64))
    before = y[:, baseline_frames]
    if before.shape[1] == 0:
        raise BadInputError(
            "There is no frame before the contrast agent arrives; a baseline of at least one is needed."
        )
    if tissue not in ("blood", "myocardium"):
        raise BadInputError(f"Signal is turned to concentration for 'blood' or 'myocardium', not for '{tissue}'.")
    # a curve without baseline signal (air, masked pixels) has no ratio: the floor makes it flat instead of infinite
    floor = 1e-3 * max(float(np.percentile(np.abs(y), 99)), 1e-12)
    start = mean_above_noise(before.mean(axis=1, keepdims=True), noise_sd) if baseline is None else baseline
    ratio = above_noise(y, noise_sd) / np.maximum(start, floor)
    if tissue == "blood":
        t1 = sequence.baseline_t1_blood_ms or T1_BLOOD_MS
    else:
        t1 = sequence.baseline_t1_myocardium_ms or T1_MYOCARDIUM_MS
    relaxivity = sequence.relaxivity_per_mmol_s or RELAXIVITY_PER_MMOL_S
    if sequence.ti_ms is None or sequence.tr_ms is None or sequence.flip_deg is None:
        return Concentration((ratio - 1.0) * (1000.0 / t1) / relaxivity, True)
    curves = concentration_from_ratio(
        ratio,
        t1,
        ti_ms=sequence.ti_ms,
        tr_ms=sequence.tr_ms,
        flip_deg=sequence.flip_deg,
        relaxivity_per_mmol_s=relaxivity,
    )
    return Concentration(curves, False)
