"""Whole first passes of one slice at the outline's resolution, for training: materials in space, signal in time.

A picture at any moment is the sum over materials of where each lies (``shares``) times how bright it is (``signal``),
so that turning the slice and gathering frames cost little. Wider than the twin's series on purpose, as ``first_pass``:
any circulation, sequence and dose, ischaemia of a territory or of the inner wall, organs that need not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.mr_signal import sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.twin.cmr.first_pass import draw_bolus
from CardiacFusionLib.twin.cmr.painting import FAT, HEART, strands
from CardiacFusionLib.twin.cmr.plan import frame_times
from CardiacFusionLib.twin.cmr.surroundings import round_places, smooth_field
from CardiacFusionLib.twin.cmr.tissue import column, pools
from CardiacFusionLib.twin.cmr.training import draw_slice, labels_of, landmarks_of
from CardiacFusionLib.twin.flow.kinetics import blood_curves, tissue_curves
from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, Tissue

Array = NDArray[np.float64]
POOLS = ("rv", "lung", "lv", "systemic")
FRAMES = (25, 80)  # of a series
SECTOR_SHARE, INNER_SHARE = 0.5, 0.3  # of the slices lack blood in a sector, in the inner wall
OTHER_SHARE = 0.45  # lie among organs that need not exist
FLEETING_SHARE = 0.2  # of the boluses hardly come round again: late muscle is then brighter than blood


@dataclass(frozen=True)
class Still:
    """A random slice before time begins. ``codes`` (3, y, x) tissues through its thickness, ``labels`` (y, x) 0..3,
    ``landmarks`` as pixel (x, y), absent where the slice does not show them."""

    codes: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    spacing_mm: float
    landmarks: Mapping[str, Array]


@dataclass(frozen=True)
class Passing:
    """A first pass through a slice: ``shares`` (material, y, x), ``signal`` (t, material) in no unit, ``times_s`` (t,),
    when the RV's blood is brightest and when contrast first reaches it."""

    shares: NDArray[np.float32]
    signal: Array
    times_s: Array
    rv_peak_s: float
    arrival_s: float


def draw_still(seed: int, size: int, spacing_mm: float) -> Still:
    """A random short-axis slice of a random heart on ``size`` x ``size`` pixels."""
    drawn = draw_slice(np.random.default_rng(seed), size, spacing_mm)
    labels = labels_of(drawn.codes)
    return Still(drawn.codes, labels, spacing_mm, landmarks_of(labels, drawn, spacing_mm))


def draw_passing(still: Still, rng: np.random.Generator) -> Passing:
    """One random bolus, sequence, flow and surroundings in the slice."""
    state = "stress" if rng.random() < 0.6 else "rest"
    times = frame_times(rng, int(rng.integers(*FRAMES)), 1, state, 0.05)[:, 0]
    bolus = draw_bolus(state, rng)
    if rng.random() < FLEETING_SHARE:
        bolus = replace(
            bolus, recirculation_share=float(rng.uniform(0.0, 0.2)), plateau_share=float(rng.uniform(0.0, 0.1))
        )
    blood = blood_curves(bolus, float(times.max()) + 1.0)
    muscle = tissue_curves(bolus, blood)
    flow = float(rng.uniform(1.0, 3.5) if state == "stress" else rng.uniform(0.5, 1.2))
    poor = flow * float(rng.uniform(0.1, 0.7))
    curves = {name: blood.at(name, times) for name in POOLS}
    fed = np.stack([muscle.at(np.array([flow, poor]), float(t)) for t in times])
    curves["myocardium"] = fed[:, 0]

    look = _Look(rng)
    shares, signal = [], []
    pool = pools()
    by_tissue = _tissue_shares(still.codes, rng)
    lacking = _lacking(still, rng)
    for code, share in by_tissue.items():
        of = pool[code]
        shares.append(share * (1.0 - lacking) if code == Tissue.MYOCARDIUM else share)
        signal.append(look(code, curves[of] if of is not None else np.zeros(len(times))))
    shares.append(by_tissue.get(int(Tissue.MYOCARDIUM), np.zeros_like(lacking)) * lacking)
    signal.append(look(Tissue.MYOCARDIUM, fed[:, 1]))

    maps = np.stack(shares)
    bright = np.stack(signal, axis=1)
    outside = ~np.isin(still.codes[0], HEART)
    typical = float(np.percentile(bright, 90))
    for cover, what in _others(outside, still.spacing_mm, rng):
        maps = np.concatenate([maps * (1.0 - cover.sum(axis=0)), cover])
        bright = np.concatenate([bright, _any_signal(len(cover), curves, typical, what, rng)], axis=1)
    maps *= _texture(still, maps, rng)
    peak = float(blood.times_s[int(np.argmax(blood.rv))])
    return Passing(maps.astype(np.float32), bright, times, peak, bolus.arrival_s)


class _Look:
    """Signal of each tissue at a concentration: T1, density and blood content drawn once, blood alike in all rooms."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.t1 = column("t1_ms") * np.exp(rng.normal(0, 0.1, TISSUE_COUNT))
        self.density = column("density") * np.exp(rng.normal(0, 0.18, TISSUE_COUNT))
        self.share = column("blood") * np.exp(rng.normal(0, 0.1, TISSUE_COUNT))
        for tissue in (Tissue.RV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.RIGHT_ATRIUM):
            for values in (self.t1, self.density, self.share):
                values[tissue] = values[Tissue.LV_CAVITY] * float(np.exp(rng.normal(0, 0.03)))
        if rng.random() < 0.35:  # fat saturation
            self.density[FAT] *= rng.uniform(0.1, 0.6)
        self.ti, self.flip = float(rng.uniform(75, 160)), float(rng.uniform(8, 25))

    def __call__(self, code: int, concentration: Array) -> Array:
        t1 = t1_with_contrast_ms(concentration * self.share[code], float(self.t1[code]))
        return np.asarray(self.density[code] * sr_flash_signal(t1, ti_ms=self.ti, tr_ms=2.2, flip_deg=self.flip))


def _tissue_shares(codes: NDArray[np.uint8], rng: np.random.Generator) -> dict[int, Array]:
    """Share (y, x) of every tissue in the slice, with strands of muscle along both ventricles' inner border."""
    found = {int(code): (codes == code).mean(axis=0) for code in np.unique(codes)}
    mixed = strands(codes, rng)
    if mixed is not None:
        for room, muscle in ((Tissue.LV_CAVITY, Tissue.PAPILLARY), (Tissue.RV_CAVITY, Tissue.RV_TRABECULA)):
            if int(room) in found:
                taken = found[int(room)] * mixed
                found[int(room)] = found[int(room)] - taken
                found[int(muscle)] = found.get(int(muscle), np.zeros_like(taken)) + taken
    return found


def _lacking(still: Still, rng: np.random.Generator) -> Array:
    """How much each pixel of the wall lacks blood, 0..1: a sector, the inner layer, both or nothing."""
    size = still.labels.shape[-1]
    wall = still.codes[0] == Tissue.MYOCARDIUM
    cavity = still.labels == 1
    lacking = np.zeros((size, size))
    if not wall.any():
        return lacking
    centre = np.argwhere(cavity if cavity.any() else wall).mean(axis=0)
    depth = ndimage.distance_transform_edt(~cavity) * still.spacing_mm
    if rng.random() < SECTOR_SHARE:
        yy, xx = np.mgrid[0:size, 0:size].astype(float)
        angle = np.degrees(np.arctan2(yy - centre[0], xx - centre[1]))
        away = np.abs((angle - rng.uniform(0, 360) + 180) % 360 - 180)
        sector = 1.0 / (1.0 + np.exp(np.clip((away - rng.uniform(20, 80)) / 5.0, -30, 30)))
        reach = rng.uniform(4.0, 25.0)  # mm from the cavity: subendocardial to transmural
        lacking = sector / (1.0 + np.exp(np.clip((depth - reach) / 1.5, -30, 30)))
    if rng.random() < INNER_SHARE:
        inner = rng.uniform(0.3, 1.0) / (1.0 + np.exp(np.clip((depth - rng.uniform(2.0, 6.0)) / 1.5, -30, 30)))
        lacking = np.maximum(lacking, inner)
    return lacking


def _others(outside: NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator) -> list[tuple[Array, str]]:
    """What covers the twin's own chest: random organs and round things; covers (material, y, x) and their kind."""
    size = outside.shape[-1]
    found: list[tuple[Array, str]] = []
    if rng.random() < OTHER_SHARE:
        kinds = int(rng.integers(3, 7))
        scale = rng.uniform(5.0, 22.0)
        winner = np.argmax([smooth_field(rng, size, scale * rng.uniform(0.6, 1.6)) for _ in range(kinds)], axis=0)
        share = np.ones((size, size))
        if rng.random() < 0.75:
            share = np.clip((smooth_field(rng, size, rng.uniform(10, 25)) - rng.uniform(-0.8, 0.9)) / 0.15, 0.0, 1.0)
        edge = ndimage.gaussian_filter((outside * share).astype(float), 0.6)
        found.append((edge * (winner == np.arange(kinds)[:, None, None]), "organ"))
    y, x = np.mgrid[0:size, 0:size].astype(float)
    for radius, at in round_places(outside, spacing_mm, rng, 2):
        depth = radius * (1.0 + 0.08 * smooth_field(rng, size, 8.0)) - np.hypot(x - at[1], y - at[0]) * spacing_mm
        inner = np.clip(depth / spacing_mm + 0.5, 0, 1) * outside
        outer = np.clip((depth + rng.uniform(0.0, 6.0)) / spacing_mm + 0.5, 0, 1) * outside
        found.append((np.stack([inner, outer - inner * outer]), "round"))
    return found


def _any_signal(count: int, curves: Mapping[str, Array], typical: float, kind: str, rng: np.random.Generator) -> Array:
    """Signal (t, count) of things that need not exist: some stay as they are, some fill from a pool of blood."""
    columns = []
    for k in range(count):
        height = typical * float(rng.uniform(0.02, 1.3) ** rng.uniform(1.0, 2.0))
        if kind == "round" and k == 1:
            height *= 0.4
        curve = curves[str(rng.choice(POOLS))]
        filling = curve / max(float(curve.max()), 1e-9)
        part = float(rng.uniform(0.2, 0.9)) if rng.random() < (0.6 if kind == "round" else 0.4) else 0.05
        columns.append(height * (1.0 - part + part * filling))
    return np.stack(columns, axis=1)


def _texture(still: Still, maps: Array, rng: np.random.Generator) -> Array:
    """Factor (y, x) that makes no tissue quite even: fine, coarse, and lungs full of vessels."""
    size = maps.shape[-1]
    texture = 1.0 + rng.uniform(0.0, 0.1) * smooth_field(rng, size, 1.5)
    texture += rng.uniform(0.0, 0.14) * smooth_field(rng, size, 6.0)
    lung = (still.codes == Tissue.LUNG).mean(axis=0)
    vessels = np.clip(smooth_field(rng, size, rng.uniform(0.7, 1.3)) - rng.uniform(1.2, 2.0), 0.0, 2.0) * lung
    return np.maximum(texture + rng.uniform(0.5, 4.0) * vessels, 0.2)
