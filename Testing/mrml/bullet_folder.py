"""The bullet heart as a finished case on disk."""

from __future__ import annotations

from pathlib import Path

from bullet_case import bullet_case
from case_results import results_of, write_case_folder

from CardiacFusionLib.io.case_folder import sha256_of
from CardiacFusionLib.io.write import write_volume


def bullet_folder(place: Path) -> Path:
    """The folder of a coarse bullet heart, its CT beside it."""
    content = bullet_case(48, 3.2)
    ct = place / "ct.nrrd"
    write_volume(content.ct, ct)
    return write_case_folder(results_of(content), place / "case", ct, sha256_of(ct))
