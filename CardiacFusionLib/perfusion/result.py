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
class Motion:
    """In-plane motion of the heart, frame by frame, and what is left of it after correction.

    ``shift_mm`` (t, slice, 2), order (x, y): where the heart lies in a frame, relative to its reference position, along
    the image's own axes; the corrected frame at p shows the acquired frame at p + shift (+ displacement).
    ``displacement_mm`` (t, slice, 2, y, x): the non-rigid rest, on the corrected grid. ``residual_mm`` (slice,): root
    mean square shift still found between corrected frames and their guide images. ``similarity`` (t, slice):
    correlation of each corrected frame with its guide (1 = identical), or of its borders with those that all frames
    share where these are not found; a low one moved through the plane or was lost.
    ``noise_sd`` (slice,): noise of the acquired frames, in signal.
    """

    shift_mm: NDArray[np.float32]
    displacement_mm: NDArray[np.float32] | None
    residual_mm: NDArray[np.float64]
    similarity: NDArray[np.float64]
    noise_sd: NDArray[np.float64]
    quality: Quality = field(default_factory=Quality)


@dataclass(frozen=True)
class Aif:
    """Arterial input function: ``curve`` (t,) in mmol/L (or relative signal), ``times_s`` (t,), frames by rule."""

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
    """One state (stress or rest), quantified. ``segments``: a row an AHA segment (columns: ``Docs/perfusion.md``)."""

    series: Series  # motion-corrected
    walls: CmrWalls
    aif: Aif
    maps: PerfusionMaps
    segments: pd.DataFrame
    quality: Quality = field(default_factory=Quality)
    curves: pd.DataFrame | None = None  # columns time_s, aif and segment numbers as text; concentration (or relative)
    motion: Motion | None = None
    segment_labels: NDArray[np.int8] | None = None  # (slice, y, x) AHA segment, 0 outside the wall
    # what the study's curves agree on (mean and SD of each quantity of ``fermi.Prior``): moved segments need no new
    # search
    prior: tuple[tuple[float, float], ...] | None = None
