"""Four pictures that tell the first pass: before the bolus, RV bright, LV bright, myocardium bright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.series import Series

BLOCK = 4  # pixels a side of the blocks whose curves are read: averages noise and residual motion
ARRIVAL_SHARE = 0.15  # the bolus has arrived where the brightest blocks reach this share of their rise
# blocks that rise at least by this share of the largest rise are blood. First a high one: where blood shows little of
# its contrast (saturation), muscle rises by half as much, and so late that both ventricles look like one beside it
BLOOD_SHARES = (0.6, 0.35)
MIN_TRANSIT_S = 2.0  # RV to LV through the lungs takes at least this long in any adult
MYOCARDIUM_AFTER_S = (4.0, 14.0)  # the wall is brightest so long after the LV's peak
MIN_RISE_NOISE, MIN_RISE_SHARE = 5.0, 0.05  # a bolus rises above the noise and by a share of the signal
PROTON_DENSITY_FACTOR = 1.5  # leading frames so much brighter than the baseline are proton-density frames


@dataclass(frozen=True)
class Phases:
    """Frame indices of each phase (all slices alike)."""

    baseline: NDArray[np.intp]
    rv: NDArray[np.intp]
    lv: NDArray[np.intp]
    myocardium: NDArray[np.intp]


def _block_curves(series: Series) -> NDArray[np.float64]:
    """Mean signal of blocks of the middle two thirds of all slices: (t, blocks)."""
    t, slices, rows, columns = series.array.shape
    y0, x0 = rows // 6, columns // 6
    middle = series.array[:, :, y0 : rows - y0, x0 : columns - x0]
    height, width = (n // BLOCK * BLOCK for n in middle.shape[2:])
    blocks = middle[:, :, :height, :width].reshape(t, slices, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return blocks.mean(axis=(3, 5), dtype=np.float64).reshape(t, -1)


def find_phases(series: Series) -> Phases:
    """When RV, LV and wall are bright, from the curves of the brightest blocks.

    Raises StageError where nothing brightens (no contrast agent seen).
    """
    curves = _block_curves(series)
    times = series.times_s.mean(axis=1)
    level = np.median(curves, axis=1)
    settled = float(np.median(level[3:12]))
    start = 0
    while start < 4 and level[start] > PROTON_DENSITY_FACTOR * max(settled, 1e-6):
        start += 1
    smooth = curves.copy()
    smooth[1:-1] = (curves[:-2] + 2 * curves[1:-1] + curves[2:]) / 4
    rise = smooth - smooth[start : start + 3].mean(axis=0)
    rise[:start] = 0
    bright = np.percentile(rise, 99.0, axis=1)
    noise = float(np.median(np.abs(np.diff(curves[start:], axis=0)))) / (0.6745 * np.sqrt(2))
    if bright.max() <= MIN_RISE_NOISE * noise + MIN_RISE_SHARE * settled:
        raise StageError("CMR walls", "no bolus is seen in the perfusion series; check that it is the first pass.")
    arrival = int(np.argmax(bright > ARRIVAL_SHARE * bright.max()))
    arrival = max(arrival, start + 1)
    # judged against the block's own brightness before the bolus: far from the coil both are small
    before = curves[start:arrival].mean(axis=0)
    peak_rise = rise.max(axis=0) / (before + float(np.median(before)))
    largest = np.percentile(peak_rise, 99.5)
    first = times[arrival]
    for share in BLOOD_SHARES:
        peak_time = times[np.argmax(rise[:, peak_rise >= share * largest], axis=0)]
        peak_time = peak_time[peak_time < first + 30.0]  # later maxima are recirculation or drift
        moments = _two_peaks(peak_time)
        if moments is not None:
            break
    if moments is None:
        lv_s = float(np.median(peak_time)) if len(peak_time) else float(times[int(np.argmax(bright))])
        moments = max(lv_s - 2 * MIN_TRANSIT_S, first), lv_s
    rv_s, lv_s = moments

    def near(moment: float) -> NDArray[np.intp]:
        at = int(np.argmin(np.abs(times - moment)))
        return np.arange(max(at - 1, 0), min(at + 2, len(times)))

    wall = np.flatnonzero((times >= lv_s + MYOCARDIUM_AFTER_S[0]) & (times <= lv_s + MYOCARDIUM_AFTER_S[1]))
    if len(wall) == 0:
        wall = np.arange(max(len(times) - 3, 0), len(times))
    return Phases(np.arange(start, arrival), near(rv_s), near(lv_s), wall)


def _two_peaks(peak_time: NDArray[np.float64]) -> tuple[float, float] | None:
    """When the right and the left ventricle's blood is brightest, from the moments (s) at which blocks of blood are;
    None where they are not two groups a lung's transit apart."""
    if len(peak_time) < 2 or np.ptp(peak_time) < MIN_TRANSIT_S:
        return None
    split = threshold_otsu(peak_time)
    right, left = float(np.median(peak_time[peak_time <= split])), float(np.median(peak_time[peak_time > split]))
    return (right, left) if left - right >= MIN_TRANSIT_S else None


def phase_images(series: Series, phases: Phases | None = None) -> NDArray[np.float32]:
    """Mean image of each phase of a motion-corrected series: (slice, 4, y, x), baseline, RV, LV, myocardium."""
    found = phases if phases is not None else find_phases(series)
    parts = [series.array[index].mean(axis=0) for index in (found.baseline, found.rv, found.lv, found.myocardium)]
    return np.stack(parts, axis=1).astype(np.float32)
