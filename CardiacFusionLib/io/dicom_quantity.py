"""A map's numbers as DICOM keeps them: 16-bit whole numbers with a slope, and the codes of quantity and unit.

Float pixels are not read by most readers. 0 means 'no value here'; the rounding is 1/131070 of the map's maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

NO_VALUE, LARGEST = 0, 65535
# unit of a map (``perfusion.result.MAP_UNITS``) -> UCUM; anything else has no unit
_UCUM = {
    "mL/min/g": Code("mL/(min.g)", "UCUM", "mL/min/g"),
    "mmol/L": Code("mmol/L", "UCUM", "mmol/L"),
    "s": Code("s", "UCUM", "second"),
}
_NO_UNIT = Code("1", "UCUM", "no units")
_OWN = "99CARDFUSION"  # coding scheme of what DICOM has no code for
_CODES = {
    "mbf": codes.DCM.AbsoluteRegionalBloodFlow,
    "mbf_model_free": codes.DCM.AbsoluteRegionalBloodFlow,
    "time_to_peak": codes.DCM.TimeToPeak,
    "upslope": codes.DCM.MRPerfusionSlope,
    "peak": codes.DCM.MRPerfusionPeak,
    "delay": codes.DCM.BolusArrivalTime,
}


@dataclass(frozen=True)
class Quantity:
    """One map: ``name`` and ``unit`` as in ``PerfusionMaps``, ``stored`` (slice, y, x), values are ``slope`` times
    it."""

    name: str
    unit: str
    stored: NDArray[np.uint16]
    slope: float

    @staticmethod
    def of(values: NDArray[np.floating], name: str, unit: str) -> Quantity:
        """From values (slice, y, x), NaN where there is none. Negative values are stored as the smallest."""
        known = np.isfinite(values)
        top = float(np.max(values[known], initial=0.0))
        slope = top / LARGEST if top > 0 else 1.0
        stored = np.zeros(values.shape, np.uint16)
        stored[known] = np.clip(np.round(values[known].astype(np.float64) / slope), 1, LARGEST).astype(np.uint16)
        return Quantity(name, unit, stored, slope)

    @property
    def window(self) -> tuple[float, float]:
        """Centre and width that show every value."""
        top = self.slope * float(self.stored.max())
        return top / 2, max(top, 1e-6)

    @property
    def relative(self) -> bool:
        """Whether the values have no absolute scale."""
        return self.unit == "relative"

    @property
    def unit_code(self) -> Code:
        """The unit in UCUM."""
        return _UCUM.get(self.unit, _NO_UNIT)

    @property
    def code(self) -> Code:
        """What is measured."""
        if self.relative and self.name in ("mbf", "mbf_model_free"):
            return codes.DCM.RelativeRegionalBloodFlow
        return _CODES.get(self.name, Code(self.name.upper()[:16], _OWN, self.name.replace("_", " ")))
