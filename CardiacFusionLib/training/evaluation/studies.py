"""Studies of one stage by itself: perfusion under free breathing, coronaries at the resolution of a clinical CT."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from CardiacFusionLib import __version__
from CardiacFusionLib.training.evaluation.cache import fingerprint
from CardiacFusionLib.training.evaluation.resumable import place, resumed
from CardiacFusionLib.training.evaluation.summary import gather

FINE = "coronaries_fine"
BREATHING = "perfusion_study"


# what a breathing heart's figures depend on: nothing of the CT's side
BREATHING_ROOMS = (
    *("spatial", "perfusion", "networks/blocks.py", "networks/chamber_unet.py", "models/loading.py"),
    *("twin/case.py", "twin/cmr", "twin/flow", "twin/heart"),
    *("walls/cmr.py", "walls/cmr_find.py", "walls/cmr_input.py", "walls/cmr_stack.py", "walls/cmr_tidy.py"),
    *("walls/phases_cmr.py", "walls/result.py"),
    *("training/evaluation/perfusion_study.py", "training/evaluation/motion_figures.py"),
)


def _key(word: str) -> str:
    if word == BREATHING:
        return fingerprint(0.0, BREATHING_ROOMS, ("cmr_walls",))
    return fingerprint(0.0)


def _quiet() -> None:
    torch.set_num_threads(max(1, int(os.environ.get("CARDIACFUSION_THREADS", "1"))))


def fine_coronaries_case(seed: int) -> dict[str, Any]:
    """Figures of the coronary stage on one twin at 0.4 x 0.4 x 0.5 mm, with true walls."""
    from CardiacFusionLib.coronaries.stage import extract
    from CardiacFusionLib.training.evaluation.fine_coronaries import figures_of, fine_case

    _quiet()
    case = fine_case(seed)
    start = time.perf_counter()
    tree = extract(case.ct, case.walls, case.walls.pose)
    return {"kind": case.kind, "figures": {**figures_of(tree, case.tree), "seconds": time.perf_counter() - start}}


def breathing_case(seed: int) -> dict[str, Any]:
    """Figures of the perfusion stage on one twin that breathes, with true and with the network's walls."""
    from CardiacFusionLib.training.evaluation.perfusion_study import study_case, study_twin

    _quiet()
    return asdict(study_case(seed, study_twin(seed)))


def _fine_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    return gather([{FINE: case["figures"]} for case in found])


def _breathing_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    from CardiacFusionLib.training.evaluation.perfusion_study import StudyCase, summarise

    return {BREATHING: summarise([StudyCase(**case) for case in found])}


STUDIES: dict[str, tuple[str, Callable[[int], dict[str, Any]], Callable[[list[dict[str, Any]]], dict[str, Any]]]] = {
    FINE: ("digital twins (synthetic), CT 0.4 x 0.4 x 0.5 mm, true walls", fine_coronaries_case, _fine_summary),
    BREATHING: ("digital twins (synthetic) that breathe freely, CMR only", breathing_case, _breathing_summary),
}


def evaluate_study(
    word: str, cases: int, seed: int, json_file: Path | None, workers: int = 2, cache: Path | None = None
) -> Iterator[str]:
    """Run the study ``word`` (a key of ``STUDIES``) on ``cases`` twins; lines for the reader, figures as JSON."""
    what, work, summarise = STUDIES[word]
    started = time.perf_counter()
    found: dict[int, dict[str, Any]] = {}
    with place(cache, json_file) as folder:
        jobs = [(one,) for one in range(seed, seed + cases)]
        for job, case in resumed(jobs, work, folder, _key(word), workers):
            found[int(job[0])] = case
            yield f"[{len(found)}/{cases}] seed {job[0]} ({case['kind']})"
    summary = summarise([found[one] for one in sorted(found)])
    facts = {"version": __version__, "seed": seed, "cases": cases, "wall_seconds": time.perf_counter() - started}
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        document = {"what": what, **facts, **summary}
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    yield json.dumps(summary, indent=1)
