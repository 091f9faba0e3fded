"""Flow, arteries and their fusion: one function a stage, from a run's results and the twin's truth to named figures.

Names are those of the design's evaluation file. A figure that has no meaning for a case (no stenosis to find) is left
out of that case. ``pooled`` figures (correlation, limits of agreement, AUROC) need all cases together: the functions
return the samples and :func:`pool` turns them into figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import cKDTree

from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.spatial.tree import MAIN_BRANCHES, VESSEL_OF_BRANCH, CoronaryTree
from CardiacFusionLib.training.evaluation.overlap import dice, hausdorff95_mm
from CardiacFusionLib.twin.case import DrawnTwin
from CardiacFusionLib.twin.truth import Truth

__all__ = ["coronaries", "dice", "fusion", "hausdorff95_mm", "perfusion", "pool", "segment_flow", "tree_figures"]

Figures = dict[str, float]
OVERLAP_MM = 2.0  # a centreline point counts as found within this distance (CAT08 uses the true radius)
ISCHAEMIC_SHARE = 0.75  # a segment is truly ischaemic below this share of the heart's median stress flow
STENOSIS_PERCENT = 50.0
STENOSIS_DISTANCE_MM = 10.0


def segment_flow(results: Results, state: str) -> dict[int, float]:
    """Measured MBF by AHA segment of the stress or rest study (NaN segments left out)."""
    study = results.stress if state == "stress" else results.rest
    if study is None:
        return {}
    table = study.segments
    values = dict(zip(table["segment"].astype(int), table["mbf_ml_min_g"].astype(float)))
    return {s: v for s, v in values.items() if np.isfinite(v)}


def perfusion(results: Results, truth: Truth) -> tuple[Figures, dict[str, list[float]]]:
    """Global bias of a case, and the samples of the pooled figures."""
    measured = segment_flow(results, "stress")
    shared = sorted(set(measured) & set(truth.segment_mbf_stress))
    if not shared:
        return {}, {}
    m = np.array([measured[s] for s in shared])
    t = np.array([truth.segment_mbf_stress[s] for s in shared])
    figures = {"mbf_bias_percent": float(100 * (m.mean() / t.mean() - 1))}
    samples = {"measured": m.tolist(), "true": t.tolist()}
    rest = segment_flow(results, "rest")
    both = [s for s in shared if s in rest and s in truth.segment_mbf_rest and rest[s] > 0]
    if both:
        mpr = np.mean([measured[s] / rest[s] for s in both])
        true_mpr = np.mean([truth.segment_mbf_stress[s] / truth.segment_mbf_rest[s] for s in both])
        figures["mpr_bias_percent"] = float(100 * (mpr / true_mpr - 1))
    if truth.culprits:
        limit = ISCHAEMIC_SHARE * float(np.median(t))
        samples["score"] = (-m / np.median(m)).tolist()
        samples["ischaemic"] = (t < limit).astype(float).tolist()
    return figures, samples


def coronaries(results: Results, truth: Truth) -> Figures:
    """Overlap and distance of centrelines, names, diameters and stenoses."""
    if results.tree is None:
        return {}
    return tree_figures(results.tree, truth.tree)


def _sampled(tree: CoronaryTree, step_mm: float = 0.5) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    points, radii, names = [], [], []
    for branch in tree.branches:
        arc = branch.arc_mm
        at = np.arange(0.0, arc[-1] + 1e-9, step_mm)
        points.append(np.stack([np.interp(at, arc, branch.points_mm[:, i]) for i in range(3)], axis=1))
        radii.append(np.interp(at, arc, branch.radius_mm))
        names += [branch.name] * len(at)
    if not points:
        return np.zeros((0, 3)), np.zeros(0), []
    return np.concatenate(points), np.concatenate(radii), names


def tree_figures(found: CoronaryTree, true: CoronaryTree) -> Figures:
    """All coronary figures of one heart; distances between centrelines in mm."""
    p, rp, names_p = _sampled(found)
    t, rt, names_t = _sampled(true)
    stenoses = [s for s in true.stenoses if s.diameter_percent >= STENOSIS_PERCENT]
    if len(p) == 0:
        return {"overlap": 0.0, "main_named": 0.0, **({"stenosis_found": 0.0} if stenoses else {})}
    to_true, nearest = cKDTree(t).query(p)
    to_found, nearest_found = cKDTree(p).query(t)
    hit_p, hit_t = to_true <= OVERLAP_MM, to_found <= OVERLAP_MM
    figures = {"overlap": float((hit_p.sum() + hit_t.sum()) / (len(p) + len(t)))}
    if hit_p.any():
        figures["distance_mm"] = float(to_true[hit_p].mean())
        figures["diameter_mm"] = float(2 * np.abs(rp[hit_p] - rt[nearest[hit_p]]).mean())
    named = {n: _named_right(n, names_t, names_p, hit_t, nearest_found) for n in dict.fromkeys(names_t)}
    main = [ok for name, ok in named.items() if name in MAIN_BRANCHES]
    side = [ok for name, ok in named.items() if name not in MAIN_BRANCHES]
    figures["main_named"] = float(np.mean(main))
    if side:
        figures["side_named"] = float(np.mean(side))
    claimed = [s for s in found.stenoses if s.diameter_percent >= STENOSIS_PERCENT]
    if stenoses:
        figures["stenosis_found"] = float(np.mean([any(_same(s, c) for c in claimed) for s in stenoses]))
    figures["false_stenoses"] = float(sum(not any(_same(s, c) for s in true.stenoses) for c in claimed))
    return figures


def _named_right(
    name: str, true_names: list[str], names: list[str], hit: NDArray[np.bool_], nearest: NDArray[np.intp]
) -> bool:
    """A branch is named right where most of its found points carry its name and a third of it was found."""
    mine = [i for i, n in enumerate(true_names) if n == name]
    found = [names[nearest[i]] for i in mine if hit[i]]
    return len(found) > len(mine) / 3 and sum(n == name for n in found) > len(found) / 2


def _same(a: object, b: object) -> bool:
    return float(np.linalg.norm(a.point_mm - b.point_mm)) <= STENOSIS_DISTANCE_MM  # type: ignore[attr-defined]


def territory_means(results: Results, column: str) -> dict[str, float]:
    """Mean measured stress MBF of each vessel's segments in the bullseye."""
    if results.fusion is None:
        return {}
    table = results.fusion.segments.dropna(subset=["mbf_ml_min_g"])
    means = table.groupby(column)["mbf_ml_min_g"].mean()
    return {str(k): float(v) for k, v in means.items() if str(k) in VESSEL_OF_BRANCH}


def fusion(results: Results, truth: Truth | DrawnTwin) -> Figures:
    """Is the ischaemic territory the lowest, the stenosed vessel named first, a normal heart left alone?"""
    if results.fusion is None:
        return {}
    findings = results.fusion.findings
    if truth.kind == "normal":
        return {"normal_clean": float(not findings)}
    if truth.kind == "microvascular":
        return {"never_blamed": float(not any(f.kind == "matched" for f in findings))}
    figures: Figures = {}
    for name, column in (("lowest_territory", "territory_patient"), ("lowest_territory_aha", "territory_aha")):
        means = territory_means(results, column)
        if means:
            figures[name] = float(min(means, key=lambda v: means[v]) in truth.culprits)
    vessels = [f.vessel for f in findings if f.vessel]
    figures["first_vessel"] = float(bool(vessels) and vessels[0] in truth.culprits)
    figures["vessel_named"] = float(any(v in truth.culprits for v in vessels))
    return figures


def pool(samples: Sequence[Mapping[str, list[float]]]) -> Figures:
    """Correlation and limits of agreement over all segments, AUROC of ischaemic against other segments."""
    m = np.array([v for s in samples for v in s.get("measured", [])])
    t = np.array([v for s in samples for v in s.get("true", [])])
    if len(m) < 3:
        return {}
    figures = {
        "segment_r": float(np.corrcoef(m, t)[0, 1]),
        "segment_limits_ml_min_g": float(1.96 * np.std(m - t, ddof=1)),
    }
    score = np.array([v for s in samples for v in s.get("score", [])])
    sick = np.array([v for s in samples for v in s.get("ischaemic", [])], dtype=bool)
    if sick.any() and not sick.all():
        u = stats.mannwhitneyu(score[sick], score[~sick]).statistic
        figures["ischaemia_auroc"] = float(u / (sick.sum() * (~sick).sum()))
    return figures
