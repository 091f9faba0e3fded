"""One perfusion colour table, its ranges and its units, for every picture of a case.

The table rises in lightness all the way (low flow dark violet, high flow pale yellow), so that it reads the same in
grey print and for colour-blind readers, and a perfusion defect stays the darkest part of the wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.result import MAP_UNITS, PerfusionMaps

TABLE_SIZE = 256
TABLE_NAME = "CardiacFusion perfusion"
NO_DATA_RGB = (0.62, 0.62, 0.65)
UNNAMED_RGB = (0.55, 0.55, 0.60)
# sRGB at equal steps of the range, chosen so that CIE lightness rises at every step
_STOPS = np.array(
    [
        [46, 8, 84],
        [62, 28, 130],
        [58, 64, 166],
        [38, 104, 178],
        [20, 142, 168],
        [34, 174, 136],
        [110, 200, 92],
        [196, 218, 64],
        [252, 240, 120],
    ]
)
MBF_RANGE = (0.0, 3.0)  # mL/min/g; normal stress flow is about 2.2-2.3 (PMC7706884), normal rest flow about 1.1
MPR_RANGE = (0.0, 4.0)  # stress/rest; below about 2 is commonly called reduced

VESSEL_RGB = {"LAD": (0.86, 0.22, 0.27), "LCx": (0.95, 0.62, 0.15), "RCA": (0.25, 0.45, 0.85)}
SHORT_TITLES = {
    "mbf": "MBF",
    "mpr": "MPR",
    "mbf_se": "MBF error",
    "mbf_model_free": "Model-free\nMBF",
    "fit_residual": "Misfit",
    "peak": "Peak",
}
TITLES = {
    "mbf": "Myocardial blood flow",
    "mpr": "Perfusion reserve (stress/rest)",
    "upslope": "Relative upslope",
    "peak": "Peak concentration",
    "time_to_peak": "Time to peak",
    "mbf_se": "Standard error of flow",
    "mbf_model_free": "Model-free blood flow",
    "delay": "Delay of arrival",
    "fit_residual": "Misfit of the flow model",
}


def perfusion_table() -> NDArray[np.float64]:
    """The shared colour table, (256, 3) sRGB in 0..1."""
    at = np.linspace(0.0, 1.0, len(_STOPS))
    to = np.linspace(0.0, 1.0, TABLE_SIZE)
    return np.stack([np.interp(to, at, _STOPS[:, c] / 255.0) for c in range(3)], axis=1)


def colours_of(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """sRGB (..., 3) in 0..1 of values on the shared table; NaN becomes ``NO_DATA_RGB``."""
    values = np.asarray(values, dtype=float)
    share = np.clip((np.nan_to_num(values) - low) / (high - low), 0.0, 1.0)
    colours = perfusion_table()[np.rint(share * (TABLE_SIZE - 1)).astype(int)]
    colours[~np.isfinite(values)] = NO_DATA_RGB
    return colours


def text_on(rgb: tuple[float, float, float]) -> str:
    """'white' or 'black', whichever reads better on a background of that sRGB colour (Rec. 709 luma)."""
    return "white" if float(np.dot(rgb, (0.2126, 0.7152, 0.0722))) < 0.5 else "black"


@dataclass(frozen=True)
class Scale:
    """How one quantity is coloured: its range, unit and title."""

    quantity: str
    low: float
    high: float
    unit: str
    title: str

    @property
    def legend(self) -> str:
        """Title for a colour bar, with the unit where there is one."""
        return f"{self.title} ({self.unit})" if self.unit not in ("", "1") else self.title

    @property
    def short_legend(self) -> str:
        """The same in two short lines, for narrow colour bars."""
        title = SHORT_TITLES.get(self.quantity, self.title)
        return f"{title}\n({self.unit})" if self.unit not in ("", "1") else title


def flow_quantity(maps: PerfusionMaps) -> str:
    """The map that stands for flow in this case: "mbf", or "upslope" where no flow could be fitted."""
    return "mbf" if "mbf" in maps.maps else "upslope"


def vessel_rgb(vessel: str | None) -> tuple[float, float, float]:
    """Colour of a vessel's branches; a neutral grey for the left main and for branches without a name."""
    return VESSEL_RGB.get(vessel or "", UNNAMED_RGB)


def scale_of(maps: PerfusionMaps, quantity: str) -> Scale:
    """The scale of one map: fixed for absolute flow and reserve, from the data otherwise: 0 to the 98th percentile,
    times from the 2nd (their differences within the wall are what is looked at)."""
    unit = maps.units.get(quantity, MAP_UNITS.get(quantity, ""))
    title = TITLES.get(quantity, quantity.replace("_", " ").capitalize())
    if quantity == "mpr":
        return Scale(quantity, *MPR_RANGE, unit, title)
    if quantity in ("mbf", "mbf_model_free") and not maps.relative:
        return Scale(quantity, *MBF_RANGE, unit, title)
    values = maps.maps[quantity][np.isfinite(maps.maps[quantity])] if quantity in maps.maps else np.array([])
    high = float(np.percentile(values, 98)) if values.size else 1.0
    if quantity == "mbf":
        return Scale(quantity, 0.0, max(high, 1e-3), "relative", "Relative blood flow")
    low = float(np.percentile(values, 2)) if unit == "s" and values.size else 0.0
    return Scale(quantity, max(low, 0.0), max(high, low + 1e-3), unit, title)
