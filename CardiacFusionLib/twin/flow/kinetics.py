"""Contrast agent over time: the bolus in the blood pools and the Fermi response of the myocardium.

Concentrations are mmol per litre of **whole** blood, or of tissue. The first pass in the right heart is a gamma
variate (Thompson 1964, Circ Res 14:502); the lungs delay and spread it (a gamma-shaped transit); the whole blood
recirculates (a delayed, widened copy) and mixes into a slow plateau. Tissue obeys

    C_tissue(t) = MBF * rho / 60 * integral C_LV(u - delay) R(t - u) du,   R(0) = 1,

with MBF in mL/min/g, rho = 1.05 g/mL and R a Fermi function (Jerosch-Herold 1998, Med Phys 25:73) whose area is the
distribution volume over flow; so a Fermi deconvolution can find the MBF that was painted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TISSUE_DENSITY_G_ML = 1.05
FINE_STEP_S = 0.05
_MBF_TABLE = np.concatenate([np.linspace(0.0, 1.0, 26), np.linspace(1.06, 6.0, 60)])

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Bolus:
    """One injection as the blood pools see it; times in seconds from the first frame."""

    arrival_s: float  # at the right ventricle
    shape: float  # gamma variate exponent
    scale_s: float  # gamma variate time constant
    lv_peak_mmol_l: float
    lung_delay_s: float
    lung_spread_s: float
    recirculation_delay_s: float
    recirculation_share: float
    plateau_share: float  # of the LV peak, reached slowly
    tissue_delay_s: float  # LV blood to myocardium
    distribution_volume: float  # ml per ml tissue reached within the first pass
    fermi_sharpness: float  # width of the Fermi edge as a share of its mean

    @staticmethod
    def draw(rng: np.random.Generator, state: str, peak_mmol_l: tuple[float, float] = (3.5, 5.5)) -> Bolus:
        """A bolus of about 0.05 mmol/kg at 4 mL/s; stress quickens the circulation."""
        pace = rng.uniform(0.75, 0.95) if state == "stress" else rng.uniform(0.95, 1.2)
        return Bolus(
            arrival_s=float(rng.uniform(6.0, 9.0)),
            shape=float(rng.uniform(2.4, 3.4)),
            scale_s=float(rng.uniform(1.1, 1.5) * pace),
            lv_peak_mmol_l=float(rng.uniform(*peak_mmol_l)),
            lung_delay_s=float(rng.uniform(2.6, 3.8) * pace),
            lung_spread_s=float(rng.uniform(0.75, 1.1) * pace),
            recirculation_delay_s=float(rng.uniform(11, 15) * pace),
            recirculation_share=float(rng.uniform(0.22, 0.34)),
            plateau_share=float(rng.uniform(0.10, 0.16)),
            tissue_delay_s=float(rng.uniform(0.6, 1.4) * pace),
            distribution_volume=float(rng.uniform(0.17, 0.23)),
            fermi_sharpness=float(rng.uniform(0.35, 0.5)),
        )


@dataclass(frozen=True)
class BloodCurves:
    """Concentration over a fine time axis (``times_s``, step ``FINE_STEP_S``) in each blood pool, mmol/L."""

    times_s: Curve
    rv: Curve
    lung: Curve
    lv: Curve
    systemic: Curve  # aorta and what it feeds, a little later

    def at(self, pool: str, times_s: NDArray[np.float64] | float) -> Curve:
        """Concentration of ``pool`` ("rv", "lung", "lv", "systemic") at any time."""
        return np.interp(np.asarray(times_s, float), self.times_s, getattr(self, pool))


def blood_curves(bolus: Bolus, duration_s: float) -> BloodCurves:
    """The blood pools' concentration from 0 to ``duration_s``."""
    t = np.arange(0.0, duration_s + 5.0, FINE_STEP_S)
    rv = _gamma(t - bolus.arrival_s, bolus.shape, bolus.scale_s)
    lung = _convolved(rv, _gamma(t, 1.0, 0.4 * bolus.lung_delay_s))
    transit = _gamma(t - bolus.lung_delay_s + 2 * bolus.lung_spread_s, 2.0, bolus.lung_spread_s)
    first = _convolved(rv, transit)
    first_peak = first.max()
    again = _convolved(first, _gamma(t - bolus.recirculation_delay_s + 4.0, 2.0, 2.0))
    mixed = np.cumsum(first) * FINE_STEP_S
    mixed = _convolved(mixed / mixed[-1], _gamma(t, 1.0, 4.0))
    tail = bolus.recirculation_share * again + bolus.plateau_share * first_peak * mixed
    lv = first + tail
    scale = bolus.lv_peak_mmol_l / lv.max()
    # what recirculates passes the right heart a lung transit before the left
    shift = round(bolus.lung_delay_s / FINE_STEP_S)
    early_tail = np.concatenate([tail[shift:], np.full(shift, tail[-1])]) * (t > bolus.arrival_s)
    systemic = _convolved(lv, _gamma(t - 0.3, 1.0, 0.4))
    return BloodCurves(t, (rv + early_tail) * scale, (lung + early_tail) * scale, lv * scale, systemic * scale)


@dataclass(frozen=True)
class TissueCurves:
    """Myocardial concentration for a table of flows: ``table`` (flow, time) mmol per litre tissue."""

    times_s: Curve
    mbf: Curve
    table: NDArray[np.float64]

    def at(self, mbf_ml_min_g: NDArray[np.floating], time_s: float) -> NDArray[np.float64]:
        """Concentration at one time for flows of any shape (clipped to the table, 0-6 mL/min/g)."""
        index = float(np.clip(time_s / FINE_STEP_S, 0, len(self.times_s) - 1.001))
        low = int(index)
        column = self.table[:, low] * (1 - index + low) + self.table[:, low + 1] * (index - low)
        return np.interp(mbf_ml_min_g, self.mbf, column)


def fermi_residue(times_s: Curve, mbf_ml_min_g: float, distribution_volume: float, sharpness: float) -> Curve:
    """Share of agent still in the tissue after ``times_s``: 1 at 0, a Fermi edge of area V / (rho MBF / 60)."""
    transit_s = distribution_volume / max(mbf_ml_min_g * TISSUE_DENSITY_G_ML / 60.0, 1e-4)
    # R(t) = (1 + e^-m/k) / (1 + e^((t - m)/k)) with k = sharpness * m has the area m + k * remainder; solve for m
    ratio = 1.0 / sharpness
    area = (1.0 + np.exp(-ratio)) * sharpness * np.log1p(np.exp(ratio))
    edge = transit_s / area
    exponent = np.clip((times_s - edge) / (sharpness * edge), -50, 50)
    return np.asarray((1.0 + np.exp(-ratio)) / (1.0 + np.exp(exponent)))


def tissue_curves(bolus: Bolus, blood: BloodCurves) -> TissueCurves:
    """The myocardium's concentration for every flow of the table."""
    t = blood.times_s
    arrived = np.interp(t - bolus.tissue_delay_s, t, blood.lv, left=0.0)
    size = 2 * len(t)
    spectrum = np.fft.rfft(arrived, size)
    table = np.zeros((len(_MBF_TABLE), len(t)))
    for row, mbf in enumerate(_MBF_TABLE[1:], start=1):
        residue = fermi_residue(t, float(mbf), bolus.distribution_volume, bolus.fermi_sharpness)
        residue[0] *= 0.5  # trapezoid rule
        convolved = np.fft.irfft(spectrum * np.fft.rfft(residue, size), size)[: len(t)] * FINE_STEP_S
        table[row] = mbf * TISSUE_DENSITY_G_ML / 60.0 * convolved
    return TissueCurves(t, _MBF_TABLE, np.maximum(table, 0.0))


def _gamma(t: Curve, shape: float, scale: float) -> Curve:
    """Gamma variate of area 1, zero before 0."""
    later = np.maximum(t, 0.0)
    curve = np.where(t > 0, later**shape * np.exp(-later / scale), 0.0)
    return np.asarray(curve / max(curve.sum() * FINE_STEP_S, 1e-12))


def _convolved(a: Curve, kernel: Curve) -> Curve:
    size = 2 * len(a)
    return np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(kernel, size), size)[: len(a)] * FINE_STEP_S
