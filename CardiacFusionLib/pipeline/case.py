"""One run from files to a case folder: read at the door, run the stages, write whole or not at all."""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from CardiacFusionLib import __version__
from CardiacFusionLib.io.case_folder import CaseWriter, EarlierCase, read_case, sha256_of
from CardiacFusionLib.io.checks import check_contrast
from CardiacFusionLib.io.long_axis import read_long_axis
from CardiacFusionLib.io.markups import read_landmarks
from CardiacFusionLib.io.read import is_synthetic, read_ct, read_perfusion
from CardiacFusionLib.models.loading import choose_device
from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.perfusion.choices import Choices
from CardiacFusionLib.pipeline.content import content_of
from CardiacFusionLib.pipeline.dicom_out import write_dicom_results
from CardiacFusionLib.pipeline.files import write_json, write_results
from CardiacFusionLib.pipeline.progress import Listener, StageClock, peak_memory_mb, silent
from CardiacFusionLib.pipeline.stages import Examinations, Given, Results, run
from CardiacFusionLib.pipeline.stored import STAGES_FILE, write_stages
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.report.content import RunInfo
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.walls.result import CtWalls

DISCLAIMER = "Research tool, not for clinical use."


@dataclass(frozen=True)
class Request:
    """What the user asked for. ``case`` is an earlier case folder to go on from."""

    upto: str
    out: Path
    ct: Path | None = None
    stress: Path | None = None
    rest: Path | None = None
    case: Path | None = None
    landmarks: Path | None = None
    pictures: bool = False
    choices: Choices | None = None  # of the reader, about the perfusion series
    dicom: bool = False  # perfusion maps as DICOM too; they carry the source's patient
    long_axis: tuple[Path, ...] = ()  # long-axis views of the CMR examination


@dataclass(frozen=True)
class Outcome:
    """What the user is told at the end."""

    results: Results
    summary: tuple[str, ...]


def run_case(request: Request, listener: Listener = silent) -> Outcome:
    """Run the stages of ``request`` and write its case folder.

    Raises BadInputError, StageError or CancelledError with a sentence for the user; then no folder is left behind.
    """
    with CaseWriter(request.out) as folder:  # first, so that a folder that cannot be written ends the run at once
        clock = StageClock(listener)
        _use_threads()
        with clock.stage("read", "reading the examinations"):
            ct_path, given, shown = _earlier(request)
            examinations, inputs = _read(request, ct_path)
        given_files = (ct_path, request.stress, request.rest, *request.long_axis)
        synthetic = shown or any(is_synthetic(p) for p in given_files if p is not None)
        results = run(examinations, upto=request.upto, given=given, clock=clock)
        with clock.stage("write", "writing the case folder"):
            write_results(results, folder)
            if results.fusion is not None:
                write_stages(results, folder / STAGES_FILE)
            if request.dicom:
                write_dicom_results(results, {"stress": request.stress, "rest": request.rest}, folder)
        notes: tuple[Flag, ...] = ()
        if request.pictures and results.fusion is not None:
            notes = _pictures(results, folder, _run_info(inputs, clock), synthetic, clock)
        quality = results.quality + Quality(notes)
        by_reader = given.pose is not None
        write_json(_record(request, results, inputs, quality, synthetic, clock, by_reader), folder / "case.json")
    return Outcome(results, tuple(_summary(request, results, quality, synthetic)))


def _use_threads() -> None:
    import torch

    wanted = int(os.environ.get("CARDIACFUSION_THREADS", "0"))
    if wanted:
        torch.set_num_threads(wanted)


def _earlier(request: Request) -> tuple[Path | None, Given, bool]:
    """The CT and the finished stages of an earlier case, and the reader's landmarks; corrected ones win."""
    given, ct_path, synthetic = Given(), request.ct, False
    if request.case is not None:
        earlier = read_case(request.case)
        synthetic = earlier.synthetic
        if ct_path is None:
            ct_path = _unchanged(earlier)
            given = _stages_of(earlier, keep=request.landmarks is None)
            if earlier.by_reader:  # the frame is the reader's in this run too: no stage may turn it
                given = replace(given, pose=earlier.pose)
    if request.landmarks is not None:
        given = replace(given, pose=HeartPose.from_landmarks(read_landmarks(request.landmarks)))
    return ct_path, given, synthetic


def _unchanged(earlier: EarlierCase) -> Path | None:
    if earlier.ct_path is None:
        return None
    if not earlier.ct_path.exists():
        raise BadInputError(f"The CT of the earlier case, {earlier.ct_path}, is gone; give its new place with --ct.")
    if sha256_of(earlier.ct_path) != earlier.ct_sha256:
        raise BadInputError(f"{earlier.ct_path} has changed since the earlier case was made; give the CT with --ct.")
    return earlier.ct_path


def _stages_of(earlier: EarlierCase, keep: bool) -> Given:
    """Finished stages of an earlier case. With ``keep`` False only the labels stay: the pose is the reader's."""
    if earlier.pose is None or earlier.coarse_labels is None:
        return Given()
    reorientation = Reorientation(earlier.pose, earlier.pose, earlier.coarse_labels)
    if not keep:
        return Given(reorientation=reorientation)
    walls = CtWalls(earlier.ct_walls, earlier.pose) if earlier.ct_walls is not None else None
    return Given(reorientation=reorientation, ct_walls=walls, tree=earlier.tree)


def _read(request: Request, ct_path: Path | None) -> tuple[Examinations, dict[str, dict[str, str]]]:
    paths = {"ct": ct_path, "stress": request.stress, "rest": request.rest}
    paths |= {f"long_axis_{k + 1}": path for k, path in enumerate(request.long_axis)}
    inputs = {
        name: {"file": path.name, "path": str(path.resolve()), "sha256": sha256_of(path)}
        for name, path in paths.items()
        if path is not None and path.exists()
    }
    ct = read_ct(ct_path) if ct_path is not None else None
    if ct is not None:
        check_contrast(ct)
    stress = read_perfusion(request.stress, "stress") if request.stress is not None else None
    rest = read_perfusion(request.rest, "rest") if request.rest is not None else None
    views = read_long_axis(request.long_axis)
    return Examinations(ct, stress, rest, request.choices or Choices(), views), inputs


def _weights() -> dict[str, str]:
    return {name: f"{entry.version} ({entry.sha256[:12]})" for name, entry in read_manifest().items()}


def _run_info(inputs: dict[str, dict[str, str]], clock: StageClock) -> RunInfo:
    named = tuple(f"{name}: {v['file']} (sha256 {v['sha256'][:12]})" for name, v in inputs.items())
    return RunInfo(
        version=__version__,
        made_at=datetime.datetime.now().isoformat(timespec="minutes"),
        inputs=named,
        weights=_weights(),
        parameters={"device": str(choose_device()[0])},
        timings_s=dict(clock.seconds),
    )


def _pictures(results: Results, folder: Path, info: RunInfo, synthetic: bool, clock: StageClock) -> tuple[Flag, ...]:
    """Scene, views and report. Without OpenGL or slicer-core the run goes on without pictures and says so."""
    from CardiacFusionLib.mrml.outputs import write_scene_and_views
    from CardiacFusionLib.report.html import write_report

    content = content_of(results, info, synthetic, "CardiacFusion case")
    with clock.stage("scene", "building the scene and the views"):
        outputs = write_scene_and_views(content, folder)
    flags = tuple(Flag("scene", "no_pictures", Level.DOUBTFUL, reason) for reason in outputs.problems)
    with clock.stage("report", "writing the report"):
        content = replace(content, quality=content.quality + Quality(flags))
        write_report(content, outputs.views, folder / "report.html")
    return flags


def _record(
    request: Request,
    results: Results,
    inputs: dict[str, dict[str, str]],
    quality: Quality,
    synthetic: bool,
    clock: StageClock,
    by_reader: bool,
) -> dict[str, Any]:
    device, reason = choose_device()
    parameters = {"device": str(device), "device_reason": reason, "landmarks_by_reader": by_reader}
    return {
        "software": {"name": "CardiacFusion", "version": __version__, "python": sys.version.split()[0]},
        "note": DISCLAIMER,
        "synthetic": synthetic,
        "upto": request.upto,
        "inputs": inputs,
        "weights": _weights(),
        "parameters": parameters,
        "seconds": dict(clock.seconds),
        "peak_memory_mb": peak_memory_mb(),
        "pose_confidence": results.pose.confidence if results.pose is not None else None,
        "quality": {
            "level": quality.level.name.lower(),
            "flags": [
                {"stage": f.stage, "name": f.name, "level": f.level.name.lower(), "reason": f.reason}
                for f in quality.flags
            ],
        },
    }


def _summary(request: Request, results: Results, quality: Quality, synthetic: bool) -> list[str]:
    lines = [f"written to {request.out}" + ("  (SYNTHETIC input)" if synthetic else "")]
    if results.fusion is not None:
        lines += [f"finding: {f.sentence}" for f in results.fusion.findings] or ["no finding"]
    lines += [f"{f.word}: {f.stage}: {f.reason}" for f in quality.flags]
    report = request.out / "report.html"
    if report.exists():
        lines.append(f"open {report}")
    seconds = sum(results.seconds.values())
    lines.append(f"{seconds:.0f} s. {DISCLAIMER}")
    return lines
