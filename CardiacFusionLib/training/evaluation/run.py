"""``cardiacfusion evaluate``: the whole way on unseen twins, and one JSON file of figures."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from CardiacFusionLib import __version__
from CardiacFusionLib.pipeline.stages import Examinations, Results, run
from CardiacFusionLib.spatial.errors import BadInputError, CardiacFusionError
from CardiacFusionLib.training.evaluation import metrics
from CardiacFusionLib.twin.case import make_twin

# a stage of the evaluation -> how far the pipeline must run for it
NEEDS = {
    "reorientation": "segment",
    "ct_walls": "segment",
    "coronaries": "coronaries",
    "cmr_walls": "register",
    "aif": "register",
    "landmarks": "register",
    "registration": "register",
    "perfusion": "register",
    "fusion": "fuse",
}
ORDER = ("segment", "coronaries", "register", "fuse")
LOWER_IS_BETTER = ("_deg", "_mm", "_percent", "_share", "false_stenoses", "seconds", "rss_mb", "_ml_min_g")


@dataclass(frozen=True)
class CaseFigures:
    """What one synthetic heart gave."""

    seed: int
    kind: str
    figures: Mapping[str, Mapping[str, float]]
    samples: Mapping[str, list[float]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    rss_mb: float = 0.0
    failure: str | None = None


def evaluate_case(seed: int, *, stages: tuple[str, ...], spacing_mm: float) -> CaseFigures:
    """Make the twin of ``seed``, run the pipeline as far as the stages need, and compare with the truth."""
    torch.set_num_threads(max(1, int(os.environ.get("CARDIACFUSION_THREADS", "1"))))
    case = make_twin(seed, ct_spacing_mm=(spacing_mm,) * 3)
    upto = max((NEEDS[s] for s in stages), key=ORDER.index)
    try:
        results = run(Examinations(case.ct, case.stress, case.rest), upto=upto)
    except CardiacFusionError as error:
        return CaseFigures(seed, case.truth.kind, {}, failure=str(error))
    samples: dict[str, list[float]] = {}
    figures: dict[str, Mapping[str, float]] = {}
    for stage in stages:
        if stage == "perfusion":
            figures[stage], samples = metrics.perfusion(results, case.truth)
        else:
            figures[stage] = getattr(metrics, stage)(results, case.truth)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return CaseFigures(seed, case.truth.kind, figures, samples, dict(results.seconds), rss)


def summarise(cases: list[CaseFigures]) -> dict[str, Any]:
    """Mean, SD, worst and n of every figure, stage by stage; pooled figures have n only."""
    summary: dict[str, Any] = {}
    for case in cases:
        for stage, figures in case.figures.items():
            for name, value in figures.items():
                if np.isfinite(value):
                    summary.setdefault(stage, {}).setdefault(name, []).append(value)
    for stage, figures in summary.items():
        summary[stage] = {name: _describe(name, np.array(values)) for name, values in figures.items()}
    pooled = metrics.pool([c.samples for c in cases])
    for name, value in pooled.items():
        summary.setdefault("perfusion", {})[name] = {
            "mean": value,
            "n": sum(len(c.samples.get("true", [])) for c in cases),
        }
    seconds: dict[str, list[float]] = {}
    for case in cases:
        for stage, value in case.seconds.items():
            seconds.setdefault(stage, []).append(value)
    summary["cost"] = {
        "seconds": {s: _describe("seconds", np.array(v)) for s, v in seconds.items()},
        "rss_mb": max((c.rss_mb for c in cases), default=0.0),
    }
    return summary


def _describe(name: str, values: np.ndarray) -> dict[str, float | int]:
    low_is_good = any(name.endswith(end) for end in LOWER_IS_BETTER)
    worst = float(values[np.argmax(np.abs(values))]) if low_is_good else float(values.min())
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "sd": sd, "worst": worst, "n": len(values)}


def evaluate(
    stage: str, cases: int, seed: int, json_file: Path | None, spacing_mm: float = 1.0, workers: int = 2
) -> Iterator[str]:
    """Evaluate ``stage`` (or "all") on the twins ``seed`` … ``seed + cases - 1``; yields lines for the reader.

    Writes the evaluation file of the design where ``json_file`` is given. All figures are on synthetic hearts.
    """
    if stage != "all" and stage not in NEEDS:
        raise BadInputError(f"No stage is called '{stage}'; choose all or one of {', '.join(NEEDS)}.")
    stages = tuple(NEEDS) if stage == "all" else (stage,)
    work = partial(evaluate_case, stages=stages, spacing_mm=spacing_mm)
    seeds = range(seed, seed + cases)
    start, done = time.perf_counter(), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(workers, cases), mp_context=context) as pool:
        for result in pool.map(work, seeds):
            done.append(result)
            yield _line(result, len(done), cases)
    summary = summarise(done)
    failures = {str(c.seed): c.failure for c in done if c.failure}
    document = {
        "what": "digital twins (synthetic hearts), not patients",
        "version": __version__,
        "seed": seed,
        "cases": cases,
        "ct_spacing_mm": spacing_mm,
        "wall_seconds": time.perf_counter() - start,
        "failures": failures,
        **summary,
        "peers": {},
        "each": [{"seed": c.seed, "kind": c.kind, "failure": c.failure, **c.figures} for c in done],
    }
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    yield from table(summary)
    if failures:
        yield f"failed: {len(failures)} of {cases}: {failures}"


def table(summary: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines of text."""
    yield "On synthetic hearts (digital twin):"
    for stage, figures in summary.items():
        if stage == "cost":
            continue
        for name, d in figures.items():
            spread = f" ± {d['sd']:.3f}, worst {d['worst']:.3f}" if "sd" in d else ""
            yield f"  {stage:<14} {name:<24} {d['mean']:.3f}{spread} (n {d['n']})"
    for stage, d in summary["cost"]["seconds"].items():
        yield f"  {stage:<14} {'seconds':<24} {d['mean']:.1f} ± {d['sd']:.1f}, worst {d['worst']:.1f}"
    yield f"  peak memory {summary['cost']['rss_mb']:.0f} MB"


def _line(case: CaseFigures, done: int, of: int) -> str:
    if case.failure:
        return f"[{done}/{of}] seed {case.seed} ({case.kind}): failed: {case.failure}"
    pose, walls, fused = (case.figures.get(s, {}) for s in ("reorientation", "ct_walls", "fusion"))
    parts = [f"{k} {v:.2f}" for group in (pose, walls, fused) for k, v in group.items()]
    return f"[{done}/{of}] seed {case.seed} ({case.kind}): " + ", ".join(parts)


__all__ = ["CaseFigures", "Results", "evaluate", "evaluate_case", "summarise"]
