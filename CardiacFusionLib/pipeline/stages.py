"""From two examinations to one fused case: every stage in its order, in memory.

Each stage is a function from typed inputs to a frozen result; what a later stage needs is handed on here and nowhere
else. ``upto`` ends the way early, ``Given`` starts it late (a corrected landmark, a wall from an earlier run).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.fusion.result import Fusion
from CardiacFusionLib.fusion.stage import fuse
from CardiacFusionLib.perfusion.choices import Choices
from CardiacFusionLib.perfusion.motion import Motion, correct_motion
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.stage import quantify, with_rest
from CardiacFusionLib.pipeline.progress import StageClock
from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.registration.pairing import levels_of, pair_slices
from CardiacFusionLib.registration.result import Pairing, Registration
from CardiacFusionLib.registration.stage import register
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.long_axis import LongAxisView
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.cmr import segment_cmr
from CardiacFusionLib.walls.ct import segment_ct
from CardiacFusionLib.walls.long_axis import see_long_axis
from CardiacFusionLib.walls.result import CmrWalls, CtWalls, LongAxis, LongAxisMarks
from CardiacFusionLib.walls.stack_landmarks import levels_of_stack

STAGES = ("reorient", "segment", "coronaries", "perfusion", "register", "fuse")


@dataclass(frozen=True)
class Examinations:
    """What the user brought."""

    ct: Volume | None = None
    stress: Series | None = None
    rest: Series | None = None
    choices: Choices = field(default_factory=Choices)  # the reader's own input function and sequence parameters
    long_axis: tuple[LongAxisView, ...] = ()  # of the same CMR examination


@dataclass(frozen=True)
class Given:
    """What is known before the run: results of an earlier one, or the reader's own. It takes the stage's place."""

    reorientation: Reorientation | None = None
    ct_walls: CtWalls | None = None
    tree: CoronaryTree | None = None
    pose: HeartPose | None = None  # landmarks placed by the reader


@dataclass(frozen=True)
class Results:
    """All that a run made, in memory; None where the run ended before that stage."""

    examinations: Examinations
    reorientation: Reorientation | None = None
    ct_walls: CtWalls | None = None
    tree: CoronaryTree | None = None
    moving: Series | None = None  # stress series after motion correction
    cmr_walls: CmrWalls | None = None  # walls in it
    long_axis: LongAxis | None = None  # what the long-axis views show, where there are any
    pairing: Pairing | None = None
    stress: Perfusion | None = None
    rest: Perfusion | None = None
    registration: Registration | None = None
    fusion: Fusion | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def pose(self) -> HeartPose | None:
        """The best pose so far: refined on the walls where they exist."""
        if self.ct_walls is not None:
            return self.ct_walls.pose
        return self.reorientation.pose if self.reorientation is not None else None

    @property
    def quality(self) -> Quality:
        """All flags of all stages, in their order, each once."""
        parts = (
            self.reorientation,
            self.ct_walls,
            self.tree,
            self.cmr_walls,
            self.long_axis,
            self.pairing,
            self.stress,
        )  # stress holds the rest's flags
        flags: dict[Flag, None] = {}
        for part in (*parts, self.registration, self.fusion):
            if part is not None:
                flags.update(dict.fromkeys(part.quality.flags))
        return Quality(tuple(flags))


@dataclass(frozen=True)
class _Moving:
    """One perfusion series after motion correction, with its walls, and what the long-axis views added to them."""

    series: Series
    motion: Motion
    walls: CmrWalls
    long_axis: LongAxis | None = None


def run(
    examinations: Examinations,
    *,
    upto: str = "fuse",
    given: Given | None = None,
    clock: StageClock | None = None,
    without: frozenset[str] = frozenset(),
) -> Results:
    """Run the stages up to and including ``upto`` (one of ``STAGES``).

    ``without``: "coronaries" or "perfusion" (flow; motion and walls of the series stay), left out on the way to
    "register" for those who measure other stages. Raises BadInputError where an examination is missing that the stage
    needs, StageError where a stage cannot work or calls its own result unusable.
    """
    if upto not in STAGES:
        raise ValueError(f"no stage is called {upto}; the stages are {STAGES}")
    given, clock = given or Given(), clock or StageClock()
    results = Results(examinations, seconds=clock.seconds)
    wanted = STAGES[: STAGES.index(upto) + 1]
    if upto == "perfusion":
        return _perfusion_alone(results, clock, without)
    results = _ct_side(results, tuple(s for s in wanted if s not in without), given, clock)
    if "register" not in wanted:
        return results
    return _both(results, wanted, clock, without)


def _ct_side(results: Results, wanted: tuple[str, ...], given: Given, clock: StageClock) -> Results:
    ct = results.examinations.ct
    if ct is None:
        raise BadInputError("This command needs a CT; give it with --ct, or an earlier case with --case.")
    reorientation = given.reorientation
    if reorientation is None:
        with clock.stage("reorient", "finding the heart's axes in the CT") as tell:
            reorientation = reorient(ct, progress=tell)
    if given.pose is not None:
        reorientation = replace(reorientation, pose=given.pose)
    _stop_if_unusable(reorientation.quality)
    results = replace(results, reorientation=reorientation)
    if "segment" not in wanted:
        return results
    walls = given.ct_walls
    if walls is None:
        with clock.stage("segment", "outlining the chambers in the CT"):
            walls = segment_ct(ct, reorientation)
    if given.pose is not None:
        walls = replace(walls, pose=given.pose)
    _stop_if_unusable(walls.quality)
    results = replace(results, ct_walls=walls)
    if "coronaries" not in wanted:
        return results
    tree = given.tree
    if tree is None:
        with clock.stage("coronaries", "following the coronary arteries") as tell:
            tree = extract(ct, walls, walls.pose, progress=tell)
    return replace(results, tree=tree)


def _see(views: tuple[LongAxisView, ...], clock: StageClock) -> tuple[LongAxisMarks, ...]:
    """The landmarks of the long-axis views, once for stress and rest."""
    if not views:
        return ()
    with clock.stage("long_axis", "finding apex and mitral valve in the long-axis views"):
        return tuple(see_long_axis(view) for view in views)


def _move_and_outline(series: Series, seen: tuple[LongAxisMarks, ...], clock: StageClock) -> _Moving:
    with clock.stage("motion", f"correcting breathing motion ({series.state})"):
        corrected, motion = correct_motion(series)
    with clock.stage("cmr_walls", f"outlining the wall in the {series.state} series"):
        walls = segment_cmr(corrected)
    _stop_if_unusable(walls.quality)
    if not seen:
        return _Moving(corrected, motion, walls)
    walls, long_axis = with_long_axis(walls, seen, corrected.poses)
    return _Moving(corrected, motion, walls, long_axis)


def _quantify(moving: _Moving, levels: NDArray[np.float64] | None, clock: StageClock, choices: Choices) -> Perfusion:
    with clock.stage("perfusion", f"quantifying the {moving.series.state} series"):
        series = choices.series(moving.series)
        aif = choices.aif(series, moving.walls)
        return quantify(series, moving.walls, motion=moving.motion, levels=levels, aif=aif)


def _own_levels(moving: _Moving) -> NDArray[np.float64] | None:
    """Levels of the slices where no CT tells them."""
    return levels_of_stack(moving.walls, moving.series.poses)


def _perfusion_alone(results: Results, clock: StageClock, without: frozenset[str] = frozenset()) -> Results:
    stress = results.examinations.stress
    if stress is None:
        raise BadInputError("This command needs a stress perfusion series; give it with --stress.")
    seen = _see(results.examinations.long_axis, clock)
    moving = _move_and_outline(stress, seen, clock)
    results = replace(results, moving=moving.series, cmr_walls=moving.walls, long_axis=moving.long_axis)
    if "perfusion" in without:
        return results
    quantified = _quantify(moving, _own_levels(moving), clock, results.examinations.choices)
    rest = None
    if results.examinations.rest is not None:
        resting = _move_and_outline(results.examinations.rest, seen, clock)
        rest = _quantify(resting, _own_levels(resting), clock, results.examinations.choices)
        quantified = with_rest(quantified, rest)
    return replace(results, stress=quantified, rest=rest)


def _both(
    results: Results, wanted: tuple[str, ...], clock: StageClock, without: frozenset[str] = frozenset()
) -> Results:
    stress = results.examinations.stress
    ct, walls, tree = results.examinations.ct, results.ct_walls, results.tree
    if stress is None:
        raise BadInputError("Fusion needs a stress perfusion series beside the CT; give it with --stress.")
    assert ct is not None and walls is not None  # the CT side ran before
    seen = _see(results.examinations.long_axis, clock)
    moving = _move_and_outline(stress, seen, clock)
    with clock.stage("pair", "finding the CMR slices in the CT heart"):
        pairing = pair_slices(moving.series, moving.walls, walls, long_axis=moving.long_axis)
    results = replace(
        results, moving=moving.series, cmr_walls=moving.walls, long_axis=moving.long_axis, pairing=pairing
    )
    if "perfusion" in without:
        return replace(results, registration=_register(results, clock))
    quantified = _quantify(moving, levels_of(pairing, walls), clock, results.examinations.choices)
    rest = None
    if results.examinations.rest is not None:
        moving_rest = _move_and_outline(results.examinations.rest, seen, clock)
        pairing_rest = pair_slices(moving_rest.series, moving_rest.walls, walls, long_axis=moving.long_axis)
        rest = _quantify(moving_rest, levels_of(pairing_rest, walls), clock, results.examinations.choices)
        quantified = with_rest(quantified, rest)
    registration = _register(results, clock)
    results = replace(results, stress=quantified, rest=rest, registration=registration)
    if "fuse" not in wanted or tree is None:
        return results
    with clock.stage("fuse", "bringing flow, wall and arteries together"):
        fusion = fuse(walls, walls.pose, tree, quantified, registration)
    return replace(results, fusion=fusion)


def _register(results: Results, clock: StageClock) -> Registration:
    ct, walls, pairing = results.examinations.ct, results.ct_walls, results.pairing
    assert ct is not None and walls is not None and pairing is not None
    assert results.moving is not None and results.cmr_walls is not None
    with clock.stage("register", "matching the CMR wall to the CT wall"):
        return register(ct, walls, results.moving, results.cmr_walls, pairing)


def _stop_if_unusable(quality: Quality) -> None:
    """Raise StageError with the first reason that makes a result unusable."""
    for flag in quality.flags:
        if flag.level is Level.UNUSABLE:
            raise StageError(flag.stage, flag.reason)
