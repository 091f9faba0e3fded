"""Figures of the CMR side: labels, input function, and landmarks in the picture and beyond it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.training.evaluation.overlap import dice, hausdorff95_mm
from CardiacFusionLib.training.evaluation.true_marks import INSERTIONS, Marks
from CardiacFusionLib.walls.result import CmrWalls

Figures = dict[str, float]
NEAR_MM = 10.0  # Fum 2024 (10.1002/mp.17349) counts landmarks within this distance
AIF_IN_CAVITY = 0.8  # share of the input function's pixels that must lie in the true cavity


def wall_figures(found: NDArray[np.uint8], true: NDArray[np.uint8], poses: Sequence[SlicePose]) -> Figures:
    """Cavity and wall (slice, y, x) against the truth at the reference breathing position."""
    wall = [a == Label.MYOCARDIUM for a in (found, true)]
    distances = [hausdorff95_mm(p, t, s.spacing_mm[::-1]) for p, t, s in zip(*wall, poses)]
    return {
        "cavity_dice": dice(found == Label.LV_CAVITY, true == Label.LV_CAVITY),
        "myocardium_dice": dice(*wall),
        "hd95_mm": float(np.nanmean(distances)) if np.isfinite(distances).any() else float("nan"),
    }


def aif_figures(found: Aif | None, series: Series, true: NDArray[np.uint8]) -> Figures:
    """Whether the input function was read inside the true LV cavity, in the RV instead, and how far its foot and peak
    lie (in frames) from those of the curve read in the true cavity. ``found`` None: no blood pool was found."""
    if found is None:
        return {"found": 0.0, "rv_taken": 0.0}
    inside = (true == Label.LV_CAVITY)[found.mask]
    right = (true == Label.RV_CAVITY)[found.mask]
    figures = {
        "found": float(inside.size > 0 and inside.mean() > AIF_IN_CAVITY),
        "rv_taken": float(right.size > 0 and right.mean() > 0.5),
    }
    core = np.stack([ndimage.binary_erosion(s == Label.LV_CAVITY, iterations=2) for s in true])
    try:
        best = find_aif(series, CmrWalls(true, tuple({} for _ in true)), mask=core)
    except CardiacFusionError:  # no clear bolus even in the true cavity: there is nothing to compare with
        return figures
    return {
        **figures,
        "foot_frames": float(abs(found.foot - best.foot)),
        "peak_frames": float(abs(found.peak - best.peak)),
    }


def in_image_figures(found: Sequence[Marks], true: Sequence[Marks]) -> Figures:
    """RV insertions and LV centre in each slice against those of the true labels in the same slice."""
    distances = {name: [] for name in (*INSERTIONS, "lv_centre")}  # type: dict[str, list[float]]
    missing = 0
    for mine, truth in zip(found, true):
        for name, point in truth.items():
            if name in mine:
                distances[name].append(float(np.linalg.norm(mine[name] - point)))
            else:
                missing += 1
    insertions = [d for name in INSERTIONS for d in distances[name]]
    seen = sum(len(d) for d in distances.values())
    figures = {"seen_share": seen / max(seen + missing, 1)}
    if insertions:
        figures["in_image_mm"] = float(np.mean(insertions))
        figures["in_image_within_10mm"] = float(np.mean(np.array(insertions) <= NEAR_MM))
    if distances["lv_centre"]:
        figures["lv_centre_mm"] = float(np.mean(distances["lv_centre"]))
    return figures


def out_of_image_figures(found: Marks, true: HeartPose) -> Figures:
    """Apex and base, which lie outside a short-axis stack of three slices, against the truth (LPS of the CMR)."""
    apart = [float(np.linalg.norm(found[n] - true.landmarks[n])) for n in ("apex", "base") if n in found]
    if not apart:
        return {}
    return {
        "out_of_image_mm": float(np.mean(apart)),
        "out_of_image_within_10mm": float(np.mean(np.array(apart) <= NEAR_MM)),
    }


def marks_in_image_frame(true: Sequence[Marks], pose: HeartPose, series: Series) -> dict[str, list[float]]:
    """True landmarks in the frame of the planned stack (standard short-axis axes about the middle of its pictures), mm:
    what 'predict the mean' learns from and is judged by."""
    axes = canonical_axes(series.poses[0].normal)
    height, width = series.array.shape[2:]
    middles = [p.points_lps(np.array([(width - 1) / 2, (height - 1) / 2])) for p in series.poses]
    marks: dict[str, list[float]] = {}
    for k, truth in enumerate(true):
        for name in INSERTIONS:
            if name in truth:
                marks[f"{name}.{k}"] = ((truth[name] - middles[k]) @ axes).tolist()
    centre = np.mean(middles, axis=0)
    for name in ("apex", "base"):
        marks[name] = ((pose.landmarks[name] - centre) @ axes).tolist()
    return marks


def predict_the_mean(cases: Sequence[Mapping[str, Sequence[float]]]) -> list[Figures]:
    """What a guess at the mean place of all *other* hearts would have scored, heart by heart (leave one out)."""
    results: list[Figures] = []
    for k, case in enumerate(cases):
        others = [c for j, c in enumerate(cases) if j != k]
        errors: dict[str, list[float]] = {"in_image_mm": [], "out_of_image_mm": []}
        for name, point in case.items():
            known = [c[name] for c in others if name in c]
            if known:
                group = "in_image_mm" if name.startswith("rv_") else "out_of_image_mm"
                errors[group].append(float(np.linalg.norm(np.mean(known, axis=0) - np.asarray(point))))
        results.append({name: float(np.mean(values)) for name, values in errors.items() if values})
    return results
