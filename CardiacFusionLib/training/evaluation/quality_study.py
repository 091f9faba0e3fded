"""Does the quality score see failure? Good twins against as many inputs that nothing should be read from."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from CardiacFusionLib import __version__
from CardiacFusionLib.io.checks import check_contrast, check_ct
from CardiacFusionLib.pipeline.stages import Examinations, run
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation import ct_figures
from CardiacFusionLib.training.evaluation.cache import fingerprint
from CardiacFusionLib.training.evaluation.corruption import CORRUPTIONS, HEARTLESS, SPACING_MM, good
from CardiacFusionLib.training.evaluation.resumable import Found, Job, place, resumed
from CardiacFusionLib.twin.case import draw_twin

GOOD = "good"
RIGHT = {"axis_deg": 5.0, "roll_deg": 10.0, "centre_mm": 5.0}  # what ``reorientation.certainty`` calls a right pose
OTHER_HEARTS = 500_000  # corrupted inputs are made of other hearts than the good ones


def look(ct: Volume, truth: HeartPose) -> Found:
    """``score`` 0..1 and ``level`` the way the pipeline would have given them; a refused input scores 0. For an input
    that was not refused also the pose's ``confidence`` and whether it was ``right``, in the sense of the confidence."""
    try:
        check_ct(ct)
        check_contrast(ct)
        results = run(Examinations(ct), upto="segment")
    except CardiacFusionError as error:
        return {"score": 0.0, "level": Level.UNUSABLE.name.lower(), "refused": str(error)}
    assert results.ct_walls is not None and results.ct_walls.score is not None and results.reorientation is not None
    quality = results.quality
    reasons = [flag.reason for flag in quality.flags]
    pose = results.reorientation.pose
    away = ct_figures.pose_figures(pose, truth)
    right = all(away[name] <= limit for name, limit in RIGHT.items())
    told = {"confidence": pose.confidence, "right": right}
    return {"score": results.ct_walls.score, "level": quality.level.name.lower(), "reasons": reasons, **told}


def one_input(kind: str, seed: int) -> Found:
    """Make the input of ``kind`` from the twin of ``seed`` and look at it."""
    torch.set_num_threads(max(1, int(os.environ.get("CARDIACFUSION_THREADS", "1"))))
    start = time.perf_counter()
    drawn = draw_twin(seed)
    name = int(hashlib.sha256(kind.encode()).hexdigest()[:8], 16)
    maker = good if kind == GOOD else CORRUPTIONS[kind]
    ct = maker(drawn, np.random.default_rng((seed, name)))
    return {"kind": kind, "seed": seed, **look(ct, drawn.ct_pose), "seconds": time.perf_counter() - start}


def inputs(cases: int, seed: int) -> list[Job]:
    """``cases`` good twins and as many spoilt inputs, all kinds in turn."""
    kinds = list(CORRUPTIONS)
    spoilt: list[Job] = [(kinds[k % len(kinds)], seed + OTHER_HEARTS + k) for k in range(cases)]
    return [*((GOOD, seed + k) for k in range(cases)), *spoilt]


def quality_figures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """AUROC of the score, how often a heartless or spoilt input was called good, and the same for every kind."""
    sound = np.array([f["score"] for f in found if f["kind"] == GOOD])
    spoilt = np.array([f["score"] for f in found if f["kind"] != GOOD])
    figures: dict[str, Any] = {}
    if sound.size and spoilt.size:
        u = stats.mannwhitneyu(sound, spoilt).statistic
        figures["auroc"] = {"mean": float(u / (sound.size * spoilt.size)), "n": int(sound.size + spoilt.size)}
    for kind in dict.fromkeys(f["kind"] for f in found):
        of_kind = [f for f in found if f["kind"] == kind]
        levels = [f["level"] for f in of_kind]
        figures[f"{kind}_called_good"] = {"mean": levels.count("good") / len(levels), "n": len(levels)}
        figures[f"{kind}_stopped"] = {"mean": levels.count("unusable") / len(levels), "n": len(levels)}
        figures[f"{kind}_score"] = {"mean": float(np.mean([f["score"] for f in of_kind])), "n": len(levels)}
    figures |= _confidence_figures([f for f in found if "confidence" in f])
    heartless = [f["level"] == "good" for f in found if f["kind"] in HEARTLESS]
    if heartless:
        figures["heartless_called_good"] = {"mean": float(np.mean(heartless)), "n": len(heartless)}
    return figures


def _confidence_figures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Is a pose right as often as its confidence says? Mean confidence, share of right poses, Brier score, and share of
    right ones above and below 0.5."""
    if not found:
        return {}
    told = np.array([f["confidence"] for f in found])
    right = np.array([f["right"] for f in found], float)
    figures = {"confidence": told, "confidence_right": right, "confidence_brier": (told - right) ** 2}
    for name, part in (("sure", told >= 0.5), ("unsure", told < 0.5)):
        figures[f"confidence_{name}_right"] = right[part]
    return {name: {"mean": float(v.mean()), "n": int(v.size)} for name, v in figures.items() if v.size}


def evaluate_quality(
    cases: int, seed: int, json_file: Path | None, workers: int = 2, cache: Path | None = None
) -> Iterator[str]:
    """``cases`` good twins and as many spoilt inputs (2.5 mm voxels); lines for the reader, figures as JSON.

    Goes on after an interruption like :func:`run.evaluate`.
    """
    started = time.perf_counter()
    found: dict[Job, Found] = {}
    with place(cache, json_file) as folder:
        for job, one in resumed(inputs(cases, seed), one_input, folder, fingerprint(SPACING_MM), workers):
            found[job] = one
            yield f"[{len(found)}/{2 * cases}] {one['kind']} {one['seed']}: {one['level']} {one['score']:.3f}"
    ordered = [found[job] for job in inputs(cases, seed)]
    figures = quality_figures(ordered)
    document = {
        "what": "digital twins (synthetic hearts) and inputs spoilt on purpose",
        "version": __version__,
        "seed": seed,
        "cases": cases,
        "ct_spacing_mm": SPACING_MM,
        "wall_seconds": time.perf_counter() - started,
        "quality": figures,
        "each": ordered,
    }
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, value in figures.items():
        yield f"  quality {name:<32} {value['mean']:.3f} (n {value['n']})"
