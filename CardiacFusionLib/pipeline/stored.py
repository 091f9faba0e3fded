"""All stage results of a case, and the reader's corrections, in its folder: a correction starts where the run ended.

``stages.npz`` holds the automatic results and never changes; ``corrections.npz`` what the reader did since. The CT and
the acquired series stay out of it (they are the inputs), and so does the field of the motion correction: the series
kept is the corrected one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.pipeline.correct import Correction
from CardiacFusionLib.pipeline.packing import read_packed, write_packed
from CardiacFusionLib.pipeline.stages import Examinations, Results
from CardiacFusionLib.spatial.errors import BadInputError

STAGES_FILE, CORRECTIONS_FILE = "stages.npz", "corrections.npz"


def write_stages(results: Results, path: Path) -> None:
    """Write the results of all stages that ran (lossless) to ``path``; OSError where that fails."""

    def light(study: Perfusion | None) -> Perfusion | None:
        if study is None or study.motion is None:
            return study
        return replace(study, motion=replace(study.motion, displacement_mm=None))

    kept = replace(results, examinations=Examinations(), stress=light(results.stress), rest=light(results.rest))
    write_packed(kept, path)


def read_stages(folder: Path) -> Results:
    """The automatic results of a case folder (without its CT); BadInputError where it has none or they are damaged."""
    results = read_packed(folder / STAGES_FILE)
    if not isinstance(results, Results) or results.fusion is None:
        raise BadInputError(f"{folder.name} holds no fused case; run 'cardiacfusion fuse' to its end.")
    return results


def write_corrections(corrections: Sequence[Correction], folder: Path) -> None:
    """Write ``corrections.npz`` whole or not at all; without corrections the file is taken away."""
    path = folder / CORRECTIONS_FILE
    if not corrections:
        path.unlink(missing_ok=True)
        return
    draft = path.with_name(f".{path.name}.partial")
    try:
        write_packed(tuple(corrections), draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_corrections(folder: Path) -> tuple[Correction, ...]:
    """The corrections kept in a case folder, in their order; none where there is no such file."""
    path = folder / CORRECTIONS_FILE
    if not path.is_file():
        return ()
    found = read_packed(path)
    if not isinstance(found, tuple) or not all(isinstance(c, Correction) for c in found):
        raise BadInputError(f"{path.name} of {folder.name} is damaged; delete it to go back to the automatic results.")
    return found
