"""Every network that can be trained by name, and how a finished run becomes shipped weights."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from CardiacFusionLib.models.manifest import ModelEntry, models_folder, write_weights
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.training import harness
from CardiacFusionLib.training.harness import Progress, TrainingResult, TrainingTask, read_weights


def _lazy(module: str, attribute: str) -> Callable[[], TrainingTask]:
    """A task of this room, imported when it is asked for, so that one network's needs do not burden another."""

    def make() -> TrainingTask:
        task: TrainingTask = getattr(importlib.import_module(f"CardiacFusionLib.training.{module}"), attribute)()
        return task

    return make


TASKS: dict[str, Callable[[], TrainingTask]] = {
    "aif": _lazy("aif", "AifTask"),
    "cmr_frames": _lazy("cmr_real", "CmrRealTask"),
    "cmr_insertions": _lazy("cmr_insertions", "CmrInsertionsTask"),
    "cmr_landmarks": _lazy("cmr_landmarks", "CmrLandmarksTask"),
    "cmr_long_axis": _lazy("cmr_long_axis", "CmrLongAxisTask"),
    "cmr_series": _lazy("cmr_series", "CmrSeriesTask"),
    "cmr_walls": _lazy("cmr_walls", "CmrWallsTask"),
    "ct_chambers": _lazy("ct_chambers", "CtChambers"),
    "ct_landmarks": _lazy("ct_landmarks", "CtLandmarksTask"),
    "ct_pose": _lazy("ct_pose", "CtPose"),
    "ct_walls": _lazy("ct_walls", "CtWallsTask"),
    "sdn": _lazy("sdn", "SdnTask"),
}


def task(name: str, data: Path | None = None) -> TrainingTask:
    """The task of that name, on the digital twin or on a folder of the user's images (``data``).

    BadInputError names the known networks, or what is wrong with the folder.
    """
    if name not in TASKS:
        raise BadInputError(f"No network is called '{name}'; choose one of {', '.join(sorted(TASKS))}.")
    if data is None:
        return TASKS[name]()
    from CardiacFusionLib.training.folder_tasks import folder_task

    return folder_task(name, data)


def train(
    name: str,
    out: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    resume: bool = False,
    workers: int = 1,
    threads: int = 1,
    patience: int | None = None,
    device: str | None = None,
    start: Path | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train the network ``name`` into the folder ``out``; see :func:`task` and :func:`harness.train`."""
    return harness.train(
        task(name, data),
        Path(out),
        minutes=minutes,
        steps=steps,
        seed=seed,
        resume=resume,
        workers=workers,
        threads=threads,
        patience=patience,
        device=device,
        start=start,
        progress=progress,
    )


def export(
    name: str,
    run: Path,
    folder: Path | None = None,
    notes: dict[str, Any] | None = None,
    average_with: Path | None = None,
    last: bool = False,
) -> ModelEntry:
    """Write the best weights of a run as float16 safetensors into ``folder`` (default: the models folder) and record
    them in its manifest. ``notes`` are further metrics, such as a bench on unseen twins. ``average_with``: weights
    (as for ``--start``) whose mean with those of the run is written in their place; best those that the run began
    from (Wortsman 2022: such a mean often holds better on pictures of another kind). ``last``: the averaged weights at
    the end of the run, not those of its best validation (where few validation samples make that one a matter of luck).
    """
    kind = "last.ckpt" if last else "best.ckpt"
    if not (Path(run) / kind).exists():
        raise BadInputError(f"{run} holds no {kind}; train '{name}' into it first.")
    state = torch.load(Path(run) / kind, map_location="cpu", weights_only=True)
    if last:
        state |= {"network": state["ema"], "metrics": _last_validation(Path(run))}
    kept = json.loads((Path(run) / "run.json").read_text())
    if kept.get("task", name) != name:
        raise BadInputError(f"{run} holds a run of '{kept['task']}', not of '{name}'.")
    facts = kept.get("facts") or task(name).facts()  # a run on the user's folder says what it learnt from
    entry = ModelEntry(
        name=name,
        version=facts["version"],
        file=f"{name}.safetensors",
        sha256="",
        architecture=facts["architecture"],
        input=facts["input"],
        data=facts["data"],
        seed=int(kept["seed"]),
        steps=int(state["step"]),
        hours=round(float(state["seconds"]) / 3600, 3),
        metrics={**{k: round(float(v), 4) for k, v in state["metrics"].items()}, **(notes or {})},
        licence="Apache-2.0",
    )
    weights = state["network"]
    if average_with is not None:
        weights = _mean(weights, read_weights(average_with), average_with)
        # what the run measured is not what these weights would
        entry = replace(entry, metrics=dict(notes or {}), data=f"{entry.data}; mean with the weights before")
    return write_weights(entry, weights, folder or models_folder())


def _last_validation(run: Path) -> dict[str, float]:
    with (run / "validation.csv").open(newline="") as stream:
        row = list(csv.DictReader(stream))[-1]
    return {name: float(value) for name, value in row.items() if name not in ("step", "seconds")}


def _mean(one: Mapping[str, Tensor], other: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """The mean of two networks' weights; what is no weight (counters) stays the first one's."""
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        raise BadInputError(f"The weights {source.name} belong to another network; leave out --average-with.")
    return {k: (v.float() + other[k].float()) / 2 if v.is_floating_point() else v for k, v in one.items()}
