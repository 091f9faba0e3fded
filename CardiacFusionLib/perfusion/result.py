"""What the perfusion stage hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.spatial.quality import Quality
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls

MAP_UNITS = {"upslope": "1", "peak": "mmol/L", "time_to_peak": "s", "mbf": "mL/min/g", "mpr": "1"}


@dataclass(frozen=True)
class Aif:
    """Arterial input function. ``curve`` (t,) in mmol/L (or relative signal), ``times_s`` (t,), frame indices by rule."""

    curve: NDArray[np.float64]
    times_s: NDArray[np.float64]
    foot: int
    peak: int
    end: int  # last frame of the first pass
    mask: NDArray[np.bool_]  # (slice, y, x) pixels the curve was read from
    saturated: bool = False


@dataclass(frozen=True)
class PerfusionMaps:
    """Maps (slice, y, x) float32, NaN outside the wall; names of ``MAP_UNITS`` and more; ``units`` by name."""

    maps: Mapping[str, NDArray[np.float32]]
    units: Mapping[str, str]
    relative: bool  # True where the sequence is unknown: values are not absolute


@dataclass(frozen=True)
class Perfusion:
    """One state (stress or rest), quantified. ``segments``: one row an AHA segment (columns in ``Docs/perfusion.md``)."""

    series: Series  # motion-corrected
    walls: CmrWalls
    aif: Aif
    maps: PerfusionMaps
    segments: pd.DataFrame
    quality: Quality = field(default_factory=Quality)
