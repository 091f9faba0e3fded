"""``cardiacfusion models list | add | verify``: which networks are in use, and how another takes a place."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from CardiacFusionLib.spatial.errors import BadInputError

models = typer.Typer(help="The networks in use: what they are, and how yours takes the place of one.")


@models.command("list")
def list_models() -> None:
    """Every network in use, with what it learnt from."""
    from CardiacFusionLib.models.manifest import models_folder, read_manifest

    typer.echo(f"weights in {models_folder()}")
    for name, entry in read_manifest().items():
        kind = entry.architecture.get("backend") or entry.architecture.get("network")
        score = entry.metrics.get("score")
        said = f", score {score}" if score is not None else ""
        typer.echo(f"{name:<14} {entry.version:<8} {kind:<28} {entry.data} ({entry.licence}{said})")


@models.command()
def add(
    source: Annotated[Path, typer.Argument(help="folder of a finished run, or the description of your own network")],
    folder: Annotated[Path | None, typer.Option("--folder", help="models folder; by default the one in use")] = None,
    average_with: Annotated[
        Path | None, typer.Option("--average-with", help="weights whose mean with those of the run is put in")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="the run's weights at its end, not at its best validation")
    ] = False,
) -> None:
    """Put a trained run, or your own ONNX or TorchScript network, into the manifest of weights."""
    from CardiacFusionLib.models.foreign import entry_in_place_of, read_foreign
    from CardiacFusionLib.models.manifest import models_folder, read_manifest, write_entry

    where = folder or models_folder()
    if source.is_dir():
        import json

        from CardiacFusionLib.training import registry

        kept = source / "run.json"
        if not kept.is_file():
            raise BadInputError(f"{source} holds no run.json, so it is no run of 'cardiacfusion train'.")
        name = json.loads(kept.read_text(encoding="utf-8"))["task"]
        entry = registry.export(name, source, where, average_with=average_with, last=last)
    elif average_with is not None or last:
        raise BadInputError("--average-with and --last are for runs of 'cardiacfusion train'; leave them out.")
    else:
        foreign = read_foreign(source)
        listed = read_manifest(where if (where / "manifest.json").exists() else None)
        if foreign.replaces not in listed:
            raise BadInputError(f"No network is called '{foreign.replaces}'; there are {', '.join(sorted(listed))}.")
        entry = entry_in_place_of(listed[foreign.replaces], foreign)
        where.mkdir(parents=True, exist_ok=True)
        target = where / f"{entry.name}{foreign.file.suffix}"
        if target.resolve() != foreign.file.resolve():
            shutil.copyfile(foreign.file, target)
        entry = replace(entry, file=target.name)
        write_entry(entry, where)
    typer.echo(f"{entry.name}: {entry.file} ({entry.sha256[:12]}) is in use from {where}")


@models.command()
def verify() -> None:
    """Check every file against the manifest, and that every network can be built and loaded."""
    from CardiacFusionLib.models.loading import load
    from CardiacFusionLib.models.manifest import read_manifest
    from CardiacFusionLib.spatial.errors import CardiacFusionError

    broken = []
    for name in read_manifest():
        try:
            network = load(name, "cpu")
        except CardiacFusionError as error:
            broken.append(name)
            typer.echo(f"BROKEN {name}: {error}")
            continue
        count = sum(p.numel() for p in network.parameters())
        typer.echo(f"ok     {name}: {count:,} parameters")
    if broken:
        raise BadInputError(f"These weights cannot be used: {', '.join(broken)}; the lines above say why.")
