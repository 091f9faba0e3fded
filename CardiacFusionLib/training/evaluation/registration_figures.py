"""Figures of the nonrigid match, for ours and for any peer that gives a displacement on the common grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.registration.deformation import folded_share, from_maps, one_hot, wall_dice, warp_maps
from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM, Registration
from CardiacFusionLib.training.evaluation.true_marks import INSERTIONS, Marks, turn_deg

Figures = dict[str, float]


def moved(point_mm: NDArray[np.float64], displacement_mm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where a displacement (2, y, x) on the common grid sends a point (x, y) of the fixed picture."""
    index = (point_mm / GRID_SPACING_MM + (np.array(GRID_SHAPE[::-1]) - 1) / 2)[::-1]
    shift = [float(ndimage.map_coordinates(c, index[:, None], order=1, mode="nearest")[0]) for c in displacement_mm]
    return np.asarray(point_mm + np.array(shift))


def registration_figures(
    result: Registration,
    ct_marks: Sequence[Marks],
    cmr_marks: Sequence[Marks],
    displacement_mm: NDArray[np.floating] | None = None,
) -> Figures:
    """Overlap, folding, and what a ring's overlap does not see: the RV insertions and the roll.

    ``ct_marks``, ``cmr_marks``: per slice, true places of the same muscle (heart x, y mm on the common grid): in the CT
    plane that was registered, and in the CMR slice as it was rigidly placed. The displacement (default: the result's
    own) sends the first to the second; their distance and their angle about the LV's centre are the error.
    """
    fields = result.displacement_mm if displacement_mm is None else displacement_mm
    apart: dict[str, list[float]] = {name: [] for name in (*INSERTIONS, "before", "roll", "roll_before")}
    overlap, folded = [], []
    slices = zip(result.ct_labels, result.cmr_labels, fields, ct_marks, cmr_marks)
    for fixed, moving, field, ct, cmr in slices:
        overlap.append(wall_dice(fixed, from_maps(warp_maps(one_hot(moving), field))))
        folded.append(folded_share(field))
        for name in INSERTIONS:
            if name not in ct or name not in cmr:
                continue
            there = moved(ct[name], field)
            apart[name].append(float(np.linalg.norm(there - cmr[name])))
            apart["before"].append(float(np.linalg.norm(ct[name] - cmr[name])))
            arm = cmr[name] - cmr["lv_centre"]
            apart["roll"].append(turn_deg(there - moved(ct["lv_centre"], field), arm))
            apart["roll_before"].append(turn_deg(ct[name] - ct["lv_centre"], arm))
    figures = {"wall_dice": float(np.nanmean(overlap)), "folded_share": float(np.max(folded))}
    if apart[INSERTIONS[0]]:
        figures["rv_insertion_mm"] = float(np.mean(apart[INSERTIONS[0]]))
    if apart[INSERTIONS[1]]:
        figures["rv_insertion_inferior_mm"] = float(np.mean(apart[INSERTIONS[1]]))
    if apart["roll"]:
        figures["rv_insertion_before_mm"] = float(np.mean(apart["before"]))
        figures["roll_deg"] = abs(float(np.mean(apart["roll"])))
        figures["roll_before_deg"] = abs(float(np.mean(apart["roll_before"])))
    return figures
