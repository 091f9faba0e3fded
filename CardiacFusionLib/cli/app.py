"""All commands, and the one place where an error becomes a sentence and an exit code.

Exit 0 done, 2 bad input (one line that says what and how to mend it), 3 a stage failed, 4 cancelled.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from CardiacFusionLib import __version__
from CardiacFusionLib.cli.correct import correct
from CardiacFusionLib.cli.models import models
from CardiacFusionLib.cli.progress import ProgressStyle, listening
from CardiacFusionLib.spatial.errors import BadInputError, CardiacFusionError

if TYPE_CHECKING:
    from CardiacFusionLib.perfusion.choices import Choices

app = typer.Typer(
    name="cardiacfusion",
    help="CT coronary angiography and stress perfusion MR of one heart in one picture. Not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Ct = Annotated[Path | None, typer.Option("--ct", help="CT angiogram: DICOM folder, NIfTI, NRRD")]
Stress = Annotated[Path | None, typer.Option("--stress", help="stress perfusion series: DICOM, 4D NIfTI, .seq.nrrd")]
Rest = Annotated[Path | None, typer.Option("--rest", help="rest perfusion series")]
LongAxis = Annotated[
    list[Path] | None,
    typer.Option("--long-axis", help="2-, 3-, 4-chamber view of the CMR: NIfTI, NRRD, DICOM; repeat it"),
]
Out = Annotated[Path, typer.Option("--out", help="case folder to write")]
Case = Annotated[Path | None, typer.Option("--case", help="an earlier case folder to go on from")]
Landmarks = Annotated[Path | None, typer.Option("--landmarks", help="landmarks placed by the reader (.mrk.json)")]
Style = Annotated[ProgressStyle, typer.Option("--progress", help="bar, json (one object a line) or none")]
Pictures = Annotated[bool, typer.Option("--pictures/--no-pictures", help="scene.mrb, views and report")]


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"cardiacfusion {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
    threads: Annotated[int, typer.Option("--threads", min=0, help="processor threads, 0 = all")] = 0,
    weights: Annotated[
        list[Path] | None, typer.Option("--weights", help="description of your own network (Docs/models.md)")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="tell the version and end")
    ] = False,
) -> None:
    if debug:
        os.environ["CARDIACFUSION_DEBUG"] = "1"
    if threads:
        os.environ["CARDIACFUSION_THREADS"] = str(threads)
    if weights:
        os.environ["CARDIACFUSION_WEIGHTS"] = os.pathsep.join(str(path) for path in weights)


def _stages(
    upto: str,
    out: Path,
    style: ProgressStyle,
    *,
    ct: Path | None = None,
    stress: Path | None = None,
    rest: Path | None = None,
    case: Path | None = None,
    landmarks: Path | None = None,
    pictures: bool = False,
    choices: Choices | None = None,
    dicom: bool = False,
    long_axis: list[Path] | None = None,
) -> None:
    from CardiacFusionLib.pipeline.case import Request, run_case

    request = Request(
        upto, out, ct=ct, stress=stress, rest=rest, case=case, landmarks=landmarks, pictures=pictures,
        choices=choices, dicom=dicom, long_axis=tuple(long_axis or ()),
    )  # fmt: skip
    with listening(style) as listener:
        outcome = run_case(request, listener)
    if style is not ProgressStyle.JSON:
        for line in outcome.summary:
            typer.echo(line)


@app.command()
def fuse(
    out: Out, ct: Ct = None, stress: Stress = None, rest: Rest = None, long_axis: LongAxis = None, case: Case = None,
    landmarks: Landmarks = None, pictures: Pictures = True, progress: Style = ProgressStyle.BAR,
) -> None:  # fmt: skip
    """The whole way: both examinations in, one fused case folder out."""
    _stages(
        "fuse", out, progress, ct=ct, stress=stress, rest=rest, case=case, landmarks=landmarks, pictures=pictures,
        long_axis=long_axis,
    )  # fmt: skip


@app.command()
def reorient(out: Out, ct: Ct = None, landmarks: Landmarks = None, progress: Style = ProgressStyle.BAR) -> None:
    """Find the heart's axes in a CT."""
    _stages("reorient", out, progress, ct=ct, landmarks=landmarks)


@app.command()
def segment(
    out: Out, ct: Ct = None, case: Case = None, landmarks: Landmarks = None, progress: Style = ProgressStyle.BAR
) -> None:
    """Outline the chambers in the reoriented CT."""
    _stages("segment", out, progress, ct=ct, case=case, landmarks=landmarks)


@app.command()
def coronaries(
    out: Out, ct: Ct = None, case: Case = None, landmarks: Landmarks = None, progress: Style = ProgressStyle.BAR
) -> None:
    """Follow and name the coronary arteries, and measure their narrowings."""
    _stages("coronaries", out, progress, ct=ct, case=case, landmarks=landmarks)


@app.command()
def perfusion(
    out: Out, stress: Stress = None, rest: Rest = None, long_axis: LongAxis = None,
    stress_aif: Annotated[Path | None, typer.Option(help="input curve of stress, CSV: time_s, aif (mmol/L)")] = None,
    rest_aif: Annotated[Path | None, typer.Option(help="input curve of rest")] = None,
    stress_aif_region: Annotated[Path | None, typer.Option(help="region drawn for the input: NRRD, NIfTI")] = None,
    rest_aif_region: Annotated[Path | None, typer.Option(help="region drawn for the input of rest")] = None,
    haematocrit: Annotated[float | None, typer.Option(help="where the input curve is a plasma concentration")] = None,
    ti: Annotated[float | None, typer.Option(help="saturation to k-space centre, ms")] = None,
    tr: Annotated[float | None, typer.Option(help="between readout pulses, ms")] = None,
    flip: Annotated[float | None, typer.Option(help="flip angle, degrees")] = None,
    t1_blood: Annotated[float | None, typer.Option(help="native T1 of blood, ms")] = None,
    t1_muscle: Annotated[float | None, typer.Option(help="native T1 of muscle, ms")] = None,
    relaxivity: Annotated[float | None, typer.Option(help="of the contrast agent, L/(mmol s)")] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="maps as DICOM too; they carry the patient's name")] = False,
    progress: Style = ProgressStyle.BAR,
) -> None:  # fmt: skip
    """Quantify a stress (and rest) perfusion series by itself."""
    from CardiacFusionLib.cli.perfusion import check_dicom_source, choices_of

    numbers = {"ti_ms": ti, "tr_ms": tr, "flip_deg": flip, "baseline_t1_blood_ms": t1_blood}
    numbers |= {"baseline_t1_myocardium_ms": t1_muscle, "relaxivity_per_mmol_s": relaxivity}
    curves = {"stress": stress_aif, "rest": rest_aif}
    regions = {"stress": stress_aif_region, "rest": rest_aif_region}
    choices = choices_of(numbers, curves, regions, haematocrit)
    if dicom:
        check_dicom_source(stress, rest)
    _stages("perfusion", out, progress, stress=stress, rest=rest, choices=choices, dicom=dicom, long_axis=long_axis)


@app.command()
def register(
    out: Out, ct: Ct = None, stress: Stress = None, long_axis: LongAxis = None, case: Case = None,
    progress: Style = ProgressStyle.BAR,
) -> None:  # fmt: skip
    """Match the wall of the CMR slices to the CT."""
    _stages("register", out, progress, ct=ct, stress=stress, case=case, long_axis=long_axis)


app.command()(correct)


@app.command()
def twin(
    out: Annotated[Path, typer.Option("--out", help="folder to write")],
    seed: Annotated[int, typer.Option("--seed", help="which synthetic heart")] = 0,
    spacing: Annotated[float, typer.Option("--spacing", min=0.3, max=4.0, help="CT voxel size in mm")] = 1.0,
    kind: Annotated[str | None, typer.Option("--kind", help="normal, one-vessel, two-vessel, microvascular")] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="write DICOM beside NIfTI")] = False,
    from_ct: Annotated[Path | None, typer.Option("--from-ct", help="case folder of a real CT, after 'segment'")] = None,
    ischaemic: Annotated[str, typer.Option("--ischaemic", help="territory made ischaemic with --from-ct")] = "LAD",
) -> None:
    """Make a synthetic heart with both examinations and every truth, or a perfusion study for a real CT."""
    from CardiacFusionLib.pipeline.make_twin import make_and_write

    for line in make_and_write(out, seed, spacing, kind, dicom, from_ct, ischaemic):
        typer.echo(line)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="network to train")],
    data: Annotated[str, typer.Option("--data", help="twin, or a folder of your own images and labels")] = "twin",
    *,
    out: Annotated[Path, typer.Option("--out", help="folder for log, curves and checkpoints")],
    minutes: Annotated[float | None, typer.Option("--minutes", help="time budget")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="step budget")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint in --out")] = False,
    workers: Annotated[int, typer.Option("--workers", help="processes that make samples")] = 1,
    patience: Annotated[int | None, typer.Option("--patience", help="validations without gain before it ends")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda; by default what is there")] = None,
    start: Annotated[Path | None, typer.Option("--start", help="weights or run to begin from")] = None,
    install: Annotated[bool, typer.Option("--install", help="put the result into the manifest of weights")] = False,
) -> None:
    """Train a network on the digital twin or on your own images (Docs/training.md shows how they must lie)."""
    from CardiacFusionLib.training import registry

    result = registry.train(
        name, out, minutes=minutes, steps=steps, seed=seed, resume=resume, workers=workers, patience=patience,
        device=device, start=start, data=None if data == "twin" else Path(data),
        progress=lambda share, text: typer.echo(f"{share:4.0%} {text}"),
    )  # fmt: skip
    best = ", ".join(f"{k} {v:.3f}" for k, v in result.best.items())
    typer.echo(f"{result.steps} steps in {result.seconds / 60:.0f} min; best: {best}; written to {result.folder}")
    if install:
        entry = registry.export(name, out)
        typer.echo(f"installed {entry.file} ({entry.sha256[:12]})")


@app.command()
def evaluate(
    stage: Annotated[str, typer.Argument(help="stages with commas, all, quality, real, or report")] = "all",
    cases: Annotated[int, typer.Option("--cases", min=1)] = 40,
    seed: Annotated[
        int, typer.Option("--seed", help="first seed; training draws its hearts from other streams")
    ] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here")] = None,
    spacing: Annotated[float, typer.Option("--spacing", help="CT voxel size in mm")] = 1.0,
    workers: Annotated[int, typer.Option("--workers", help="cases at a time")] = 2,
    peers: Annotated[int, typer.Option("--peers", min=0, help="cases on which other methods are run too")] = 0,
    cache: Annotated[Path | None, typer.Option("--cache", help="where finished cases are kept, to go on")] = None,
    page: Annotated[Path | None, typer.Option("--out", help="page that 'report' writes")] = None,
) -> None:
    """Measure the stages on unseen synthetic hearts, on spoilt inputs, or on real images; 'report' writes the page."""
    from CardiacFusionLib.training.evaluation.commands import run_command

    for line in run_command(stage, cases, seed, json_file, spacing, workers, peers, cache, page):
        typer.echo(line)


app.add_typer(models, name="models")


@app.command()
def doctor() -> None:
    """Say what this machine has, what is missing and how to get it."""
    from CardiacFusionLib.cli.doctor import checks

    broken = False
    for check in checks():
        mark = "ok     " if check.ok else ("MISSING" if check.needed else "without")
        typer.echo(f"{mark} {check.name}: {check.found}" + ("" if check.ok else f"; mend: {check.mend}"))
        broken = broken or (check.needed and not check.ok)
    if broken:
        raise BadInputError("Something that every run needs is missing; the lines marked MISSING say how to mend it.")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (and exits with it when called as a program)."""
    from CardiacFusionLib.pipeline.progress import cancellable

    try:
        with cancellable():
            app(arguments, standalone_mode=False)
        code = 0
    except CardiacFusionError as error:
        code = _complain(str(error), error.exit_code)
    except typer.Exit as stop:
        code = stop.exit_code
    except OSError as error:
        code = _complain(f"The disk or a file failed: {error.strerror or error} ({error.filename or 'no name'}).", 3)
    except MemoryError:
        code = _complain("Not enough memory; crop the CT around the heart or close other programs.", 3)
    except Exception as error:  # the last door: no traceback for the user unless asked
        show = getattr(error, "format_message", None)  # usage errors of the command line itself
        if show is not None:
            code = _complain(f"{show()} See 'cardiacfusion --help'.", 2)
        else:
            code = _complain(
                f"An unexpected error ({type(error).__name__}: {error}); run again with --debug and report it.", 3
            )
    if arguments is None:
        sys.exit(code)
    return code


def _complain(sentence: str, code: int) -> int:
    if os.environ.get("CARDIACFUSION_DEBUG"):
        traceback.print_exc()
    sys.stderr.write(" ".join(sentence.split()) + "\n")
    return code
