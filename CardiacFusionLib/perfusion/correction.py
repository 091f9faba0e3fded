"""A quantified study after a correction by the reader: other landmarks, other walls, other levels, no new run.

Pixel maps do not depend on where the segments begin, so they stay; only pixels that a correction adds to the wall are
fitted. Segments, their mean curves, flows and table are made anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.fermi import Prior
from CardiacFusionLib.perfusion.flow import SliceCurves, study_flow
from CardiacFusionLib.perfusion.mixture import CORE_DEPTH
from CardiacFusionLib.perfusion.result import Aif, Perfusion, PerfusionMaps
from CardiacFusionLib.perfusion.segments import labels_from, segment_table, slice_levels
from CardiacFusionLib.perfusion.stage import _check, _first_pass_end, _fit_flags, _maps, _noise, _wall_curves
from CardiacFusionLib.perfusion.wall import wall_coordinates
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Quality
from CardiacFusionLib.walls.result import CmrWalls

# flags that are judged anew here, and those that only the comparison with rest gives
_ANEW = ("slice_levels_guessed", "no_rv_insertions", "poor_fit")
_OF_REST = "reserve_below_one"


def alone(study: Perfusion) -> Perfusion:
    """A stress study as it was before ``with_rest``: without the reserve and without the rest's flags."""
    maps = {name: values for name, values in study.maps.maps.items() if name != "mpr"}
    units = {name: unit for name, unit in study.maps.units.items() if name != "mpr"}
    table = study.segments.drop(columns=["mpr", "mbf_rest_ml_min_g"], errors="ignore")
    flags = [f for f in study.quality.flags if not f.reason.startswith("Rest: ") and f.name != _OF_REST]
    return replace(
        study, maps=PerfusionMaps(maps, units, study.maps.relative), segments=table, quality=Quality.of(flags)
    )


def requantified(study: Perfusion, walls: CmrWalls, levels: NDArray[np.float64] | None) -> Perfusion:
    """``study`` (without a reserve, see :func:`alone`) with the reader's ``walls`` (labels and landmarks of each
    slice) and ``levels`` (slice,), 0 at the tip of the LV cavity .. 1 at the base.

    The input function is kept. Raises StageError where hardly any wall is left.
    """
    series, aif = study.series, study.aif
    _check(series, walls)
    coordinates = wall_coordinates(walls, series.poses)
    heights, level_flags = slice_levels(walls, series.poses, levels)
    labels = labels_from(coordinates, heights)
    if study.segment_labels is not None and np.array_equal(labels, study.segment_labels):
        return replace(study, walls=walls)
    wall = _wall_curves(series, walls, aif, _noise(series, study.motion))
    parts = []
    for s, (pixels, curves) in enumerate(zip(wall.pixels, wall.curves)):
        depth = coordinates.depth[s][pixels]
        core = (depth > CORE_DEPTH[0]) & (depth < CORE_DEPTH[1])
        parts.append(SliceCurves(curves, series.times_s[:, s], labels[s][pixels], core))
    flow, prior = study_flow(parts, aif, _first_pass_end(aif), wall.relative)
    maps = {name: np.where(wall_of(walls), values, np.nan) for name, values in study.maps.maps.items()}
    added = wall_of(walls) & ~wall_of(study.walls)
    for s, (pixels, part) in enumerate(zip(wall.pixels, parts)):
        _fit_added(maps, s, added[s], pixels, part, aif, prior)
    per_segment = {number: (f.mbf_ml_min_g, f.standard_error) for number, f in flow.items()}
    table = segment_table(labels, coordinates, maps, per_segment, series.state, wall.relative)
    curves_table = pd.DataFrame(
        {"time_s": aif.times_s, "aif": aif.curve, **{str(number): f.curve for number, f in flow.items()}}
    )
    flags: list[Flag] = [f for f in study.quality.flags if f.name not in _ANEW]
    flags += [*coordinates.flags, *level_flags, *_fit_flags(flow)]
    return replace(
        study,
        walls=walls,
        maps=replace(study.maps, maps=maps),
        segments=table,
        quality=Quality.of(flags),
        curves=curves_table,
        segment_labels=labels,
    )


def wall_of(walls: CmrWalls) -> NDArray[np.bool_]:
    """The myocardium (slice, y, x)."""
    return np.asarray(walls.labels == Label.MYOCARDIUM)


def _fit_added(
    maps: dict[str, NDArray[np.float32]],
    s: int,
    added: NDArray[np.bool_],
    pixels: NDArray[np.bool_],
    part: SliceCurves,
    aif: Aif,
    prior: Prior,
) -> None:
    """Fill the maps of slice ``s`` at the pixels that the wall did not hold before."""
    if not added.any():
        return
    chosen = added[pixels]
    few = SliceCurves(part.curves[chosen], part.times_s, part.segment[chosen], part.core[chosen])
    for name, values in _maps(few, aif, _first_pass_end(aif), prior).items():
        if name in maps:
            maps[name][s][added] = values
