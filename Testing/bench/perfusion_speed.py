"""All maps of three slices x 60 frames at 1.5 mm: this library against ``scipy.optimize.curve_fit``, pixel by pixel.

``python Testing/bench/perfusion_speed.py [--fits 60]``: the peer fits the same Fermi model (flow, rate, shape, delay)
to the same curves as one would write it: the response and the input on a fine grid, ``numpy.convolve``,
``numpy.interp`` at the frames less the delay; bounds, a start near normal muscle, defaults otherwise. It is run on two
grids (0.1 s, and 0.25 s as in this library; the coarser is the faster) over the frames that we fit, and on the coarser
over all 60. As many pixels as ``--fits`` are timed and scaled up to all. Our maps: flow, its standard error, delay,
misfit, model-free flow, upslope, peak and time to peak. One thread each, processor time, median of five runs for us.
Synthetic curves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from perfusion_phantom import arterial_input, tissue_curve

from CardiacFusionLib.perfusion.fermi import mbf_fermi
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free
from CardiacFusionLib.perfusion.upslope import semiquantitative

SLICES, FRAMES, INTERVAL_S = 3, 60, 0.8
PIXELS = 1100  # of the wall in one slice at 1.5 mm: a ring of 25 to 35 mm radius and some more
UNTIL_S, FOOT_S = 36.0, 9.0
PER_MINUTE_AND_GRAM = 60.0 / 1.05
BOUNDS = ([0.0, 0.03, -2.0, 0.0], [0.2, 2.5, 10.0, 4.0])
START = (0.03, 0.25, 1.0, 1.0)
REPEATS = 5


def curves(pixels: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times, input, tissue (pixels, frames) of flows from 0.6 to 3.5 mL/min/g, and the flows."""
    rng = np.random.default_rng(0)
    times = np.arange(FRAMES) * INTERVAL_S
    flows = np.linspace(0.6, 3.5, 30)
    clean = np.stack([tissue_curve(times, f, 0.1 + 0.06 * f, 1.0) for f in flows])
    which = rng.integers(0, len(flows), pixels)
    return times, arterial_input(times), clean[which] + rng.normal(0, noise, (pixels, FRAMES)), flows[which]


def peer(times: np.ndarray, aif: np.ndarray, tissue: np.ndarray, step_s: float, until_s: float) -> np.ndarray:
    """MBF (n,) by one bounded least-squares fit a pixel."""
    used = times <= until_s
    grid = np.arange(0.0, times[-1] + step_s, step_s)
    fine = np.interp(grid, times, aif)

    def model(t: np.ndarray, flow: float, rate: float, shape: float, delay: float) -> np.ndarray:
        response = flow * (1.0 + np.exp(-shape)) / (1.0 + np.exp(rate * grid - shape))
        whole = np.convolve(fine, response)[: grid.size] * step_s
        return np.interp(t - delay, grid, whole, left=0.0)

    fits = [curve_fit(model, times[used], y[used], p0=START, bounds=BOUNDS)[0][0] for y in tissue]
    return np.array(fits) * PER_MINUTE_AND_GRAM


def seconds_of(work: Callable[[], object]) -> float:
    """Processor seconds, median of several runs; the first one loads code and is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return float(np.median(taken[1:]))


def main() -> None:
    """Time both and print one JSON object."""
    if os.environ.get("OMP_NUM_THREADS") != "1":  # processor time counts every thread of a matrix product, idle or not
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=60)
    parser.add_argument("--noise", type=float, default=0.012, help="mmol/L; 0.6 over it is the contrast-to-noise")
    given = parser.parse_args()
    times, aif, tissue, flows = curves(SLICES * PIXELS, given.noise)

    def all_maps() -> None:
        fit = mbf_fermi(tissue, aif, times_s=times, fit_until_s=UNTIL_S)
        mbf_model_free(tissue, aif, times_s=times, fit_until_s=UNTIL_S, delay_s=fit.delay_s)
        semiquantitative(tissue, aif, times, start_s=FOOT_S, end_s=UNTIL_S)

    ours = mbf_fermi(tissue, aif, times_s=times, fit_until_s=UNTIL_S).mbf_ml_min_g
    fermi_s = seconds_of(lambda: mbf_fermi(tissue, aif, times_s=times, fit_until_s=UNTIL_S))
    all_s = seconds_of(all_maps)
    some = np.linspace(0, len(tissue) - 1, given.fits).astype(int)
    peers = {}
    for name, step_s, until_s in (
        ("grid 0.25 s", 0.25, UNTIL_S),
        ("grid 0.1 s", 0.1, UNTIL_S),
        ("grid 0.25 s, all 60 frames", 0.25, times[-1]),
    ):
        start = time.process_time()
        theirs = peer(times, aif, tissue[some], step_s, until_s)
        seconds = (time.process_time() - start) / given.fits * len(tissue)
        difference = np.abs(ours[some] / theirs - 1)
        peers[name] = {
            "cpu_s": round(seconds, 1),
            "times_faster_flow": round(seconds / fermi_s),
            "times_faster_all_maps": round(seconds / all_s),
            "median_difference_percent": round(100 * float(np.median(difference)), 2),
            "bias_percent": round(100 * float(np.mean(theirs / flows[some] - 1)), 2),
            "sd_percent": round(100 * float(np.std(theirs / flows[some] - 1)), 2),
        }
    result = {
        "pixels": len(tissue),
        "frames": FRAMES,
        "flow_cpu_s": round(fermi_s, 4),
        "all_maps_cpu_s": round(all_s, 4),
        "bias_percent": round(100 * float(np.mean(ours / flows - 1)), 2),
        "sd_percent": round(100 * float(np.std(ours / flows - 1)), 2),
        "curve_fit_pixels_timed": given.fits,
        "curve_fit": peers,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
