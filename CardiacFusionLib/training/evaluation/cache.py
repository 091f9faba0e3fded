"""Evaluated cases on disk, one JSON a heart, so that an interrupted evaluation goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from CardiacFusionLib import __version__
from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.training.evaluation.case import CaseFigures

# what a figure depends on besides the weights; a change in the report or the scene leaves the cases valid
ROOMS = ("spatial", "networks", "models", "twin", "reorientation", "walls", "coronaries", "perfusion", "registration",
         "fusion", "pipeline/stages.py", "training/evaluation")  # fmt: skip


def fingerprint(spacing_mm: float, rooms: tuple[str, ...] = ROOMS, weights: tuple[str, ...] | None = None) -> str:
    """What the figures of a case depend on: weights, the code of the stages and the CT's voxel size.

    ``rooms`` (folders and files of the library) and ``weights`` (names; None: all) for a study that needs only these.
    """
    digest = hashlib.sha256(f"{__version__} {spacing_mm}".encode())
    for name, entry in sorted(read_manifest().items()):
        if weights is None or name in weights:
            digest.update(f"{name} {entry.sha256}".encode())
    library = Path(__file__).resolve().parents[2]
    for room in rooms:
        place = library / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Cache:
    """A folder of cases. Cases of other weights, code or voxel size are not read, and are written over."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, seed: int) -> Path:
        return self.folder / f"case{seed}.json"

    def read(self, seed: int) -> CaseFigures | None:
        """The case as it was stored, or None."""
        try:
            stored = json.loads(self._path(seed).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return CaseFigures(**stored["case"]) if stored.get("key") == self.key else None

    def write(self, case: CaseFigures) -> None:
        """Store a case whole or not at all."""
        path = self._path(case.seed)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps({"key": self.key, "case": case.as_dict()}) + "\n", encoding="utf-8")
        temporary.replace(path)
