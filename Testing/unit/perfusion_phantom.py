"""A small moving heart for the perfusion tests: two ventricles and a wall of known flow, breathing in a still chest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from CardiacFusionLib.perfusion.response import response
from CardiacFusionLib.spatial.mr_signal import sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose
from CardiacFusionLib.walls.result import CmrWalls

SEQUENCE = Sequence(ti_ms=100.0, tr_ms=2.2, flip_deg=12.0)


def gamma_variate(times_s: NDArray[np.float64], arrival_s: float, rise_s: float, height: float) -> NDArray[np.float64]:
    """A bolus that arrives, peaks ``rise_s`` later at ``height`` and washes out."""
    x = np.maximum(times_s - arrival_s, 0.0) / rise_s
    return height * x**3 * np.exp(3.0 * (1.0 - x))


def arterial_input(times_s: NDArray[np.float64], arrival_s: float = 9.0, height: float = 4.0) -> NDArray[np.float64]:
    """First pass and a low, late recirculation, mmol/L."""
    again = np.maximum(times_s - arrival_s - 8.0, 0.0)
    return gamma_variate(times_s, arrival_s, 4.0, height) + 0.2 * height * (1.0 - np.exp(-again / 5.0))


def tissue_curve(
    times_s: NDArray[np.float64],
    mbf_ml_min_g: float,
    rate_per_s: float = 0.25,
    shape: float = 1.0,
    delay_s: float = 1.0,
) -> NDArray[np.float64]:
    """Tissue [Gd] at ``times_s`` by brute-force convolution on a 10 ms grid, for the input of ``arterial_input``."""
    fine = np.arange(0.0, times_s[-1] + 1.0, 0.01)
    flow = mbf_ml_min_g * 1.05 / 60.0
    kernel = flow * response(fine, rate_per_s, shape)[0]
    kernel[0] *= 0.5
    full = fftconvolve(arterial_input(fine - delay_s), kernel)[: fine.size] * 0.01
    return np.interp(times_s, fine, full)


@dataclass(frozen=True)
class Phantom:
    series: Series
    walls: CmrWalls
    mbf: NDArray[np.float64]  # (slice, y, x)
    shift_mm: NDArray[np.float64]  # (t, slice, 2)


@cache
def make_phantom(
    seed: int = 0,
    *,
    normal: float = 2.5,
    ischaemic: float = 1.0,
    breathing_mm: float = 6.0,
    noise: float = 0.02,
    frames: int = 50,
    size: int = 72,
    slices: int = 3,
    spacing_mm: float = 2.0,
    state: str = "stress",
    sequence: Sequence = SEQUENCE,
) -> Phantom:
    """Base to apex slices; the anterior third of the wall (around the top of the picture) is ischaemic.

    The RV lies on the left; the anterior insertion is at 120 degrees, the inferior at 240 (0 = right, 90 = up).
    """
    rng = np.random.default_rng(seed)
    times = np.arange(frames) * 0.9
    shift = np.zeros((frames, slices, 2))
    phase = rng.uniform(0, 2 * np.pi)
    breath = breathing_mm * (0.5 - 0.5 * np.cos(2 * np.pi * times / 4.3 + phase)) ** 2
    shift[..., 1] = breath[:, None]
    shift[..., 0] = 0.3 * breath[:, None]
    fine = 2  # sub-pixels, so that borders are soft as in a scanner
    y, x = np.meshgrid(*(np.arange(size * fine) / fine * spacing_mm - size * spacing_mm / 2,) * 2, indexing="ij")
    blood = {"ti_ms": 100.0, "tr_ms": 2.2, "flip_deg": 12.0}

    def signal(concentration: NDArray[np.float64], t1: float) -> NDArray[np.float64]:
        return sr_flash_signal(t1_with_contrast_ms(concentration, t1), **blood)

    left = signal(arterial_input(times), 1650.0)
    right = signal(arterial_input(times, 4.5, 5.0), 1650.0)
    lung = 0.15 * signal(arterial_input(times, 6.5, 4.0), 1400.0)
    muscle = {mbf: signal(tissue_curve(times, mbf, 0.1 + 0.06 * mbf), 1050.0) for mbf in (normal, ischaemic)}
    array = np.empty((frames, slices, size, size), np.float32)
    labels = np.zeros((slices, size, size), np.uint8)
    mbf = np.full((slices, size, size), np.nan)
    landmarks, poses = [], []
    direction = np.eye(3)
    for s in range(slices):
        inner, outer = 22.0 - 3 * s, 31.0 - 2.5 * s
        origin = np.array([-size * spacing_mm / 2, -size * spacing_mm / 2, -12.0 * s])

        def regions(dx: float, dy: float, inner: float = inner, outer: float = outer) -> dict[str, NDArray[np.bool_]]:
            px, py = x - dx, y - dy
            radius = np.hypot(px, py)
            angle = np.degrees(np.arctan2(-py, px)) % 360
            body = np.hypot(x / 68.0, y / 66.0) < 1
            wall = (radius >= inner) & (radius < outer)
            rv = (np.hypot(px + 30, py) < 30) & (radius >= outer) & (px < -5)
            return {
                "body": body,
                "lung": body & (np.hypot((px - 45) / 25.0, py / 45.0) < 1) & (radius > outer + 3),
                "rv": rv,
                "rv wall": (np.hypot(px + 30, py) < 33) & (radius >= outer) & ~rv & (px < -5),
                "ischaemic": wall & (angle >= 60) & (angle < 120),
                "normal": wall & ~((angle >= 60) & (angle < 120)),
                "lv": radius < inner,
            }

        paint = {"rv": right, "lv": left, "lung": lung, "normal": muscle[normal], "ischaemic": muscle[ischaemic]}
        still = {"body": 0.03, "rv wall": 0.03}
        coil = 1.0 + 0.3 * x / 70.0
        for t in range(frames):
            picture = np.full(x.shape, 0.002)
            for name, region in regions(*shift[t, s]).items():
                picture[region] = paint[name][t] if name in paint else still[name]
            small = (picture * coil).reshape(size, fine, size, fine).mean(axis=(1, 3))
            small = ndimage.gaussian_filter(small, 0.4)
            draw = rng.normal(0.0, noise * 0.1, (2, size, size))
            array[t, s] = 1000.0 * np.hypot(small + draw[0], draw[1])
        centre = regions(0.0, 0.0)
        share = {k: v.reshape(size, fine, size, fine).mean(axis=(1, 3)) for k, v in centre.items()}
        labels[s][share["rv"] >= 0.5] = 3
        labels[s][share["normal"] + share["ischaemic"] >= 0.5] = 2
        labels[s][share["lv"] >= 0.5] = 1
        wall_here = labels[s] == 2
        mbf[s][wall_here] = normal
        mbf[s][wall_here & (share["ischaemic"] > share["normal"])] = ischaemic
        pose = SlicePose(tuple(origin), direction, (spacing_mm, spacing_mm), 8.0)
        poses.append(pose)
        middle = origin + np.array([size * spacing_mm / 2 - 0.25, size * spacing_mm / 2 - 0.25, 0.0])
        r = (inner + outer) / 2 + 4
        landmarks.append(
            {
                "lv_centre": middle,
                "rv_insertion_anterior": middle + r * np.array([np.cos(np.deg2rad(120)), -np.sin(np.deg2rad(120)), 0]),
                "rv_insertion_inferior": middle + r * np.array([np.cos(np.deg2rad(240)), -np.sin(np.deg2rad(240)), 0]),
            }
        )
    series = Series(array, tuple(poses), times, state=state, sequence=sequence)
    return Phantom(series, CmrWalls(labels, tuple(landmarks)), mbf, shift)
