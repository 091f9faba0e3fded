"""The fusion stage: wall, tree and registered perfusion in one surface, one table and a list of findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.fusion.findings import FlowOnWall, find
from CardiacFusionLib.fusion.narrowings import narrowing_table
from CardiacFusionLib.fusion.perfusion_on_wall import on_wall, rings_of
from CardiacFusionLib.fusion.result import Fusion, Surface
from CardiacFusionLib.fusion.significance import remote_of
from CardiacFusionLib.fusion.surface import VESSEL_CODE, wall_lattice, wall_surface
from CardiacFusionLib.fusion.territories import patient_supply
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.registration.result import Registration
from CardiacFusionLib.spatial.aha import AHA_TERRITORY, SEGMENT_NAMES
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.walls.result import CtWalls

Array = NDArray[np.float64]

STAGE = "fusion"
MIN_COVERED_SHARE = 0.5  # of the wall's mass; three slices of 8-10 mm reach about 70-80 %
MAX_FILLED_SHARE = 0.25
DISAGREEMENT_SHARE = 0.25
VESSEL_OF_CODE = {code: vessel for vessel, code in VESSEL_CODE.items()}


def fuse(
    walls: CtWalls, pose: HeartPose, tree: CoronaryTree, perfusion: Perfusion, registration: Registration
) -> Fusion:
    """Bring stress flow and coronary tree onto the LV wall of the CT.

    ``tree`` in LPS of the CT or in the heart frame; ``perfusion``: the stress examination, its maps with "mpr" where a
    rest examination was given. Raises BadInputError without landmarks, StageError without a ventricle or a map.
    """
    if any(name not in pose.landmarks for name in LANDMARK_NAMES):
        raise BadInputError(
            f"Fusion needs the landmarks {', '.join(LANDMARK_NAMES)} in the CT; place them and run again."
        )
    flow_name = "mbf" if "mbf" in perfusion.maps.maps else "upslope"
    if flow_name not in perfusion.maps.maps:
        raise StageError(STAGE, "the perfusion stage gave neither an mbf nor an upslope map.")
    lattice = wall_lattice(walls.labels, pose)
    surface = wall_surface(lattice, pose)
    points = surface.points_mm
    mbf, distance = on_wall(rings_of(flow_name, perfusion, registration, lattice), lattice, points)
    if not np.isfinite(mbf).any():
        raise StageError(STAGE, "no perfusion slice reaches the left ventricular wall of the CT; check the pairing.")
    values: dict[str, NDArray[np.generic]] = {**surface.values, "mbf": mbf, "distance_to_slice_mm": distance}
    mpr = None
    if "mpr" in perfusion.maps.maps:
        mpr, _ = on_wall(rings_of("mpr", perfusion, registration, lattice), lattice, points)
        values["mpr"] = mpr
    supply = patient_supply(surface, lattice, tree, pose)
    values["territory_patient"] = supply.vessel
    surface = replace(surface, values=values)
    own = _judge(surface, lattice.present, tree)
    everything = Quality(
        walls.quality.flags + tree.quality.flags + perfusion.quality.flags + registration.quality.flags + own.flags
    )
    relative = perfusion.maps.relative or flow_name != "mbf"
    heights = np.asarray(registration.pairing.z_mm, float)
    heights = heights[np.isfinite(heights)]
    flow = FlowOnWall(surface, mbf, mpr, distance, supply, relative, everything, heights)
    table = narrowing_table(tree, supply, surface, remote_of(surface, mbf))
    return Fusion(surface, segment_table(surface), find(flow, tree), own, table)


def segment_table(surface: Surface) -> pd.DataFrame:
    """One row a segment that the slices reach at least in part (17 only then): means by mass, territories, mass.

    Columns: segment, name, mbf_ml_min_g, mpr, mass_g, measured_share, distance_to_slice_mm, territory_aha,
    territory_patient, patient_share (of the segment's mass that the named patient territory takes).
    """
    v = {k: np.asarray(a, float) for k, a in surface.values.items()}
    rows = []
    for segment, name in SEGMENT_NAMES.items():
        mine = (v["segment"] == segment) & (v["mass_g"] > 0)
        known = mine & np.isfinite(v["mbf"])
        if segment == 17 and not known.any():
            continue
        mass = float(v["mass_g"][mine].sum())
        by_vessel = np.bincount(v["territory_patient"][mine].astype(int), v["mass_g"][mine], minlength=4)
        owner = int(np.argmax(by_vessel[1:]) + 1) if by_vessel[1:].sum() > 0 else 0
        rows.append({
            "segment": segment,
            "name": name,
            "mbf_ml_min_g": _mean(v["mbf"], v["mass_g"], known),
            "mpr": _mean(v["mpr"], v["mass_g"], known & np.isfinite(v["mpr"])) if "mpr" in v else float("nan"),
            "mass_g": mass,
            "measured_share": float(v["mass_g"][known].sum()) / mass if mass > 0 else 0.0,
            "distance_to_slice_mm": _mean(v["distance_to_slice_mm"], v["mass_g"], known),
            "territory_aha": AHA_TERRITORY[segment],
            "territory_patient": VESSEL_OF_CODE.get(owner, ""),
            "patient_share": float(by_vessel[owner] / mass) if owner and mass > 0 else 0.0,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _mean(values: Array, weights: Array, where: NDArray[np.bool_]) -> float:
    return float(np.average(values[where], weights=weights[where])) if where.any() else float("nan")


def _judge(surface: Surface, present: NDArray[np.bool_], tree: CoronaryTree) -> Quality:
    mass = np.asarray(surface.values["mass_g"], float)
    known = np.isfinite(np.asarray(surface.values["mbf"], float))
    flags = []

    def doubt(name: str, reason: str) -> None:
        flags.append(Flag(STAGE, name, Level.DOUBTFUL, reason))

    covered = float(mass[known].sum() / max(float(mass.sum()), 1e-9))
    if covered < MIN_COVERED_SHARE:
        doubt("few_slices", f"The perfusion slices reach only {100 * covered:.0f} % of the muscle.")
    filled = 1.0 - float(present.mean())
    if filled > MAX_FILLED_SHARE:
        doubt("wall_holes", f"{100 * filled:.0f} % of the wall in the CT had holes and was filled from its neighbours.")
    if not tree.branches:
        doubt("no_patient_territories", "Without a coronary tree only the fixed AHA territories are given.")
    else:
        aha, own = (np.asarray(surface.values[k]) for k in ("territory_aha", "territory_patient"))
        both = (aha > 0) & (own > 0)
        differ = float(mass[both & (aha != own)].sum() / max(float(mass[both].sum()), 1e-9))
        if differ > DISAGREEMENT_SHARE:
            doubt(
                "territories_differ",
                f"The patient's own territories differ from the fixed AHA map in {100 * differ:.0f} % of the muscle.",
            )
    return Quality.of(flags)
