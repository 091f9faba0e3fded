"""Flow of curves that another package made, by this library and by that package: a table.

``pip install dcmri`` (Apache-2.0; not a dependency), then ``python Testing/bench/perfusion_peers.py [--noise 0.012]``.
Tissue curves come from dcmri's own compartment models, none of which is a Fermi function: one compartment, a plug-flow
system, a chain, and two-compartment exchange. Flow is read by our Fermi fit, our model-free deconvolution, and dcmri's
deconvolution (truncated singular values at a tenth of the largest, its documented use). Synthetic curves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from perfusion_phantom import arterial_input

from CardiacFusionLib.perfusion.fermi import mbf_fermi
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free

FINE_S, INTERVAL_S, FRAMES, UNTIL_S = 0.1, 0.8, 60, 34.0
FLOWS = (0.8, 1.5, 2.5, 3.5)  # mL/min/g
VOLUME = 0.2  # ml of distribution a ml of tissue; its transit is volume over flow
DENSITY = 1.05
TRUNCATION = 0.1
REPEATS = 40


def forward(dc: object, model: str, flow_per_s: float, fine: np.ndarray) -> np.ndarray:
    """Tissue concentration over ``fine`` for whole-blood flow per second and ml."""
    flux = flow_per_s * arterial_input(fine)
    transit = VOLUME / flow_per_s
    if model == "one compartment":
        return np.asarray(dc.conc_comp(flux, transit, dt=FINE_S))  # type: ignore[attr-defined]
    if model == "plug flow":
        return np.asarray(dc.conc_plug(flux, transit, dt=FINE_S))  # type: ignore[attr-defined]
    if model == "chain":
        return np.asarray(dc.conc_chain(flux, transit, 0.4, dt=FINE_S))  # type: ignore[attr-defined]
    # two-compartment exchange: 0.1 plasma, 0.15 interstitium, half of the agent extracted
    return np.asarray(
        dc.conc_2cxm(flux, [0.1 / flow_per_s, 0.15 / flow_per_s], 0.5, dt=FINE_S)  # type: ignore[attr-defined]
    ).sum(axis=0)


def main() -> None:
    """Print one line a model and flow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, default=0.0, help="SD of a sample, mmol/L")
    given = parser.parse_args()
    try:
        import dcmri as dc
    except ImportError:
        sys.exit("dcmri is not installed; pip install dcmri")
    fine = np.arange(0.0, FRAMES * INTERVAL_S, FINE_S)
    times = np.arange(FRAMES) * INTERVAL_S
    aif = arterial_input(times)
    rng = np.random.default_rng(0)
    print("| model of dcmri | true | Fermi | model-free | dcmri TSVD |\n|---|---|---|---|---|")
    errors: dict[str, list[float]] = {"Fermi": [], "model-free": [], "dcmri TSVD": []}
    for model in ("one compartment", "plug flow", "chain", "two-compartment exchange"):
        for flow in FLOWS:
            clean = np.interp(times, fine, forward(dc, model, flow * DENSITY / 60.0, fine))
            repeats = REPEATS if given.noise > 0 else 1
            tissue = clean + rng.normal(0, given.noise, (repeats, FRAMES)) if given.noise > 0 else clean[None]
            fit = mbf_fermi(tissue, aif, times_s=times, fit_until_s=UNTIL_S)
            free = mbf_model_free(tissue, aif, times_s=times, fit_until_s=UNTIL_S, delay_s=fit.delay_s)
            theirs = [
                float(np.max(dc.deconv(one, aif, dt=INTERVAL_S, method="TSVD", tol=TRUNCATION))) for one in tissue
            ]
            found = {
                "Fermi": float(np.mean(fit.mbf_ml_min_g)),
                "model-free": float(np.mean(free.mbf_ml_min_g)),
                "dcmri TSVD": float(np.mean(theirs)) * 60.0 / DENSITY,
            }
            for name, value in found.items():
                errors[name].append(100 * (value / flow - 1))
            print(f"| {model} | {flow:.1f} | " + " | ".join(f"{v:.2f}" for v in found.values()) + " |")
    for name, values in errors.items():
        print(f"{name}: bias {np.mean(values):+.1f} %, mean absolute error {np.mean(np.abs(values)):.1f} %")


if __name__ == "__main__":
    main()
