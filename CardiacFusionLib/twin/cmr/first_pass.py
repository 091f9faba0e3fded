"""Whole first passes of one slice for training: every frame of a random bolus on a coarse grid, with its blood pools.

Wider than the twin's series on purpose: circulation from racing to failing, sequences from the short saturation times
of arterial-input images to long ones, contrast dose, shading, breathing and noise beyond what one scanner makes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.mr_signal import sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.twin.cmr.plan import frame_times
from CardiacFusionLib.twin.cmr.surroundings import smooth_field
from CardiacFusionLib.twin.cmr.tissue import column, pools
from CardiacFusionLib.twin.cmr.training import draw_slice
from CardiacFusionLib.twin.flow.kinetics import Bolus, blood_curves, tissue_curves
from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, Tissue

Array = NDArray[np.float64]

BACKGROUND, LEFT, RIGHT = 0, 1, 2  # blood pools of a slice
BLOCK = 2  # samples of the anatomy along each side of a pixel


@dataclass(frozen=True)
class Anatomy:
    """A slice before time begins: ``shares`` (tissue, y, x) of each pixel and its ``pools`` (y, x) uint8."""

    shares: NDArray[np.float32]
    pools: NDArray[np.uint8]


@dataclass(frozen=True)
class FirstPass:
    """``frames`` (t, y, x) float32 in no unit, ``times_s`` (t,), ``pools`` (y, x) uint8: none, LV, RV blood."""

    frames: NDArray[np.float32]
    times_s: Array
    pools: NDArray[np.uint8]


def draw_anatomy(seed: int, size: int, pixel_mm: float) -> Anatomy:
    """A random short-axis slice on ``size`` x ``size`` pixels of ``pixel_mm``."""
    codes = draw_slice(np.random.default_rng(seed), size * BLOCK, pixel_mm / BLOCK).codes
    layers = codes.reshape(len(codes), size, BLOCK, size, BLOCK)
    shares = np.stack([(layers == code).mean(axis=(0, 2, 4), dtype=np.float32) for code in range(TISSUE_COUNT)])
    pool = np.zeros((size, size), np.uint8)
    # papillary muscles and trabeculae fill as muscle does: only blood counts
    pool[shares[Tissue.LV_CAVITY] > 0.5] = LEFT
    pool[shares[Tissue.RV_CAVITY] > 0.5] = RIGHT
    return Anatomy(shares, pool)


def draw_first_pass(anatomy: Anatomy, rng: np.random.Generator) -> FirstPass:
    """One random bolus, sequence, coil, breathing and noise in the slice."""
    state = "stress" if rng.random() < 0.5 else "rest"
    times = frame_times(rng, int(rng.integers(35, 81)), 1, state, 0.05)[:, 0]
    values = _brightness(times, state, rng)
    count, size = len(times), anatomy.pools.shape[0]
    frames = (values @ anatomy.shares.reshape(TISSUE_COUNT, -1)).reshape(count, size, size)
    frames *= np.maximum(1.0 + rng.uniform(0.0, 0.1) * smooth_field(rng, size, 2.0), 0.2)
    frames *= np.exp(rng.uniform(0.0, 0.9) * smooth_field(rng, size, size / 4))
    path = np.cumsum(rng.normal(size=(count, 2)), axis=0) / np.sqrt(count) * rng.uniform(0.0, 1.0)
    path += rng.uniform(0.0, 1.5) * np.sin(2 * np.pi * (times[:, None] / rng.uniform(3.0, 6.0) + rng.random()))
    left = path * (rng.random() < 0.5)  # half of the series come as they are acquired, half corrected for motion
    frames = np.stack([ndimage.shift(f, s, order=1, mode="nearest") for f, s in zip(frames, left)])
    sigma = np.percentile(frames, 99) * rng.uniform(0.003, 0.05)
    real, imaginary = rng.normal(0.0, sigma, (2, *frames.shape))
    return FirstPass(np.hypot(frames + real, imaginary).astype(np.float32), times, anatomy.pools)


def draw_bolus(state: str, rng: np.random.Generator) -> Bolus:
    """A bolus from any circulation: the twin's, stretched up to two and a half times, of any dose."""
    bolus = Bolus.draw(rng, state, (1.2, 9.0))
    slow = float(np.exp(rng.uniform(-0.15, 0.5)))
    return replace(
        bolus,
        arrival_s=float(rng.uniform(3.5, 16.0)),
        scale_s=bolus.scale_s * slow,
        lung_delay_s=bolus.lung_delay_s * slow * float(np.exp(rng.uniform(-0.2, 0.45))),
        lung_spread_s=bolus.lung_spread_s * slow * float(np.exp(rng.uniform(-0.2, 0.4))),
        recirculation_delay_s=bolus.recirculation_delay_s * slow,
    )


def _brightness(times: Array, state: str, rng: np.random.Generator) -> Array:
    """Signal (t, TISSUE_COUNT) of every tissue at every time."""
    bolus = draw_bolus(state, rng)
    blood = blood_curves(bolus, float(times.max()) + 1.0)
    muscle = tissue_curves(bolus, blood)
    flow = np.array(rng.uniform(1.0, 3.5) if state == "stress" else rng.uniform(0.5, 1.2))
    curves = {name: blood.at(name, times) for name in ("rv", "lung", "lv", "systemic")}
    curves["myocardium"] = np.array([float(muscle.at(flow, float(t))) for t in times])
    t1 = column("t1_ms") * np.exp(rng.normal(0, 0.1, TISSUE_COUNT))
    density = column("density") * np.exp(rng.normal(0, 0.15, TISSUE_COUNT))
    share = column("blood") * np.exp(rng.normal(0, 0.1, TISSUE_COUNT))
    # blood is one fluid, whatever room it is in
    for tissue in (Tissue.RV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.RIGHT_ATRIUM):
        for values in (t1, density, share):
            values[tissue] = values[Tissue.LV_CAVITY]
    concentration = np.zeros((len(times), TISSUE_COUNT))
    for code, pool in enumerate(pools()):
        if pool is not None:
            concentration[:, code] = curves[pool] * share[code]
    ti = float(rng.uniform(75, 160) if rng.random() < 0.6 else rng.uniform(8, 60))
    signal = sr_flash_signal(
        t1_with_contrast_ms(concentration, t1), ti_ms=ti, tr_ms=2.2, flip_deg=float(rng.uniform(5, 25))
    )
    if rng.random() < 0.3:  # proton-density frames first
        signal[: int(rng.integers(1, 4))] *= rng.uniform(2.0, 8.0)
    return np.asarray(density * signal)
