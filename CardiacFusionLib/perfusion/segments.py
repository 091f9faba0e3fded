"""AHA segments of a perfusion study: which pixel belongs where, and one row of numbers a segment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.wall import STAGE, WallCoordinates, wall_coordinates
from CardiacFusionLib.spatial.aha import SEGMENT_NAMES, segments
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Level
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import CmrWalls

# A pixel counts as ischaemic under stress where its flow is below this share of the well-perfused wall (the upper
# quartile of the segments), or absolutely as low as resting flow. Both are this project's choice, not a consensus.
ISCHAEMIC_SHARE_OF_REMOTE = 0.6
ISCHAEMIC_ML_MIN_G = 1.2
UNEVEN = 1.6  # widest over narrowest gap of a stack that is planned evenly, the last slice a little off
INTERVAL = 1.96  # standard errors to either side: 95 %
_LEVEL_OF_ORDER = (5 / 6, 1 / 2, 1 / 6)  # middle of the basal, mid and apical third
Floats = NDArray[np.float64]


def slice_levels(
    walls: CmrWalls, poses: tuple[SlicePose, ...], levels: Floats | None = None
) -> tuple[Floats, tuple[Flag, ...]]:
    """Level of every slice (0 at the tip of the cavity, 1 at the base) and what is unsure about it.

    ``levels``: used as they are when given. Otherwise the slices are put in order along their normal and shared out
    over basal, mid and apical; the end with the larger LV (cavity and wall) is taken as the base.
    """
    count = len(poses)
    height = np.array([np.asarray(p.origin_mm) @ poses[0].normal for p in poses])
    flags = _gap_flags(height)
    if levels is not None:
        given = np.asarray(levels, dtype=float).ravel()
        if given.size != count or not np.all(np.isfinite(given)):
            raise BadInputError(f"Give one finite level (0 tip to 1 base) for each of the {count} slices.")
        return given, tuple(flags)
    area = np.array(
        [
            np.isin(walls.labels[s], (Label.LV_CAVITY, Label.MYOCARDIUM)).sum() * float(np.prod(poses[s].spacing_mm))
            for s in range(count)
        ]
    )
    order = np.argsort(height)
    if count == 1:
        reason = "Only one slice was given; it is taken as mid-ventricular."
        return np.array([0.5]), (Flag(STAGE, "slice_levels_guessed", Level.DOUBTFUL, reason),)
    if count == 2:
        reason = "Only two slices were given; they are taken as basal and mid-ventricular. Is one missing?"
        flags.append(Flag(STAGE, "slice_levels_guessed", Level.DOUBTFUL, reason))
    third = max(count // 3, 1)
    low, high = area[order[:third]].mean(), area[order[-third:]].mean()
    if high >= low:
        order = order[::-1]  # base first
    if abs(high - low) < 0.1 * max(high, low):
        flags.append(
            Flag(
                STAGE,
                "slice_levels_guessed",
                Level.DOUBTFUL,
                "First and last slice show the LV almost equally large; which of them is basal is a guess. Give the "
                "slice "
                "levels or the long axis.",
            )
        )
    result = np.empty(count)
    # middle of each slice's share of the way from base to apex; three slices give basal, mid, apical
    result[order] = 1.0 - (np.arange(count) + 0.5) / count if count != 2 else np.array(_LEVEL_OF_ORDER[:2])
    return result, tuple(flags)


def _gap_flags(height_mm: Floats) -> list[Flag]:
    """A gap between slices that is much wider than the others: a slice may be missing there."""
    order = np.argsort(height_mm)
    gaps = np.diff(height_mm[order])
    if len(gaps) < 2 or gaps.max() <= UNEVEN * max(float(gaps.min()), 1e-6):
        return []
    at = int(np.argmax(gaps))
    between = sorted((int(order[at]) + 1, int(order[at + 1]) + 1))
    reason = (
        f"Slices {between[0]} and {between[1]} lie {gaps[at]:.0f} mm apart, the others {gaps.min():.0f} mm: "
        "a slice may be missing there."
    )
    return [Flag(STAGE, "uneven_slices", Level.DOUBTFUL, reason)]


def segment_labels(walls: CmrWalls, poses: tuple[SlicePose, ...], levels: Floats | None = None) -> NDArray[np.int8]:
    """AHA segment (slice, y, x) of every myocardial pixel, 0 elsewhere. ``levels`` as :func:`slice_levels`."""
    found, _ = slice_levels(walls, poses, levels)
    return labels_from(wall_coordinates(walls, poses), found)


def labels_from(coordinates: WallCoordinates, levels: Floats) -> NDArray[np.int8]:
    """Segment labels from wall coordinates (slice, y, x) and the level of each slice."""
    inside = np.isfinite(coordinates.angle_deg)
    numbers = segments(
        np.nan_to_num(coordinates.angle_deg), levels[:, None, None], 0.0, coordinates.septum_deg[:, None, None]
    )
    return np.where(inside, numbers, 0).astype(np.int8)


def ischaemia_limit(segment_mbf: Floats, state: str, relative: bool) -> float:
    """Flow below which a pixel is ischaemic: a share of the remote wall, or a flow no stressed wall should have."""
    finite = segment_mbf[np.isfinite(segment_mbf)]
    remote = float(np.percentile(finite, 75)) if finite.size else float("nan")
    limit = ISCHAEMIC_SHARE_OF_REMOTE * remote
    return max(limit, ISCHAEMIC_ML_MIN_G) if state == "stress" and not relative else limit


def segment_table(
    labels: NDArray[np.int8],
    coordinates: WallCoordinates,
    maps: Mapping[str, NDArray[np.float32]],
    segment_mbf: Mapping[int, tuple[float, float, float]],
    state: str,
    relative: bool,
) -> pd.DataFrame:
    """One row a segment that holds pixels, 1..17.

    ``segment_mbf``: flow of each segment, its standard error, and the flow fitted to its mean curve. Columns:
    ``segment``, ``name``, ``pixels``, ``mbf_ml_min_g`` (median of its muscle pixels) with ``mbf_se`` and the 95 %
    interval ``mbf_low``, ``mbf_high``; ``mbf_curve`` (of the mean curve); over the pixels ``mbf_mean``,
    ``mbf_sd``; ``mbf_endo``, ``mbf_epi`` (medians of the inner and outer half), ``endo_epi_ratio``;
    medians ``upslope``, ``peak``, ``time_to_peak_s``; ``ischaemic_share`` (0..1 of the pixels). With relative maps the
    flow columns keep their names but are relative: see the maps' units.
    """
    present = [n for n in SEGMENT_NAMES if np.any(labels == n)]
    limit = ischaemia_limit(np.array([segment_mbf[n][0] for n in present if n in segment_mbf]), state, relative)
    rows = []
    for number in present:
        here = labels == number
        flow = maps["mbf"][here].astype(float)
        flow = flow[np.isfinite(flow)]
        if flow.size == 0:
            continue
        endo = maps["mbf"][here & (coordinates.depth < 0.5)].astype(float)
        epi = maps["mbf"][here & (coordinates.depth >= 0.5)].astype(float)
        value, error, of_curve = segment_mbf.get(number, (float(np.median(flow)), float("nan"), float("nan")))
        inner, outer = _median(endo), _median(epi)
        rows.append(
            {
                "segment": number,
                "name": SEGMENT_NAMES[number],
                "pixels": int(here.sum()),
                "mbf_ml_min_g": value,
                "mbf_se": error,
                "mbf_low": max(value - INTERVAL * error, 0.0),
                "mbf_high": value + INTERVAL * error,
                "mbf_curve": of_curve,
                "mbf_mean": float(flow.mean()),
                "mbf_sd": float(flow.std()),
                "mbf_endo": inner,
                "mbf_epi": outer,
                "endo_epi_ratio": inner / outer if outer > 0 else float("nan"),
                "upslope": _median(maps["upslope"][here]),
                "peak": _median(maps["peak"][here]),
                "time_to_peak_s": _median(maps["time_to_peak"][here]),
                "ischaemic_share": float(np.mean(flow < limit)),
            }
        )
    return pd.DataFrame(rows)


def _median(values: NDArray[np.floating]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
