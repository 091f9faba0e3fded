"""What fusion hands on: the wall's surface with everything on it, the segment table and the findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.spatial.quality import Quality


@dataclass(frozen=True)
class Finding:
    """One sentence for the reader with the numbers behind it. No diagnosis."""

    kind: str  # "matched", "ischaemia_without_stenosis", "stenosis_without_ischaemia", "microvascular"
    vessel: str | None  # "LAD", "LCx", "RCA" or None
    sentence: str
    confidence: float  # 0..1
    numbers: Mapping[str, float] = field(default_factory=dict)  # mass_at_risk_g, ischaemic_share, mbf_inside, ...
    segments: tuple[int, ...] = ()
    also: str | None = None  # a second vessel to whose territory nearly as much of the muscle belongs


@dataclass(frozen=True)
class Surface:
    """Mid-wall surface in the **heart frame**: points (n, 3) mm, triangles (m, 3), and values per point.

    ``values``: "mbf" (NaN where no slice reaches), "mpr" if rest was given, "segment", "territory_aha",
    "territory_patient" (0 none, 1 LAD, 2 LCx, 3 RCA), "distance_to_slice_mm", "area_mm2", "mass_g".
    """

    points_mm: NDArray[np.float64]
    triangles: NDArray[np.int32]
    values: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Fusion:
    """The fused case. ``segments``: columns segment, name, mbf_ml_min_g, mpr, territory_aha, territory_patient, ..."""

    surface: Surface
    segments: pd.DataFrame
    findings: tuple[Finding, ...]
    quality: Quality = field(default_factory=Quality)
    # a row a narrowing: branch, vessel, scct_segment, diameter_percent, cad_rads, position_mm, length_mm, calcified,
    # mass_at_risk_g (distal to it, patient map), ischaemic_share (of its muscle that the slices saw), aha_share
    narrowings: pd.DataFrame | None = None
