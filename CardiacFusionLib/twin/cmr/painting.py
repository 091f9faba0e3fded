"""How training slices look: five contrasts of one cut through the heart, varied far beyond what one scanner makes.

Only the anatomy is the twin's (domain randomisation, as in Billot 2023, Med Image Anal 86:102789).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.mr_signal import sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.twin.cmr.surroundings import decoys, other_world, smooth_field
from CardiacFusionLib.twin.cmr.tissue import column, other_muscle, pools
from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, Tissue

Array = NDArray[np.float64]

FAT = [Tissue.SKIN_FAT, Tissue.ABDOMEN_FAT, Tissue.MEDIASTINAL_FAT, Tissue.HEART_FAT]
BLOOD = [Tissue.LV_CAVITY, Tissue.RV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.RIGHT_ATRIUM, Tissue.AORTA]
HEART = [
    *BLOOD,
    Tissue.MYOCARDIUM,
    Tissue.PAPILLARY,
    Tissue.RV_WALL,
    Tissue.RV_TRABECULA,
    Tissue.VESSEL_WALL,
    Tissue.MITRAL_VALVE,
    Tissue.TRICUSPID_VALVE,
    Tissue.AORTIC_VALVE,
    Tissue.PULMONARY_TRUNK,
]
PERFUSION = 4  # the first channels are phases of the first pass, the last one is cine


def paint(
    codes: NDArray[np.uint8], rng: np.random.Generator, centre_xy: Array, spacing_mm: float
) -> NDArray[np.float32]:
    """Images (5, y, x) float32 of tissue codes (layers, y, x); ``centre_xy``: pixel of the LV axis."""
    size = codes.shape[-1]
    values = np.concatenate([_perfusion_values(rng), _cine_values(rng)[None]])
    images = values[:, codes].mean(axis=1)
    images = _trabeculated(images, codes, values, rng)
    images[3] *= _defect(codes, centre_xy, rng)

    # texture of the tissues, alike in all contrasts; blood swirls, lungs carry vessels
    texture = 1.0 + rng.uniform(0.0, 0.1) * smooth_field(rng, size, 1.5)
    texture += rng.uniform(0.0, 0.14) * smooth_field(rng, size, 6.0)
    blood = np.isin(codes, BLOOD).mean(axis=0)
    swirl = rng.uniform(0.02, 0.16) * smooth_field(rng, size, 3.5) + rng.uniform(0, 0.2) * smooth_field(rng, size, 12.0)
    lung = (codes == Tissue.LUNG).mean(axis=0)
    vessels = np.clip(smooth_field(rng, size, rng.uniform(0.7, 1.3)) - rng.uniform(1.2, 2.0), 0.0, 2.0) * lung
    images *= texture
    images[1:] *= 1.0 + blood * swirl
    images[-1] *= 1.0 - _jet(rng, size) * blood
    images += rng.uniform(0.1, 0.6) * values[:, Tissue.RV_CAVITY].reshape(-1, 1, 1) * vessels

    outside = ~np.isin(codes[0], HEART)
    images = decoys(other_world(images, outside, rng), outside, values[:, Tissue.LV_CAVITY], rng, spacing_mm)
    # water and fat in one voxel cancel in balanced SSFP: dark outlines ('India ink')
    fat = ndimage.gaussian_filter(np.isin(codes, FAT).mean(axis=0), 0.7)
    images[-1] *= 1.0 - rng.uniform(0.0, 0.8) * 4.0 * fat * (1.0 - fat)
    return _scanned(images, rng)


def _scanned(images: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """Coils, banding, residual motion, blur, truncated k-space, noise and cut corners."""
    size = images.shape[-1]
    images = images * np.stack([coil(rng, size)] * PERFUSION + [coil(rng, size)])
    if rng.random() < 0.25:  # off-resonance bands of balanced SSFP
        phase = 2.5 * smooth_field(rng, size, rng.uniform(25.0, 45.0)) + rng.uniform(-3, 3)
        images[-1] *= 1.0 - rng.uniform(0.4, 1.0) * np.exp(-0.5 * (phase / rng.uniform(0.06, 0.2)) ** 2)
    for k in range(len(images)):
        blur = rng.uniform(0.25, 0.9)
        if 0 < k < PERFUSION:
            images[k] = ndimage.shift(images[k], rng.normal(0.0, 0.6, 2), order=1, mode="nearest")
        images[k] = ndimage.gaussian_filter(images[k], blur)
    if rng.random() < 0.25:
        images = truncated(images, rng)
    level = np.percentile(images, 95, axis=(1, 2), keepdims=True)
    sigma = level * rng.uniform(0.005, 0.07, (5, 1, 1)) * np.array([0.5, 1, 1, 0.6, 0.6]).reshape(5, 1, 1)
    real, imaginary = rng.normal(size=(2, *images.shape)) * sigma
    images = np.hypot(images + real, imaginary)
    if rng.random() < 0.2:  # gradient-warp corners: nothing outside a circle
        y, x = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        images *= np.hypot(x, y) < rng.uniform(0.9, 1.3)
    return images.astype(np.float32)


def truncated(images: NDArray[np.floating], rng: np.random.Generator) -> Array:
    """The centre of k-space only, coarser along one axis: Gibbs rings and oblong pixels."""
    size = images.shape[-1]
    frequency = np.abs(np.fft.fftfreq(size)) * 2
    keep = rng.uniform(0.5, 1.0, 2)
    kept = (frequency[:, None] < keep[0]) & (frequency[None] < keep[1])
    return np.asarray(np.abs(np.fft.ifft2(np.fft.fft2(images) * kept)), dtype=float)


def _jet(rng: np.random.Generator, size: int) -> Array:
    """Signal lost in fast or turbulent flow: 0 none .. 1 all, in a few smooth patches of one slice in four."""
    if rng.random() > 0.25:
        return np.zeros((size, size))
    field = (smooth_field(rng, size, rng.uniform(3.0, 8.0)) - rng.uniform(1.0, 1.8)) / 0.5
    return np.clip(field, 0.0, 1.0) * rng.uniform(0.3, 0.9)


def _perfusion_values(rng: np.random.Generator) -> Array:
    """Brightness (4, TISSUE_COUNT) of every tissue for the first four channels."""
    t1 = column("t1_ms") * np.exp(rng.normal(0, 0.12, TISSUE_COUNT))
    density = column("density") * np.exp(rng.normal(0, 0.22, TISSUE_COUNT))
    share = column("blood") * np.exp(rng.normal(0, 0.1, TISSUE_COUNT))
    ti = float(rng.uniform(75, 160))
    flip = float(rng.uniform(8, 25))
    if rng.random() < 0.35:  # fat saturation
        density[FAT] *= rng.uniform(0.1, 0.6)
    late = rng.uniform(0.5, 2.2)
    names = ("rv", "lung", "lv", "systemic", "myocardium")
    none = rng.uniform(0.0, 0.05)
    # mmol/L in each pool: range at the RV's peak, at the LV's peak, in the muscle's phase
    at_rv = rng.uniform((2.0, 0.2, 0.0, 0.0, 0.0), (9.0, 4.0, 0.7, 0.01, 0.01))
    at_lv = rng.uniform((0.3, 0.8, 2.2, 1.0, 0.03), (3.0, 4.0, 8.0, 5.0, 0.5))
    later = rng.uniform((0.6 * late, late, late, late, 0.2), (1.3 * late, late, late, late, 1.0))
    phases = [dict(zip(names, row)) for row in (np.full(5, none), at_rv, at_lv, later)]
    pool = pools()
    values = np.zeros((PERFUSION, TISSUE_COUNT))
    for k, phase in enumerate(phases):
        concentration = np.array([phase[p] if p is not None else 0.0 for p in pool]) * share
        values[k] = density * sr_flash_signal(
            t1_with_contrast_ms(concentration, t1), ti_ms=ti, tr_ms=2.2, flip_deg=flip
        )
    # beyond physics: another sequence, another reconstruction
    return values * np.exp(rng.normal(0, rng.uniform(0.0, 0.25), TISSUE_COUNT))


def _cine_values(rng: np.random.Generator) -> Array:
    """Brightness of every tissue in a balanced SSFP frame, widely varied."""
    values = column("cine") * np.exp(rng.normal(0, 0.25, TISSUE_COUNT))
    muscle = rng.uniform(0.12, 0.68)
    rest = other_muscle()
    values[Tissue.MYOCARDIUM] = muscle
    values[rest] = muscle * np.exp(rng.normal(0, 0.1, len(rest)))
    values[rest] += rng.uniform(0, 0.3) * (np.array(rest) != Tissue.RV_WALL)  # blood between the trabeculae
    values[Tissue.LV_CAVITY] = 1.0
    values[Tissue.RV_CAVITY] = rng.uniform(0.65, 1.25)
    values[Tissue.LUNG] = muscle * rng.uniform(0.02, 0.7)
    values[[Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH]] = rng.uniform(0.12, 0.9, 3)
    values[FAT] = rng.uniform(0.5, 2.2) * rng.uniform(0.5, 1.1, 4)
    if rng.random() < 0.5:  # little fat about the heart: lung, pericardium or muscle lies against it
        values[[Tissue.MEDIASTINAL_FAT, Tissue.HEART_FAT]] = rng.uniform(0.03, 0.7, 2)
    return values


def _defect(codes: NDArray[np.uint8], centre_xy: Array, rng: np.random.Generator) -> Array:
    """Factor (y, x) that darkens a sector of the wall as ischaemia does; 1 in a third of the slices."""
    size = codes.shape[-1]
    if rng.random() < 0.33:
        return np.ones((size, size))
    yy, xx = np.mgrid[0:size, 0:size].astype(float)
    angle = np.degrees(np.arctan2(yy - centre_xy[1], xx - centre_xy[0]))
    away = np.abs((angle - rng.uniform(0, 360) + 180) % 360 - 180)
    sector = 1.0 / (1.0 + np.exp((away - rng.uniform(25, 70)) / 5.0))
    wall = (codes == Tissue.MYOCARDIUM).mean(axis=0)
    return 1.0 - rng.uniform(0.2, 0.65) * sector * wall


def _trabeculated(images: Array, codes: NDArray[np.uint8], values: Array, rng: np.random.Generator) -> Array:
    """Images with the strands of muscle of :func:`strands` in the ventricles' blood."""
    mixed = strands(codes, rng)
    if mixed is None:
        return images
    muscle = values[:, Tissue.MYOCARDIUM].reshape(-1, 1, 1)
    return np.asarray(images * (1.0 - mixed) + muscle * mixed)


def strands(codes: NDArray[np.uint8], rng: np.random.Generator) -> Array | None:
    """Trabeculae: share (y, x) of muscle in strands along both ventricles' inner border; right ventricles may be full
    of them. None where the slice shows no ventricle's blood."""
    left, right = (codes[0] == tissue for tissue in (Tissue.LV_CAVITY, Tissue.RV_CAVITY))
    blood = left | right
    if not blood.any():
        return None
    depth = ndimage.distance_transform_edt(blood)
    full = rng.random() < 0.5
    deep = 7.0 if rng.random() < 0.25 else 4.5  # small cavities are then filled: blood is but a spot in their middle
    reach = np.where(right, rng.uniform(3.0, 14.0) if full else rng.uniform(1.0, 4.5), rng.uniform(1.0, deep))
    amount = np.where(right, rng.uniform(0.0, 1.0 if full else 0.8), rng.uniform(0.0, 0.8))
    field = smooth_field(rng, codes.shape[-1], rng.uniform(0.7, 1.6)) + 1.6 * (0.6 - depth / reach)
    return np.asarray(np.clip(field, 0.0, 1.0) * blood * (depth < 2.5 * reach) * amount)


def coil(rng: np.random.Generator, size: int) -> Array:
    """Surface-coil sensitivity: strong towards one side (mostly the chest wall, up and left), with a curved falloff."""
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    towards = np.deg2rad(rng.normal(-110, 45))
    along = np.cos(towards) * x + np.sin(towards) * y
    across = -np.sin(towards) * x + np.cos(towards) * y
    field = np.exp(rng.uniform(0.1, 1.6) * along - rng.uniform(0, 0.6) * (across - rng.uniform(-0.6, 0.6)) ** 2)
    return np.asarray(field / field.mean() * np.exp(0.12 * smooth_field(rng, size, 18.0)))
