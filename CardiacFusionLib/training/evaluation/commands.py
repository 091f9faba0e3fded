"""What ``cardiacfusion evaluate WORD`` runs: stages on twins, spoilt inputs, real images, or the page of figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.training.evaluation.studies import STUDIES, evaluate_study


def run_command(
    word: str,
    cases: int,
    seed: int,
    json_file: Path | None,
    spacing_mm: float,
    workers: int,
    peers: int,
    cache: Path | None,
    page: Path | None,
) -> Iterator[str]:
    """Lines for the reader of one ``evaluate`` command. Raises BadInputError for an unknown word."""
    if word == "quality":
        from CardiacFusionLib.training.evaluation.quality_study import evaluate_quality

        yield from evaluate_quality(cases, seed, json_file, workers, cache)
    elif word in STUDIES:
        yield from evaluate_study(word, cases, seed, json_file, workers, cache)
    elif word == "real":
        from CardiacFusionLib.training.evaluation.real import evaluate_real

        yield from evaluate_real(json_file)
    elif word == "report":
        from CardiacFusionLib.training.evaluation.report import write_page

        if page is None or json_file is None:
            raise BadInputError("The page needs --json (an evaluation file or a folder of them) and --out.")
        yield from write_page(json_file, page)
    else:
        from CardiacFusionLib.training.evaluation.run import evaluate

        yield from evaluate(word, cases, seed, json_file, spacing_mm, workers, peers=peers, cache=cache)
