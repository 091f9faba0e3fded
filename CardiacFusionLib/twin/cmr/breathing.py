"""How breathing moves the heart: a held breath that drifts and is let go, or free breathing from the first frame on.

Under free breathing the heart moves caudally by 4.9 +- 1.9 mm (2.4-8.0) at rest and forward by 1.3 +- 1.8 mm
(-0.4-5.1) with it (biplane angiograms of ten patients: Shechter 2004, IEEE Trans Med Imaging 23:1046). Adenosine
doubles ventilation (5.8 to 10.7 l/min: Morgan-Hughes 1994, J Appl Physiol 76:756), by deeper breaths and a shorter
expiration (Reid 1987, Br J Clin Pharmacol 23:331): under stress 5-16 mm are to be expected, with hardly a rest between
breaths. At rest the heart stays within 0.5 mm for 27 +- 17 % of a breath (Shechter 2005, Med Phys 32:255), which a sine
to the power of two to four does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HELD_DIRECTION = (0.0, -0.25, -1.0)  # LPS: towards the feet and a little forward
# forward motion as a share of the caudal one: mean, SD and range of Shechter 2004, over its mean caudal motion
FORWARD_SHARE = (0.27, 0.37)
FORWARD_RANGE = (-0.08, 1.04)
# power of the half sine that one breath is: the higher, the longer the heart rests at end-expiration
STRESS_POWER = 2.0
REST_POWERS = (2.0, 4.0)
BREATH_S = (3.0, 4.5)
DEPTHS = (0.6, 1.0)  # of the amplitude, breath by breath


def heart_path(
    times_s: Array, rng: np.random.Generator, amplitude_mm: float, state: str, *, held: bool = True
) -> Array:
    """Where the heart lies at ``times_s`` (t,) relative to end-expiration: (t, 3) mm, LPS.

    ``amplitude_mm``: caudal shift of the deepest breath. ``held``: a held breath with slow drift, then shallow
    breathing; else free breathing, as it is at rest or under vasodilator stress (``state``).
    """
    if held:
        return _held(times_s, rng, amplitude_mm)[:, None] * np.array(HELD_DIRECTION)
    depth = _free(times_s, rng, amplitude_mm, STRESS_POWER if state == "stress" else float(rng.uniform(*REST_POWERS)))
    forward = float(np.clip(rng.normal(*FORWARD_SHARE), *FORWARD_RANGE))
    return depth[:, None] * np.array([0.0, -forward, -1.0])


def _held(times_s: Array, rng: np.random.Generator, amplitude_mm: float) -> Array:
    """Caudal shift (t,): drift of a held breath, breathing once it is let go after 15-22 s; starts at 0."""
    end_s = rng.uniform(15.0, 22.0)
    period = rng.uniform(*BREATH_S)
    release = 1.0 / (1.0 + np.exp(-(times_s - end_s) / 0.8))
    breaths = 0.5 * (1.0 - np.cos(2 * np.pi * (times_s - end_s) / period))
    drift = rng.uniform(-0.2, 0.2) * times_s / end_s
    shift = amplitude_mm * (release * breaths * rng.uniform(0.7, 1.0) + (1 - release) * drift)
    return np.asarray(shift - shift[0])


def _free(times_s: Array, rng: np.random.Generator, amplitude_mm: float, power: float) -> Array:
    """Caudal shift (t,): breath after breath, each of another length and depth."""
    count = int(times_s[-1] / 2.5) + 3
    ends = np.cumsum(rng.uniform(*BREATH_S, count)) - rng.uniform(0.0, 4.0)  # s, end of each breath
    depth = rng.uniform(*DEPTHS, count)
    which = np.clip(np.searchsorted(ends, times_s), 1, count - 1)
    share = np.clip((times_s - ends[which - 1]) / (ends[which] - ends[which - 1]), 0.0, 1.0)
    return np.asarray(amplitude_mm * depth[which] * np.sin(np.pi * share) ** power)
