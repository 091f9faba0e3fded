"""The frame that a reader set in one run is that of the next run with the same case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chamber_phantom import pose, volume

from CardiacFusionLib.io.case_folder import EarlierCase
from CardiacFusionLib.pipeline import case, stages
from CardiacFusionLib.pipeline.case import Request
from CardiacFusionLib.pipeline.stages import Examinations, run
from CardiacFusionLib.spatial.pose import rolled
from CardiacFusionLib.walls.result import CtWalls


@pytest.mark.parametrize("by_reader", [True, False])
def test_only_a_frame_of_the_program_follows_the_wall_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_reader: bool
) -> None:
    frame, labels = pose((20, 10, 0)), volume(pose((20, 10, 0)), 6.0)
    ct = tmp_path / "ct.nii.gz"
    earlier = EarlierCase(
        tmp_path, {"parameters": {"landmarks_by_reader": by_reader}}, ct, None, frame, coarse_labels=labels
    )
    monkeypatch.setattr(case, "read_case", lambda path: earlier)
    monkeypatch.setattr(case, "_unchanged", lambda one: ct)
    _, given, _ = case._earlier(Request(out=tmp_path / "out", upto="segment", case=tmp_path))
    turned = rolled(frame, 9.0)
    monkeypatch.setattr(stages, "segment_ct", lambda image, found: CtWalls(labels, turned))
    results = run(Examinations(ct=labels), upto="segment", given=given)
    assert results.pose is not None
    np.testing.assert_allclose(results.pose.lps_to_heart, (frame if by_reader else turned).lps_to_heart)
