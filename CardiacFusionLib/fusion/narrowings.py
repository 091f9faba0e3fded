"""The table of narrowings: what each of them is, and the muscle that lies behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.fusion.significance import LOW_SHARE, Remote
from CardiacFusionLib.fusion.surface import VESSEL_CODE
from CardiacFusionLib.fusion.territories import Supply, behind
from CardiacFusionLib.spatial.grading import cad_rads, scct_number
from CardiacFusionLib.spatial.tree import CoronaryTree, vessel_of

COLUMNS = (
    "branch", "vessel", "scct_segment", "diameter_percent", "cad_rads", "position_mm", "length_mm", "calcified",
    "mass_at_risk_g", "ischaemic_share", "aha_share",
)  # fmt: skip


def narrowing_table(tree: CoronaryTree, supply: Supply, surface: Surface, remote: Remote) -> pd.DataFrame:
    """One row a narrowing, worst first, columns ``COLUMNS``.

    ``mass_at_risk_g``: muscle whose blood passes it, by the patient's own map; ``ischaemic_share``: of that muscle, as
    far as the slices saw it, the part with low flow (NaN where they saw none); ``aha_share``: of that muscle, what the
    fixed map gives to the same vessel.
    """
    mass = np.asarray(surface.values["mass_g"], float)
    mbf = np.asarray(surface.values["mbf"], float)
    aha = np.asarray(surface.values["territory_aha"])
    rows = []
    for s in sorted(tree.stenoses, key=lambda s: -s.diameter_percent):
        vessel = vessel_of(tree, s.branch)
        reach = behind(s, supply, tree)
        seen = reach & np.isfinite(mbf)
        at_risk, known = float(mass[reach].sum()), float(mass[seen].sum())
        low = float(mass[seen & (mbf < LOW_SHARE * remote.flow)].sum())
        same = float(mass[reach & (aha == VESSEL_CODE.get(vessel or "", -1))].sum())
        rows.append({
            "branch": s.branch,
            "vessel": vessel or s.branch,
            "scct_segment": scct_number(tree, s.branch, s.position_mm),
            "diameter_percent": s.diameter_percent,
            "cad_rads": cad_rads(s.diameter_percent),
            "position_mm": s.position_mm,
            "length_mm": s.length_mm,
            "calcified": s.calcified,
            "mass_at_risk_g": at_risk,
            "ischaemic_share": low / known if known > 0 else float("nan"),
            "aha_share": same / at_risk if at_risk > 0 else float("nan"),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))
