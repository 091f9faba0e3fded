"""The stage results of the bullet heart (``Testing/mrml/bullet_case.py``), as a finished run would have them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "mrml"))

from bullet_case import bullet_case

from CardiacFusionLib.fusion.stage import fuse
from CardiacFusionLib.perfusion.correction import alone, requantified
from CardiacFusionLib.perfusion.stage import with_rest
from CardiacFusionLib.pipeline.files import write_json, write_results
from CardiacFusionLib.pipeline.stages import Examinations, Results
from CardiacFusionLib.pipeline.stored import STAGES_FILE, write_stages
from CardiacFusionLib.registration.carry import carried
from CardiacFusionLib.registration.pairing import levels_of, pair_slices
from CardiacFusionLib.report.content import CaseContent


def results_of(content: CaseContent | None = None) -> Results:
    """Results in which every stage agrees with the ones before it, so that an idle correction changes nothing."""
    b = content or bullet_case(48, 3.2)
    assert b.rest is not None
    pairing = pair_slices(b.stress.series, b.stress.walls, b.ct_walls)
    blank = np.full_like(b.stress.segment_labels, -1)
    levels = levels_of(pairing, b.ct_walls)
    stress = requantified(replace(alone(b.stress), segment_labels=blank), b.stress.walls, levels)
    calm = requantified(replace(b.rest, segment_labels=blank), b.rest.walls, levels)
    both = with_rest(stress, calm)
    registration = carried(b.registration, b.pose, b.ct_walls, b.stress.series, b.stress.walls, pairing)
    fusion = fuse(b.ct_walls, b.pose, b.tree, both, registration)
    return Results(
        Examinations(), b.reorientation, b.ct_walls, b.tree, pairing=pairing, stress=both, rest=calm,
        registration=registration, fusion=fusion,
    )  # fmt: skip


def write_case_folder(results: Results, folder: Path, ct: Path | None = None, digest: str = "") -> Path:
    """A finished case folder of these results (without pictures)."""
    folder.mkdir(parents=True)
    write_results(results, folder)
    write_stages(results, folder / STAGES_FILE)
    inputs = {} if ct is None else {"ct": {"file": ct.name, "path": str(ct), "sha256": digest}}
    record = {"inputs": inputs, "synthetic": True, "pose_confidence": 0.9, "software": {"version": "0"}}
    write_json(record, folder / "case.json")
    return folder
