"""At which height of the CT's long axis each CMR slice lies, from how wide LV and RV are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.sections import Sections

OFFSET_MM = 5.0  # radii are compared as log(radius + offset), so that an empty section has a finite distance
# name, spread of one slice, spread of the factor common to all slices (phase, segmentation habit), its mean (log)
MEASURES = (
    ("outer_mm", 0.05, 0.06, 0.0),
    ("cavity_mm", 0.12, 0.18, -0.05),
    ("rv_mm", 0.25, 0.20, 0.0),
)
STRETCH = np.linspace(0.86, 1.30, 23)  # CT mm per CMR mm along the axis: a contracted ventricle is shorter
STRETCH_MEAN, STRETCH_SD = 1.06, 0.07
MIDDLE_LEVEL, MIDDLE_SD = 0.5, 0.12  # slices are planned around the middle of the cavity (3-of-5 rule)


@dataclass(frozen=True)
class SeenEnd:
    """Apex or base seen in long-axis views: at ``along_mm`` among the slices, at ``z_mm`` in the CT, known to
    ``sd_mm``."""

    along_mm: float
    z_mm: float
    sd_mm: float


@dataclass(frozen=True)
class Heights:
    """``z_mm`` (slice,): posterior mean height; ``sd_mm``: its uncertainty; ``stretch``: CT mm per CMR mm."""

    z_mm: NDArray[np.float64]
    sd_mm: float
    stretch: float


def match_heights(
    along_mm: NDArray[np.float64],
    radii_mm: dict[str, NDArray[np.float64]],
    sections: Sections,
    span_mm: tuple[float, float],
    ends: Sequence[SeenEnd] = (),
) -> Heights:
    """Heights of slices ``along_mm`` (slice,) apart (rising to the base) whose radii (slice,) are given by name.
    ``span_mm``: lowest and highest height of the CT's cavity.

    A Bayesian grid search over the shift and stretch of the whole stack: every radius may be off by a factor common
    to all slices (another phase of the beat) and a smaller one of its own. Slices without LV have NaN radii and are
    carried along. ``ends`` that long-axis views show are brought to their places in the CT by the same shift and
    stretch.
    """
    tip, base = span_mm
    middle = tip + MIDDLE_LEVEL * (base - tip)
    middle_slice = (along_mm.min() + along_mm.max()) / 2
    offsets = along_mm - middle_slice
    shift = np.arange(tip - 15.0, base + 15.0, 1.0)
    z = shift[:, None, None] + STRETCH[None, :, None] * offsets
    cost = ((shift - middle) / (MIDDLE_SD * (base - tip)))[:, None] ** 2 + ((STRETCH - STRETCH_MEAN) / STRETCH_SD) ** 2
    for end in ends:
        there = shift[:, None] + STRETCH * (end.along_mm - middle_slice)
        cost = cost + ((there - end.z_mm) / end.sd_mm) ** 2
    for name, own, common, mean in MEASURES:
        seen = np.isfinite(radii_mm[name])
        if not seen.any():
            continue
        expected = np.interp(z[..., seen], sections.z_mm, getattr(sections, name))
        difference = np.log((radii_mm[name][seen] + OFFSET_MM) / (expected + OFFSET_MM)) - mean
        # the best common factor in closed form, held near its mean by its own spread
        n = difference.shape[-1]
        factor = difference.sum(-1) / (n + (own / common) ** 2)
        cost = cost + (((difference - factor[..., None]) / own) ** 2).sum(-1) + (factor / common) ** 2
    weight = np.exp(-0.5 * (cost - cost.min()))
    weight /= weight.sum()
    centre = float((weight.sum(1) * shift).sum())
    sd = float(np.sqrt((weight.sum(1) * (shift - centre) ** 2).sum()))
    stretch = float((weight.sum(0) * STRETCH).sum())
    return Heights(centre + stretch * offsets, sd, stretch)
