"""The perfusion stage: from a motion-corrected series and its walls to flow per pixel and per segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.aif import aif_flags, find_aif
from CardiacFusionLib.perfusion.bolus import leading_frames_to_skip
from CardiacFusionLib.perfusion.concentration import CONCENTRATION_UNIT, RELATIVE_UNIT, concentration
from CardiacFusionLib.perfusion.fermi import Prior, mbf_fermi
from CardiacFusionLib.perfusion.flow import SegmentFlow, SliceCurves, study_flow
from CardiacFusionLib.perfusion.mixture import CORE_DEPTH, mixed_pixels
from CardiacFusionLib.perfusion.noise import noise_sd
from CardiacFusionLib.perfusion.reserve import reserve_map
from CardiacFusionLib.perfusion.result import MAP_UNITS, Aif, Motion, Perfusion, PerfusionMaps
from CardiacFusionLib.perfusion.segments import labels_from, segment_table, slice_levels
from CardiacFusionLib.perfusion.tikhonov import mbf_model_free
from CardiacFusionLib.perfusion.upslope import semiquantitative
from CardiacFusionLib.perfusion.wall import wall_coordinates
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls

STAGE = "perfusion"
Progress = Callable[[float, str], None]
Floats = NDArray[np.float64]

TRANSIT_S = 8.0  # the wall's first pass lasts so much longer than the blood pool's
GAP_FACTOR = 1.7  # an interval so many times the usual one is a missed beat
POOR_FIT = 0.25  # root mean square misfit of a segment's mean curve as a share of its peak
MIN_WALL_PIXELS = 30
EXTRA_UNITS = {
    "mbf_se": "mL/min/g",
    "mbf_model_free": "mL/min/g",
    "delay": "s",
    "fit_residual": "1",
}


@dataclass(frozen=True)
class _WallCurves:
    """Concentration of all wall pixels: curves (n, t) per slice with that slice's times."""

    pixels: tuple[NDArray[np.bool_], ...]
    curves: tuple[Floats, ...]
    relative: bool


def quantify(
    series: Series,
    walls: CmrWalls,
    *,
    motion: Motion | None = None,
    levels: Floats | None = None,
    aif: Aif | None = None,
    progress: Progress | None = None,
) -> Perfusion:
    """Quantify one motion-corrected series (stress or rest).

    ``motion``: what :func:`motion.correct_motion` found, for its flags. ``levels`` (slice,): 0 tip .. 1 base, where
    known from the heart pose. ``aif``: an input chosen by the user (see :func:`aif.find_aif`) instead of the automatic
    one. ``progress(fraction, message)``. Raises StageError where there is no wall, no blood pool or no bolus.
    """
    tell = progress or _silent
    _check(series, walls)
    tell(0.0, "arterial input")
    noise = _noise(series, motion)
    found = find_aif(series, walls, noise=noise) if aif is None else aif
    flags = list(aif_flags(found, series)) + _rhythm_flags(series, found)
    if motion is not None:
        flags += motion.quality.flags
    tell(0.15, "signal to concentration")
    wall = _wall_curves(series, walls, found, noise)
    coordinates = wall_coordinates(walls, series.poses)
    heights, level_flags = slice_levels(walls, series.poses, levels)
    flags += [*coordinates.flags, *level_flags]
    labels = labels_from(coordinates, heights)
    fit_until = _first_pass_end(found)
    tell(0.2, "flow per segment")
    slices = []
    for s, (pixels, curves) in enumerate(zip(wall.pixels, wall.curves)):
        depth = coordinates.depth[s][pixels]
        core = (depth > CORE_DEPTH[0]) & (depth < CORE_DEPTH[1])
        slices.append(SliceCurves(curves, series.times_s[:, s], labels[s][pixels], core))
    flow, prior = study_flow(slices, found, fit_until, wall.relative)
    flags += _fit_flags(flow)
    maps = {name: np.full(walls.labels.shape, np.nan, np.float32) for name in [*MAP_UNITS, *EXTRA_UNITS]}
    del maps["mpr"]
    for s, (pixels, part) in enumerate(zip(wall.pixels, slices)):
        tell(0.4 + 0.5 * s / series.slice_count, f"maps, slice {s + 1}")
        if len(part.curves):
            for name, values in _maps(part, found, fit_until, prior).items():
                maps[name][s][pixels] = values
    mixed = mixed_pixels(maps, coordinates.depth)
    for image in maps.values():
        image[mixed] = np.nan
    tell(0.9, "segments")
    units = _units(wall.relative)
    if wall.relative:
        flags.append(
            Flag(
                STAGE,
                "relative",
                Level.DOUBTFUL,
                "TI, TR or flip angle of the sequence are not known: the maps are relative, not mL/min/g.",
            )
        )
    per_segment = {number: (f.mbf_ml_min_g, f.standard_error) for number, f in flow.items()}
    table = segment_table(labels, coordinates, maps, per_segment, series.state, wall.relative)
    segment_curves = {str(number): f.curve for number, f in flow.items()}
    curves_table = pd.DataFrame({"time_s": found.times_s, "aif": found.curve, **segment_curves})
    tell(1.0, "perfusion done")
    return Perfusion(
        series=series,
        walls=walls,
        aif=found,
        maps=PerfusionMaps(maps, units, wall.relative),
        segments=table,
        quality=Quality.of(flags),
        curves=curves_table,
        motion=motion,
        segment_labels=labels,
    )


def with_rest(stress: Perfusion, rest: Perfusion) -> Perfusion:
    """The stress study with ``mpr`` (stress over rest flow) in its maps and segments.

    Segments are divided as they are. Pixels are matched in the wall's own coordinates (angle from the anterior
    RV insertion, depth), because the heart does not lie at the same place in both series. Raises BadInputError where
    the two states are not stress and rest, or only one of them is absolute.
    """
    if stress.series.state != "stress" or rest.series.state != "rest":
        raise BadInputError("A reserve needs a stress and a rest study; one of the two is marked as the other.")
    if stress.maps.relative != rest.maps.relative:
        raise BadInputError("One of stress and rest is in mL/min/g, the other relative; give TI, TR and flip for both.")
    table = stress.segments.merge(
        rest.segments[["segment", "mbf_ml_min_g"]].rename(columns={"mbf_ml_min_g": "mbf_rest_ml_min_g"}),
        on="segment",
        how="left",
    )
    at_rest = table["mbf_rest_ml_min_g"].where(table["mbf_rest_ml_min_g"] > 0)
    table["mpr"] = table["mbf_ml_min_g"] / at_rest
    maps = {**stress.maps.maps, "mpr": reserve_map(stress, rest)}
    flags = [replace(flag, reason=f"Rest: {flag.reason}") for flag in rest.quality.flags]
    median = float(np.nanmedian(table["mpr"])) if table["mpr"].notna().any() else float("nan")
    if not median >= 1.0:
        flags.append(
            Flag(
                STAGE,
                "reserve_below_one",
                Level.DOUBTFUL,
                f"Flow at stress is not above flow at rest (median ratio {median:.2f}): stress and rest may be "
                f"exchanged, "
                "or the stress agent did not work.",
            )
        )
    return replace(
        stress,
        maps=PerfusionMaps(maps, {**stress.maps.units, "mpr": MAP_UNITS["mpr"]}, stress.maps.relative),
        segments=table,
        quality=stress.quality + Quality.of(flags),
    )


def _silent(fraction: float, message: str) -> None:
    """Progress for callers that do not listen."""


def _check(series: Series, walls: CmrWalls) -> None:
    expected = (series.slice_count, *series.array.shape[2:])
    if walls.labels.shape != expected:
        raise BadInputError(
            f"The walls have shape {walls.labels.shape}, the series has slices of {expected}; segment this series "
            f"again."
        )
    if int(np.sum(walls.labels == Label.MYOCARDIUM)) < MIN_WALL_PIXELS:
        raise StageError(STAGE, "almost no myocardium is marked in the slices; correct the wall and run again.")


def _noise(series: Series, motion: Motion | None) -> Floats:
    """Noise SD of each slice: of the frames as acquired where known, as interpolation has already smoothed these."""
    if motion is not None and motion.noise_sd.shape == (series.slice_count,):
        return motion.noise_sd
    return np.array([noise_sd(series.array[:, s]) for s in range(series.slice_count)])


def _wall_curves(series: Series, walls: CmrWalls, aif: Aif, noise: Floats) -> _WallCurves:
    """Concentration curves of the wall; the baseline of each slice is what was read before blood reached the LV."""
    pixels, curves = [], []
    relative = True
    for s in range(series.slice_count):
        mask = walls.labels[s] == Label.MYOCARDIUM
        signal = series.array[:, s][:, mask].T.astype(float)
        pixels.append(mask)
        if len(signal) == 0:
            curves.append(np.zeros((0, series.frame_count)))
            continue
        start = leading_frames_to_skip(signal.mean(axis=0))
        arrival = float(aif.times_s[aif.foot])
        last = int(np.searchsorted(series.times_s[:, s], arrival + 1e-6, side="right"))
        before = slice(min(start, max(last - 1, 0)), max(last, start + 1))
        tissue = concentration(signal, before, series.sequence, "myocardium", float(noise[s]))
        tissue.curves[:, :start] = 0.0
        curves.append(tissue.curves)
        relative = tissue.relative
    return _WallCurves(tuple(pixels), tuple(curves), relative)


def _first_pass_end(aif: Aif) -> float:
    """Seconds up to which tissue is fitted: the first pass of the blood pool and the transit through the wall."""
    return float(min(aif.times_s[aif.end] + TRANSIT_S, aif.times_s[-1]))


def _maps(part: SliceCurves, aif: Aif, fit_until: float, prior: Prior) -> dict[str, Floats]:
    """All maps of one slice, one value a wall pixel."""
    fit = mbf_fermi(
        part.curves,
        aif.curve,
        times_s=part.times_s,
        aif_times_s=aif.times_s,
        fit_until_s=fit_until,
        prior=prior,
    )
    free = mbf_model_free(
        part.curves,
        aif.curve,
        times_s=part.times_s,
        aif_times_s=aif.times_s,
        fit_until_s=fit_until,
        delay_s=fit.delay_s,
    )
    simple = semiquantitative(
        part.curves,
        aif.curve,
        part.times_s,
        aif_times_s=aif.times_s,
        start_s=float(aif.times_s[aif.foot]),
        end_s=fit_until,
    )
    return {
        "upslope": simple.upslope,
        "peak": simple.peak,
        "time_to_peak": simple.time_to_peak_s,
        "mbf": fit.mbf_ml_min_g,
        "mbf_se": fit.standard_error,
        "mbf_model_free": free.mbf_ml_min_g,
        "delay": fit.delay_s,
        "fit_residual": fit.residual,
    }


def _rhythm_flags(series: Series, aif: Aif) -> list[Flag]:
    """Missed beats inside the first pass, where the flow is decided."""
    flags = []
    for s in range(series.slice_count):
        interval = np.diff(series.times_s[:, s])
        usual = float(np.median(interval))
        inside = (series.times_s[:-1, s] >= aif.times_s[aif.foot] - usual) & (
            series.times_s[:-1, s] <= _first_pass_end(aif)
        )
        gaps = np.nonzero(inside & (interval > GAP_FACTOR * usual))[0]
        if gaps.size:
            flags.append(
                Flag(
                    STAGE,
                    "rhythm_gaps",
                    Level.DOUBTFUL,
                    f"Slice {s + 1}: {gaps.size} gap(s) of up to {interval[gaps].max():.1f} s in the first pass (first "
                    f"after frame {gaps[0] + 1}; usual interval {usual:.2f} s): missed beats.",
                )
            )
    return flags


def _fit_flags(flow: dict[int, SegmentFlow]) -> list[Flag]:
    poor = [number for number, found in flow.items() if found.residual > POOR_FIT]
    if not poor:
        return []
    return [
        Flag(
            STAGE,
            "poor_fit",
            Level.DOUBTFUL,
            f"The flow model does not follow the measured curve in segment(s) {', '.join(map(str, poor))}.",
        )
    ]


def _units(relative: bool) -> dict[str, str]:
    units = {**MAP_UNITS, **EXTRA_UNITS, "peak": CONCENTRATION_UNIT}
    del units["mpr"]
    if relative:
        units = {name: RELATIVE_UNIT if unit in ("mL/min/g", "mmol/L") else unit for name, unit in units.items()}
    return units
