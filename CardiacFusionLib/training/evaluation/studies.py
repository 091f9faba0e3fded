"""Studies of one stage by itself: perfusion under free breathing, coronaries at the resolution of a clinical CT."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from CardiacFusionLib import __version__
from CardiacFusionLib.pipeline.progress import peak_memory_mb
from CardiacFusionLib.pipeline.stages import Examinations, Given, run
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.cache import fingerprint
from CardiacFusionLib.training.evaluation.resumable import place, resumed
from CardiacFusionLib.training.evaluation.summary import gather

FINE = "coronaries_fine"
FINDINGS = "findings_fine"
ROBUST = "coronaries_robust"
ROBUST_POINTS = 5.0  # of overlap: what a disturbance may cost without being flagged
BREATHING = "perfusion_study"
LONG_AXIS = "long_axis"


# what a breathing heart's figures depend on: nothing of the CT's side
BREATHING_ROOMS = (
    *("spatial", "perfusion", "networks/blocks.py", "networks/chamber_unet.py", "models/loading.py"),
    *("twin/case.py", "twin/cmr", "twin/flow", "twin/heart"),
    *("walls/cmr.py", "walls/cmr_find.py", "walls/cmr_input.py", "walls/cmr_stack.py", "walls/cmr_tidy.py"),
    *("walls/phases_cmr.py", "walls/result.py"),
    *("training/evaluation/perfusion_study.py", "training/evaluation/motion_figures.py"),
)
# what a tree read from a CT alone depends on: nothing of the CMR's side
FINE_ROOMS = (
    *("spatial", "reorientation", "coronaries", "networks", "models/loading.py", "models/cubes.py"),
    *("walls/ct.py", "walls/plausibility.py", "walls/result.py", "twin/case.py", "twin/ct", "twin/coronary"),
    *("twin/heart", "training/evaluation/fine_coronaries.py", "training/evaluation/fine_disturbances.py"),
)
# what the landmarks of the long-axis views depend on
LONG_AXIS_ROOMS = (
    *("spatial", "networks/blocks.py", "networks/chamber_unet.py", "models/loading.py", "registration/ends.py"),
    *("twin/cmr/long_axis.py", "twin/cmr/painting.py", "twin/cmr/surroundings.py", "twin/cmr/tissue.py", "twin/heart"),
    *("walls/long_axis.py", "walls/cmr_insertions.py", "walls/cmr_input.py", "walls/result.py"),
    *("training/evaluation/long_axis_study.py",),
)


def _key(word: str) -> str:
    if word == LONG_AXIS:
        return fingerprint(0.0, LONG_AXIS_ROOMS, ("cmr_long_axis",))
    if word == BREATHING:
        return fingerprint(0.0, BREATHING_ROOMS, ("cmr_walls",))
    if word in (FINE, ROBUST):
        return fingerprint(0.0, FINE_ROOMS, ("ct_chambers", "ct_pose", "ct_walls"))
    return fingerprint(0.0)


def _quiet() -> None:
    torch.set_num_threads(max(1, int(os.environ.get("CARDIACFUSION_THREADS", "1"))))


def fine_coronaries_case(seed: int) -> dict[str, Any]:
    """Figures of the coronary stage on one twin at 0.4 x 0.4 x 0.5 mm, from its picture alone.

    ``seconds``: of the processor, for the coronary stage; ``all_seconds`` with pose and walls; ``rss_mb``: peak memory.
    """
    return _fine_tree(seed)[0]


def _fine_tree(seed: int) -> tuple[dict[str, Any], Volume, Given]:
    """The figures, the CT, and what its stages found in it."""
    from CardiacFusionLib.coronaries.stage import extract
    from CardiacFusionLib.reorientation.stage import reorient
    from CardiacFusionLib.training.evaluation.fine_coronaries import conflicts, figures_of, fine_case, patient_of
    from CardiacFusionLib.walls.ct import segment_ct

    _quiet()
    case = fine_case(seed)
    start = time.process_time()
    first = reorient(case.ct)
    walls = segment_ct(case.ct, first)
    begun = time.process_time()
    tree = extract(case.ct, walls, walls.pose)
    end = time.process_time()
    figures = {
        **figures_of(tree, case.tree),
        "seconds": end - begun,
        "all_seconds": end - start,
        "megavoxels": case.ct.array.size / 1e6,
    }
    peak = peak_memory_mb()
    if peak is not None:
        figures["rss_mb"] = peak
    flags = [flag.name for flag in (*walls.quality.flags, *tree.quality.flags)]
    found = {"kind": case.kind, "figures": figures, "flags": flags, "conflicts": conflicts(patient_of(seed))}
    return found, case.ct, Given(first, walls, tree)


def fine_findings_case(seed: int) -> dict[str, Any]:
    """The fine CT of :func:`fine_coronaries_case` brought together with the seed's CMR: what is told to the reader.

    From the images alone. ``failure``: the sentence of the error that ended it, if one did.
    """
    from CardiacFusionLib.spatial.errors import CardiacFusionError
    from CardiacFusionLib.training.evaluation.metrics import fusion
    from CardiacFusionLib.twin.case import draw_twin

    found, ct, given = _fine_tree(seed)
    drawn = draw_twin(seed)
    cmr = drawn.cmr()
    series = (cmr.stress.series, cmr.rest.series if cmr.rest is not None else None)
    try:
        results = run(Examinations(ct, *series), given=given)
    except CardiacFusionError as error:
        return found | {"fusion": {}, "failure": str(error)}
    assert results.fusion is not None
    told = [{"kind": f.kind, "vessel": f.vessel, "sentence": f.sentence} for f in results.fusion.findings]
    return found | {"fusion": fusion(results, drawn), "culprits": list(drawn.culprits), "told": told}


def robust_coronaries_case(seed: int) -> dict[str, Any]:
    """What each disturbance of one fine twin's picture costs in points of overlap, and whether it is flagged anew."""
    from CardiacFusionLib.spatial.errors import CardiacFusionError
    from CardiacFusionLib.training.evaluation.fine_coronaries import figures_of, fine_case, seen
    from CardiacFusionLib.training.evaluation.fine_disturbances import DISTURBANCES

    _quiet()
    plain = fine_case(seed)
    tree = seen(plain.ct)
    first = figures_of(tree, plain.tree)
    known = {flag.name for flag in tree.quality.flags}
    found: dict[str, dict[str, float]] = {"plain": first}
    for k, (name, disturb) in enumerate(DISTURBANCES.items()):
        case = disturb(plain, np.random.default_rng([seed, 9, k]))
        try:
            tree = seen(case.ct)
        except CardiacFusionError:
            found[name] = {"overlap": 0.0, "cost_points": 100 * first["overlap"], "flagged": 1.0, "passed": 1.0}
            continue
        figures = figures_of(tree, case.tree)
        cost = 100 * (first["overlap"] - figures["overlap"])
        flagged = float(bool({flag.name for flag in tree.quality.flags} - known))
        passed = float(cost <= ROBUST_POINTS or flagged > 0)
        found[name] = {**figures, "cost_points": cost, "flagged": flagged, "passed": passed}
    return {"kind": plain.kind, "figures": found}


def breathing_case(seed: int) -> dict[str, Any]:
    """Figures of the perfusion stage on one twin that breathes, with true and with the network's walls."""
    from CardiacFusionLib.training.evaluation.perfusion_study import study_case, study_twin

    _quiet()
    return asdict(study_case(seed, study_twin(seed)))


def long_axis_views_case(seed: int) -> dict[str, Any]:
    """Landmarks in the 2-, 3- and 4-chamber view of one twin."""
    from CardiacFusionLib.training.evaluation.long_axis_study import long_axis_case

    _quiet()
    return long_axis_case(seed)


def _fine_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all hearts, and of those whose drawn tree has no conflict."""
    everyone = gather([{FINE: case["figures"]} for case in found])
    possible = gather([{FINE: case["figures"]} for case in found if not case["conflicts"]])
    return {FINE: {**everyone.get(FINE, {}), "drawn trees without conflict": possible.get(FINE, {})}}


def _findings_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    told = gather([{FINDINGS: case["fusion"]} for case in found])
    failures = [case["failure"] for case in found if "failure" in case]
    return {**_fine_summary(found), FINDINGS: told.get(FINDINGS, {}), "failures_of_findings": failures}


def _robust_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {ROBUST: gather([case["figures"] for case in found])}


def _breathing_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    from CardiacFusionLib.training.evaluation.perfusion_study import StudyCase, summarise

    return {BREATHING: summarise([StudyCase(**case) for case in found])}


def _long_axis_summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    from CardiacFusionLib.training.evaluation.long_axis_study import summarise_long_axis

    return {LONG_AXIS: summarise_long_axis(found)}


STUDIES: dict[str, tuple[str, Callable[[int], dict[str, Any]], Callable[[list[dict[str, Any]]], dict[str, Any]]]] = {
    FINE: ("digital twins (synthetic), CT 0.4 x 0.4 x 0.5 mm, from the CT alone", fine_coronaries_case, _fine_summary),
    FINDINGS: (
        "digital twins (synthetic), CT 0.4 x 0.4 x 0.5 mm and first-pass CMR, what is told from the images alone",
        fine_findings_case,
        _findings_summary,
    ),
    ROBUST: ("fine digital twins (synthetic), the CT disturbed", robust_coronaries_case, _robust_summary),
    LONG_AXIS: ("digital twins (synthetic), long-axis views", long_axis_views_case, _long_axis_summary),
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
