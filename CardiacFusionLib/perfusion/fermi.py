"""Myocardial blood flow by Fermi-constrained deconvolution, for all pixels at once.

Model (Jerosch-Herold, Wilke, Stillman 1998, Med Phys 25:73-84): the tissue curve is the input convolved with a Fermi
function (``response``) scaled so that its value at zero is the flow F itself. All curves are first compared with a
dictionary of responses and delays (variable projection: for each shape the best F is a quotient of two products), then
refined by a batched Levenberg-Marquardt with analytic derivatives (``marquardt``), both in the dozen directions that
the model's curves span (``fermi_curves``). Single pixels may lean on a prior (``prior``), weighted by the noise that is
found in the curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CardiacFusionLib.perfusion.convolution import Convolution, check_curves, within
from CardiacFusionLib.perfusion.fermi_curves import FermiCurves
from CardiacFusionLib.perfusion.marquardt import refine
from CardiacFusionLib.perfusion.prior import Prior, Weighted, noise_variance
from CardiacFusionLib.perfusion.response import log_area
from CardiacFusionLib.perfusion.spill import Spill, Unmixing
from CardiacFusionLib.spatial.errors import BadInputError

MYOCARDIAL_DENSITY_G_ML = 1.05
MAX_DELAY_S = 4.0  # blood needs 1-3 s from the LV cavity to the wall, a collateral longer
LOG_FLOW_FLOOR = float(np.log(1e-5))  # 0.0006 mL/min/g: no flow
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FermiFit:
    """One value a curve: all arrays (n,), ``fitted`` (n, samples that were fitted).

    ``mbf_ml_min_g``; ``standard_error`` in the same unit (from the linearised fit and its own residual); ``delay_s``
    from input to tissue; ``rate_per_s`` and ``shape`` of the Fermi function; ``volume`` (ml per ml tissue): flow times
    mean transit time; ``residual``: root mean square misfit as a share of the curve's peak; ``spill`` (n, k): share of
    each curve of ``Spill``, included in ``fitted``.
    """

    mbf_ml_min_g: Floats
    standard_error: Floats
    delay_s: Floats
    rate_per_s: Floats
    shape: Floats
    volume: Floats
    residual: Floats
    fitted: Floats
    spill: Floats


def mbf_fermi(
    tissue: ArrayLike,
    aif: ArrayLike,
    dt_s: float | None = None,
    *,
    times_s: ArrayLike | None = None,
    aif_times_s: ArrayLike | None = None,
    max_delay_s: float = MAX_DELAY_S,
    fit_until_s: float | None = None,
    haematocrit: float | None = None,
    density_g_ml: float = MYOCARDIAL_DENSITY_G_ML,
    prior: Prior | None = None,
    spill: Spill | None = None,
) -> FermiFit:
    """Blood flow of tissue concentration curves (n, t) for an arterial input (m,).

    Both in the same unit (mmol per litre), baselines at zero. Sampling: ``dt_s``, or ``times_s`` (t,) and, where the
    input was read at other times, ``aif_times_s``. ``fit_until_s``: only samples up to this time are fitted (first
    pass). ``haematocrit``: give it where the input is a *plasma* concentration, None where it is whole blood.
    ``prior``: what single pixels may lean on; its weight against the data follows from the noise of the curves
    themselves. Without it every curve is fitted alone. ``spill``: curves that may be mixed in. Raises BadInputError
    where the arrays do not belong together.
    """
    checked = check_curves(tissue, aif, dt_s, times_s, aif_times_s)
    factor = flow_factor(haematocrit, density_g_ml)
    used = within(checked, fit_until_s)
    # only the leaning on a prior and the unmixing need to know how noisy the curves are
    noise = noise_variance(used.tissue) if prior is not None or spill is not None else 0.0
    weight = None if prior is None else Weighted(prior, noise)
    unmixed = None if spill is None else Unmixing.of(spill, checked.times_s.size, used.times_s.size, noise)
    model = FermiCurves(Convolution(used, max_delay_s), None if unmixed is None else unmixed.blunt)
    numbers, beside = model.project(used.tissue if unmixed is None else used.tissue @ unmixed.blunt)
    start = _start(model, numbers, weight)
    parameters, variance, found = refine(
        model, numbers, beside, start, used.times_s.size, weight, free_delay=max_delay_s > 0, floor=LOG_FLOW_FLOOR
    )
    log_flow, log_transit, shape, delay = parameters
    flow = np.where(log_flow <= LOG_FLOW_FLOOR, 0.0, np.exp(log_flow))
    fitted = model.curves(found)
    shares = np.zeros((len(fitted), 0))
    if unmixed is not None:
        shares = (used.tissue - fitted) @ unmixed.to_share
        fitted = fitted + shares @ unmixed.curves
    misfit = fitted - used.tissue
    peak = np.maximum(used.tissue.max(axis=1), 1e-12)
    return FermiFit(
        mbf_ml_min_g=flow * factor,
        standard_error=np.exp(log_flow) * np.sqrt(variance) * factor,
        delay_s=delay,
        rate_per_s=np.exp(log_area(shape) - log_transit),
        shape=shape,
        volume=flow * np.exp(log_transit),
        residual=np.sqrt(np.einsum("nt,nt->n", misfit, misfit) / misfit.shape[1]) / peak,
        fitted=fitted,
        spill=shares,
    )


def flow_factor(haematocrit: float | None, density_g_ml: float) -> float:
    """From flow per second and tissue volume to mL/min/g of whole blood."""
    if haematocrit is not None and not 0.1 < haematocrit < 0.75:
        raise BadInputError(f"The haematocrit is {haematocrit}; give it as a fraction such as 0.42.")
    if not 0.5 < density_g_ml < 2.0:
        raise BadInputError(f"The density of the tissue is {density_g_ml} g/mL; myocardium has 1.05.")
    plasma_share = 1.0 if haematocrit is None else 1.0 - haematocrit
    return 60.0 / density_g_ml / plasma_share


def _start(model: FermiCurves, numbers: NDArray[np.float32], weight: Weighted | None) -> Floats:
    """For every curve (n, r) the nearest of the dictionary: parameters (4, n), log flow, log transit time, shape,
    delay."""
    atoms = model.atoms
    row = np.arange(len(numbers))
    best = np.full(len(numbers), -np.inf, np.float32)
    parameters = np.zeros((4, len(numbers)))
    for d, delay in enumerate(model.delays_s[atoms.delays]):
        # against atoms of length one, the squared product is what an atom explains of the squared curve
        score = numbers @ (atoms.values[d] / atoms.norms[d][:, None].astype(np.float32)).T
        np.maximum(score, 0.0, out=score)
        product = score
        if weight is not None:
            flow = score / atoms.norms[d].astype(np.float32)
            floor = float(np.exp(LOG_FLOW_FLOOR))
            score = score**2 - weight.of_atoms(flow, atoms.log_transit, atoms.shape, float(delay), floor)
        found = np.argmax(score, axis=1)
        top = score[row, found]
        better = top > best
        best[better] = top[better]
        which = found[better]
        flow_of = product[better, which] / atoms.norms[d][which]
        parameters[0, better] = np.maximum(np.log(np.maximum(flow_of, 1e-30)), LOG_FLOW_FLOOR)
        parameters[1, better] = atoms.log_transit[which]
        parameters[2, better] = atoms.shape[which]
        parameters[3, better] = delay
    return parameters
