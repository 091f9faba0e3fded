"""From cases to one file of figures: mean, SD, worst and number of every figure, the same for every peer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from CardiacFusionLib.training.evaluation import ct_figures, metrics
from CardiacFusionLib.training.evaluation.case import CaseFigures
from CardiacFusionLib.training.evaluation.cmr_figures import predict_the_mean

LOWER_IS_BETTER = ("_deg", "_mm", "_percent", "_share", "_frames", "_error", "false_stenoses", "rv_taken", "seconds",
                   "seconds_a_slice", "rss_mb", "_ml_min_g")  # fmt: skip
OURS = "ours_same_cases"
Summary = dict[str, dict[str, dict[str, float]]]


def describe(name: str, values: Sequence[float]) -> dict[str, float]:
    """Mean, SD, worst (largest error or lowest score) and number of one figure."""
    found = np.asarray(values, dtype=float)
    low_is_good = name.endswith(LOWER_IS_BETTER) and not name.endswith("seen_share")
    worst = float(found[np.argmax(np.abs(found))]) if low_is_good else float(found.min())
    sd = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    return {"mean": float(found.mean()), "sd": sd, "worst": worst, "n": len(found)}


def gather(cases: Sequence[Mapping[str, Mapping[str, float]]]) -> Summary:
    """Stage -> figure -> summary, from the figures of each case; figures that are not numbers are left out."""
    values: dict[str, dict[str, list[float]]] = {}
    for case in cases:
        for stage, figures in case.items():
            for name, value in figures.items():
                if np.isfinite(value):
                    values.setdefault(stage, {}).setdefault(name, []).append(float(value))
    return {stage: {name: describe(name, v) for name, v in figures.items()} for stage, figures in values.items()}


def summarise(cases: Sequence[CaseFigures]) -> Summary:
    """All figures of all stages, with those that need all cases together (correlation, AUROC)."""
    summary = gather([c.figures for c in cases])
    for name, value in metrics.pool([c.samples for c in cases]).items():
        count = sum(len(c.samples.get("true", [])) for c in cases)
        summary.setdefault("perfusion", {})[name] = {"mean": value, "n": count}
    return summary


def summarise_peers(cases: Sequence[CaseFigures]) -> dict[str, Summary]:
    """Peer -> stage -> figure, and ours on the very cases that peers were run on; 'predict the mean' for landmarks."""
    compared = [c for c in cases if c.peers]
    names = dict.fromkeys(name for c in compared for name in c.peers)
    peers = {name: gather([c.peers[name] for c in compared if name in c.peers]) for name in names}
    if compared:
        stages = {stage for c in compared for of_peer in c.peers.values() for stage in of_peer}
        peers[OURS] = gather([{s: f for s, f in c.figures.items() if s in stages} for c in compared])
    marks = [c.samples["marks"] for c in cases if "marks" in c.samples]
    if len(marks) > 1:
        peers["predict_the_mean"] = gather([{"landmarks": figures} for figures in predict_the_mean(marks)])
        mine = gather([{"landmarks": c.figures["landmarks"]} for c in cases if "marks" in c.samples])
        peers[OURS] = {**peers.get(OURS, {}), **mine}
    seen = [c for c in compared or cases if "ct_marks" in c.samples]
    if len(seen) > 1:
        guessed = ct_figures.predict_the_mean([c.samples["ct_marks"] for c in seen])
        peers.setdefault("predict_the_mean", {}).update(gather([{"reorientation": figures} for figures in guessed]))
        mine = gather([{"reorientation": c.figures["reorientation"]} for c in seen])
        peers[OURS] = {**mine, **peers.get(OURS, {})}
    return peers


def lines(summary: Summary, peers: Mapping[str, Summary]) -> Iterator[str]:
    """The figures as lines of text."""
    yield "On synthetic hearts (digital twin):"
    for title, part in ((None, summary), *peers.items()):
        if title:
            yield f"peer {title}:"
        for stage, figures in part.items():
            for name, d in figures.items():
                spread = f" ± {d['sd']:.3f}, worst {d['worst']:.3f}" if "sd" in d else ""
                yield f"  {stage:<14} {name:<24} {d['mean']:.3f}{spread} (n {d['n']:.0f})"


def document(
    cases: Sequence[CaseFigures], seed: int, wanted: int, spacing_mm: float, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The evaluation file: one object, stage -> metric -> summary, and ``peers`` likewise."""
    return {
        "what": "digital twins (synthetic hearts), not patients",
        **facts,
        "seed": seed,
        "cases": wanted,
        "ct_spacing_mm": spacing_mm,
        "failures": {str(c.seed): c.failures for c in cases if c.failures},
        **summarise(cases),
        "peers": summarise_peers(cases),
        "each": [{"seed": c.seed, "kind": c.kind, **c.figures} for c in cases],
    }
