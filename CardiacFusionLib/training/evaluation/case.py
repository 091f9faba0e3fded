"""One unseen twin: only the examinations and stages that the wanted figures need, compared with the truth."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.pipeline.progress import peak_memory_mb
from CardiacFusionLib.pipeline.stages import Examinations, Results, run
from CardiacFusionLib.registration.ends import ends_in_cmr
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation import cmr_figures, ct_figures, metrics
from CardiacFusionLib.training.evaluation.peers import POSE_PEERS
from CardiacFusionLib.training.evaluation.registration_figures import registration_figures
from CardiacFusionLib.training.evaluation.true_marks import Marks, material_marks, plane_points, visible_marks
from CardiacFusionLib.training.peer_bspline import bspline_displacement
from CardiacFusionLib.twin.case import DrawnTwin, TwinCmr, draw_twin, make_twin

Figures = dict[str, float]
# what each stage's figures need: the CT, the CMR, both brought together, or the whole way
CT_STAGES = frozenset({"reorientation", "ct_walls"})
CMR_STAGES = frozenset({"cmr_walls", "aif"})
PAIR_STAGES = frozenset({"landmarks", "registration"})
WHOLE_STAGES = frozenset({"perfusion", "coronaries", "fusion"})
STAGES = ("reorientation", "ct_walls", "cmr_walls", "aif", "landmarks", "registration", "perfusion", "coronaries",
          "fusion")  # fmt: skip
# seconds of which pipeline stages count for which figures
CLOCKS = {
    "reorientation": ("reorient",),
    "ct_walls": ("segment",),
    "cmr_walls": ("cmr_walls",),
    "registration": ("register",),
    "perfusion": ("motion", "perfusion"),
    "coronaries": ("coronaries",),
    "fusion": ("fuse",),
}


@dataclass(frozen=True)
class CaseFigures:
    """What one synthetic heart gave. ``figures``: stage -> name -> value; ``peers``: peer -> stage -> name -> value.

    ``samples``: values that only all cases together turn into figures. ``failures``: stage -> the sentence of the
    error that ended it.
    """

    seed: int
    kind: str
    figures: dict[str, Figures] = field(default_factory=dict)
    peers: dict[str, dict[str, Figures]] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def together(self, other: CaseFigures) -> CaseFigures:
        """The figures of two looks at the same heart; the later one wins."""
        peers = {n: {**self.peers.get(n, {}), **other.peers.get(n, {})} for n in (*self.peers, *other.peers)}
        failures = {k: v for k, v in self.failures.items() if k not in other.figures} | other.failures
        figures = {**self.figures, **other.figures}
        return CaseFigures(self.seed, self.kind, figures, peers, {**self.samples, **other.samples}, failures)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate_case(seed: int, stages: frozenset[str], spacing_mm: float, with_peers: bool = False) -> CaseFigures:
    """Figures of ``stages`` on the twin of ``seed``; with ``with_peers`` those of every peer on the same images."""
    torch.set_num_threads(max(1, int(os.environ.get("CARDIACFUSION_THREADS", "1"))))
    case = CaseFigures(seed, "")
    if stages & WHOLE_STAGES:
        case = _whole_way(seed, stages, spacing_mm, with_peers)
        stages = frozenset()
    drawn = draw_twin(seed)
    case = CaseFigures(seed, drawn.kind).together(case)
    if stages & (CT_STAGES | PAIR_STAGES):
        case = case.together(_ct_side(drawn, stages, spacing_mm, bool(stages - CT_STAGES), with_peers))
    elif stages:
        case = case.together(_cmr_side(drawn, stages))
    return case


def _ct_side(
    drawn: DrawnTwin, stages: frozenset[str], spacing_mm: float, with_cmr: bool, with_peers: bool
) -> CaseFigures:
    ct, labels = drawn.ct((spacing_mm,) * 3)
    case = CaseFigures(drawn.seed, drawn.kind)
    if with_peers and "reorientation" in stages:
        _pose_peers(case, ct, drawn)
    if not with_cmr:
        try:
            results = run(Examinations(ct), upto="segment")
        except CardiacFusionError as error:
            case.failures["segment"] = str(error)
            return case
        _ct_figures(case, results, drawn, labels, stages)
        return case
    cmr = drawn.cmr(rest="aif" in stages)
    try:
        results = run(
            Examinations(ct, cmr.stress.series), upto="register", without=frozenset({"coronaries", "perfusion"})
        )
    except CardiacFusionError as error:
        case.failures["register"] = str(error)
        try:
            _ct_figures(case, run(Examinations(ct), upto="segment"), drawn, labels, stages)
        except CardiacFusionError as first:
            case.failures["segment"] = str(first)
        return case.together(_cmr_side(drawn, stages & CMR_STAGES, cmr)) if stages & CMR_STAGES else case
    _ct_figures(case, results, drawn, labels, stages)
    _pair_figures(case, results, drawn, cmr, stages, with_peers)
    _cmr_figures(case, results, cmr, stages)
    if "aif" in stages and cmr.rest is not None:
        _rest_aif(case, cmr)
    return case


def _pose_peers(case: CaseFigures, ct: Volume, drawn: DrawnTwin) -> None:
    for name, peer in POSE_PEERS.items():
        start = time.perf_counter()
        pose = peer(ct)
        seconds = time.perf_counter() - start
        case.peers[name] = {"reorientation": {**ct_figures.pose_figures(pose, drawn.ct_pose), "seconds": seconds}}


def _cmr_side(drawn: DrawnTwin, stages: frozenset[str], cmr: TwinCmr | None = None) -> CaseFigures:
    cmr = cmr or drawn.cmr(rest="aif" in stages)
    case = CaseFigures(drawn.seed, drawn.kind)
    try:
        results = run(Examinations(stress=cmr.stress.series), upto="perfusion", without=frozenset({"perfusion"}))
    except CardiacFusionError as error:
        case.failures["cmr_walls"] = str(error)
        if "aif" in stages:
            case.figures["aif"] = cmr_figures.aif_figures(None, cmr.stress.series, cmr.labels)
    else:
        _cmr_figures(case, results, cmr, stages)
    if "aif" in stages and cmr.rest is not None:
        _rest_aif(case, cmr)
    return case


def _clocked(figures: Figures, stage: str, results: Results) -> Figures:
    """The figures with the seconds of their stage and the process's peak memory so far."""
    taken = [results.seconds[name] for name in CLOCKS.get(stage, ()) if name in results.seconds]
    peak = peak_memory_mb()
    seconds = {"seconds": float(sum(taken))} if taken else {}
    return {**figures, **seconds, **({} if peak is None else {"rss_mb": peak})}


def _ct_figures(case: CaseFigures, results: Results, drawn: DrawnTwin, labels: Volume, stages: frozenset[str]) -> None:
    assert results.ct_walls is not None and results.reorientation is not None and results.pose is not None
    if "reorientation" in stages:
        figures = ct_figures.pose_figures(results.pose, drawn.ct_pose)
        first = ct_figures.pose_figures(results.reorientation.pose, drawn.ct_pose)
        figures |= {f"first_{name}": value for name, value in first.items()}
        figures |= ct_figures.landmark_figures(results.pose, drawn.ct_pose)
        case.samples["ct_marks"] = ct_figures.marks_in_window(drawn.ct_pose, results.reorientation.geometric_pose)
        figures["confidence"] = results.reorientation.pose.confidence
        figures |= ct_figures.aspect_figures(results.ct_walls.labels, labels, drawn.ct_pose)
        case.figures["reorientation"] = _clocked(figures, "reorientation", results)
    if "ct_walls" in stages:
        case.figures["ct_walls"] = _clocked(
            ct_figures.wall_figures(results.ct_walls.labels, labels), "ct_walls", results
        )


def _cmr_figures(case: CaseFigures, results: Results, cmr: TwinCmr, stages: frozenset[str]) -> None:
    assert results.cmr_walls is not None and results.moving is not None
    if "cmr_walls" in stages:
        figures = cmr_figures.wall_figures(results.cmr_walls.labels, cmr.labels, results.moving.poses)
        case.figures["cmr_walls"] = _clocked(figures, "cmr_walls", results)
    if "aif" in stages:
        case.figures["aif"] = _aif(results, cmr)


def _aif(results: Results, cmr: TwinCmr) -> Figures:
    assert results.cmr_walls is not None and results.moving is not None
    try:
        found = results.stress.aif if results.stress is not None else find_aif(results.moving, results.cmr_walls)
    except CardiacFusionError:
        found = None
    return cmr_figures.aif_figures(found, results.moving, cmr.labels)


def _rest_aif(case: CaseFigures, cmr: TwinCmr) -> None:
    """The rest series is a second chance to mistake the ventricles."""
    assert cmr.rest is not None
    series: Series = cmr.rest.series
    try:
        results = run(Examinations(stress=series), upto="perfusion", without=frozenset({"perfusion"}))
        figures = _aif(results, cmr)
    except CardiacFusionError as error:
        case.failures["rest"] = str(error)
        figures = cmr_figures.aif_figures(None, series, cmr.labels)
    case.figures["aif"] |= {f"rest_{name}": value for name, value in figures.items()}


def _pair_figures(
    case: CaseFigures,
    results: Results,
    drawn: DrawnTwin,
    cmr: TwinCmr,
    stages: frozenset[str],
    with_peers: bool,
) -> None:
    match, walls, pose = results.registration, results.cmr_walls, results.pose
    assert match is not None and walls is not None and pose is not None and results.moving is not None
    slices = results.moving.poses
    if "reorientation" in stages:
        case.figures["reorientation"]["wall_dice"] = float(np.nanmean(match.wall_dice_before))
    if "landmarks" in stages:
        true = visible_marks(cmr.labels, slices, cmr.heart, cmr.pose)
        figures = cmr_figures.in_image_figures(walls.landmarks, true)
        ends = ends_in_cmr(match.pairing, pose, walls, slices)
        figures |= cmr_figures.out_of_image_figures({n: one.place_lps for n, one in ends.items()}, cmr.pose)
        alone = {n: one.place_lps for n, one in walls.ends.items() if n in ends}
        figures |= {f"cmr_alone_{n}": v for n, v in cmr_figures.out_of_image_figures(alone, cmr.pose).items()}
        case.figures["landmarks"] = figures
        case.samples["marks"] = cmr_figures.marks_in_image_frame(true, cmr.pose, results.moving)
    if "registration" in stages:
        shape = cmr.labels.shape[1:]
        ct_marks = [
            {
                n: pose.to_heart(p)[:2]
                for n, p in material_marks(drawn.heart, drawn.ct_pose, plane_points(pose, z)).items()
            }
            for z in match.pairing.z_mm.tolist()
        ]
        in_cmr = [material_marks(cmr.heart, cmr.pose, s.grid_lps(shape)[::2, ::2].reshape(-1, 3)) for s in slices]
        cmr_marks = [_flat(marks, match.pairing.cmr_pose) for marks in in_cmr]
        figures = registration_figures(match, ct_marks, cmr_marks)
        figures["seconds_a_slice"] = results.seconds["register"] / len(match.wall_dice_after)
        case.figures["registration"] = _clocked(figures, "registration", results)
        if with_peers:
            start = time.perf_counter()
            fields = np.stack([bspline_displacement(f, m) for f, m in zip(match.ct_labels, match.cmr_labels)])
            seconds = (time.perf_counter() - start) / len(fields)
            figures = registration_figures(match, ct_marks, cmr_marks, fields)
            case.peers["simpleitk_bspline"] = {"registration": {**figures, "seconds_a_slice": seconds}}


def _flat(marks: Marks, pose: HeartPose) -> Marks:
    """Landmarks in LPS as heart-frame x and y."""
    return {name: pose.to_heart(point)[:2] for name, point in marks.items()}


def _whole_way(seed: int, stages: frozenset[str], spacing_mm: float, with_peers: bool) -> CaseFigures:
    """Stages that need the twin's flow or tree, and whatever else is asked for on the way."""
    twin = make_twin(seed, ct_spacing_mm=(spacing_mm,) * 3)
    truth, drawn = twin.truth, draw_twin(seed)
    case = CaseFigures(seed, truth.kind)
    if with_peers and "reorientation" in stages:
        _pose_peers(case, twin.ct, drawn)
    upto = "fuse" if "fusion" in stages else "register" if stages - {"coronaries"} - CT_STAGES else "coronaries"
    without = frozenset() if stages & {"coronaries", "fusion"} else frozenset({"coronaries"})
    try:
        results = run(Examinations(twin.ct, twin.stress, twin.rest), upto=upto, without=without)
    except CardiacFusionError as error:
        case.failures[upto] = str(error)
        return case
    _ct_figures(case, results, drawn, truth.ct_labels, stages)
    measured: dict[str, Callable[..., Any]] = {"coronaries": metrics.coronaries, "fusion": metrics.fusion}
    if "perfusion" in stages:
        figures, samples = metrics.perfusion(results, truth)
        case.figures["perfusion"] = _clocked(figures, "perfusion", results)
        case.samples.update(samples)
    for stage, measure in measured.items():
        if stage in stages:
            case.figures[stage] = _clocked(measure(results, truth), stage, results)
    if upto != "coronaries":
        cmr = drawn.cmr(rest=False)
        _pair_figures(case, results, drawn, cmr, stages, with_peers)
        _cmr_figures(case, results, cmr, stages)
    return case
