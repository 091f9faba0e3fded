"""Pair slices: where each CMR slice lies in the heart frame of the CT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.heights import SeenEnd, match_heights
from CardiacFusionLib.registration.result import Pairing
from CardiacFusionLib.registration.sections import Sections, cavity_span, measure_sections
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes, ring_facts
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls, CtWalls, LongAxis

STAGE = "pairing"
INSERTIONS = ("rv_insertion_anterior", "rv_insertion_inferior")
UNSURE_AXIS = 0.35  # cosine below which the plane alone does not tell where the base is
MAX_HEIGHT_SD_MM = 6.0
MAX_ROLL_SPREAD_DEG = 15.0
CT_END_SD_MM = 2.5  # of apex and base in the CT, and of how another phase of the beat moves them against the rest
FULL_RV_MM = 15.0  # radius of an RV large enough for its insertions to be trusted
RISE = 0.08  # log ratio of radii between the ends of the stack that counts as a clear taper


def pair_slices(
    series: Series,
    walls: CmrWalls,
    ct_walls: CtWalls,
    sections: Sections | None = None,
    long_axis: LongAxis | None = None,
) -> Pairing:
    """Place the CMR slices in the CT's heart frame: axis from the slice normal, roll from the RV insertions, in-plane
    place from the LV centres, heights from the widths of LV and RV. One, three or many slices.

    ``sections`` of these CT walls, if they are measured already. With ``long_axis`` views the apex and base they show
    tell the heights too. Raises StageError where no slice, or the CT, shows a left ventricle.
    """
    flags: list[Flag] = []
    facts = [ring_facts(labels, pose.spacing_mm) for labels, pose in zip(walls.labels, series.poses)]
    outer = _radius([f["cavity_mm2"] + f["wall_mm2"] for f in facts])
    seen = outer > 0
    if not seen.any():
        raise StageError(STAGE, "no CMR slice shows a left ventricle; check the slices or outline the wall by hand.")
    radii = {
        "outer_mm": np.where(seen, outer, np.nan),
        "cavity_mm": np.where(seen, _radius([f["cavity_mm2"] for f in facts]), np.nan),
        "rv_mm": np.where(seen, _radius([f["rv_mm2"] for f in facts]), np.nan),
    }
    sections = sections or measure_sections(ct_walls)
    axes, other_way = _axes(series, outer, flags)
    marks_of = [_renamed(m) if other_way else dict(m) for m in walls.landmarks]
    along = np.array([np.asarray(p.origin_mm) @ axes[:, 2] for p in series.poses])
    tip, base = sections.cavity_span_mm
    heights = match_heights(along, radii, sections, (tip, base), _seen_ends(long_axis, ct_walls.pose, axes))
    if heights.sd_mm > MAX_HEIGHT_SD_MM:
        flags.append(_doubt("height", f"the height of the CMR slices is uncertain (±{heights.sd_mm:.0f} mm)"))
    for i in np.flatnonzero(seen & ((heights.z_mm < tip - 10) | (heights.z_mm > base + 10))):
        flags.append(_doubt("outside", f"CMR slice {i + 1} seems to lie beyond the left ventricle of the CT"))
    roll = _roll(marks_of, axes, heights.z_mm, sections, flags)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    rotation = np.concatenate([turn @ axes[:, :2].T, axes[:, 2][None]])
    shifts = [
        sections.at("centre_mm", heights.z_mm[i]) - rotation[:2] @ marks["lv_centre"]
        for i, marks in enumerate(marks_of)
        if "lv_centre" in marks
    ]
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:2, 3] = np.mean(shifts, axis=0) if shifts else sections.at("centre_mm", np.array(0.0))
    matrix[2, 3] = np.mean(heights.z_mm - along)
    middle = int(np.argmin(np.abs(along - np.median(along[seen]))))
    landmarks = {name: point for name, point in marks_of[middle].items() if name in INSERTIONS}
    confidence = float(np.exp(-((heights.sd_mm / MAX_HEIGHT_SD_MM) ** 2) / 2)) * (0.5 if flags else 1.0)
    return Pairing(HeartPose(matrix, landmarks, confidence), heights.z_mm, Quality.of(flags))


def levels_of(pairing: Pairing, ct_walls: CtWalls, sections: Sections | None = None) -> NDArray[np.float64]:
    """Level (slice,) of each slice for the AHA segments: 0 at the tip of the LV cavity, 1 at the base, in the CT.

    ``sections`` of these CT walls, if they are measured already.
    """
    tip, top = cavity_span(ct_walls) if sections is None else sections.cavity_span_mm
    base = top
    if "base" in ct_walls.pose.landmarks:
        base = float(ct_walls.pose.to_heart(ct_walls.pose.landmarks["base"])[2])
    if base - tip < 20.0:
        raise StageError(STAGE, "the CT's LV cavity is shorter than 20 mm; correct its wall or its landmarks.")
    return np.asarray((pairing.z_mm - tip) / (base - tip))


def _seen_ends(long_axis: LongAxis | None, ct_pose: HeartPose, axes: NDArray[np.float64]) -> list[SeenEnd]:
    """Apex and base of the long-axis views beside those of the CT, along the slices' normal and the CT's long axis."""
    if long_axis is None:
        return []
    return [
        SeenEnd(
            float(end.place_lps @ axes[:, 2]),
            float(ct_pose.to_heart(ct_pose.landmarks[name])[2]),
            float(np.hypot(end.along_sd_mm, CT_END_SD_MM)),
        )
        for name, end in long_axis.ends.items()
        if name in ct_pose.landmarks
    ]


def _doubt(name: str, reason: str) -> Flag:
    return Flag(STAGE, name, Level.DOUBTFUL, reason)


def _radius(areas_mm2: list[float]) -> NDArray[np.float64]:
    return np.sqrt(np.asarray(areas_mm2, dtype=float) / np.pi)


def _renamed(marks: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """The same landmarks seen with the base on the other side: anterior and inferior change places."""
    other = dict(zip(INSERTIONS, INSERTIONS[::-1]))
    return {other.get(name, name): point for name, point in marks.items()}


def _axes(series: Series, outer_mm: NDArray[np.float64], flags: list[Flag]) -> tuple[NDArray[np.float64], bool]:
    """Standard axes of the slices with z to the base, and whether that is against the heart's usual lie.

    The usual lie decides, checked against the LV's taper; where the plane says little, the taper decides.
    """
    normal = series.poses[0].normal
    axes = canonical_axes(normal)
    seen = np.flatnonzero(outer_mm > 0)
    if len(seen) < 2:
        return axes, False
    along = np.array([np.asarray(series.poses[i].origin_mm) @ axes[:, 2] for i in seen])
    order = seen[np.argsort(along)]
    taper = float(np.log(outer_mm[order[-1]] / outer_mm[order[0]]))
    if taper < -RISE:
        sure = abs(float(normal @ MEAN_LONG_AXIS_LPS)) / float(np.linalg.norm(MEAN_LONG_AXIS_LPS)) > UNSURE_AXIS
        flags.append(
            _doubt("base_side", "the left ventricle is widest in the slices that should be nearest to its apex")
        )
        if not sure:
            return axes * np.array([-1.0, 1.0, -1.0]), True
    return axes, False


def _roll(
    marks_of: list[dict[str, NDArray[np.float64]]],
    axes: NDArray[np.float64],
    z_mm: NDArray[np.float64],
    sections: Sections,
    flags: list[Flag],
) -> float:
    """Angle in radians that turns the standard axes of the slices to the CT's heart axes, about the long axis."""
    votes: list[tuple[float, float]] = []  # angle, weight
    alone: list[tuple[float, float]] = []
    for height, marks in zip(z_mm, marks_of):
        if not all(name in marks for name in ("lv_centre", *INSERTIONS)):
            continue
        centre = marks["lv_centre"] @ axes[:, :2]
        ct_centre = sections.at("centre_mm", height)
        across = (marks[INSERTIONS[1]] - marks[INSERTIONS[0]]) @ axes[:, :2]
        # a small RV, near the apex, tells the angle less well
        weight = float(np.minimum(sections.at("rv_mm", height) / FULL_RV_MM, 1.0)) + 0.05
        alone.append((float(np.pi / 2 - np.arctan2(across[1], across[0])), weight))
        for name, column in zip(INSERTIONS, ("anterior_mm", "inferior_mm")):
            ct = sections.at(column, height) - ct_centre
            own = marks[name] @ axes[:, :2] - centre
            if np.all(np.isfinite(ct)):
                votes.append((float(np.arctan2(ct[1], ct[0]) - np.arctan2(own[1], own[0])), weight))
    if not votes and not alone:
        flags.append(_doubt("roll", "the RV insertions are not seen: the rotation about the long axis is a guess"))
        return 0.0
    angle, spread_deg = _consensus(votes or alone)
    if not votes:
        flags.append(_doubt("roll", "the CT shows no RV insertions: the rotation rests on the CMR alone"))
    elif spread_deg > MAX_ROLL_SPREAD_DEG:
        flags.append(
            _doubt("roll", f"the RV insertions of CT and CMR disagree about the rotation (±{spread_deg:.0f}°)")
        )
    return angle


def _consensus(votes: list[tuple[float, float]]) -> tuple[float, float]:
    """The angle (radians) most votes (angle, weight) agree on, and their weighted spread in degrees.

    The weighted median on the circle, then the mean of the votes near it: one slice with a wrong RV does not turn the
    heart.
    """
    angles, weights = (np.array(column) for column in zip(*votes))
    apart = np.abs(np.angle(np.exp(1j * (angles[:, None] - angles[None, :]))))
    middle = angles[int(np.argmin(apart @ weights))]
    off = np.angle(np.exp(1j * (angles - middle)))
    near = np.abs(off) <= np.deg2rad(MAX_ROLL_SPREAD_DEG)
    shift = float(np.average(off[near], weights=weights[near]))
    spread = float(np.degrees(np.sqrt(np.average((off - shift) ** 2, weights=weights))))
    return float(middle + shift), spread
