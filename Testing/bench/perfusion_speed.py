"""All maps of three slices x 60 frames at 1.5 mm: this library against ``scipy.optimize.curve_fit``, pixel by pixel.

``python Testing/bench/perfusion_speed.py [--fits 60]``: the peer fits the same Fermi model (four parameters) to
the same curves; as many pixels as ``--fits`` are timed and scaled up to all. One thread each. Synthetic curves.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from perfusion_phantom import arterial_input, tissue_curve

from CardiacFusionLib.perfusion.convolution import LAG_STEP_S
from CardiacFusionLib.perfusion.fermi import mbf_fermi, response
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free
from CardiacFusionLib.perfusion.upslope import semiquantitative

SLICES, FRAMES, INTERVAL_S = 3, 60, 0.8
PIXELS = 1100  # of the wall in one slice at 1.5 mm: a ring of 25 to 35 mm radius and some more
UNTIL_S = 36.0
PER_MINUTE_AND_GRAM = 60.0 / 1.05


def curves(pixels: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times, input, tissue (pixels, frames) of flows from 0.6 to 3.5 mL/min/g, and the flows."""
    rng = np.random.default_rng(0)
    times = np.arange(FRAMES) * INTERVAL_S
    flows = np.linspace(0.6, 3.5, 30)
    clean = np.stack([tissue_curve(times, f, 0.1 + 0.06 * f, 1.0) for f in flows])
    which = rng.integers(0, len(flows), pixels)
    return times, arterial_input(times), clean[which] + rng.normal(0, noise, (pixels, FRAMES)), flows[which]


def peer(times: np.ndarray, aif: np.ndarray, tissue: np.ndarray, from_truth: bool = False) -> np.ndarray:
    """MBF (n,) by one bounded least-squares fit a pixel."""
    used = times <= UNTIL_S
    lags = np.arange(0.0, UNTIL_S + LAG_STEP_S, LAG_STEP_S)
    weights = np.full(lags.size, LAG_STEP_S)
    weights[0] /= 2

    def model(t: np.ndarray, flow: float, rate: float, shape: float, delay: float) -> np.ndarray:
        read = np.interp(t[:, None] - delay - lags[None, :], times, aif, left=0.0)
        return flow * (read * weights) @ response(lags, rate, shape)[0]

    bounds = ([0.0, 0.03, -2.0, 0.0], [0.2, 2.5, 10.0, 4.0])
    return np.array(
        [
            curve_fit(model, times[used], y[used], p0=(0.03, 0.25, 1.0, 1.0), bounds=bounds)[0][0] * PER_MINUTE_AND_GRAM
            for y in tissue
        ]
    )


def main() -> None:
    """Time both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=60)
    parser.add_argument("--noise", type=float, default=0.012, help="mmol/L; 0.6 over it is the contrast-to-noise")
    given = parser.parse_args()
    times, aif, tissue, flows = curves(SLICES * PIXELS, given.noise)
    mbf_fermi(tissue[:50], aif, times_s=times, fit_until_s=UNTIL_S)  # first calls load code
    start = time.process_time()
    ours = mbf_fermi(tissue, aif, times_s=times, fit_until_s=UNTIL_S)
    fermi_s = time.process_time() - start
    mbf_model_free(tissue, aif, times_s=times, fit_until_s=UNTIL_S, delay_s=ours.delay_s)
    semiquantitative(tissue, aif, times, start_s=9.0, end_s=UNTIL_S)
    all_s = time.process_time() - start
    some = np.linspace(0, len(tissue) - 1, given.fits).astype(int)
    start = time.process_time()
    theirs = peer(times, aif, tissue[some])
    peer_s = (time.process_time() - start) / given.fits * len(tissue)
    difference = np.abs(ours.mbf_ml_min_g[some] / theirs - 1)
    print(
        json.dumps(
            {
                "pixels": len(tissue),
                "frames": FRAMES,
                "mbf_cpu_s": round(fermi_s, 2),
                "all_maps_cpu_s": round(all_s, 2),
                "curve_fit_cpu_s": round(peer_s, 1),
                "curve_fit_pixels_timed": given.fits,
                "times_faster": round(peer_s / fermi_s),
                "times_faster_all_maps": round(peer_s / all_s),
                "median_difference_percent": round(100 * float(np.median(difference)), 2),
                "bias_percent": round(100 * float(np.mean(ours.mbf_ml_min_g / flows - 1)), 2),
                "curve_fit_bias_percent": round(100 * float(np.mean(theirs / flows[some] - 1)), 2),
                "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
