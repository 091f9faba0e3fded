"""``cardiacfusion evaluate``: stages on unseen twins, peers on the same images, and one JSON file of figures."""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from CardiacFusionLib import __version__
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.training.evaluation.cache import Cache, fingerprint
from CardiacFusionLib.training.evaluation.case import STAGES, CaseFigures, evaluate_case
from CardiacFusionLib.training.evaluation.studies import STUDIES
from CardiacFusionLib.training.evaluation.summary import document, lines

SHOWN = ("axis_deg", "roll_deg", "centre_mm", "cavity_dice", "myocardium_dice", "wall_dice", "rv_insertion_mm",
         "found", "in_image_mm", "overlap", "mbf_bias_percent", "first_vessel")  # fmt: skip


def stages_of(text: str) -> frozenset[str]:
    """The stages named in ``text``: "all", one, or several with commas. BadInputError names the known ones."""
    wanted = frozenset(STAGES) if text == "all" else frozenset(filter(None, text.split(",")))
    unknown = sorted(wanted - set(STAGES))
    if unknown or not wanted:
        known = ", ".join((*STAGES, "quality", *STUDIES, "real", "report"))
        raise BadInputError(f"No stage is called '{', '.join(unknown) or text}'; choose all or some of {known}.")
    return wanted


def evaluate(
    stage: str,
    cases: int,
    seed: int,
    json_file: Path | None,
    spacing_mm: float = 1.0,
    workers: int = 2,
    *,
    peers: int = 0,
    cache: Path | None = None,
) -> Iterator[str]:
    """Evaluate ``stage`` (one, several with commas, or "all") on the twins ``seed`` … ``seed + cases - 1``.

    Yields lines for the reader and writes the evaluation file of the design where ``json_file`` is given. The first
    ``peers`` cases are also given to every peer. Finished cases are kept in ``cache`` (default: a folder beside the
    JSON file), so that the same command after an interruption goes on. All figures are on synthetic hearts.
    """
    stages = stages_of(stage)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = cache or (json_file.with_suffix(".cases") if json_file is not None else Path(scratch))
        store = Cache(folder, fingerprint(spacing_mm))
        done: dict[int, CaseFigures] = {}
        todo: dict[int, tuple[frozenset[str], bool]] = {}
        for one in range(seed, seed + cases):
            known = store.read(one)
            if known is not None:
                done[one] = known
            missing = stages if known is None or known.failures else stages - set(known.figures)
            compare = one < seed + peers
            if missing or (compare and not known_peers(known, stages)):
                todo[one] = (stages if compare else missing, compare)
        if len(todo) < cases:
            yield f"{cases - len(todo)} of {cases} hearts were evaluated before; going on with the rest"
        for case in _computed(todo, spacing_mm, workers):
            done[case.seed] = done[case.seed].together(case) if case.seed in done else case
            store.write(done[case.seed])
            del todo[case.seed]
            yield f"[{cases - len(todo)}/{cases}] {_line(done[case.seed])}"
    ordered = [done[one] for one in sorted(done)]
    facts = {"version": __version__, "wall_seconds": time.perf_counter() - started, "peer_cases": peers}
    result = document(ordered, seed, cases, spacing_mm, facts)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(_rounded(result), indent=1) + "\n", encoding="utf-8")
    yield from lines({s: result[s] for s in STAGES if s in result}, result["peers"])
    if result["failures"]:
        yield f"failed: {len(result['failures'])} of {cases}: {result['failures']}"


def known_peers(case: CaseFigures | None, stages: frozenset[str]) -> bool:
    """Whether every peer of ``stages`` has been run on the case."""
    comparable = stages & {"reorientation", "registration"}
    have = {stage for of_peer in case.peers.values() for stage in of_peer} if case is not None else set()
    return comparable <= have


def _computed(todo: dict[int, tuple[frozenset[str], bool]], spacing_mm: float, workers: int) -> Iterator[CaseFigures]:
    """The cases as they are finished, in any order."""
    if not todo:
        return
    jobs = list(todo.items())
    if workers <= 1:
        for one, (stages, compare) in jobs:
            yield evaluate_case(one, stages, spacing_mm, compare)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(workers, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(evaluate_case, one, *wanted_first(job, spacing_mm)) for one, job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def wanted_first(job: tuple[frozenset[str], bool], spacing_mm: float) -> tuple[frozenset[str], float, bool]:
    """The arguments of :func:`evaluate_case` after the seed."""
    return job[0], spacing_mm, job[1]


def _rounded(value: object) -> object:
    """Five significant digits are more than any figure deserves, and make files that can be compared."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return value


def _line(case: CaseFigures) -> str:
    if case.failures:
        return f"seed {case.seed} ({case.kind}): failed: {case.failures}"
    named = {n: v for figures in case.figures.values() for n, v in figures.items() if n in SHOWN}
    return f"seed {case.seed} ({case.kind}): " + ", ".join(f"{n} {v:.2f}" for n, v in named.items())


__all__ = ["evaluate", "stages_of"]
