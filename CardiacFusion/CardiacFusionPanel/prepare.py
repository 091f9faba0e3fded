"""From what is chosen in the panel to a job: what is missing, and the command line that does the work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CardiacFusionPanel.job import Job, free_name, make_parents, too_little_room
from CardiacFusionPanel.parameters import Device
from CardiacFusionPanel.progress import plan_of

CASES = "CardiacFusion"  # folder of cases in the user's documents, where no other is chosen
TWIN_SEED = 7
_TWIN_SECONDS = 25.0


@dataclass(frozen=True)
class _Slot:
    """One examination: its node, its file, and the judge of the node."""

    node: Any
    file: str
    words: str
    needed: bool


def what_is_missing(parameters: Any) -> str | None:
    """The first thing that keeps a run from starting, in a sentence; None where it can start."""
    from CardiacFusionLib.mrml import inputs

    slots = (
        (_Slot(parameters.ct, parameters.ctFile, _("CT coronary angiogram"), True), inputs.why_not_ct),
        (_Slot(parameters.stress, parameters.stressFile, _("stress perfusion series"), True), inputs.why_not_series),
        (_Slot(parameters.rest, parameters.restFile, _("rest perfusion series"), False), inputs.why_not_series),
    )
    for slot, judge in slots:
        reason = _missing_in(slot, judge)
        if reason is not None:
            return reason
    if parameters.rest is not None and parameters.rest is parameters.stress:
        return _("Stress and rest are the same series; choose the other one, or none, as rest.")
    reason = inputs.why_not_segmentation(parameters.ownWalls)
    if reason is not None:
        return reason
    marks = parameters.cmrLandmarks
    if marks is not None and marks.GetNumberOfDefinedControlPoints() == 0:
        return _("The point list '{name}' has no point; mark the LV centre in the MR slices, or choose none.").format(
            name=marks.GetName()
        )
    if parameters.weightsFolder.strip() and not (Path(parameters.weightsFolder.strip()) / "manifest.json").is_file():
        return _("The folder of weights (Advanced) holds no manifest.json; choose another or clear the line.")
    return too_little_room(case_folder(parameters))


def _missing_in(slot: _Slot, judge: Any) -> str | None:
    file = slot.file.strip()
    if file and slot.node is not None:
        return _("The {words} is chosen twice, from the scene and from disk; clear one of the two.").format(
            words=slot.words
        )
    if file:
        if Path(file).expanduser().exists():
            return None
        return _("There is no file or folder {file} for the {words}; choose it again.").format(
            file=file, words=slot.words
        )
    if slot.node is None:
        if not slot.needed:
            return None
        return _("Choose the {words}, from the scene or from disk.").format(words=slot.words)
    return judge(slot.node)


def case_folder(parameters: Any) -> Path:
    """Where the case will be written: the chosen folder, else a new one in the user's documents named after the CT."""
    chosen = parameters.caseFolder.strip()
    if chosen:
        return Path(chosen).expanduser()
    if parameters.ct is not None:
        name = parameters.ct.GetName()
    else:
        name = Path(parameters.ctFile.strip() or "case").name.split(".")[0]
    name = re.sub(r"[^\w-]+", "_", name).strip("_") or "case"
    return free_name(documents() / CASES / name)


def documents() -> Path:
    """The user's documents; in a self-test Slicer's temporary folder, so that nothing of the user's is touched."""
    if slicer.app.testingEnabled():
        return Path(slicer.app.temporaryPath)
    return Path(slicer.app.defaultScenePath or Path.home())


def fuse_job(parameters: Any) -> tuple[Job, list[tuple[str, float, str]]]:
    """The whole run: nodes that are no files are written first. OSError where the disk refuses them."""
    out = case_folder(parameters)
    job = Job(["--threads", str(parameters.threads), "fuse"], out, environment(parameters))
    try:
        job.parents = make_parents(out)
        _add_inputs(job, parameters, out)
    except BaseException:
        job.clean(keep_inputs=False)
        raise
    if not parameters.pictures:
        job.arguments.append("--no-pictures")
    job.arguments += ["--out", str(out), "--progress", "json"]
    rest = parameters.rest is not None or bool(parameters.restFile.strip())
    return job, plan_of(rest, parameters.pictures)


def _add_inputs(job: Job, parameters: Any, out: Path) -> None:
    from CardiacFusionLib.mrml import inputs

    written = out.with_name(f"{out.name}-inputs")

    def place(name: str) -> Path:
        job.inputs = written
        written.mkdir(exist_ok=True)
        return written / name

    for option, node, file in (
        ("ct", parameters.ct, parameters.ctFile.strip()),
        ("stress", parameters.stress, parameters.stressFile.strip()),
        ("rest", parameters.rest, parameters.restFile.strip()),
    ):
        path = Path(file).expanduser() if file else None
        if path is None and node is not None:
            path = inputs.file_of(node)
            if path is None:
                path = place(f"{option}.nii")  # not packed: a full CT is written in a second
                if option == "ct":
                    inputs.write_ct(node, path)
                else:
                    inputs.write_series_of(node, path, option)
        if path is not None:
            job.arguments += [f"--{option}", str(path)]


def environment(parameters: Any) -> dict[str, str]:
    """Variables for the child that carry the Advanced settings."""
    settings = {}
    if parameters.weightsFolder.strip():
        settings["CARDIACFUSION_MODELS"] = str(Path(parameters.weightsFolder.strip()).expanduser())
    if parameters.device is Device.CPU:
        settings["CUDA_VISIBLE_DEVICES"] = ""  # the library takes the processor where it sees no card
    return settings


def twin_job(folder: Path, seed: int = TWIN_SEED) -> tuple[Job, list[tuple[str, float, str]]]:
    """A synthetic heart with both examinations, made on the spot."""
    job = Job(
        ["twin", "--seed", str(seed), "--kind", "one-vessel", "--spacing", "1.0", "--out", str(folder)], folder, {}
    )
    job.parents = make_parents(folder)
    return job, [("twin", _TWIN_SECONDS, _("Making a synthetic heart (no patient)"))]


def doctor_job(parameters: Any) -> tuple[Job, list[tuple[str, float, str]]]:
    """A look at this computer: packages, weights, graphics card, memory, disk."""
    return Job(["doctor"], None, environment(parameters)), [("doctor", 5.0, _("Looking at this computer"))]
