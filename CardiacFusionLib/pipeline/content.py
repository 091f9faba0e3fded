"""The results of a run as report and scene take them."""

from __future__ import annotations

from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.report.content import CaseContent, RunInfo


def content_of(results: Results, info: RunInfo, synthetic: bool, title: str) -> CaseContent:
    """The results as report and scene take them; every stage must have run."""
    assert results.examinations.ct is not None and results.pose is not None
    assert results.reorientation is not None and results.ct_walls is not None and results.tree is not None
    assert results.stress is not None and results.registration is not None and results.fusion is not None
    return CaseContent(
        ct=results.examinations.ct,
        pose=results.pose,
        reorientation=results.reorientation,
        ct_walls=results.ct_walls,
        tree=results.tree,
        stress=results.stress,
        rest=results.rest,
        registration=results.registration,
        fusion=results.fusion,
        title=title,
        synthetic=synthetic,
        quality=results.quality,
        run=info,
    )
