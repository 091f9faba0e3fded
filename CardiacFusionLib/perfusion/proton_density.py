"""What proton-density frames at the start of a series tell: coil sensitivity, and how bright dark blood must be.

Read without a saturation pulse and at a small flip angle, these frames show proton density times coil sensitivity. A
tissue's signal before contrast over its signal there depends on its T1 alone (Cernicanu and Axel 2006, Acad Radiol
13:686), up to a factor of both sequences that muscle tells. So muscle, of known T1, says how bright blood, of known T1,
is before contrast, where blood itself is too near the noise to be read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.noise import mean_above_noise
from CardiacFusionLib.spatial.mr_signal import T1_BLOOD_MS, T1_MYOCARDIUM_MS, sr_flash_signal
from CardiacFusionLib.spatial.series import Sequence

MIN_PIXELS = 20
NEAR_NOISE = 3.0  # noise levels: brighter blood is read from its own frames
Floats = NDArray[np.float64]


def sensitivity(frames: NDArray[np.floating], skipped: int, muscle: NDArray[np.bool_]) -> Floats | None:
    """Proton density times coil sensitivity (y, x), one on average over ``muscle``, of a slice's frames (t, y, x) whose
    first ``skipped`` are proton-density frames; None where there are none or they are dark."""
    if skipped == 0 or muscle.sum() < MIN_PIXELS:
        return None
    density = np.asarray(frames[:skipped], dtype=np.float64).mean(axis=0)
    middle = float(density[muscle].mean())
    if middle <= 0:
        return None
    return np.asarray(np.maximum(density / middle, 0.05))


def blood_before_contrast(
    frames: NDArray[np.floating],
    before: slice,
    muscle: NDArray[np.bool_],
    blood: NDArray[np.bool_],
    sequence: Sequence,
    noise_sd: float,
) -> float | None:
    """Mean signal of ``blood`` pixels (y, x) before contrast, from muscle's and from the proton-density frames that lie
    before ``before``; None where sequence, muscle or those frames are missing."""
    relative = sensitivity(frames, before.start, muscle)
    if relative is None or sequence.ti_ms is None or sequence.tr_ms is None or sequence.flip_deg is None:
        return None
    t1 = np.array(
        [sequence.baseline_t1_blood_ms or T1_BLOOD_MS, sequence.baseline_t1_myocardium_ms or T1_MYOCARDIUM_MS]
    )
    of_blood, of_muscle = sr_flash_signal(
        t1, ti_ms=sequence.ti_ms, tr_ms=sequence.tr_ms, flip_deg=sequence.flip_deg
    ).tolist()
    level = mean_above_noise(np.asarray(frames[before], dtype=np.float64).mean(axis=0)[muscle], noise_sd)
    return float(np.median(level / relative[muscle]) * of_blood / of_muscle * relative[blood].mean())
