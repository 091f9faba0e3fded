"""A case folder with the reader's corrections: everything downstream of them written anew, the rest as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from CardiacFusionLib.io.case_folder import CASE_FILE, CaseWriter, EarlierCase, read_case, read_record, sha256_of
from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.pipeline.content import content_of
from CardiacFusionLib.pipeline.correct import Correction, recompute
from CardiacFusionLib.pipeline.files import write_json, write_results
from CardiacFusionLib.pipeline.progress import Listener, StageClock, silent
from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.pipeline.stored import STAGES_FILE, read_corrections, read_stages, write_corrections
from CardiacFusionLib.report.content import CaseContent, RunInfo
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

# the next correction, given the results with all before it
Step = Callable[[Results], Correction]


@dataclass(frozen=True)
class Reading:
    """A finished case as it stands: its automatic results and what the reader corrected since."""

    folder: Path
    earlier: EarlierCase
    automatic: Results
    corrections: tuple[Correction, ...]


def open_reading(folder: Path) -> Reading:
    """Read a fused case folder (not its CT). BadInputError where it is none, older or damaged."""
    earlier = read_case(folder)
    return Reading(folder, earlier, read_stages(folder), read_corrections(folder))


def ct_of(earlier: EarlierCase, given: Path | None = None) -> Volume:
    """The CT of a case, from ``given`` or from where the case read it; it must be the same file contents.

    Raises BadInputError with the way out where it is gone or has changed.
    """
    path = given or earlier.ct_path
    if path is None or not path.exists():
        raise BadInputError(f"The CT of the case, {path}, is gone; give its new place.")
    if earlier.ct_sha256 is not None and sha256_of(path) != earlier.ct_sha256:
        raise BadInputError(f"{path} is not the CT that this case was made from; give that one.")
    return read_ct(path)


def record_with(
    record: dict[str, Any], results: Results, corrections: Sequence[Correction], **more: Any
) -> dict[str, Any]:
    """``case.json`` with the corrections and the quality that follows from them."""
    quality = results.quality
    flags = [
        {"stage": f.stage, "name": f.name, "level": f.level.name.lower(), "reason": f.reason} for f in quality.flags
    ]
    return {
        **record,
        "corrections": [c.record() for c in corrections],
        "quality": {"level": quality.level.name.lower(), "flags": flags},
        **more,
    }


def save_record(
    folder: Path, results: Results, corrections: Sequence[Correction], accepted: bool, accepted_by: str = ""
) -> None:
    """Put corrections and acceptance into a case folder, each file whole or not at all.

    Only ``case.json`` and ``corrections.npz`` are touched; ``files_follow_corrections`` says whether the other files
    are those of the corrected case (they are after an export).
    """
    write_corrections(corrections, folder)
    earlier = read_record(folder)
    was = earlier.get("corrections", [])
    now = [c.record() for c in corrections]
    follow = bool(earlier.get("files_follow_corrections", True)) and was == now
    reader = {"accepted": accepted, "by": accepted_by}
    record = record_with(earlier, results, corrections, reader=reader, files_follow_corrections=follow)
    draft = folder / f".{CASE_FILE}.partial"
    try:
        write_json(record, draft)
        draft.replace(folder / CASE_FILE)
    finally:
        draft.unlink(missing_ok=True)


def correct_case(
    case: Path,
    out: Path,
    steps: Sequence[Step],
    *,
    undo: int = 0,
    pictures: bool = False,
    ct: Path | None = None,
    listener: Listener = silent,
) -> tuple[Results, tuple[Correction, ...]]:
    """Write ``case`` with ``undo`` corrections fewer and ``steps`` more to ``out`` (the same folder is allowed).

    Raises BadInputError where a correction does not fit or there is less to undo; then nothing is written.
    """
    clock = StageClock(listener)
    with clock.stage("read", "reading the case"):
        reading = open_reading(case)
    if undo > len(reading.corrections):
        raise BadInputError(f"The case holds {len(reading.corrections)} corrections; {undo} cannot be undone.")
    corrections = reading.corrections[: len(reading.corrections) - undo]
    with clock.stage("correct", "following the correction downstream"):
        results = recompute(reading.automatic, corrections)
        for step in steps:
            corrections = (*corrections, step(results))
        if steps:
            results = recompute(reading.automatic, corrections)
    write_case(reading, results, corrections, out, clock=clock, pictures=pictures, ct=ct)
    return results, corrections


def write_case(
    reading: Reading,
    results: Results,
    corrections: Sequence[Correction],
    out: Path,
    *,
    clock: StageClock | None = None,
    pictures: bool = False,
    ct: Path | None = None,
) -> None:
    """Write a corrected case folder, whole or not at all. Scene, views and report are made only with ``pictures``."""
    clock = clock or StageClock()
    record = record_with(reading.earlier.record, results, corrections, files_follow_corrections=True)
    with CaseWriter(out) as folder:
        with clock.stage("write", "writing the case folder"):
            write_results(results, folder)
            shutil.copyfile(reading.folder / STAGES_FILE, folder / STAGES_FILE)
            write_corrections(corrections, folder)
        flags: tuple[Flag, ...] = ()
        if pictures:
            flags = _pictures(reading, results, folder, clock, ct)
        record["quality"]["flags"] += [
            {"stage": f.stage, "name": f.name, "level": f.level.name.lower(), "reason": f.reason} for f in flags
        ]
        record["correction_seconds"] = dict(clock.seconds)
        write_json(record, folder / CASE_FILE)


def content_with(reading: Reading, results: Results, ct: Volume, title: str) -> CaseContent:
    """The results as report and scene take them; the CT is not kept with them."""
    record = reading.earlier.record
    inputs = record.get("inputs") or {}
    info = RunInfo(
        version=str((record.get("software") or {}).get("version", "")),
        inputs=tuple(f"{name}: {v['file']} (sha256 {v['sha256'][:12]})" for name, v in inputs.items()),
        weights={str(k): str(v) for k, v in (record.get("weights") or {}).items()},
        parameters={str(k): str(v) for k, v in (record.get("parameters") or {}).items()},
        timings_s={str(k): float(v) for k, v in (record.get("seconds") or {}).items()},
    )
    whole = replace(results, examinations=replace(results.examinations, ct=ct))
    return content_of(whole, info, reading.earlier.synthetic, title)


def _pictures(reading: Reading, results: Results, folder: Path, clock: StageClock, ct: Path | None) -> tuple[Flag, ...]:
    from CardiacFusionLib.mrml.outputs import write_scene_and_views
    from CardiacFusionLib.report.html import write_report

    with clock.stage("scene", "building the scene and the views"):
        content = content_with(reading, results, ct_of(reading.earlier, ct), "CardiacFusion case")
        outputs = write_scene_and_views(content, folder)
    flags = tuple(Flag("scene", "no_pictures", Level.DOUBTFUL, reason) for reason in outputs.problems)
    with clock.stage("report", "writing the report"):
        write_report(replace(content, quality=content.quality + Quality(flags)), outputs.views, folder / "report.html")
    return flags
