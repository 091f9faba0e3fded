"""A user's own network (ONNX or TorchScript) in the place of one of ours: a file and a small JSON that describes it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacFusionLib.models.manifest import ModelEntry, file_sha256
from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMATS = {".onnx": "onnx", ".pt": "torchscript", ".ts": "torchscript", ".torchscript": "torchscript"}
SCALES = ("none", "minmax", "percentile", "zscore", "hu_window")
# ours: models.cubes.normalised_hu
HU_MIDDLE, HU_UNIT = 180.0, 350.0


@dataclass(frozen=True)
class Foreign:
    """What the JSON says. ``contract``: "same" (takes and gives what ours does) or "labels" (translated)."""

    replaces: str
    file: Path
    backend: str
    contract: str
    channels: tuple[int, ...]
    spacing_mm: float | None
    size: tuple[int, ...] | None
    scale: str
    limits: tuple[float, float]
    labels: dict[int, int]
    finished: bool
    data: str
    licence: str


def read_foreign(path: Path) -> Foreign:
    """The description of a user's network. Raises BadInputError with what is wrong and how to mend it."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"There is no description of a network at {path}; check the path.") from error
    except ValueError as error:
        raise BadInputError(f"{path.name} is not JSON ({error}); Docs/models.md shows one.") from error
    if not isinstance(given, dict) or "replaces" not in given or "file" not in given:
        raise BadInputError(f"{path.name} must say which network it 'replaces' and in which 'file' it lies.")
    return foreign_of(given, path.parent)


def foreign_of(given: dict[str, Any], folder: Path) -> Foreign:
    """As :func:`read_foreign`, from the JSON's content; relative files lie in ``folder``."""
    file = folder / str(given["file"])
    if not file.is_file():
        raise BadInputError(f"The network file {file} is missing; check 'file' in its description.")
    if file.suffix.lower() not in FORMATS:
        raise BadInputError(f"{file.name} is no network that can be run; give .onnx, or TorchScript as .pt or .ts.")
    seen, out = given.get("input", {}), given.get("output", {})
    contract = str(given.get("contract", "labels"))
    scale = str(seen.get("scale", "none"))
    if contract not in ("same", "labels"):
        raise BadInputError(f"'contract' of {file.name} is 'labels' or 'same', not '{contract}'.")
    if scale not in SCALES:
        raise BadInputError(f"'scale' of {file.name} is one of {', '.join(SCALES)}, not '{scale}'.")
    try:
        labels = {int(k): int(v) for k, v in out.get("labels", {}).items()}
        low, high = (float(v) for v in seen.get("limits", (1.0, 99.0)))
        channels = tuple(int(c) for c in seen.get("channels", (0,)))
        size = tuple(int(n) for n in seen["size"]) if seen.get("size") else None
        spacing = float(seen["spacing_mm"]) if seen.get("spacing_mm") else None
    except (TypeError, ValueError) as error:
        raise BadInputError(f"The description of {file.name} holds a value that is no number ({error}).") from error
    if contract == "labels" and not any(labels.values()):
        raise BadInputError(f"'output.labels' of {file.name} must map its label numbers to ours (Docs/models.md).")
    if low >= high:
        raise BadInputError(f"'limits' of {file.name} must rise; these are {low:g} and {high:g}.")
    return Foreign(
        str(given["replaces"]), file, FORMATS[file.suffix.lower()], contract, channels, spacing, size, scale,
        (low, high), labels, bool(out.get("finished", False)), str(given.get("data", "unknown")),
        str(given.get("licence", "unknown")),
    )  # fmt: skip


def entry_in_place_of(ours: ModelEntry, foreign: Foreign) -> ModelEntry:
    """The manifest entry with the user's file and description; the input our stages prepare stays as it was."""
    described = {
        "backend": foreign.backend,
        "contract": foreign.contract,
        "classes": int(ours.architecture.get("classes", ours.architecture.get("kwargs", {}).get("classes", 0))),
        "input": {
            "channels": list(foreign.channels),
            "spacing_mm": foreign.spacing_mm,
            "size": list(foreign.size) if foreign.size else None,
            "scale": foreign.scale,
            "limits": list(foreign.limits),
        },
        "output": {"labels": {str(k): v for k, v in foreign.labels.items()}, "finished": foreign.finished},
    }
    if foreign.contract == "labels" and not described["classes"]:
        raise BadInputError(f"'{ours.name}' gives no labels; a network in its place needs the contract 'same'.")
    return replace(
        ours, version="user", file=str(foreign.file.resolve()), sha256=_sha256(foreign.file), architecture=described,
        data=foreign.data, seed=0, steps=0, hours=0.0, metrics={}, licence=foreign.licence,
    )  # fmt: skip


def _sha256(path: Path) -> str:
    facts = path.stat()
    return _hashed(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _hashed(path: Path, changed_ns: int, size: int) -> str:
    return file_sha256(path)


def build_foreign(entry: ModelEntry, path: Path, device: torch.device | str) -> nn.Module:
    """The user's network, ready to be called like ours, from a manifest entry that names a ``backend``."""
    from CardiacFusionLib.networks.foreign import ForeignLabels, SameContract

    given = {**entry.architecture, "replaces": entry.name, "file": path.name}
    foreign = foreign_of(given, path.parent)
    answer = _onnx(path) if foreign.backend == "onnx" else _torchscript(path, device)
    if foreign.contract == "same":
        return SameContract(answer)
    ours_mm = float(entry.input.get("spacing_mm", 0.0) or 0.0)
    zoom = ours_mm / foreign.spacing_mm if foreign.spacing_mm and ours_mm else 1.0
    return ForeignLabels(
        answer, int(entry.architecture["classes"]), foreign.labels, channels=foreign.channels, zoom=zoom,
        size=foreign.size, scale=_scale(foreign), finished=foreign.finished,
    )  # fmt: skip


def _onnx(path: Path) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    import numpy as np
    import torch

    try:
        import onnxruntime
    except ImportError as error:
        raise BadInputError(
            f"{path.name} needs onnxruntime; install it with pip install 'cardiacfusion[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("CARDIACFUSION_THREADS", "0")) or torch.get_num_threads()
    usable = [
        p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in onnxruntime.get_available_providers()
    ]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=usable)
    except Exception as error:  # onnxruntime's own errors share no base class
        raise BadInputError(f"{path.name} is not a network that onnxruntime can run ({error}).") from error
    names = [given.name for given in session.get_inputs()]

    def answer(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        if len(inputs) != len(names):
            raise BadInputError(f"{path.name} takes {len(names)} inputs, but {len(inputs)} are given in its place.")
        arrays = {n: np.ascontiguousarray(x.detach().cpu().numpy(), np.float32) for n, x in zip(names, inputs)}
        try:
            found = session.run(None, arrays)
        except Exception as error:  # as above
            raise BadInputError(f"{path.name} does not take what it is shown ({error}); check 'input'.") from error
        return [torch.from_numpy(np.asarray(out)) for out in found]

    return answer


def _torchscript(path: Path, device: torch.device | str) -> Callable[[Sequence[Tensor]], Sequence[Tensor]]:
    import torch

    try:
        network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise BadInputError(f"{path.name} is not a TorchScript network ({error}); save it with torch.jit.") from error

    def answer(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        try:
            found = network(*inputs)
        except RuntimeError as error:
            raise BadInputError(f"{path.name} does not take what it is shown ({error}); check 'input'.") from error
        return list(found) if isinstance(found, tuple | list) else [found]

    return answer


def _scale(foreign: Foreign) -> Callable[[Tensor], Tensor] | None:
    """From our values to those the user's network knows, picture by picture."""
    import torch

    low, high = foreign.limits
    kind = foreign.scale

    def scaled(x: Tensor) -> Tensor:
        result = []
        for picture in x:
            if kind == "hu_window":
                picture = ((picture * HU_UNIT + HU_MIDDLE - low) / (high - low)).clamp(0, 1)
            elif kind == "zscore":
                picture = (picture - picture.mean()) / picture.std().clamp_min(1e-6)
            else:
                inside = picture[picture != 0] if kind == "percentile" and bool((picture != 0).any()) else picture
                bottom, top = inside.min(), inside.max()
                if kind == "percentile":
                    bottom, top = torch.quantile(inside.flatten()[:_MOST], torch.tensor([low, high]).to(x) / 100)
                picture = (picture.clamp(bottom, top) - bottom) / (top - bottom).clamp_min(1e-6)
            result.append(picture)
        return torch.stack(result)

    return None if kind == "none" else scaled


_MOST = 16_000_000  # torch.quantile takes no more values
