"""The perfusion stage: from a motion-corrected series and its walls to flow per pixel and per segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.aif import aif_flags, find_aif
from CardiacFusionLib.perfusion.concentration import CONCENTRATION_UNIT, RELATIVE_UNIT
from CardiacFusionLib.perfusion.flags import fit_flags, input_flags, relative_flag, response_flags, rhythm_flags
from CardiacFusionLib.perfusion.flow import study_prior
from CardiacFusionLib.perfusion.mixture import mixed_pixels
from CardiacFusionLib.perfusion.noise import noise_sd
from CardiacFusionLib.perfusion.pools import pool_flags
from CardiacFusionLib.perfusion.reserve import reserve_map
from CardiacFusionLib.perfusion.result import MAP_UNITS, Aif, Motion, Perfusion, PerfusionMaps
from CardiacFusionLib.perfusion.study import first_pass_end, outline, pixel_maps, segments_of
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls

STAGE = "perfusion"
Progress = Callable[[float, str], None]
Floats = NDArray[np.float64]

MIN_WALL_PIXELS = 30
EXTRA_UNITS = {
    "mbf_se": "mL/min/g",
    "mbf_model_free": "mL/min/g",
    "delay": "s",
    "fit_residual": "1",
}


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
    check_walls(series, walls)
    tell(0.0, "arterial input")
    noise = noise_of(series, motion)
    found = find_aif(series, walls, noise=noise) if aif is None else aif
    flags = [*aif_flags(found, series), *input_flags(found, series, noise), *pool_flags(found, series)]
    flags += rhythm_flags(series, found)
    if motion is not None:
        flags += motion.quality.flags
    tell(0.15, "signal to concentration")
    outlined = outline(series, walls, found, noise, levels)
    flags += outlined.flags
    tell(0.2, "what the study's curves agree on")
    prior = study_prior(outlined.slices, found, first_pass_end(found), outlined.relative)
    maps = {name: np.full(walls.labels.shape, np.nan, np.float32) for name in [*MAP_UNITS, *EXTRA_UNITS]}
    del maps["mpr"]
    blood = np.zeros(walls.labels.shape, np.float32)
    for s, part in enumerate(outlined.slices):
        tell(0.4 + 0.5 * s / series.slice_count, f"maps, slice {s + 1}")
        if part.muscle.any():
            where = part.pixels.copy()
            where[part.pixels] = part.muscle
            values, blood[s][where] = pixel_maps(part, found, prior, part.muscle)
            for name, value in values.items():
                maps[name][s][where] = value
    core = np.zeros(walls.labels.shape, dtype=bool)
    for s, part in enumerate(outlined.slices):
        core[s][part.pixels] = part.core
    mixed = mixed_pixels(maps, core, blood, float(found.times_s[found.peak] - found.times_s[found.foot]))
    for image in maps.values():
        image[mixed] = np.nan
    tell(0.9, "segments")
    if outlined.relative:
        flags.append(relative_flag())
    result = segments_of(outlined, maps, found, prior, series.state)
    flags += fit_flags(result.flow, outlined.labels)
    flags += response_flags(result.flow, series.state, outlined.relative)
    tell(1.0, "perfusion done")
    return Perfusion(
        series=series,
        walls=walls,
        aif=found,
        maps=PerfusionMaps(maps, _units(outlined.relative), outlined.relative),
        segments=result.table,
        quality=Quality.of(flags),
        curves=result.curves,
        motion=motion,
        segment_labels=outlined.labels,
        prior=(prior.log_volume, prior.shape, prior.delay_s),
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
    counts = stress.series.slice_count, rest.series.slice_count
    if counts[0] != counts[1]:
        reason = f"Stress has {counts[0]} slices and rest {counts[1]}: each takes its nearest; is one missing?"
        flags.append(Flag(STAGE, "slices_differ", Level.DOUBTFUL, reason))
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


def check_walls(series: Series, walls: CmrWalls) -> None:
    """Raise BadInputError where the walls belong to another series, StageError where there is hardly any wall."""
    expected = (series.slice_count, *series.array.shape[2:])
    if walls.labels.shape != expected:
        raise BadInputError(
            f"The walls have shape {walls.labels.shape}, the series has slices of {expected}; segment this series "
            f"again."
        )
    if int(np.sum(walls.labels == Label.MYOCARDIUM)) < MIN_WALL_PIXELS:
        raise StageError(STAGE, "almost no myocardium is marked in the slices; correct the wall and run again.")


def noise_of(series: Series, motion: Motion | None) -> Floats:
    """Noise SD of each slice: of the frames as acquired where known, as interpolation has already smoothed these."""
    if motion is not None and motion.noise_sd.shape == (series.slice_count,):
        return motion.noise_sd
    return np.array([noise_sd(series.array[:, s]) for s in range(series.slice_count)])


def _units(relative: bool) -> dict[str, str]:
    units = {**MAP_UNITS, **EXTRA_UNITS, "peak": CONCENTRATION_UNIT}
    del units["mpr"]
    if relative:
        units = {name: RELATIVE_UNIT if unit in ("mL/min/g", "mmol/L") else unit for name, unit in units.items()}
    return units
