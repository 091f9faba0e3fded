"""Ranked findings: which narrowing goes with which muscle. One plain sentence each, no diagnosis.

Rules, in the order they are asked:

* a patch of wall has *low flow* where its stress flow is below ``LOW_SHARE`` of the heart's own well-perfused muscle
  (its best quarter), is connected and weighs at least ``MIN_PATCH_G``;
* **matched**: most of a patch lies behind a narrowing of at least ``MATCH_PERCENT``, and the patch is more than chance
  among the muscle behind the narrowings found (``MATCH_CHANCE``);
* **ischaemia_without_stenosis**: patches of one vessel with no such narrowing upstream, together as heavy as a segment,
  seen in two slices, and more than chance anywhere in the heart (``ALONE_CHANCE``). Where the muscle lies on the
  border of two territories both vessels are named, the one with more of it first;
* **microvascular**: even the best quarter is below ``GLOBAL_LOW_ML_MIN_G`` (or its reserve below ``GLOBAL_LOW_MPR``):
  flow is low everywhere, from small vessels or from balanced disease of all three;
* **stenosis_without_ischaemia**: a narrowing of at least ``SEVERE_PERCENT`` whose muscle, seen by the slices, has no
  low flow.

Where flow is low everywhere, a patch must stand out from the rest as anywhere else to be laid on a vessel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.fusion.patches import MIN_PATCH_G, PATCH_BEHIND_SHARE, explained, patches
from CardiacFusionLib.fusion.result import Finding, Surface
from CardiacFusionLib.fusion.significance import (
    LOW_SHARE,
    REMOTE_QUANTILE,
    SEGMENTS,
    Remote,
    chance,
    remote_of,
    weighted_quantile,
)
from CardiacFusionLib.fusion.surface import VESSEL_CODE
from CardiacFusionLib.fusion.territories import Supply, behind
from CardiacFusionLib.spatial.quality import Level, Quality
from CardiacFusionLib.spatial.tree import NOT_MEASURED, CoronaryTree, Stenosis, vessel_of

Array = NDArray[np.float64]

ALONE_CHANCE, MATCH_CHANCE = 0.02, 0.05  # a patch without a narrowing before it must speak for itself
# Kotecha 2019 (JACC Cardiovasc Imaging 12:1958): stress flow <= 1.94 regional cut-off for obstructive disease,
# <= 1.82 global for microvascular dysfunction
REGIONAL_LOW_ML_MIN_G = 1.94
GLOBAL_LOW_ML_MIN_G = 1.82  # Kotecha 2019, applied to the best quarter: then all of the muscle lies below it
GLOBAL_LOW_MPR = 1.6
# flow reserve begins to fall at 40-45 % diameter (Gould 1974, Am J Cardiol 33:87); 50 % is read with an error of 10
MATCH_PERCENT = 45.0
SEVERE_PERCENT = 70.0  # CAD-RADS 2.0 grade 4
MIN_SLICES = 2  # what one slice alone shows may be its outline's fault
NORMAL_SHARE = 0.85  # of the best quarter: flow behind a narrowing counts as normal from here on
BORDER_SHARE = 0.4  # of a patch: a second vessel with so much of it is named too, since a few mm would name it alone
BORDER_TRUST = 0.85  # confidence of naming one of two such vessels first, as for doubtful inputs
NEAR_SLICE_MM = 9.0  # a point this near a slice counts as measured
ORDER = ("matched", "ischaemia_without_stenosis", "microvascular", "stenosis_without_ischaemia")
VESSEL_OF_CODE = {code: vessel for vessel, code in VESSEL_CODE.items()}


@dataclass(frozen=True)
class FlowOnWall:
    """What the findings are read from; all per point of the surface."""

    surface: Surface
    mbf: Array  # NaN where not measured
    mpr: Array | None
    distance_mm: Array
    supply: Supply
    relative: bool  # flow in arbitrary units
    quality: Quality  # of all that went in
    slice_z_mm: Array | None = None  # heights of the slices in the heart frame, where known


def _mean(values: Array, weights: Array, where: NDArray[np.bool_]) -> float:
    use = where & np.isfinite(values) & (weights > 0)
    return float(np.average(values[use], weights=weights[use])) if use.any() else float("nan")


def find(flow: FlowOnWall, tree: CoronaryTree) -> tuple[Finding, ...]:
    """All findings of a case, the most telling first; none for a heart without low flow and severe narrowing."""
    mass = np.asarray(flow.surface.values["mass_g"], float)
    known = np.isfinite(flow.mbf) & (mass > 0)
    if mass[known].sum() < 3 * MIN_PATCH_G:
        return ()
    remote = remote_of(flow.surface, flow.mbf)
    low = known & (flow.mbf < LOW_SHARE * remote.flow)
    found = _of_patches(flow, tree, patches(flow.surface, low), remote)
    everywhere = _everywhere_low(flow, remote.flow, mass, known)
    blamed = {f.vessel for f in found}
    if everywhere is not None:
        found.append(everywhere)
    found += _silent_stenoses(flow, tree, low, remote.flow, blamed)
    return tuple(
        sorted(found, key=lambda f: (ORDER.index(f.kind), -f.numbers.get("low_flow_mass_g", 0.0), -f.confidence))
    )


def _of_patches(
    flow: FlowOnWall, tree: CoronaryTree, found: Sequence[NDArray[np.bool_]], remote: Remote
) -> list[Finding]:
    """One finding a vessel (or narrowing): the patches it explains together, where they are more than chance."""
    mass = np.asarray(flow.surface.values["mass_g"], float)
    candidates = [s for s in tree.stenoses if s.diameter_percent >= MATCH_PERCENT and vessel_of(tree, s.branch)]
    reach = {id(s): behind(s, flow.supply, tree) for s in candidates}
    matched: dict[int, NDArray[np.bool_]] = {}
    alone: dict[str, NDArray[np.bool_]] = {}
    for patch in found:
        rest = patch
        for s, part in explained(patch, candidates, reach, mass, np.isfinite(flow.mbf)):
            matched[id(s)] = matched.get(id(s), np.zeros_like(patch)) | part
            rest = rest & ~part
        if mass[rest].sum() >= PATCH_BEHIND_SHARE * mass[patch].sum():
            vessel, _ = _vessel_of_patch(flow, tree, rest, mass)
            alone[vessel] = alone.get(vessel, np.zeros_like(patch)) | rest
    result = []
    for s in candidates:
        mine = matched.get(id(s))
        if mine is not None and _chance(flow, mine, remote, len(candidates)) <= MATCH_CHANCE:
            result.append(_matched(flow, tree, s, mine, reach[id(s)], remote))
    for vessel, patch in alone.items():
        heavy = mass[patch].sum() >= remote.region_g and _slices_of(flow, patch) >= MIN_SLICES
        if heavy and _chance(flow, patch, remote, SEGMENTS) <= ALONE_CHANCE:
            result.append(_without_stenosis(flow, tree, vessel, patch, remote))
    return result


def _chance(flow: FlowOnWall, patch: NDArray[np.bool_], remote: Remote, places: int) -> float:
    mass = np.asarray(flow.surface.values["mass_g"], float)
    deficit = 1.0 - _mean(flow.mbf, mass, patch) / remote.flow
    return chance(deficit, float(mass[patch].sum()), remote, places)


def _slices_of(flow: FlowOnWall, patch: NDArray[np.bool_]) -> int:
    """How many slices saw the patch (a tenth of it lies nearest to them); ``MIN_SLICES`` where that is not known."""
    if flow.slice_z_mm is None or len(flow.slice_z_mm) < MIN_SLICES:
        return MIN_SLICES
    mass = np.asarray(flow.surface.values["mass_g"], float)
    z = flow.surface.points_mm[patch, 2]
    nearest = np.argmin(np.abs(z[:, None] - flow.slice_z_mm[None]), axis=1)
    share = np.bincount(nearest, mass[patch]) / mass[patch].sum()
    return int((share >= 0.1).sum())


def _vessel_of_patch(
    flow: FlowOnWall, tree: CoronaryTree, patch: NDArray[np.bool_], mass: Array
) -> tuple[str, str | None]:
    """The vessel that supplies most of the patch, and a second one that supplies nearly as much; the fixed map speaks
    where a vessel with a good part of the patch is not in the tree."""

    def shares(codes: NDArray[np.generic]) -> Array:
        return np.bincount(np.asarray(codes)[patch].astype(int), mass[patch], minlength=4)[1:4].astype(float)

    fixed = shares(flow.surface.values["territory_aha"])
    own = np.asarray(flow.supply.vessel)
    good_part = BORDER_SHARE * float(mass[patch].sum())
    lacking = ~np.isin(np.arange(1, 4), own)  # its muscle is given to its neighbours in the patient's own map
    mine = fixed if fixed[lacking].sum() >= good_part or not own[patch].any() else shares(own)
    first, second = (int(k) for k in np.argsort(-mine, kind="stable")[:2])
    near = mine[second] >= good_part
    return VESSEL_OF_CODE[first + 1], VESSEL_OF_CODE[second + 1] if near else None


def _segments_of(flow: FlowOnWall, patch: NDArray[np.bool_], mass: Array) -> tuple[int, ...]:
    """Segments of which the patch takes at least 40 % of the measured mass."""
    segment = np.asarray(flow.surface.values["segment"]).astype(int)
    known = np.isfinite(flow.mbf)
    total = np.bincount(segment[known], mass[known], minlength=18)
    part = np.bincount(segment[patch], mass[patch], minlength=18)
    return tuple(int(s) for s in range(1, 18) if total[s] > 0 and part[s] >= 0.4 * total[s])


def agreement_of(flow: FlowOnWall, patch: NDArray[np.bool_], vessel: str) -> tuple[float, float]:
    """Shares (0..1) of the patch's mass that the fixed AHA map and the patient's own map give to ``vessel``."""
    mass = np.asarray(flow.surface.values["mass_g"], float)
    weight = max(float(mass[patch].sum()), 1e-9)
    code = VESSEL_CODE[vessel]
    aha = patch & (np.asarray(flow.surface.values["territory_aha"]) == code)
    return float(mass[aha].sum()) / weight, float(mass[patch & (flow.supply.vessel == code)].sum()) / weight


def _confidence(flow: FlowOnWall, patch: NDArray[np.bool_], sure: float, vessel: str | None) -> float:
    """0..1 from how sure the deficit is, nearness of slices, agreement of the territory maps, quality of the inputs."""
    mass = np.asarray(flow.surface.values["mass_g"], float)
    weight = max(float(mass[patch].sum()), 1e-9)
    near = float(mass[patch & (flow.distance_mm <= NEAR_SLICE_MM)].sum()) / weight
    agree = 1.0 if vessel is None else 0.5 * sum(agreement_of(flow, patch, vessel))
    trust = {Level.GOOD: 1.0, Level.DOUBTFUL: 0.85, Level.UNUSABLE: 0.5}[flow.quality.level]
    return float(np.clip((0.35 + 0.35 * sure + 0.15 * near + 0.15 * agree) * trust, 0.05, 0.99))


def _flow_words(inside: float, outside: float, relative: bool) -> str:
    if relative:
        return f"{100 * inside / outside:.0f} % of the flow elsewhere"
    return f"{inside:.1f} against {outside:.1f} mL/min/g elsewhere"


def _numbers(flow: FlowOnWall, patch: NDArray[np.bool_], remote: Remote, vessel: str | None) -> dict[str, float]:
    mass = np.asarray(flow.surface.values["mass_g"], float)
    known = np.isfinite(flow.mbf)
    numbers = {
        "low_flow_mass_g": float(mass[patch].sum()),
        "low_flow_wall_share": float(mass[patch].sum() / max(float(mass[known].sum()), 1e-9)),
        "mbf_inside_ml_min_g": _mean(flow.mbf, mass, patch),
        "mbf_remote_ml_min_g": remote.flow,
    }
    if vessel is not None:
        numbers["aha_share"], numbers["patient_share"] = agreement_of(flow, patch, vessel)
    if flow.mpr is not None:
        numbers["mpr_inside"] = _mean(flow.mpr, mass, patch)
        numbers["mpr_remote"] = _mean(flow.mpr, mass, known & (flow.mbf >= LOW_SHARE * remote.flow))
    if flow.relative:
        numbers = {k.replace("_ml_min_g", "_relative"): v for k, v in numbers.items()}
    return numbers


def _matched(
    flow: FlowOnWall,
    tree: CoronaryTree,
    s: Stenosis,
    patch: NDArray[np.bool_],
    reach: NDArray[np.bool_],
    remote: Remote,
) -> Finding:
    mass = np.asarray(flow.surface.values["mass_g"], float)
    vessel = vessel_of(tree, s.branch)
    inside = _mean(flow.mbf, mass, patch)
    at_risk = float(mass[reach].sum())
    seen = reach & np.isfinite(flow.mbf)
    share = float(mass[patch & seen].sum() / max(float(mass[seen].sum()), 1e-9))
    numbers = {
        "stenosis_percent": s.diameter_percent,
        "mass_at_risk_g": at_risk,
        "ischaemic_share": share,
        **_numbers(flow, patch, remote, vessel),
    }
    sentence = (
        f"A {s.diameter_percent:.0f} % narrowing of the {s.branch}, {s.position_mm:.0f} mm from its start, goes with "
        f"low stress flow in the muscle behind it: {100 * share:.0f} % of {at_risk:.0f} g "
        f"({_flow_words(inside, remote.flow, flow.relative)})."
    )
    confidence = _confidence(flow, patch, 1.0 - _chance(flow, patch, remote, 1), vessel)
    return Finding("matched", vessel, sentence, confidence, numbers, _segments_of(flow, patch, mass))


def _without_stenosis(
    flow: FlowOnWall, tree: CoronaryTree, vessel: str, patch: NDArray[np.bool_], remote: Remote
) -> Finding:
    mass = np.asarray(flow.surface.values["mass_g"], float)
    inside = _mean(flow.mbf, mass, patch)
    also = next((v for v in _vessel_of_patch(flow, tree, patch, mass) if v != vessel), None)
    place = f"{vessel} territory" if also is None else f"{vessel} and {also} territories"
    drawn = any(vessel_of(tree, b.name) == vessel for b in tree.branches)
    reason = f"no narrowing of {MATCH_PERCENT:.0f} % or more was found upstream"
    if any(flag.name == NOT_MEASURED for flag in tree.quality.flags):
        reason = "narrowings could not be measured in this CT"
    elif not drawn:
        reason = f"the {vessel} could not be followed in the CT"
    sentence = (
        f"Stress flow is low in {mass[patch].sum():.0f} g of muscle in the {place} "
        f"({_flow_words(inside, remote.flow, flow.relative)}), and {reason}."
    )
    confidence = 0.8 * _confidence(flow, patch, 1.0 - _chance(flow, patch, remote, SEGMENTS), vessel)
    confidence *= 1.0 if also is None else BORDER_TRUST
    numbers, segments = _numbers(flow, patch, remote, vessel), _segments_of(flow, patch, mass)
    return Finding("ischaemia_without_stenosis", vessel, sentence, confidence, numbers, segments, also)


def _everywhere_low(flow: FlowOnWall, remote: float, mass: Array, known: NDArray[np.bool_]) -> Finding | None:
    """Low flow even in the best quarter. Needs absolute flow or a rest examination."""
    mpr = float("nan")
    if flow.mpr is not None and np.isfinite(flow.mpr[known]).any():
        fine = known & np.isfinite(flow.mpr)
        mpr = weighted_quantile(flow.mpr[fine], mass[fine], REMOTE_QUANTILE)
    low_flow = not flow.relative and remote < GLOBAL_LOW_ML_MIN_G
    low_reserve = np.isfinite(mpr) and mpr < GLOBAL_LOW_MPR
    if not (low_flow or low_reserve):
        return None
    numbers = {"best_quarter_relative" if flow.relative else "best_quarter_ml_min_g": remote}
    words = f"{remote:.1f} mL/min/g in the best quarter" if not flow.relative else "relative units only"
    if np.isfinite(mpr):
        numbers["best_quarter_mpr"] = mpr
        words += f", stress over rest {mpr:.1f}"
    sentence = (
        f"Stress flow is low in all of the muscle ({words}), without a border that follows one vessel: small-vessel or "
        "balanced disease, or a stress agent that did not act, would look like this."
    )
    confidence = 0.5 + 0.25 * float(low_flow) + 0.2 * float(low_reserve)
    trust = {Level.GOOD: 1.0, Level.DOUBTFUL: 0.85, Level.UNUSABLE: 0.5}[flow.quality.level]
    return Finding("microvascular", None, sentence, confidence * trust, numbers)


def _silent_stenoses(
    flow: FlowOnWall, tree: CoronaryTree, low: NDArray[np.bool_], remote: float, blamed: set[str | None]
) -> list[Finding]:
    """Severe narrowings whose muscle is seen and has normal flow; the worst one of each vessel."""
    mass = np.asarray(flow.surface.values["mass_g"], float)
    worst: dict[str, Stenosis] = {}
    for s in tree.stenoses:
        vessel = vessel_of(tree, s.branch)
        if vessel is None or vessel in blamed or s.diameter_percent < SEVERE_PERCENT:
            continue
        if vessel not in worst or s.diameter_percent > worst[vessel].diameter_percent:
            worst[vessel] = s
    result = []
    for vessel, s in worst.items():
        reach = behind(s, flow.supply, tree)
        seen = reach & np.isfinite(flow.mbf)
        if mass[seen].sum() < MIN_PATCH_G:
            continue
        inside = _mean(flow.mbf, mass, seen)
        words = "normal" if inside >= NORMAL_SHARE * remote else "no clearly low"
        sentence = (
            f"A {s.diameter_percent:.0f} % narrowing of the {s.branch}, {s.position_mm:.0f} mm from its start, with "
            f"{words} stress flow in the {mass[reach].sum():.0f} g of muscle behind it "
            f"({_flow_words(inside, remote, flow.relative)})."
        )
        numbers = {
            "stenosis_percent": s.diameter_percent,
            "mass_at_risk_g": float(mass[reach].sum()),
            "ischaemic_share": float(mass[seen & low].sum() / mass[seen].sum()),
            "mbf_inside_relative" if flow.relative else "mbf_inside_ml_min_g": inside,
        }
        confidence = 0.75 * _confidence(flow, seen, float(np.clip((inside / remote - 0.6) / 0.3, 0.0, 1.0)), vessel)
        result.append(Finding("stenosis_without_ischaemia", vessel, sentence, confidence, numbers))
    return result
