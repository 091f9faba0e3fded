"""Apex and base in the CMR, where a few slices do not reach: from the CT, from the outlines themselves, and from the
long-axis views of a case that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.result import Pairing
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import CmrWalls, Located, LongAxis, LongAxisMarks

NAMES = ("apex", "base")
STAGE = "long axis"
IN_PLANE_SD_MM = {"apex": 3.0, "base": 4.0}  # of a place seen in a long-axis view; the base moves with the beat
OFF_PLANE_SD_MM = 6.0  # how far a view passes by the true place: planned by hand, and the patient breathes
OUTLINES_SD_MM = 4.0  # the outlines know an end no better than this, whatever they claim (real cine: 5 to 8 mm off)
APART_SD = 3.5  # a view farther from the other witnesses, in spreads of both, does not show the same place
CENTRE_SD_MM = 1.0  # of an LV centre in one slice
TILT_SD = 0.09  # of the slope of the CMR's axis against the CT's (5 degrees: planning and repositioning)


def ends_in_cmr(
    pairing: Pairing, ct_pose: HeartPose, walls: CmrWalls, slices: Sequence[SlicePose]
) -> dict[str, Located]:
    """``apex`` and ``base`` in CMR LPS mm.

    Witnesses, weighted by their spread: the CT's landmarks brought over by the pairing, and what the outlines and the
    long-axis views tell (``walls.ends``, see :func:`with_long_axis`; where there are any). Along the axis the pairing's
    heights are continued (another phase, another length). Slices are never quite square to the axis, so that what the
    pairing says across them grows unsure with the distance.
    """
    cmr = pairing.cmr_pose
    own = np.array([float(cmr.to_heart(np.asarray(s.origin_mm))[2]) for s in slices])
    slope, offset = np.polyfit(pairing.z_mm, own, 1) if len(own) > 1 else (1.0, float((own - pairing.z_mm)[0]))
    found: dict[str, Located] = {}
    for name in NAMES:
        if name not in ct_pose.landmarks:
            continue
        x, y, z = ct_pose.to_heart(ct_pose.landmarks[name])
        height = float(slope * z + offset)
        place = np.array([x, y, height])
        along, across = _spread(height, own)
        witness = walls.ends.get(name)
        if witness is not None:
            there = cmr.to_heart(witness.place_lps)
            share = along**-2 / (along**-2 + witness.along_sd_mm**-2)
            place[2] = share * place[2] + (1 - share) * there[2]
            share_across = across**-2 / (across**-2 + witness.across_sd_mm**-2)
            place[:2] = share_across * place[:2] + (1 - share_across) * there[:2]
            along, across = along * np.sqrt(share), across * np.sqrt(share_across)
        found[name] = Located(cmr.to_lps(place), float(along), float(across))
    return found


def _spread(height_mm: float, slices_mm: NDArray[np.float64]) -> tuple[float, float]:
    """Spread (mm) along and across of what the pairing says at a height: it grows with the distance from the slices."""
    beyond = abs(height_mm - float(slices_mm.mean()))
    return 0.06 * beyond + 1.5, TILT_SD * beyond + CENTRE_SD_MM


@dataclass(frozen=True)
class _Witness:
    """A place (LPS mm) with its covariance (3, 3) in mm²; ``view`` is None for the short axis."""

    place: NDArray[np.float64]
    covariance: NDArray[np.float64]
    view: str | None = None
    belief: float = 1.0


def with_long_axis(
    walls: CmrWalls, views: Sequence[LongAxisMarks], slices: Sequence[SlicePose]
) -> tuple[CmrWalls, LongAxis]:
    """``walls`` whose ``ends`` (apex, base, and the cavity's tip with the apex) rest on the long-axis views too.

    Least squares over all witnesses: a view knows a place well within its plane and badly across it, so two views that
    cross tell all three coordinates. The base is the middle of the mitral points. A view that lies far from what the
    others tell is left out and flagged. ``LongAxis.ends`` rest on the views alone: the pairing weighs them against the
    outlines, which must not be heard twice.
    """
    axes = canonical_axes(slices[0].normal)
    ends, flags = dict(walls.ends), []
    of_views: dict[str, Located] = {}
    unseen = [view.view for view in views if not view.places]
    if unseen:
        flags.append(_doubt("nothing_seen", f"no mitral valve and no apex was found in {', '.join(unseen)}"))
    told_of = {name: _witnesses(name, walls, views, axes) for name in NAMES}
    left_out = {name: _left_out(told, _agreeing(told)) for name, told in told_of.items()}
    for name, told in told_of.items():
        if all(one.view is None for one in told):
            continue
        own = walls.ends.get(name)
        # a view that errs in one landmark is the first to be doubted in the other
        agreed = _agreeing(told, suspects=frozenset().union(*(left_out[n] for n in NAMES if n != name)))
        for one in told:
            if all(one is not other for other in agreed):
                reason = f"the {name} in {one.view} lies far from where short axis or other views have it: left out"
                flags.append(_doubt(f"{name}_apart", reason))
        joined = _joined(agreed, axes)
        if name == "apex" and own is not None and "lv_cavity_tip" in ends:
            tip = ends["lv_cavity_tip"].place_lps + joined.place_lps - own.place_lps
            ends["lv_cavity_tip"] = Located(tip, joined.along_sd_mm, joined.across_sd_mm)
        ends[name] = joined
        if shown := [one for one in agreed if one.view is not None]:
            of_views[name] = _joined(shown, axes)
    return replace(walls, ends=ends), LongAxis(tuple(views), of_views, Quality.of(flags))


def _doubt(name: str, reason: str) -> Flag:
    return Flag(STAGE, name, Level.DOUBTFUL, reason)


def _witnesses(name: str, walls: CmrWalls, views: Sequence[LongAxisMarks], axes: NDArray[np.float64]) -> list[_Witness]:
    """The views that show a landmark, and the short axis where it tells it."""
    told = [witness for view in views if (witness := _told(view, name)) is not None]
    own = walls.ends.get(name)
    return told if own is None else [*told, _Witness(own.place_lps, _covariance(own, axes))]


def _left_out(told: Sequence[_Witness], agreed: Sequence[_Witness]) -> frozenset[str]:
    """The views among those told that are not among the agreed."""
    return frozenset(one.view for one in told if one.view is not None and all(one is not kept for kept in agreed))


def _told(view: LongAxisMarks, name: str) -> _Witness | None:
    """The apex of a view, or the middle of its two mitral points; None where it does not show them."""
    needed = ("apex",) if name == "apex" else ("mitral_1", "mitral_2")
    if not set(needed) <= set(view.places):
        return None
    across = np.outer(view.normal, view.normal)
    covariance = IN_PLANE_SD_MM[name] ** 2 * (np.eye(3) - across) + OFF_PLANE_SD_MM**2 * across
    place = np.mean([view.places[n] for n in needed], axis=0)
    return _Witness(place, covariance, view.view, min(view.beliefs[n] for n in needed))


def _covariance(one: Located, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance (3, 3) in mm² of a place told by the short axis; ``axes`` as of ``canonical_axes``."""
    across, along = (max(sd, OUTLINES_SD_MM) ** 2 for sd in (one.across_sd_mm / np.sqrt(2.0), one.along_sd_mm))
    variances = [across, across, along]
    return np.asarray(axes @ np.diag(variances) @ axes.T)


def _agreeing(told: Sequence[_Witness], suspects: frozenset[str] = frozenset()) -> list[_Witness]:
    """The witnesses without those views that lie far from all the others together; of two alone the one of the
    ``suspects``, or else the less believed."""
    kept = list(told)
    while len(kept) > 1:
        away = [_apart(one, [w for w in kept if w is not one]) for one in kept]
        if max(away) <= APART_SD:
            break
        views = [k for k in range(len(kept)) if kept[k].view is not None]
        out = max(views, key=lambda k: (round(away[k], 6), kept[k].view in suspects, -kept[k].belief))
        kept.pop(out)
    return kept


def _apart(one: _Witness, others: Sequence[_Witness]) -> float:
    """Distance between a witness and the others' common place, in spreads of both."""
    place, covariance = _common(others)
    away = one.place - place
    return float(np.sqrt(away @ np.linalg.solve(one.covariance + covariance, away)))


def _common(told: Sequence[_Witness]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The place that witnesses agree on by least squares, and its covariance."""
    weights = [np.linalg.inv(one.covariance) for one in told]
    covariance = np.linalg.inv(np.sum(weights, axis=0))
    return covariance @ np.sum([w @ one.place for w, one in zip(weights, told)], axis=0), covariance


def _joined(told: Sequence[_Witness], axes: NDArray[np.float64]) -> Located:
    """Their common place, and its spread along and across the slices' normal."""
    place, covariance = _common(told)
    spread = np.diag(axes.T @ covariance @ axes)
    return Located(place, float(np.sqrt(spread[2])), float(np.sqrt(spread[0] + spread[1])))
