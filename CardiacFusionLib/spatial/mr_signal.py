"""The saturation-recovery FLASH signal: the one place where gadolinium becomes brightness, and back.

The digital twin paints with it and the perfusion stage reads with it, so that both mean the same.

Equations. Contrast agent shortens T1 (fast water exchange): ``1/T1 = 1/T1_0 + r1 * C``. After a perfect saturation
pulse the magnetisation recovers for the delay ``TD = TI - n * TR`` and is then read by FLASH pulses of flip angle
``a``; at the k-space centre, after ``n`` pulses,

    M = M0 * [(1 - exp(-TD/T1)) * q**n + (1 - exp(-TR/T1)) * (1 - q**n) / (1 - q)],  q = cos(a) * exp(-TR/T1),

and the signal is ``M * sin(a)`` times coil sensitivity. Sources: Larsson et al. 1996, Magn Reson Med 35:716-726;
Cernicanu and Axel 2006, Acad Radiol 13:686-693. T2* decay is left out (echo times near 1 ms).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CardiacFusionLib.spatial.errors import BadInputError

# Native T1 before contrast and relaxivity: round values between the 1.5 T and 3 T means of blood and myocardium
# (Messroghli 2017, J Cardiovasc Magn Reson 19:75) and of common agents (Rohrer 2005, Invest Radiol 40:715).
T1_BLOOD_MS = 1650.0
T1_MYOCARDIUM_MS = 1050.0
RELAXIVITY_PER_MMOL_S = 4.5  # L / (mmol s)
# FLASH pulses before the k-space centre: about a quarter of 96 phase-encoding lines (linear order, acceleration 2)
PULSES_BEFORE_CENTRE = 24
MAX_CONCENTRATION_MMOL_L = 30.0  # far above any blood peak (about 10 mmol/L at 0.1 mmol/kg)
_TABLE_SIZE = 6001


def t1_with_contrast_ms(
    concentration_mmol_l: ArrayLike, t1_ms: ArrayLike, relaxivity_per_mmol_s: float = RELAXIVITY_PER_MMOL_S
) -> NDArray[np.float64]:
    """T1 in ms of a tissue of native ``t1_ms`` that holds so much contrast agent (mmol per litre of the tissue)."""
    rate_per_s = 1000.0 / np.asarray(t1_ms, float) + relaxivity_per_mmol_s * np.asarray(concentration_mmol_l, float)
    return 1000.0 / rate_per_s


def sr_flash_signal(
    t1_ms: ArrayLike,
    *,
    ti_ms: float,
    tr_ms: float,
    flip_deg: float,
    pulses_before_centre: int = PULSES_BEFORE_CENTRE,
) -> NDArray[np.float64]:
    """Signal of saturation-recovery FLASH for M0 = 1, of any shape of ``t1_ms``.

    ``ti_ms``: from the saturation pulse to the k-space centre. ``tr_ms``: between FLASH pulses. Where the pulses before
    the centre do not fit into TI, as many as fit are taken. Raises BadInputError on values that no scanner has.
    """
    n = pulses_that_fit(ti_ms, tr_ms, flip_deg, pulses_before_centre)
    t1 = np.asarray(t1_ms, dtype=np.float64)
    delay_ms = ti_ms - n * tr_ms
    recovery = np.exp(-tr_ms / t1)
    q = np.cos(np.deg2rad(flip_deg)) * recovery
    q_n = q**n
    magnetisation = -np.expm1(-delay_ms / t1) * q_n + (1.0 - recovery) * (1.0 - q_n) / (1.0 - q)
    return np.asarray(magnetisation * np.sin(np.deg2rad(flip_deg)))


def pulses_that_fit(ti_ms: float, tr_ms: float, flip_deg: float, pulses_before_centre: int) -> int:
    """The number of FLASH pulses between saturation delay and k-space centre; BadInputError on impossible values."""
    if not (0 < tr_ms < 50 and 5 < ti_ms < 1500 and 0 < flip_deg < 90 and pulses_before_centre >= 0):
        raise BadInputError(
            f"The perfusion sequence is given as TI {ti_ms} ms, TR {tr_ms} ms, flip angle {flip_deg} degrees; a "
            "saturation-recovery FLASH has TI 5-1500 ms, TR (between pulses) below 50 ms and a flip angle below 90 "
            "degrees. Correct them or leave them out to work with relative signal."
        )
    return min(int(pulses_before_centre), int(ti_ms // tr_ms))


def concentration_from_ratio(
    signal_ratio: ArrayLike,
    t1_ms: float,
    *,
    ti_ms: float,
    tr_ms: float,
    flip_deg: float,
    relaxivity_per_mmol_s: float = RELAXIVITY_PER_MMOL_S,
    pulses_before_centre: int = PULSES_BEFORE_CENTRE,
) -> NDArray[np.float64]:
    """[Gd] in mmol/L from signal divided by its own pre-contrast signal, by look-up; same shape as ``signal_ratio``.

    The ratio takes M0 and coil sensitivity out. Below the baseline (noise) the table is continued by its first slope,
    so that noise stays centred on zero; above ``MAX_CONCENTRATION_MMOL_L`` it is held there.
    """
    # denser near zero, where tissue lives
    concentration = MAX_CONCENTRATION_MMOL_L * np.linspace(0.0, 1.0, _TABLE_SIZE) ** 2
    t1 = t1_with_contrast_ms(concentration, t1_ms, relaxivity_per_mmol_s)
    signal = sr_flash_signal(t1, ti_ms=ti_ms, tr_ms=tr_ms, flip_deg=flip_deg, pulses_before_centre=pulses_before_centre)
    ratio = signal / signal[0]
    # with long delays the curve flattens but never falls; keep the strictly rising part for the look-up
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(ratio)) > 1e-12])
    ratio, concentration = ratio[rising], concentration[rising]
    wanted = np.asarray(signal_ratio, dtype=np.float64)
    found = np.interp(wanted, ratio, concentration)
    first = 20
    slope = (concentration[first] - concentration[0]) / (ratio[first] - ratio[0])
    return np.where(wanted < 1.0, (wanted - 1.0) * slope, found)
