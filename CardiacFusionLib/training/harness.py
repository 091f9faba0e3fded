"""One training loop for every network: samples made on the fly, AdamW, cosine schedule, averaged weights, resume."""

from __future__ import annotations

import copy
import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from CardiacFusionLib.models.loading import choose_device
from CardiacFusionLib.spatial.errors import BadInputError, StageError

Batch = dict[str, Tensor]
Metrics = dict[str, float]
Progress = Callable[[float, str], None]

VALIDATION_SEED = 900_000_000  # validation samples start here; training seeds stay far below
WARM_UP = 0.03  # share of the budget over which the learning rate rises
EMA_HORIZON_STEPS = 200  # weights are averaged over about as many steps


@runtime_checkable
class TrainingTask(Protocol):
    """What the loop must know of one network."""

    name: str
    batch_size: int
    learning_rate: float
    validate_every_s: float

    def build(self) -> nn.Module:
        """A fresh network (the loop seeds torch before)."""

    def sample(self, seed: int) -> Mapping[str, NDArray[Any]]:
        """One training sample as named arrays of fixed shape; depends on the seed alone."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Scalar loss of a batch and figures to log."""

    def validate(self, network: nn.Module) -> Metrics:
        """Figures on unseen samples (seeds from ``VALIDATION_SEED``); must hold ``score``, higher is better."""

    def facts(self) -> dict[str, Any]:
        """``architecture`` (``network``, ``kwargs``), ``input``, ``data``, ``version`` for the manifest of weights."""


@dataclass(frozen=True)
class TrainingResult:
    """What one run came to. ``seconds`` counts all resumed parts."""

    folder: Path
    steps: int
    seconds: float
    best: Metrics
    network: nn.Module  # averaged weights of the best validation


class _Samples(Dataset[Mapping[str, NDArray[Any]]]):
    """A data set without end: the index is the seed."""

    def __init__(self, task: TrainingTask) -> None:
        self.task = task

    def __getitem__(self, index: int) -> Mapping[str, NDArray[Any]]:
        return self.task.sample(index)


class _Seeds(Sampler[int]):
    """Seeds in a row from ``first``: the order does not depend on how many workers draw."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        seed = self.first
        while True:
            yield seed
            seed += 1


def _quiet_worker(_: int) -> None:
    """A worker that draws samples uses one thread, or it would take the processor from the network."""
    import SimpleITK as sitk

    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _volumetric(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv3d) for module in network.modules())


def _laid_out(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last_3d) if values.ndim == 5 else values


def _schedule(progress: float) -> float:
    """Learning-rate factor at a share of the budget: linear warm-up, then half a cosine down to 2 %."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.02)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP) / (1 - WARM_UP), 1.0)))


@torch.no_grad()
def _average(ema: nn.Module, network: nn.Module, step: int) -> None:
    decay = min(1 - 1 / EMA_HORIZON_STEPS, (1 + step) / (10 + step))
    for mean, weight in zip(ema.parameters(), network.parameters()):
        mean.lerp_(weight.detach(), 1 - decay)
    for kept, value in zip(ema.buffers(), network.buffers()):
        kept.copy_(value)


def _save(path: Path, state: dict[str, Any]) -> None:
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def _device(wanted: str | None) -> torch.device:
    """The device asked for; BadInputError where there is no such one."""
    if wanted is None:
        return choose_device()[0]
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise BadInputError(f"No CUDA device is usable here: {choose_device()[1]}. Train with --device cpu.")
    try:
        return torch.device(wanted)
    except RuntimeError as error:
        raise BadInputError(f"'{wanted}' is no device; give cpu or cuda.") from error


def read_weights(start: Path) -> dict[str, Tensor]:
    """Weights (float32) of an earlier run (folder, ``.ckpt``) or shipped ones (``.safetensors``)."""
    path = start / "best.ckpt" if start.is_dir() else start
    if not path.is_file():
        raise BadInputError(f"There are no weights at {path}; give a run's folder, a .ckpt or a .safetensors.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["network"]
    return found


def begin_from(network: nn.Module, start: Path) -> None:
    """Put weights of an earlier run (folder, ``.ckpt``) or shipped ones (``.safetensors``) into ``network``."""
    try:
        network.load_state_dict(read_weights(start))
    except RuntimeError as error:
        raise BadInputError(f"The weights {start.name} belong to another network; start without them.") from error


def train(
    task: TrainingTask,
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
    progress: Progress | None = None,
) -> TrainingResult:
    """Train ``task`` until ``steps`` or ``minutes`` are spent (at least one must be given), whichever comes first.

    Writes into ``out``: ``log.csv`` (training), ``validation.csv``, ``curve.png``, ``last.ckpt`` (to resume) and
    ``best.ckpt`` (averaged weights of the best validation score). With ``steps`` alone a run is reproducible; with
    ``minutes`` the schedule follows the clock. ``patience``: stop after as many validations without a better score.
    ``device``: "cpu" or "cuda" (None: CUDA where usable; there in mixed precision). ``start``: weights to begin from
    (another run's folder, a ``.ckpt`` or ``.safetensors`` of the same network). Raises BadInputError for an impossible
    request and StageError where the loss stops being a number.
    """
    if not minutes and not steps:
        raise BadInputError("Training needs a budget: give --minutes or --steps.")
    out.mkdir(parents=True, exist_ok=True)
    if resume and not (out / "last.ckpt").exists():
        raise BadInputError(f"{out} holds no last.ckpt to resume from; start without --resume.")
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    where = _device(device)
    network = task.build()
    if start is not None and not resume:
        begin_from(network, start)
    network = network.to(where)
    if _volumetric(network):
        # with batches of two or more this is two to five times as fast on a processor (oneDNN) as the plain layout
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    ema = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=task.learning_rate, weight_decay=1e-4)
    step, spent, best, stale = 0, 0.0, {}, 0  # type: int, float, Metrics, int
    if resume:
        state = torch.load(out / "last.ckpt", map_location=where, weights_only=True)
        network.load_state_dict(state["network"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, best, stale = state["step"], state["seconds"], state["best"], state["stale"]
    mode = "a" if resume else "w"
    started = time.monotonic() - spent
    budget_s = minutes * 60 if minutes else math.inf
    first_seed = seed * 10_000_000 + step * task.batch_size
    loader = DataLoader(
        _Samples(task),
        batch_size=task.batch_size,
        sampler=_Seeds(first_seed),
        num_workers=workers,
        worker_init_fn=_quiet_worker if workers else None,
        prefetch_factor=4 if workers else None,
    )
    amp = where.type == "cuda"
    half = torch.float16 if amp and not torch.cuda.is_bf16_supported() else torch.bfloat16
    scaler = torch.amp.GradScaler(where.type, enabled=amp and half is torch.float16)  # float16 alone underflows
    checked = time.monotonic()
    recent: list[float] = []

    def check() -> None:
        nonlocal best, stale, checked
        ema.eval()
        with torch.no_grad():
            found = task.validate(ema)
        elapsed = time.monotonic() - started
        _append(out / "validation.csv", {"step": step, "seconds": round(elapsed, 1), **found})
        better = not best or found["score"] > best["score"]
        stale = 0 if better else stale + 1
        if better:
            best = dict(found)
            _save(out / "best.ckpt", {"network": ema.state_dict(), "metrics": best, "step": step, "seconds": elapsed})
        state = {
            "network": network.state_dict(),
            "ema": ema.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "seconds": elapsed,
            "best": best,
            "stale": stale,
        }
        _save(out / "last.ckpt", state)
        _curve(out)
        checked = time.monotonic()
        if progress:
            text = ", ".join(f"{k} {v:.3f}" for k, v in found.items())
            progress(min(max(elapsed / budget_s, step / steps if steps else 0), 1.0), f"step {step}: {text}")

    if mode == "w":
        for name in ("log.csv", "validation.csv", "best.ckpt"):
            (out / name).unlink(missing_ok=True)
    run = {"task": task.name, "seed": seed, "device": str(where), "facts": task.facts()}
    (out / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    network.train()
    batches = iter(loader)
    while (steps is None or step < steps) and time.monotonic() - started < budget_s:
        share = max((time.monotonic() - started) / budget_s, step / steps if steps else 0.0)
        for group in optimiser.param_groups:
            group["lr"] = task.learning_rate * _schedule(share)
        batch = {k: _laid_out(v.to(where)) for k, v in next(batches).items()}
        with torch.autocast(where.type, dtype=half, enabled=amp):
            value, figures = task.loss(network, batch)
        if not bool(torch.isfinite(value)):
            raise StageError("train", f"the loss of {task.name} is not a number at step {step}; lower the rate.")
        optimiser.zero_grad(set_to_none=True)
        scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        scaler.step(optimiser)
        scaler.update()
        step += 1
        _average(ema, network, step)
        recent.append(float(value.detach()))
        if step % 20 == 0:
            row = {"step": step, "seconds": round(time.monotonic() - started, 1), "loss": float(np.mean(recent))}
            _append(out / "log.csv", {**row, **figures})
            recent.clear()
        if time.monotonic() - checked > task.validate_every_s:
            check()
            network.train()
            if patience is not None and stale >= patience:
                break
    check()
    best_state = torch.load(out / "best.ckpt", map_location=where, weights_only=True)
    ema.load_state_dict(best_state["network"])
    return TrainingResult(out, step, time.monotonic() - started, best, ema.eval())


def _append(path: Path, row: Mapping[str, float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def _curve(out: Path) -> None:
    """Draw loss and validation score over time (the file is for the eye; the numbers are in the CSV files)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for name, column, axis in (("log.csv", "loss", axes), ("validation.csv", "score", axes.twinx())):
        if not (out / name).exists():
            continue
        with (out / name).open() as stream:
            rows = list(csv.DictReader(stream))
        colour = "tab:blue" if column == "loss" else "tab:orange"
        axis.plot([float(r["seconds"]) / 60 for r in rows], [float(r[column]) for r in rows], color=colour)
        axis.set_ylabel(column, color=colour)
    axes.set_xlabel("minutes")
    figure.savefig(out / "curve.png", dpi=100)
