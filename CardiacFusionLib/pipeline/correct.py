"""Corrections by the reader, and everything downstream of them made anew from the stored stages: no network, no CT.

``recompute(automatic, corrections)`` starts from the automatic results every time, so that undoing a correction is
leaving it out. What each kind changes:

=================  =============================================================================================
landmark           pose -> pairing -> slice levels, segments of the study -> registration carried over -> fusion
slice_centre       LV centre of a CMR slice -> its segments, pairing -> registration carried over -> fusion
ct_wall, cmr_wall  an edited outline -> pairing, segments (new wall pixels are fitted) -> registration -> fusion
branch_...         the tree -> territories, findings
=================  =============================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries import editing
from CardiacFusionLib.fusion.stage import fuse
from CardiacFusionLib.perfusion.correction import alone, requantified
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.stage import with_rest
from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.registration.carry import carried
from CardiacFusionLib.registration.pairing import levels_of, pair_slices
from CardiacFusionLib.registration.sections import measure_sections
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CmrWalls, CtWalls

LANDMARK, SLICE_CENTRE, CT_WALL, CMR_WALL = "landmark", "slice_centre", "ct_wall", "cmr_wall"
BRANCH_DELETED, BRANCH_RENAMED, BRANCH_CUT = "branch_deleted", "branch_renamed", "branch_cut"
BRANCHES_JOINED, BRANCH_MOVED = "branches_joined", "branch_moved"
KINDS = (
    *(LANDMARK, SLICE_CENTRE, CT_WALL, CMR_WALL),
    *(BRANCH_DELETED, BRANCH_RENAMED, BRANCH_CUT, BRANCHES_JOINED, BRANCH_MOVED),
)
STEP_MM = 0.5  # between points of a centreline that the reader moved
OFF_BRANCH_MM = 4.0  # a narrowing farther from the moved centreline is not on it any more
# doubts about the automatic pose, answered by a reader who placed a landmark
_ANSWERED = ("pose_disagreement", "landmarks_kept", "landmarks_apart")
_ANSWERED_BY_INSERTION = ("right_heart_dark",)  # ... where that was an insertion: the others tell no roll
UNMOVED_MM = 1e-6
NAMED_IN_DEG = 12.0  # a frame corrected by more: the branches were named in another heart


@dataclass(frozen=True)
class Correction:
    """One act of the reader.

    ``target``: landmark name, slice number (from 1, of the stress series), "ct", "stress 2" for a CMR wall, a branch.
    ``before``/``after``: LPS mm (3,) of a point, millilitres or voxels of a wall, a branch's new name or cut (mm), None
    for a deletion. ``labels``: the edited outline itself, a Volume for CT, (y, x) for a CMR slice. ``who``, ``when``:
    free text that the reader gives; nothing is filled in.
    """

    kind: str
    target: str
    before: Any = None
    after: Any = None
    labels: Volume | NDArray[np.uint8] | None = None
    who: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInputError(f"There is no correction called '{self.kind}'; choose one of {', '.join(KINDS)}.")

    def record(self) -> dict[str, Any]:
        """The entry of ``case.json``."""
        plain = {"kind": self.kind, "target": self.target, "from": _plain(self.before), "to": _plain(self.after)}
        return {**plain, "who": self.who, "when": self.when}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 3)
    return value


def move_landmark(results: Results, name: str, to_lps_mm: Any, who: str = "", when: str = "") -> Correction:
    """The correction that puts one of the four pose landmarks at ``to_lps_mm`` (3,); ``results`` as they are now."""
    if name not in LANDMARK_NAMES:
        raise BadInputError(f"No landmark is called '{name}'; choose one of {', '.join(LANDMARK_NAMES)}.")
    return Correction(LANDMARK, name, _before(results, name), _point(to_lps_mm, name), who=who, when=when)


def move_slice_centre(results: Results, number: int, to_lps_mm: Any, who: str = "", when: str = "") -> Correction:
    """The correction that puts the LV centre of stress slice ``number`` (from 1) at ``to_lps_mm`` (CMR LPS)."""
    stress = _stress(results)
    if not 1 <= number <= len(stress.walls.landmarks):
        raise BadInputError(f"There is no slice {number}; the stress series has {len(stress.walls.landmarks)}.")
    was = stress.walls.landmarks[number - 1].get("lv_centre")
    before = None if was is None else tuple(float(v) for v in was)
    after = _point(to_lps_mm, f"LV centre {number}")
    return Correction(SLICE_CENTRE, str(number), before, after, who=who, when=when)


def edit_ct_wall(results: Results, labels: Volume, who: str = "", when: str = "") -> Correction:
    """The correction that replaces the CT's outlines; ``labels`` on any grid in CT LPS, with the numbers of Label."""
    assert results.ct_walls is not None
    if not np.any(labels.array == Label.MYOCARDIUM) or not np.any(labels.array == Label.LV_CAVITY):
        raise BadInputError("The edited outlines hold no LV wall or no LV cavity; undo the edit or draw them again.")
    old, new = (_wall_ml(v) for v in (results.ct_walls.labels, labels))
    kept = labels.with_array(np.asarray(labels.array, np.uint8))
    return Correction(CT_WALL, "ct", old, new, kept, who, when)


def edit_cmr_wall(
    results: Results, number: int, labels: NDArray[np.uint8], state: str = "stress", who: str = "", when: str = ""
) -> Correction:
    """The correction that replaces the outlines (y, x) of slice ``number`` (from 1) of a series."""
    study = _stress(results) if state == "stress" else results.rest
    if study is None or not 1 <= number <= len(study.walls.labels):
        raise BadInputError(f"There is no slice {number} in a {state} series of this case.")
    was = study.walls.labels[number - 1]
    if labels.shape != was.shape:
        raise BadInputError(
            f"The edited outline has {labels.shape} pixels, the slice {was.shape}; edit it on its grid."
        )
    old, new = int((was == Label.MYOCARDIUM).sum()), int((labels == Label.MYOCARDIUM).sum())
    return Correction(CMR_WALL, f"{state} {number}", old, new, np.asarray(labels, np.uint8), who, when)


def edit_branch(kind: str, results: Results, name: str, value: Any = None, who: str = "", when: str = "") -> Correction:
    """Delete (no ``value``), rename (new name), cut (mm), join (the second branch) or move (points (n, 3) LPS mm) a
    branch; checked at once."""
    assert results.tree is not None
    before: str | float | None = name if kind in (BRANCH_DELETED, BRANCH_RENAMED) else None
    if kind == BRANCH_CUT:
        branch = results.tree.branch(name)
        before = round(branch.length_mm, 2) if branch is not None else None
    if kind == BRANCH_MOVED:
        value = tuple(tuple(float(v) for v in point) for point in np.asarray(value, float).reshape(-1, 3))
    correction = Correction(kind, name, before, value, who=who, when=when)
    _edited(results.tree, correction)
    return correction


def recompute(automatic: Results, corrections: Sequence[Correction]) -> Results:
    """The results of a fused case with ``corrections`` in their order. ``automatic`` as stored (without its CT).

    Raises BadInputError for a correction that fits nothing in this case, StageError where a stage cannot go on from it.
    """
    if not corrections:
        return automatic
    assert automatic.ct_walls is not None and automatic.tree is not None and automatic.stress is not None
    assert automatic.registration is not None and automatic.reorientation is not None
    pose = _pose(automatic.ct_walls.pose, corrections)
    walls = replace(automatic.ct_walls, labels=_ct_labels(automatic.ct_walls.labels, corrections), pose=pose)
    tree = automatic.tree
    for correction in corrections:
        tree = _edited(tree, correction)
    results = replace(automatic, ct_walls=walls, tree=tree)
    if pose is not automatic.ct_walls.pose:
        answered = _answered(corrections)
        doubts = [f for f in walls.quality.flags if f.name not in answered] + _names_doubt(
            automatic.ct_walls.pose, pose
        )
        rest = Quality.of(f for f in automatic.reorientation.quality.flags if f.name not in answered)
        results = replace(
            results,
            ct_walls=replace(walls, quality=Quality.of(doubts)),
            reorientation=replace(automatic.reorientation, pose=pose, quality=rest),
        )
    if any(c.kind in (LANDMARK, SLICE_CENTRE, CT_WALL, CMR_WALL) for c in corrections):
        results = _cmr_side(automatic, results, corrections)
    assert results.ct_walls is not None and results.stress is not None and results.registration is not None
    return replace(results, fusion=fuse(results.ct_walls, pose, tree, results.stress, results.registration))


def _answered(corrections: Sequence[Correction]) -> tuple[str, ...]:
    """Names of the flags that landmarks placed by the reader make void."""
    inserted = any(c.kind == LANDMARK and c.target.startswith("rv_insertion") for c in corrections)
    return _ANSWERED + _ANSWERED_BY_INSERTION if inserted else _ANSWERED


def _cmr_side(automatic: Results, results: Results, corrections: Sequence[Correction]) -> Results:
    """Pairing, segments of the study and registration after a landmark or an outline changed."""
    assert automatic.ct_walls is not None and automatic.registration is not None and results.ct_walls is not None
    study = _stress(automatic)
    outlines = _cmr_walls(study.walls, "stress", corrections)
    sections = measure_sections(results.ct_walls)
    pairing = pair_slices(study.series, outlines, results.ct_walls, sections, automatic.long_axis)
    before = alone(study)
    stress = requantified(before, outlines, levels_of(pairing, results.ct_walls, sections))
    rest = automatic.rest
    if rest is not None:
        calm = rest.segments
        rest_outlines = _cmr_walls(rest.walls, "rest", corrections)
        rest_pairing = pair_slices(rest.series, rest_outlines, results.ct_walls, sections, automatic.long_axis)
        rest = requantified(rest, rest_outlines, levels_of(rest_pairing, results.ct_walls, sections))
        drawn = any(c.kind in (SLICE_CENTRE, CMR_WALL) for c in corrections)
        if not drawn and stress.segments is before.segments and rest.segments is calm:
            stress = study  # no segment, no outline and no centre moved: the reserve is what it was
        else:
            stress = with_rest(stress, rest)
    registration = carried(
        automatic.registration, automatic.ct_walls.pose, results.ct_walls, study.series, outlines, pairing
    )
    made: dict[str, Any] = {"pairing": pairing, "stress": stress, "rest": rest, "registration": registration}
    if hasattr(results, "cmr_walls"):
        made["cmr_walls"] = outlines
    return replace(results, **made)


def _pose(automatic: HeartPose, corrections: Sequence[Correction]) -> HeartPose:
    """The automatic pose itself where no landmark was moved, or each was put back where it was."""
    moved = {c.target: np.asarray(c.after, float) for c in corrections if c.kind == LANDMARK}
    if not moved:
        return automatic
    unknown = [name for name in moved if name not in LANDMARK_NAMES]
    if unknown:
        raise BadInputError(f"No landmark is called '{unknown[0]}'; choose one of {', '.join(LANDMARK_NAMES)}.")
    if all(np.allclose(after, automatic.landmarks[name], rtol=0.0, atol=UNMOVED_MM) for name, after in moved.items()):
        return automatic  # rebuilt from the same points it would differ by rounding, enough to flip voxels on a border
    return HeartPose.from_landmarks({**automatic.landmarks, **moved}, automatic.confidence)


def _names_doubt(automatic: HeartPose, pose: HeartPose) -> list[Flag]:
    axis, roll = axis_angle_deg(automatic, pose), abs(roll_angle_deg(automatic, pose))
    if max(axis, roll) <= NAMED_IN_DEG:
        return []
    reason = (
        f"The reader turned the heart by {axis:.0f} degrees of the long axis and {roll:.0f} degrees of roll; outlines "
        "and names of branches were made before. Check the names, or run the case again with these landmarks."
    )
    return [Flag("correction", "named_before", Level.DOUBTFUL, reason)]


def _ct_labels(automatic: Volume, corrections: Sequence[Correction]) -> Volume:
    edits = [c.labels for c in corrections if c.kind == CT_WALL]
    last = edits[-1] if edits else automatic
    assert isinstance(last, Volume)
    return last


def _cmr_walls(automatic: CmrWalls, state: str, corrections: Sequence[Correction]) -> CmrWalls:
    """Walls with the reader's outlines and centres. An edited outline keeps its landmarks, which are points."""
    labels = automatic.labels
    marks: list[Mapping[str, NDArray[np.float64]]] = list(automatic.landmarks)
    for correction in corrections:
        if correction.kind == SLICE_CENTRE and state == "stress":
            place = int(correction.target) - 1
            marks[place] = {**marks[place], "lv_centre": np.asarray(correction.after, float)}
        elif correction.kind == CMR_WALL and correction.target.split()[0] == state:
            labels = labels.copy()
            labels[int(correction.target.split()[1]) - 1] = np.asarray(correction.labels, np.uint8)
    return replace(automatic, labels=labels, landmarks=tuple(marks))


def _edited(tree: CoronaryTree, correction: Correction) -> CoronaryTree:
    name, value = correction.target, correction.after
    if correction.kind == BRANCH_DELETED:
        return editing.delete(tree, name)
    if correction.kind == BRANCH_RENAMED:
        return editing.rename(tree, name, str(value))
    if correction.kind == BRANCH_CUT:
        return editing.cut(tree, name, float(value))
    if correction.kind == BRANCHES_JOINED:
        return editing.join(tree, name, str(value))
    if correction.kind == BRANCH_MOVED:
        return _moved_branch(tree, name, np.asarray(value, float))
    return tree


def _moved_branch(tree: CoronaryTree, name: str, points_mm: NDArray[np.float64]) -> CoronaryTree:
    """A branch along other points (n, 3). Each new point takes the radius of the old one nearest to it; narrowings move
    to the nearest new point, and go where they are off the branch. BadInputError where there is no such branch."""
    branch = tree.branch(name)
    if branch is None or len(points_mm) < 2:
        raise BadInputError(f"The coronary tree has no branch '{name}' to move, or it has fewer than two points.")
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], max(2, round(arc[-1] / STEP_MM) + 1))
    points = np.stack([np.interp(at, arc, points_mm[:, k]) for k in range(3)], axis=1)
    nearest = np.argmin(np.linalg.norm(points[:, None] - branch.points_mm[None], axis=2), axis=1)
    moved = replace(branch, points_mm=points, radius_mm=np.asarray(branch.radius_mm)[nearest])
    stenoses = []
    for stenosis in tree.stenoses:
        if stenosis.branch == name:
            away = np.linalg.norm(points - stenosis.point_mm, axis=1)
            place = int(np.argmin(away))
            if away[place] > OFF_BRANCH_MM:
                continue
            stenosis = replace(stenosis, point_mm=points[place], position_mm=float(moved.arc_mm[place]))
        stenoses.append(stenosis)
    branches = tuple(moved if b.name == name else b for b in tree.branches)
    return replace(tree, branches=branches, stenoses=tuple(stenoses))


def _stress(results: Results) -> Perfusion:
    assert results.stress is not None  # a stored case was fused
    return results.stress


def _before(results: Results, name: str) -> tuple[float, ...] | None:
    pose = results.pose
    was = pose.landmarks.get(name) if pose is not None else None
    return None if was is None else tuple(float(v) for v in was)


def _point(value: Any, name: str) -> tuple[float, float, float]:
    point = np.asarray(value, dtype=float)
    if point.shape != (3,) or not np.all(np.isfinite(point)):
        raise BadInputError(f"The landmark {name} needs a position of three numbers in mm; place it again.")
    return (float(point[0]), float(point[1]), float(point[2]))


def _wall_ml(labels: Volume) -> float:
    return round(float((labels.array == Label.MYOCARDIUM).sum()) * labels.voxel_volume_ml, 2)


def unchanged_walls(walls: CtWalls, labels: Volume) -> bool:
    """Whether outlines on the walls' own grid equal the walls."""
    return walls.labels.array.shape == labels.array.shape and bool(np.array_equal(walls.labels.array, labels.array))
