"""From a name to a network ready to run: weights checked against the manifest, device chosen and explained."""

from __future__ import annotations

import importlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from CardiacFusionLib.models.foreign import build_foreign
from CardiacFusionLib.models.manifest import ENVIRONMENT, ModelEntry, file_sha256, models_folder, read_manifest
from CardiacFusionLib.spatial.errors import BadInputError, StageError

if TYPE_CHECKING:
    import torch
    from torch import nn

MIN_GPU_MEMORY_BYTES = 2 * 1024**3  # the largest network needs about 1 GB


def choose_device() -> tuple[torch.device, str]:
    """The device to compute on and the reason, in words for the report and ``doctor``."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu"), "no CUDA device is usable, so the CPU computes"
    free, _ = torch.cuda.mem_get_info()
    if free < MIN_GPU_MEMORY_BYTES:
        return torch.device("cpu"), f"the GPU has only {free / 1024**3:.1f} GB free, so the CPU computes"
    return torch.device("cuda"), f"{torch.cuda.get_device_name()} is free"


def build(entry: ModelEntry) -> nn.Module:
    """The untrained network of a manifest entry; its class must lie in the room ``networks``."""
    module_name, _, class_name = str(entry.architecture["network"]).partition(":")
    if not module_name.isidentifier() or not class_name.isidentifier():
        raise BadInputError(f"The manifest names no network class for '{entry.name}'; get the weights again.")
    try:
        module = importlib.import_module(f"CardiacFusionLib.networks.{module_name}")
        network: nn.Module = getattr(module, class_name)(**entry.architecture["kwargs"])
    except (ImportError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"The weights '{entry.name}' belong to a network this version does not have ({error}); use the weights "
            "that came with this version."
        ) from error
    return network


def entry_of(name: str) -> ModelEntry:
    """The manifest entry of a network. Raises BadInputError where it is not listed."""
    entries = read_manifest()
    if name not in entries:
        raise BadInputError(
            f"The weights '{name}' are not in {models_folder()}; set {ENVIRONMENT} to a folder that has them, or train "
            f"them with 'cardiacfusion train {name}'."
        )
    return entries[name]


@lru_cache(maxsize=16)
def _load(folder: Path, name: str, device: str, identity: str) -> nn.Module:
    from safetensors.torch import load_file

    entry = entry_of(name)
    path = folder / entry.file
    if not path.exists():
        raise BadInputError(
            f"The weight file {path.name} is missing from {folder}; get it from the release (git checkout) or train it "
            f"with 'cardiacfusion train {name}'."
        )
    if file_sha256(path) != entry.sha256:
        raise BadInputError(
            f"The weight file {path.name} differs from the manifest (SHA-256); it is damaged or altered. Restore it "
            "from the release."
        )
    if "backend" in entry.architecture:
        return build_foreign(entry, path, device).to(device).eval()
    network = build(entry)
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise StageError("models", f"the weights '{name}' do not fit their network ({error})") from error
    return network.to(device).eval().requires_grad_(False)


def load(name: str, device: torch.device | str | None = None) -> nn.Module:
    """The network ``name`` (ours, or the user's own in its place) in evaluation mode, float32; loaded once per device.

    Raises BadInputError where weights are missing or altered (the sentence says how to get them).
    """
    where = str(device) if device is not None else str(choose_device()[0])
    if where.startswith("cuda"):
        _exact()
    entry = entry_of(name)
    return _load(models_folder(), name, where, f"{entry.sha256} {entry.architecture}")


def _exact() -> None:
    """CUDA must give what the processor gives (to 1e-3): no shortened mantissas."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
