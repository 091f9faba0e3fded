"""The manifest of weights: what each file is, where it came from, how good it was, and its SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor

ENVIRONMENT = "CARDIACFUSION_MODELS"
IN_PLACE = "CARDIACFUSION_WEIGHTS"  # descriptions of the user's own networks, apart by the system's path separator


@dataclass(frozen=True)
class ModelEntry:
    """One named set of weights."""

    name: str
    version: str
    file: str
    sha256: str
    architecture: Mapping[str, Any]  # {"network": "chamber_unet:ChamberUNet", "kwargs": {...}}
    input: Mapping[str, Any]  # grid, spacing, intensity window: what the network expects
    data: str  # what it was trained on
    seed: int
    steps: int
    hours: float
    metrics: Mapping[str, Any]  # measured on what the names say; twin figures are synthetic
    licence: str


def models_folder() -> Path:
    """Where weights lie: environment variable CARDIACFUSION_MODELS, else ``Resources/Models`` beside the package."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given else Path(__file__).resolve().parents[2] / "Resources" / "Models"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path | None = None) -> dict[str, ModelEntry]:
    """All entries by name; without ``folder`` those in use, with the user's own networks in the place of ours.

    Raises BadInputError where the folder has no readable manifest, or a user's network does not fit.
    """
    path = (folder or models_folder()) / "manifest.json"
    if not path.exists():
        raise BadInputError(
            f"There are no network weights at {path.parent} (manifest.json is missing); set {ENVIRONMENT} to the "
            "Resources/Models folder of a CardiacFusion checkout, or train them with 'cardiacfusion train'."
        )
    try:
        entries = [ModelEntry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"The manifest of weights {path} cannot be read ({error}); get it again.") from error
    listed = {entry.name: entry for entry in entries}
    return _with_users_own(listed) if folder is None else listed


def _with_users_own(listed: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
    from CardiacFusionLib.models.foreign import entry_in_place_of, read_foreign

    for given in filter(None, os.environ.get(IN_PLACE, "").split(os.pathsep)):
        foreign = read_foreign(Path(given))
        if foreign.replaces not in listed:
            known = ", ".join(sorted(listed))
            raise BadInputError(f"No network is called '{foreign.replaces}' ({Path(given).name}); there are {known}.")
        listed[foreign.replaces] = entry_in_place_of(listed[foreign.replaces], foreign)
    return listed


def write_entry(entry: ModelEntry, folder: Path) -> None:
    """Put an entry into the manifest of ``folder``; the others stay as they are."""
    manifest = folder / "manifest.json"
    entries = read_manifest(folder) if manifest.exists() else {}
    entries[entry.name] = entry
    text = json.dumps({"models": [asdict(entries[name]) for name in sorted(entries)]}, indent=2)
    temporary = manifest.with_suffix(".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(manifest)


def write_weights(entry: ModelEntry, state: Mapping[str, Tensor], folder: Path) -> ModelEntry:
    """Write a state dict as safetensors (floating parameters as float16) and put its entry into the manifest.

    Returns the entry with its SHA-256. Other entries of the manifest stay as they are.
    """
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    half = {k: (v.half() if v.dtype == torch.float32 else v).contiguous() for k, v in state.items()}
    if not all(bool(torch.isfinite(v).all()) for v in half.values()):
        raise BadInputError(f"The weights of '{entry.name}' do not fit float16; train them again.")
    path = folder / entry.file
    temporary = path.with_suffix(".part")
    save_file(half, temporary)
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    temporary.replace(path)
    entry = replace(entry, sha256=file_sha256(path))
    write_entry(entry, folder)
    return entry
