"""First-pass perfusion CMR of a scene: saturation-recovery FLASH frames while a bolus passes through the heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.mr_signal import (
    RELAXIVITY_PER_MMOL_S,
    T1_BLOOD_MS,
    T1_MYOCARDIUM_MS,
    sr_flash_signal,
    t1_with_contrast_ms,
)
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose
from CardiacFusionLib.twin.cmr.breathing import heart_path
from CardiacFusionLib.twin.cmr.plan import frame_times
from CardiacFusionLib.twin.cmr.slice_model import FINE, Scene, SliceModel, breathing_field, build_slice
from CardiacFusionLib.twin.cmr.tissue import column, pools
from CardiacFusionLib.twin.flow.kinetics import Bolus, blood_curves, tissue_curves
from CardiacFusionLib.twin.heart.tissues import Tissue

Array = NDArray[np.float64]

SEQUENCE = Sequence(
    ti_ms=100.0,
    tr_ms=2.2,
    flip_deg=12.0,
    baseline_t1_blood_ms=T1_BLOOD_MS,
    baseline_t1_myocardium_ms=T1_MYOCARDIUM_MS,
    relaxivity_per_mmol_s=RELAXIVITY_PER_MMOL_S,
)
SCANNER_GAIN = 2500.0  # brings the blood's peak to a few hundred, as scanners store it


@dataclass(frozen=True)
class CmrOptions:
    """How a series is acquired; the defaults are a good clinical examination."""

    size: int = 144  # pixels along x and y
    spacing_mm: float = 1.8
    thickness_mm: float = 8.0
    frames: int = 60
    depth_samples: int = 4  # through the slice, for partial volume
    breathing_mm: float = 6.0  # largest caudal shift of the heart; the first 15-20 s are held
    free_breathing: bool = False  # no breath is held at all
    missed_beat_share: float = 0.03
    contrast_to_noise: float = 16.0  # peak enhancement of healthy stressed muscle (about 0.6 mmol/L) over noise SD
    coil_shading: float = 1.0  # 0 none, 1 usual
    dark_rim: float = 0.5  # truncation of k-space: 0 smooth window, 1 bare (rings at the endocardium)
    peak_mmol_l: tuple[float, float] = (3.5, 5.5)  # of the LV blood: mild saturation of the AIF


@dataclass(frozen=True)
class Acquired:
    """A series and what was true while it was acquired."""

    series: Series
    models: tuple[SliceModel, ...]
    motion_mm: NDArray[np.float32]  # (t, slice, 2): shift (x, y) of the heart in the image, from the reference position
    bolus: Bolus


def build_models(
    scene: Scene, pose: HeartPose, slices: tuple[SlicePose, ...], options: CmrOptions
) -> tuple[SliceModel, ...]:
    """The slices' contents at the reference breathing position; shared by rest and stress."""
    shape = (options.size, options.size)
    return tuple(build_slice(scene, pose, s, shape, depth_samples=options.depth_samples) for s in slices)


def render_series(
    scene: Scene,
    models: tuple[SliceModel, ...],
    slices: tuple[SlicePose, ...],
    rng: np.random.Generator,
    state: str = "stress",
    options: CmrOptions | None = None,
) -> Acquired:
    """One first pass through the slices (``models`` from :func:`build_models`); one state of ``rng``, one result."""
    options = options or CmrOptions()
    times = frame_times(rng, options.frames, len(slices), state, options.missed_beat_share)
    bolus = Bolus.draw(rng, state, options.peak_mmol_l)
    blood = blood_curves(bolus, float(times.max()) + 1.0)
    muscle = tissue_curves(bolus, blood)
    path = heart_path(times[:, 0], rng, options.breathing_mm, state, held=not options.free_breathing)
    t1, share, pool = column("t1_ms"), column("blood"), pools()
    sigma = _noise_sd(options)
    coil_seed = int(rng.integers(2**31))

    array = np.zeros((options.frames, len(slices), options.size, options.size), np.float32)
    motion = np.zeros((options.frames, len(slices), 2), np.float32)
    for k, (model, place) in enumerate(zip(models, slices)):
        coil = _coil(place, options, np.random.default_rng(coil_seed))
        follow, bend = breathing_field(model, place, rng)
        still, filling = _weights(model, rng)
        in_plane = path @ place.direction[:, :2]  # only this part of the motion is seen
        depth = -path[:, 2]
        yy, xx = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in follow.shape), indexing="ij")
        for f in range(options.frames):
            time = float(times[f, k])
            image = still.copy()
            for code, weight in filling.items():
                if code == Tissue.MYOCARDIUM:
                    wall = weight > 0
                    image[wall] += weight[wall] * _signal(muscle.at(model.fine_mbf[state][wall], time), t1[code])
                    continue
                if pool[code] == "myocardium":
                    concentration = float(muscle.at(np.array(scene.muscle_mbf(state)), time))
                else:
                    concentration = float(blood.at(str(pool[code]), time))
                image += weight * np.float32(_signal(concentration * share[code], t1[code]))
            shift = in_plane[f]  # mm in the image
            motion[f, k] = shift
            if abs(depth[f]) > 0.02:
                scale = FINE / place.spacing_mm[0]
                dx = (shift[0] * follow + bend[0] * depth[f]) * scale
                dy = (shift[1] * follow + bend[1] * depth[f]) * scale
                image = ndimage.map_coordinates(image, [yy - dy, xx - dx], order=1, mode="nearest")
            array[f, k] = _acquire(image * coil, rng, sigma, options.dark_rim)
    series = Series(array * np.float32(SCANNER_GAIN), slices, times, state, SEQUENCE)
    return Acquired(series, models, motion, bolus)


def _weights(model: SliceModel, rng: np.random.Generator) -> tuple[NDArray[np.float32], dict[int, NDArray[np.float32]]]:
    """The part of the picture that never changes, and for every tissue with blood its share times proton density."""
    t1, density, pool = column("t1_ms"), column("density"), pools()
    shape = next(iter(model.shares.values())).shape
    still = np.zeros(shape, np.float32)
    filling = {}
    for code in sorted(model.shares):
        if density[code] <= 0:
            continue
        weight = (model.shares[code] * density[code] * (1 + 0.05 * _texture(rng, shape))).astype(np.float32)
        if pool[code] is None:
            still += weight * np.float32(_signal(0.0, t1[code]))
        else:
            filling[code] = weight
    return still, filling


def _signal(concentration_mmol_l: Array | float, t1_ms: float) -> Array:
    """SR-FLASH signal for M0 = 1; a table keeps the whole-image case cheap."""
    s = SEQUENCE
    assert s.ti_ms is not None and s.tr_ms is not None and s.flip_deg is not None
    if isinstance(concentration_mmol_l, float):
        t1 = t1_with_contrast_ms(concentration_mmol_l, t1_ms)
        return sr_flash_signal(t1, ti_ms=s.ti_ms, tr_ms=s.tr_ms, flip_deg=s.flip_deg)
    table = np.linspace(0.0, max(float(concentration_mmol_l.max()), 1e-3), 256)
    values = sr_flash_signal(t1_with_contrast_ms(table, t1_ms), ti_ms=s.ti_ms, tr_ms=s.tr_ms, flip_deg=s.flip_deg)
    return np.interp(concentration_mmol_l, table, values)


def _noise_sd(options: CmrOptions) -> float:
    """Noise SD (before the gain) that gives the wanted contrast-to-noise for 0.6 mmol/L in muscle."""
    enhanced, native = float(_signal(0.6, T1_MYOCARDIUM_MS)), float(_signal(0.0, T1_MYOCARDIUM_MS))
    return 0.85 * (enhanced - native) / max(options.contrast_to_noise, 1e-3)


def _coil(place: SlicePose, options: CmrOptions, rng: np.random.Generator) -> Array:
    """Sensitivity (fine y, fine x): an anterior array, brighter towards the chest wall; mean about 1."""
    fine = options.size * FINE
    y, x = np.meshgrid(*(np.linspace(-1, 1, fine),) * 2, indexing="ij")
    # image coordinates of the patient's front (-P) and left, where the array lies
    front = np.array([0.35, -1.0, 0.0]) @ place.direction[:, :2]
    front = front / max(float(np.linalg.norm(front)), 1e-6)
    along = front[0] * x + front[1] * y
    across = -front[1] * x + front[0] * y
    strength = options.coil_shading * rng.uniform(0.35, 0.6)
    field = np.exp(strength * along - 0.3 * strength * (across - rng.uniform(-0.3, 0.3)) ** 2)
    return np.asarray(field / field.mean())


def _texture(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Smooth random field of SD 1: no tissue is quite even."""
    coarse = rng.normal(size=tuple(max(4, n // 8) for n in shape))
    field = ndimage.zoom(coarse, [n / c for n, c in zip(shape, coarse.shape)], order=1, grid_mode=True, mode="nearest")
    return np.asarray(field / max(float(field.std()), 1e-9))


def _acquire(fine: Array, rng: np.random.Generator, sigma: float, dark_rim: float) -> NDArray[np.float32]:
    """What the scanner makes of the ideal picture: the centre of k-space, noise in both channels, the magnitude."""
    n_fine = fine.shape[0]
    n = n_fine // FINE
    spectrum = np.fft.fftshift(np.fft.fft2(fine))
    low = (n_fine - n) // 2
    spectrum = spectrum[low : low + n, low : low + n]
    # a fine sample sits a quarter of a pixel before the pixel's centre: move it back
    k = np.fft.fftshift(np.fft.fftfreq(n))
    window = 1.0 - (1.0 - dark_rim) * np.sin(np.pi * k) ** 2
    phase = np.exp(1j * np.pi * k * (FINE - 1) / FINE) * window
    image = np.fft.ifft2(np.fft.ifftshift(spectrum * phase[:, None] * phase[None, :])) / FINE**2
    noise = rng.normal(0.0, sigma, (2, n, n))
    return np.abs(image + noise[0] + 1j * noise[1]).astype(np.float32)
