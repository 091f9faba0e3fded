"""The CMR walls on patients whose images the network has not seen: fine-tuned without them, judged on them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.manifest import ENVIRONMENT, ModelEntry, models_folder, read_manifest, write_entry
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.training.cmr_real import PIXEL_MM, SEED, STEPS, RealFrame, fine_tune
from CardiacFusionLib.training.evaluation.metrics import dice
from CardiacFusionLib.training.registry import export
from CardiacFusionLib.walls.cmr import FRAME_MODEL, MODEL, segment_frame
from CardiacFusionLib.walls.cmr_tidy import widened

MARGINS_MM = (0.0, 0.35, 0.7, 1.0, 1.35, 1.7, 2.0)  # tried on the other patients


@contextmanager
def weights_of(runs: Mapping[str, Path]) -> Iterator[None]:
    """Within it the networks are those shipped, but for single frames only those of ``runs`` (name of the network to
    its training run) are asked, and they are outlined without a margin."""
    before = os.environ.get(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as name:
        folder, shipped = Path(name), models_folder()
        for entry in read_manifest(shipped).values():
            if entry.name not in (MODEL, FRAME_MODEL):
                write_entry(entry, folder)
                (folder / entry.file).symlink_to((shipped / entry.file).resolve())
        for network, run in runs.items():
            write_entry(_without_margin(export(network, run, folder)), folder)
        os.environ[ENVIRONMENT] = name
        try:
            yield
        finally:
            if before is None:
                del os.environ[ENVIRONMENT]
            else:
                os.environ[ENVIRONMENT] = before


def _without_margin(entry: ModelEntry) -> ModelEntry:
    return replace(entry, input={k: v for k, v in entry.input.items() if k != "frame_margin_mm"})


def margin_dice(frames: Sequence[RealFrame], runs: Mapping[str, Path]) -> dict[str, NDArray[np.float64]]:
    """Cavity Dice (frame, margin of ``MARGINS_MM``) by patient of the networks of these runs, asked together."""
    rows: dict[str, list[list[float]]] = {}
    spacing = (PIXEL_MM, PIXEL_MM)
    with weights_of(runs):
        for frame in frames:
            labels = segment_frame(frame.image, spacing)
            cavities = [widened(labels, spacing, m) == Label.LV_CAVITY for m in MARGINS_MM]
            rows.setdefault(frame.patient, []).append([dice(c, frame.cavity) for c in cavities])
    return {patient: np.array(values) for patient, values in rows.items()}


def leave_out(
    frames: Sequence[RealFrame],
    start: Path,
    out: Path,
    walls: Path,
    groups: Sequence[Sequence[str]] | None = None,
    steps: int = STEPS,
    seed: int = SEED,
) -> dict[str, NDArray[np.float64]]:
    """For every group of patients (default: each by itself) a network fine-tuned on all others, judged on the group
    together with ``walls``/PATIENT, a run of the wall network that has not seen the patient either.

    Cavity Dice (frame, margin) by patient. Finished runs in ``out`` are used again. Groups of two are the harder test,
    at half the time.
    """
    names = sorted({f.patient for f in frames})
    groups = [[n] for n in names] if groups is None else groups
    if sorted(n for g in groups for n in g) != names:
        raise BadInputError(f"Every patient must be left out once; there are {', '.join(names)}.")
    found: dict[str, NDArray[np.float64]] = {}
    for group in groups:
        run = out / "+".join(group)
        if not (run / "best.ckpt").exists():
            fine_tune([f for f in frames if f.patient not in group], start, run, steps, seed)
        for name in group:
            found |= margin_dice([f for f in frames if f.patient == name], {MODEL: walls / name, FRAME_MODEL: run})
    return found


def summary(found: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Mean over patients without a margin, with each of ``MARGINS_MM``, and with the margin that is best for the other
    patients (so that no patient's own masks choose it)."""
    means = {patient: values.mean(axis=0) for patient, values in found.items()}
    chosen = {p: int(np.argmax(np.mean([m for q, m in means.items() if q != p], axis=0))) for p in means}
    blind = {p: float(means[p][k]) for p, k in chosen.items()}
    return {
        "cavity_dice": float(np.mean(list(blind.values()))),
        "patients": blind,
        "margin_mm": {p: MARGINS_MM[k] for p, k in chosen.items()},
        "median_frame": float(np.median(np.concatenate([found[p][:, k] for p, k in chosen.items()]))),
        "by_margin": {m: float(np.mean([v[k] for v in means.values()])) for k, m in enumerate(MARGINS_MM)},
    }
