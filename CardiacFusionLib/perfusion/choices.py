"""What a reader may decide about a perfusion study: the sequence's parameters, and the input function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.series import Sequence, Series
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CmrWalls


@dataclass(frozen=True)
class InputCurve:
    """A reader's own input: ``curve`` (t,) in mmol/L at ``times_s`` (t,) on the clock of the series, baseline at zero.

    ``haematocrit``: give it where the curve is a *plasma* concentration.
    """

    times_s: NDArray[np.float64]
    curve: NDArray[np.float64]
    haematocrit: float | None = None


@dataclass(frozen=True)
class Choices:
    """All optional. ``sequence``: values given here win over the file's. ``curves`` and ``regions`` by state.

    A region is a picture in patient space (LPS): everything above zero, read at the pixels of the motion-corrected
    series. A curve wins over a region, a region over what is found automatically.
    """

    sequence: Sequence = field(default_factory=Sequence)
    curves: Mapping[str, InputCurve] = field(default_factory=dict)
    regions: Mapping[str, Volume] = field(default_factory=dict)

    def series(self, series: Series) -> Series:
        """The series with the reader's sequence parameters."""
        given = {f.name: getattr(self.sequence, f.name) for f in fields(Sequence)}
        kept = {name: value for name, value in given.items() if value is not None and value is not False}
        return replace(series, sequence=replace(series.sequence, **kept)) if kept else series

    def aif(self, series: Series, walls: CmrWalls) -> Aif | None:
        """The reader's input for this series, None where it is left to the program.

        Raises BadInputError where a region touches no pixel or a curve does not cover the series.
        """
        if series.state in self.curves:
            own = self.curves[series.state]
            factor = 1.0
            if own.haematocrit is not None:
                if not 0.1 < own.haematocrit < 0.75:
                    raise BadInputError(f"The haematocrit is {own.haematocrit}; give it as a fraction such as 0.42.")
                factor = 1.0 - own.haematocrit
            if own.times_s.size and (
                own.times_s[0] > series.times_s[3].min() or own.times_s[-1] < series.times_s.max() / 2
            ):
                raise BadInputError(
                    f"The input curve runs from {own.times_s[0]:.1f} to {own.times_s[-1]:.1f} s, the series from "
                    f"{series.times_s.min():.1f} to {series.times_s.max():.1f} s; both need the same clock."
                )
            return find_aif(series, walls, curve=own.curve * factor, curve_times_s=own.times_s)
        if series.state not in self.regions:
            return None
        region = self.regions[series.state]
        shape = series.array.shape[2:]
        mask = np.stack([sample(region, pose.grid_lps((shape[0], shape[1])), order=0) > 0 for pose in series.poses])
        if not mask.any():
            raise BadInputError(
                "The region drawn for the arterial input touches no slice of the perfusion series; draw it inside the "
                "LV cavity of a slice."
            )
        return find_aif(series, walls, mask=mask)
