"""All that real images allow to be measured, in one file of figures; none of them has a truth for everything."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib import __version__
from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.training.evaluation import outside_baseline
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.walls.ct import segment_ct
from CardiacFusionLib.walls.plausibility import judge

SCANS = 48  # other scans of the real CT's patient


def data_folder() -> Path:
    """The folder of real images: environment variable CARDIACFUSION_DATA, else ``../shared/data`` of the project."""
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    folder = Path(os.environ.get("CARDIACFUSION_DATA", default))
    if not folder.is_dir():
        raise BadInputError("There are no real images here; set CARDIACFUSION_DATA to the folder that holds them.")
    return folder


def _real_ct(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _other("real_ct").evaluate_real_ct(folder, n=SCANS)
    return found


def _real_ct_looks(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _other("real_ct_looks").evaluate_looks(folder)
    return found


def _real_ct_bends(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _other("real_ct_bends").evaluate_bends(folder)
    return found


def _real_cmr(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _other("real_cmr").evaluate_real_cmr(folder)
    return found


def _real_cine_looks(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _other("real_cmr_looks").evaluate_cine_looks(folder)
    return found


def _other(name: str) -> Any:
    return importlib.import_module(f"CardiacFusionLib.training.evaluation.{name}")


def _outside(folder: Path) -> dict[str, Any]:
    """The outside ONNX baseline beside ours: cavity on the CT's mid-ventricular slices, and on Sunnybrook's frames."""
    reason = outside_baseline.why_absent()
    if reason:
        raise BadInputError(f"The outside baseline was left out: {reason}.")
    figures: dict[str, Any] = {}
    scan = folder / "cta" / "cta.nii.gz"
    if scan.exists():
        ct = read_ct(scan)
        found = reorient(ct)
        walls = segment_ct(ct, found)
        figures["ct"] = outside_baseline.compare_on_ct(ct, walls.labels, walls.pose)
        figures["ct"]["quality_score"] = judge(ct, walls.labels, walls.pose, found).score
    if (folder / "sunnybrook").exists():
        figures["sunnybrook"] = _baseline_on_sunnybrook(folder / "sunnybrook")
    return figures


def _baseline_on_sunnybrook(folder: Path) -> dict[str, float]:
    """Cavity Dice of the baseline against the experts' masks, mean over patients."""
    of_patient: dict[str, list[float]] = {}
    for mask in sorted((folder / "lv_cavity").glob("*.png")):
        image, true = _grey(folder / "image" / mask.name), _grey(mask) > 0
        found = outside_baseline.baseline_labels(image) == Label.LV_CAVITY
        of_patient.setdefault(mask.name.split("-IM-")[0], []).append(dice(found, true))
    if not of_patient:
        raise BadInputError(f"{folder} holds no masks in lv_cavity/.")
    means = [float(np.mean(v)) for v in of_patient.values()]
    return {"cavity_dice": float(np.mean(means)), "frames": sum(map(len, of_patient.values())), "patients": len(means)}


def _grey(path: Path) -> NDArray[np.float32]:
    """A picture file as one grey picture (y, x)."""
    from skimage.io import imread

    picture = np.asarray(imread(path), np.float32)
    return picture if picture.ndim == 2 else picture[..., :3].mean(axis=-1)


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ct": _real_ct,
    "ct_looks": _real_ct_looks,
    "ct_bends": _real_ct_bends,
    "cmr": _real_cmr,
    "cine_looks": _real_cine_looks,
    "outside_onnx": _outside,
}


def evaluate_real(json_file: Path | None) -> Iterator[str]:
    """Run every part that can be run here; lines for the reader, and one JSON of figures."""
    folder = data_folder()
    figures: dict[str, Any] = {}
    for name, part in PARTS.items():
        start = time.perf_counter()
        try:
            figures[name] = part(folder)
        except (BadInputError, ImportError) as error:
            yield f"{name}: left out: {error}"
            continue
        figures[name]["seconds"] = time.perf_counter() - start
        yield from (f"  real {name} {key}: {value}" for key, value in flat(figures[name]))
    if json_file is not None:
        document = {"what": "real images (no synthetic ones)", "version": __version__, "real": figures}
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def flat(figures: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as (dotted name, text); lists of rows are left to the JSON."""
    for key, value in figures.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from flat({str(k): v for k, v in value.items()}, f"{name}.")
        elif isinstance(value, float):
            yield name, f"{value:.3f}"
        elif not isinstance(value, list):
            yield name, str(value)
