"""``cardiacfusion correct``: the reader's corrections of a finished case, and everything downstream of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from CardiacFusionLib.cli.progress import ProgressStyle, listening
from CardiacFusionLib.spatial.errors import BadInputError

Many = list[str] | None


def correct(
    case: Annotated[Path, typer.Argument(help="finished case folder")],
    out: Annotated[Path, typer.Option("--out", help="case folder to write; the same one replaces it")],
    landmark: Annotated[
        Many, typer.Option("--landmark", help="apex=x,y,z in LPS mm of the CT; may be repeated")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option("--landmarks", help="landmarks placed in Slicer (.mrk.json)")
    ] = None,
    centre: Annotated[Many, typer.Option("--slice-centre", help="LV centre of a CMR slice: 2=x,y,z in LPS mm")] = None,
    wall: Annotated[Path | None, typer.Option("--wall", help="edited CT outlines (.seg.nrrd)")] = None,
    delete: Annotated[
        Many, typer.Option("--delete-branch", help="branch that is none; its side branches go too")
    ] = None,
    rename: Annotated[Many, typer.Option("--rename-branch", help="old=new")] = None,
    cut: Annotated[Many, typer.Option("--cut-branch", help="branch=mm along it")] = None,
    undo: Annotated[int, typer.Option("--undo", min=0, help="take back so many corrections first")] = 0,
    who: Annotated[str, typer.Option("--who", help="who corrects; kept in case.json as given")] = "",
    when: Annotated[str, typer.Option("--when", help="when; kept in case.json as given")] = "",
    ct: Annotated[Path | None, typer.Option("--ct", help="the CT, if it has moved (for pictures)")] = None,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="scene.mrb, views and report")] = False,
    progress: Annotated[ProgressStyle, typer.Option("--progress", help="bar, json or none")] = ProgressStyle.BAR,
) -> None:
    """Correct landmarks, outlines or branches of a finished case; nothing upstream of them runs again."""
    from CardiacFusionLib.pipeline import correct as reader
    from CardiacFusionLib.pipeline.corrected_case import Step, correct_case

    signed = {"who": who, "when": when}
    steps: list[Step] = []

    def add(make: Callable[..., reader.Correction], *given: object) -> None:
        steps.append(lambda results: make(results, *given, **signed))

    if landmarks is not None:
        from CardiacFusionLib.io.markups import read_landmarks

        for name, point in read_landmarks(landmarks).items():
            add(reader.move_landmark, name, point)
    for text in landmark or []:
        name, value = _pair(text, "--landmark")
        add(reader.move_landmark, name, _point(value, text))
    for text in centre or []:
        number, value = _pair(text, "--slice-centre")
        add(reader.move_slice_centre, int(_number(number, text)), _point(value, text))
    if wall is not None:
        from CardiacFusionLib.io.segmentation import read_segmentation

        add(reader.edit_ct_wall, read_segmentation(wall))

    def branch(kind: str, name: str, value: object = None) -> None:
        steps.append(lambda results: reader.edit_branch(kind, results, name, value, **signed))

    for name in delete or []:
        branch(reader.BRANCH_DELETED, name)
    for text in rename or []:
        branch(reader.BRANCH_RENAMED, *_pair(text, "--rename-branch"))
    for text in cut or []:
        name, value = _pair(text, "--cut-branch")
        branch(reader.BRANCH_CUT, name, _number(value, text))
    if not steps and not undo:
        raise BadInputError("Nothing to correct was given; name a --landmark, a --wall, a branch or --undo.")
    with listening(progress) as listener:
        results, corrections = correct_case(case, out, steps, undo=undo, pictures=pictures, ct=ct, listener=listener)
    if progress is not ProgressStyle.JSON:
        typer.echo(f"written to {out} with {len(corrections)} correction(s)")
        assert results.fusion is not None
        for line in [f"finding: {f.sentence}" for f in results.fusion.findings] or ["no finding"]:
            typer.echo(line)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value.strip():
        raise BadInputError(f"{option} {text}: give a name and a value joined by '=', e.g. apex=12.5,-40,88.")
    return name.strip(), value.strip()


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInputError(f"'{text}' in '{whole}' is no number; write it with a point, e.g. 12.5.") from error


def _point(text: str, whole: str) -> tuple[float, ...]:
    parts = text.split(",")
    if len(parts) != 3:
        raise BadInputError(f"'{whole}' needs three numbers x,y,z in LPS mm.")
    return tuple(_number(part, whole) for part in parts)
