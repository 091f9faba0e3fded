"""A quantified study after a correction by the reader: other landmarks, other walls, other levels, no new run.

Pixel maps do not depend on where the segments begin, so they stay; only pixels that a correction adds to the wall are
fitted. Segments, their mean curves, flows and table are made anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.flags import fit_flags
from CardiacFusionLib.perfusion.flow import study_prior
from CardiacFusionLib.perfusion.prior import Prior
from CardiacFusionLib.perfusion.result import Aif, Perfusion, PerfusionMaps
from CardiacFusionLib.perfusion.segments import segment_labels
from CardiacFusionLib.perfusion.stage import check_walls, noise_of
from CardiacFusionLib.perfusion.study import first_pass_end, outline, pixel_maps, segments_of
from CardiacFusionLib.perfusion.wall_curves import SliceCurves
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Quality
from CardiacFusionLib.walls.result import CmrWalls

# flags that are judged anew here, and those that only the comparison with rest gives
_ANEW = ("slice_levels_guessed", "no_rv_insertions", "poor_fit", "mixed_segments", "implausible_flow", "uneven_slices")
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
    check_walls(series, walls)
    labels = segment_labels(walls, series.poses, levels)
    if study.segment_labels is not None and np.array_equal(labels, study.segment_labels):
        return replace(study, walls=walls)
    found = outline(series, walls, aif, noise_of(series, study.motion), levels)
    if study.prior is not None:
        prior = Prior(*study.prior)
    else:
        prior = study_prior(found.slices, aif, first_pass_end(aif), found.relative)
    maps = {name: np.where(wall_of(walls), values, np.nan) for name, values in study.maps.maps.items()}
    added = wall_of(walls) & ~wall_of(study.walls)
    for s, part in enumerate(found.slices):
        _fit_added(maps, s, added[s], part, aif, prior)
    result = segments_of(found, maps, aif, prior, series.state)
    flags: list[Flag] = [f for f in study.quality.flags if f.name not in _ANEW]
    flags += [*found.flags, *fit_flags(result.flow, found.labels)]
    return replace(
        study,
        walls=walls,
        maps=replace(study.maps, maps=maps),
        segments=result.table,
        quality=Quality.of(flags),
        curves=result.curves,
        segment_labels=found.labels,
    )


def wall_of(walls: CmrWalls) -> NDArray[np.bool_]:
    """The myocardium (slice, y, x)."""
    return np.asarray(walls.labels == Label.MYOCARDIUM)


def _fit_added(
    maps: dict[str, NDArray[np.float32]],
    s: int,
    added: NDArray[np.bool_],
    part: SliceCurves,
    aif: Aif,
    prior: Prior,
) -> None:
    """Fill the maps of slice ``s`` at the pixels that the wall did not hold before, where they are muscle."""
    chosen = added[part.pixels] & part.muscle
    if not chosen.any():
        return
    where = np.zeros_like(part.pixels)
    where[part.pixels] = chosen
    values, _ = pixel_maps(part, aif, prior, chosen)
    for name, value in values.items():
        if name in maps:
            maps[name][s][where] = value
