"""The curves of the wall: concentration of every pixel, what may be mixed into it, and mean curves of many pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.bolus import leading_frames_to_skip
from CardiacFusionLib.perfusion.concentration import concentration
from CardiacFusionLib.perfusion.muscle import looks_like_muscle, muscle_brightness
from CardiacFusionLib.perfusion.noise import mean_above_noise
from CardiacFusionLib.perfusion.proton_density import sensitivity
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.perfusion.wall import WallCoordinates
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import Sequence, Series
from CardiacFusionLib.walls.result import CmrWalls

CORE_DEPTH = (0.2, 0.8)  # between these a pixel is muscle only, give or take half a pixel at 1.5-2 mm
MIN_BLOOD_PIXELS = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SliceCurves:
    """The wall of one slice, n pixels in the order of ``pixels`` (y, x) bool.

    ``curves`` (n, t) mmol/L or relative, at ``times_s`` (t,); ``signal`` (n, t) as measured; ``blood`` (k, t): what a
    pixel would show of the LV's and RV's blood, for a share of one; ``segment`` (n,) AHA number; ``core`` (n,): away
    from both borders; ``muscle`` (n,): as bright before contrast as muscle is.
    """

    pixels: NDArray[np.bool_]
    curves: Floats
    signal: Floats
    times_s: Floats
    blood: Floats
    segment: NDArray[np.int8]
    core: NDArray[np.bool_]
    muscle: NDArray[np.bool_]
    before: slice
    skipped: int
    noise_sd: float
    sequence: Sequence

    def mean(self, chosen: NDArray[np.bool_]) -> Floats:
        """Concentration (t,) of the *mean signal* of chosen pixels.

        The ratio of two means, not the mean of ratios: a noisy baseline in the denominator would raise it.
        """
        signal = mean_above_noise(self.signal[chosen].mean(axis=0), self.noise_sd)
        curve = concentration(signal, self.before, self.sequence, "myocardium").curves[0]
        curve[: self.skipped] = 0.0
        return np.asarray(curve)


def wall_curves(
    series: Series,
    walls: CmrWalls,
    coordinates: WallCoordinates,
    labels: NDArray[np.int8],
    aif: Aif,
    noise: Floats,
) -> tuple[list[SliceCurves], bool]:
    """Curves of every slice, and whether they are relative. ``labels`` (slice, y, x) AHA; ``noise`` (slice,).

    The baseline of each slice is what was read before blood reached the LV.
    """
    windows = [_baseline(series, walls, aif, s) for s in range(series.slice_count)]
    level, coil = np.zeros(walls.labels.shape), np.ones(walls.labels.shape)
    for s, (before, skipped) in enumerate(windows):
        seen = sensitivity(series.array[:, s], skipped, walls.labels[s] == Label.MYOCARDIUM)
        coil[s] = 1.0 if seen is None else seen
        level[s] = mean_above_noise(series.array[before, s].mean(axis=0, dtype=float), float(noise[s])) / coil[s]
    expected = muscle_brightness(level, coordinates.depth, series.poses)
    result, relative = [], True
    for s, (before, skipped) in enumerate(windows):
        mask = walls.labels[s] == Label.MYOCARDIUM
        signal = series.array[:, s][:, mask].T.astype(float)
        depth = coordinates.depth[s][mask]
        curves = np.zeros((0, series.frame_count))
        if len(signal):
            tissue = concentration(signal, before, series.sequence, "myocardium", float(noise[s]))
            curves, relative = tissue.curves, tissue.relative
            curves[:, :skipped] = 0.0
        muscle = np.ones(len(signal), dtype=bool)
        if expected is not None:
            error = float(noise[s]) / np.sqrt(before.stop - before.start) / coil[s][mask]
            muscle = looks_like_muscle(level[s][mask], expected[s][mask], error)
        reference = float(np.median(expected[s][mask] if expected is not None else level[s][mask])) if mask.any() else 1
        result.append(
            SliceCurves(
                pixels=mask,
                curves=curves,
                signal=signal,
                times_s=series.times_s[:, s],
                blood=_blood(series, walls, s, before, skipped, reference),
                segment=labels[s][mask],
                core=(depth > CORE_DEPTH[0]) & (depth < CORE_DEPTH[1]) & _inside(mask)[mask],
                muscle=muscle,
                before=before,
                skipped=skipped,
                noise_sd=float(noise[s]),
                sequence=series.sequence,
            )
        )
    return result, relative


def _inside(wall: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Wall pixels that touch nothing else: where the wall is one or two pixels thin, as at the basal septum, none."""
    return np.asarray(ndimage.distance_transform_edt(wall) > 1.0)


def _baseline(series: Series, walls: CmrWalls, aif: Aif, s: int) -> tuple[slice, int]:
    """Frames of a slice before contrast, and how many frames at the start are of another kind (proton density)."""
    mask = walls.labels[s] == Label.MYOCARDIUM
    start = leading_frames_to_skip(series.array[:, s][:, mask].mean(axis=1)) if mask.any() else 0
    arrival = float(aif.times_s[aif.foot])
    last = int(np.searchsorted(series.times_s[:, s], arrival + 1e-6, side="right"))
    return slice(min(start, max(last - 1, 0)), max(last, start + 1)), start


def _blood(series: Series, walls: CmrWalls, s: int, before: slice, skipped: int, muscle_level: float) -> Floats:
    """Rise of LV and RV blood (k, t), in the concentration that so much extra signal would be taken for in muscle.

    Shares are small, so the look-up is taken as straight: signal over muscle's baseline, times its first slope.
    """
    slope = float(concentration([[1.0, 1.05]], slice(0, 1), series.sequence, "myocardium").curves[0, 1]) / 0.05
    found = []
    for label in (Label.LV_CAVITY, Label.RV_CAVITY):
        inside = walls.labels[s] == label
        for margin in (3, 2, 1):
            core = ndimage.binary_erosion(inside, iterations=margin)
            if core.sum() >= MIN_BLOOD_PIXELS:
                break
        if core.sum() < MIN_BLOOD_PIXELS:
            continue
        signal = series.array[:, s][:, core].mean(axis=1, dtype=float)
        rise = signal - signal[before].mean()
        rise[:skipped] = 0.0
        found.append(slope * rise / max(muscle_level, 1e-9))
    return np.array(found).reshape(-1, series.frame_count)
