"""The parts of a quantification, each from the one before: outlined wall -> pixel maps -> segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.fermi import FermiFit, mbf_fermi
from CardiacFusionLib.perfusion.flow import SegmentFlow, left_out, segment_flow, too_small
from CardiacFusionLib.perfusion.prior import Prior
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.perfusion.segments import labels_from, segment_table, slice_levels
from CardiacFusionLib.perfusion.spill import Spill
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free
from CardiacFusionLib.perfusion.upslope import semiquantitative
from CardiacFusionLib.perfusion.wall import WallCoordinates, wall_coordinates
from CardiacFusionLib.perfusion.wall_curves import SliceCurves, wall_curves
from CardiacFusionLib.spatial.quality import Flag
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls

TRANSIT_S = 8.0  # the wall's first pass lasts so much longer than the blood pool's
# spread of the blood's share in one pixel, away from both borders of the wall and at them (partial volume, dark rim)
CORE_SHARE_SD, BORDER_SHARE_SD = 0.02, 0.1
SUSPECT_SHARE = 0.02  # a core pixel that takes up more blood under its narrow prior is asked again under the border's
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlined:
    """The wall of a study in its own coordinates, with its curves."""

    slices: list[SliceCurves]
    relative: bool
    coordinates: WallCoordinates
    labels: NDArray[np.int8]  # (slice, y, x) AHA
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class SegmentResult:
    """Flow of every measured segment, the table of all segments, and their curves."""

    flow: dict[int, SegmentFlow]
    table: pd.DataFrame
    curves: pd.DataFrame


def outline(series: Series, walls: CmrWalls, aif: Aif, noise: Floats, levels: Floats | None = None) -> Outlined:
    """Coordinates, AHA labels and curves of every wall pixel. ``noise`` (slice,); ``levels`` as ``slice_levels``."""
    coordinates = wall_coordinates(walls, series.poses)
    heights, level_flags = slice_levels(walls, series.poses, levels)
    labels = labels_from(coordinates, heights)
    slices, relative = wall_curves(series, walls, coordinates, labels, aif, noise)
    return Outlined(slices, relative, coordinates, labels, (*coordinates.flags, *level_flags))


def first_pass_end(aif: Aif) -> float:
    """Seconds up to which tissue is fitted: the first pass of the blood pool and the transit through the wall."""
    return float(min(aif.times_s[aif.end] + TRANSIT_S, aif.times_s[-1]))


def pixel_maps(
    part: SliceCurves, aif: Aif, prior: Prior, chosen: NDArray[np.bool_] | None = None
) -> tuple[dict[str, Floats], Floats]:
    """All maps of one slice and the share of blood, one value a wall pixel (of those ``chosen``, in their order).

    Away from the borders there is no blood by the anatomy, and the fit keeps the share small for the flow's sake. An
    outline that runs through blood (a ring closed across the outflow tract) belies that: a core pixel that asks for
    blood all the same gets its maps as any other, but the *share* given back is the one under the border's wider prior.
    """
    kept = np.ones(len(part.curves), dtype=bool) if chosen is None else chosen
    curves, core = part.curves[kept], part.core[kept]
    until = first_pass_end(aif)
    names = ("mbf_ml_min_g", "standard_error", "delay_s", "residual")
    values = {name: np.zeros(len(curves)) for name in names}
    shares = np.zeros((len(curves), len(part.blood)))
    for here, share_sd in ((core, CORE_SHARE_SD), (~core, BORDER_SHARE_SD)):
        if not here.any():
            continue
        fit = _fit(curves[here], part, aif, until, prior, share_sd)
        for name in names:
            values[name][here] = getattr(fit, name)
        if len(part.blood):
            shares[here] = fit.spill
    pure = curves - shares @ part.blood
    total = shares.sum(axis=1)
    suspect = core & (total > SUSPECT_SHARE)
    if suspect.any():
        total[suspect] = _fit(curves[suspect], part, aif, until, prior, BORDER_SHARE_SD).spill.sum(axis=1)
    free = mbf_model_free(
        pure, aif.curve, times_s=part.times_s, aif_times_s=aif.times_s, fit_until_s=until, delay_s=values["delay_s"]
    )
    simple = semiquantitative(
        pure,
        aif.curve,
        part.times_s,
        aif_times_s=aif.times_s,
        start_s=float(aif.times_s[aif.foot]),
        end_s=until,
    )
    maps = {
        "upslope": simple.upslope,
        "peak": simple.peak,
        "time_to_peak": simple.time_to_peak_s,
        "mbf": values["mbf_ml_min_g"],
        "mbf_se": values["standard_error"],
        "mbf_model_free": free.mbf_ml_min_g,
        "delay": values["delay_s"],
        "fit_residual": values["residual"],
    }
    return maps, total


def _fit(curves: Floats, part: SliceCurves, aif: Aif, until: float, prior: Prior, share_sd: float) -> FermiFit:
    return mbf_fermi(
        curves,
        aif.curve,
        times_s=part.times_s,
        aif_times_s=aif.times_s,
        fit_until_s=until,
        prior=prior,
        spill=Spill(part.blood, share_sd) if len(part.blood) else None,
    )


def segments_of(
    found: Outlined, maps: dict[str, NDArray[np.float32]], aif: Aif, prior: Prior, state: str
) -> SegmentResult:
    """Segments of finished maps: a pixel that carries no flow (fat, blood) has no part in its segment.

    Segments that are blood rather than muscle (``flow.left_out``) get no row, and their pixels in ``maps`` are emptied;
    neither do those that hold hardly a pixel of muscle (``flow.too_small``).
    """
    pixel_flow = [maps["mbf"][s][part.pixels].astype(float) for s, part in enumerate(found.slices)]
    flow = segment_flow(found.slices, pixel_flow, aif, first_pass_end(aif), prior)
    blood = np.isin(found.labels, left_out(flow))
    for image in maps.values():
        image[blood] = np.nan
    per_segment = {number: (f.mbf_ml_min_g, f.standard_error, f.mbf_curve) for number, f in flow.items()}
    table = segment_table(found.labels, found.coordinates, maps, per_segment, state, found.relative)
    table = table[~table["segment"].isin(too_small(flow))].reset_index(drop=True)
    curves = {str(number): f.curve for number, f in flow.items()}
    return SegmentResult(flow, table, pd.DataFrame({"time_s": aif.times_s, "aif": aif.curve, **curves}))
