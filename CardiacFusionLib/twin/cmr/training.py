"""Fast random short-axis slices for training CMR networks: five contrasts of one slice, with labels.

Only the anatomy is the twin's; brightness is randomised far beyond what one scanner makes (domain randomisation, as in
Billot 2023, Med Image Anal 86:102789), so that a network learns shapes and neighbourhoods rather than one contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT, Label
from CardiacFusionLib.spatial.mr_signal import sr_flash_signal, t1_with_contrast_ms
from CardiacFusionLib.twin.cmr.tissue import column, other_muscle, pools
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, TISSUE_TO_LABEL, Tissue

Array = NDArray[np.float64]

CHANNELS = ("baseline", "rv_peak", "lv_peak", "myocardium", "cine")
NEAR_MM = 62.0  # partial volume through the slice is sampled this near the LV axis, once per slice elsewhere
FAT = [Tissue.SKIN_FAT, Tissue.ABDOMEN_FAT, Tissue.MEDIASTINAL_FAT, Tissue.HEART_FAT]
BLOOD = [Tissue.LV_CAVITY, Tissue.RV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.RIGHT_ATRIUM, Tissue.AORTA]


@dataclass(frozen=True)
class CmrSample:
    """One training slice. ``channels`` (5, y, x) float32 in the order of ``CHANNELS``, brightness in no unit.

    ``labels`` (y, x) uint8 ``Label`` 0..3 (papillary muscles are cavity). ``landmarks``: pixel (x, y) of
    ``lv_centre``, ``rv_insertion_anterior``, ``rv_insertion_inferior``, absent where the slice does not show them.
    ``level``: 0 at the cavity's tip, 1 at the base. ``plane`` (3, 4): pixel (x, y, offset mm, 1) -> heart mm.
    """

    channels: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing_mm: float
    level: float
    contraction: float
    plane: Array
    landmarks: Mapping[str, Array] = field(default_factory=dict)


def cmr_training_slice(seed: int, size: int = 128, spacing_mm: float = 1.6, thickness_mm: float = 8.0) -> CmrSample:
    """A random heart, cut by a random short-axis plane from beyond the apex to above the base, in random contrasts."""
    rng = np.random.default_rng(seed)
    contraction = float(np.clip(rng.uniform(-0.3, 1.1), 0.0, 1.0))
    heart = Heart.draw(rng).at_phase(contraction)
    level = float(rng.uniform(-0.12, 1.18))
    plane = _draw_plane(heart, level, rng, size, spacing_mm)
    codes = _cut(heart, plane, size, thickness_mm)

    labels = _labels(codes)
    channels = _paint(codes, rng, plane, heart)
    return CmrSample(
        channels, labels, spacing_mm, level, contraction, plane, _landmarks(labels, _project_centre(heart, plane))
    )


def label_slice(heart: Heart, plane: Array, size: int) -> NDArray[np.uint8]:
    """Labels 0..3 (size, size) of a heart on a plane (3, 4) as in :class:`CmrSample`; no partial volume."""
    found = TISSUE_TO_LABEL[heart.tissue(_plane_points(plane, size, 0.0))]
    return np.where(found < CMR_LABEL_COUNT, found, 0).astype(np.uint8)


def upright_plane(z_mm: float, size: int = 128, spacing_mm: float = 1.0) -> Array:
    """The plane (3, 4) at height ``z_mm`` of the heart frame whose rows and columns are the frame's x and y axes."""
    half = (size - 1) / 2 * spacing_mm
    return np.array([[spacing_mm, 0.0, 0.0, -half], [0.0, spacing_mm, 0.0, -half], [0.0, 0.0, 1.0, z_mm]], dtype=float)


def _draw_plane(heart: Heart, level: float, rng: np.random.Generator, size: int, spacing_mm: float) -> Array:
    tip, base = heart.landmarks["lv_cavity_tip"][2], heart.landmarks["base"][2]
    z = tip + level * (base - tip)
    tilt = np.deg2rad(rng.normal(0.0, 6.0, 2))
    roll = np.deg2rad(rng.normal(20.0, 28.0))
    frame = (Rotation.from_rotvec([*tilt, 0.0]) * Rotation.from_rotvec([0.0, 0.0, -roll])).as_matrix()
    centre = np.array([*heart.lv_centre(np.array(z)), z]) + frame[:, :2] @ rng.uniform(-30, 30, 2)
    half = (size - 1) / 2 * spacing_mm
    corner = centre - half * (frame[:, 0] + frame[:, 1])
    return np.concatenate([frame * [spacing_mm, spacing_mm, 1.0], corner[:, None]], axis=1)


def _plane_points(plane: Array, size: int, offset_mm: float) -> Array:
    y, x = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float), indexing="ij")
    return np.stack([x, y, np.full_like(x, offset_mm)], axis=-1) @ plane[:, :3].T + plane[:, 3]


def _cut(heart: Heart, plane: Array, size: int, thickness_mm: float) -> NDArray[np.uint8]:
    """Tissue codes (2, y, x) in two layers of the slice; far from the heart both are the same."""
    lower = _plane_points(plane, size, -thickness_mm / 4)
    codes = heart.tissue(lower)
    upper = _plane_points(plane, size, thickness_mm / 4)
    near = np.hypot(upper[..., 0] + 10.0, upper[..., 1]) < NEAR_MM
    both = np.stack([codes, codes])
    both[1][near] = heart.tissue(upper[near])
    return both


def _labels(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Majority over the layers; where two disagree, muscle stands back (contours follow the blood)."""
    found = TISSUE_TO_LABEL[codes]
    found = np.where(found < CMR_LABEL_COUNT, found, 0)
    pair = np.where(found[0] == Label.MYOCARDIUM, found[1], found[0])
    other = np.where(found[0] == Label.MYOCARDIUM, found[0], found[1])
    return np.where((pair == 0) & (other > 0), other, pair).astype(np.uint8)


def _paint(codes: NDArray[np.uint8], rng: np.random.Generator, plane: Array, heart: Heart) -> NDArray[np.float32]:
    size = codes.shape[-1]
    values = np.concatenate([_perfusion_values(rng), _cine_values(rng)[None]])
    images = values[:, codes].mean(axis=1)
    images = _trabeculated(images, codes, values, rng)
    images[3] *= _defect(codes, plane, heart, rng)

    # texture of the tissues, alike in all contrasts; blood swirls, lungs carry vessels
    texture = 1.0 + rng.uniform(0.02, 0.1) * _smooth(rng, size, 1.5) + rng.uniform(0.02, 0.12) * _smooth(rng, size, 6.0)
    blood = np.isin(codes, BLOOD).mean(axis=0)
    swirl = 1.0 + blood * (
        rng.uniform(0.02, 0.16) * _smooth(rng, size, 3.5) + rng.uniform(0, 0.15) * _smooth(rng, size, 12.0)
    )
    lung = (codes == Tissue.LUNG).mean(axis=0)
    vessels = np.clip(_smooth(rng, size, rng.uniform(0.7, 1.3)) - rng.uniform(1.2, 2.0), 0.0, 2.0) * lung
    images *= texture
    images[1:] *= swirl
    bright = values[:, Tissue.RV_CAVITY].reshape(-1, 1, 1)
    images += rng.uniform(0.1, 0.6) * bright * vessels
    images = _surroundings(images, codes, rng, size)
    # water and fat in one voxel cancel in balanced SSFP: dark outlines ('India ink')
    fat = ndimage.gaussian_filter(np.isin(codes, FAT).mean(axis=0), 0.7)
    images[4] *= 1.0 - rng.uniform(0.0, 0.8) * 4.0 * fat * (1.0 - fat)

    coil = np.stack([_coil(rng, size)] * 4 + [_coil(rng, size)])
    images = images * coil
    for k in range(len(images)):
        moved = ndimage.shift(images[k], rng.normal(0.0, 0.6, 2), order=1, mode="nearest") if 0 < k < 4 else images[k]
        images[k] = ndimage.gaussian_filter(moved, rng.uniform(0.25, 0.9))
    level = np.percentile(images, 95, axis=(1, 2), keepdims=True)
    sigma = level * rng.uniform(0.01, 0.07, (5, 1, 1)) * np.array([0.5, 1, 1, 0.6, 0.6]).reshape(5, 1, 1)
    real, imaginary = rng.normal(size=(2, *images.shape)) * sigma
    images = np.hypot(images + real, imaginary)
    if rng.random() < 0.15:  # gradient-warp corners: nothing outside a circle
        y, x = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        images *= np.hypot(x, y) < rng.uniform(1.0, 1.3)
    return images.astype(np.float32)


def _perfusion_values(rng: np.random.Generator) -> Array:
    """Brightness (4, TISSUE_COUNT) of every tissue for the first four ``CHANNELS``."""
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
    values = np.zeros((4, TISSUE_COUNT))
    for k, phase in enumerate(phases):
        concentration = np.array([phase[p] if p is not None else 0.0 for p in pool]) * share
        values[k] = density * sr_flash_signal(
            t1_with_contrast_ms(concentration, t1), ti_ms=ti, tr_ms=2.2, flip_deg=flip
        )
    # beyond physics: another sequence, another reconstruction
    return values * np.exp(rng.normal(0, rng.uniform(0.0, 0.25), TISSUE_COUNT))


def _cine_values(rng: np.random.Generator) -> Array:
    """Brightness of every tissue in a balanced SSFP frame, widely varied."""
    values = column("cine") * np.exp(rng.normal(0, 0.22, TISSUE_COUNT))
    muscle = rng.uniform(0.15, 0.6)
    rest = other_muscle()
    values[Tissue.MYOCARDIUM] = muscle
    values[rest] = muscle * np.exp(rng.normal(0, 0.1, len(rest)))
    values[rest] += rng.uniform(0, 0.3) * (np.array(rest) != Tissue.RV_WALL)  # blood between the trabeculae
    values[Tissue.LV_CAVITY] = 1.0
    values[Tissue.RV_CAVITY] = rng.uniform(0.7, 1.15)
    values[[Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH]] = rng.uniform(0.12, 0.9, 3)
    values[FAT] = rng.uniform(0.5, 2.2) * rng.uniform(0.5, 1.1, 4)
    if rng.random() < 0.5:  # little fat about the heart: lung, pericardium or muscle lies against it
        values[[Tissue.MEDIASTINAL_FAT, Tissue.HEART_FAT]] = rng.uniform(0.03, 0.7, 2)
    return values


def _defect(codes: NDArray[np.uint8], plane: Array, heart: Heart, rng: np.random.Generator) -> Array:
    """Factor (y, x) that darkens a sector of the wall as ischaemia does; 1 in a third of the slices."""
    size = codes.shape[-1]
    if rng.random() < 0.33:
        return np.ones((size, size))
    x, y = _project_centre(heart, plane)
    yy, xx = np.mgrid[0:size, 0:size].astype(float)
    angle = np.degrees(np.arctan2(yy - y, xx - x))
    away = np.abs((angle - rng.uniform(0, 360) + 180) % 360 - 180)
    sector = 1.0 / (1.0 + np.exp((away - rng.uniform(25, 70)) / 5.0))
    wall = (codes == Tissue.MYOCARDIUM).mean(axis=0)
    return 1.0 - rng.uniform(0.2, 0.65) * sector * wall


def _trabeculated(images: Array, codes: NDArray[np.uint8], values: Array, rng: np.random.Generator) -> Array:
    """Trabeculae: strands of muscle within a few pixels of both ventricles' inner border."""
    blood = np.isin(codes[0], [Tissue.LV_CAVITY, Tissue.RV_CAVITY])
    if not blood.any():
        return images
    depth = ndimage.distance_transform_edt(blood)
    reach = rng.uniform(1.0, 4.5)
    strands = _smooth(rng, images.shape[-1], rng.uniform(0.7, 1.4)) + 1.6 * (0.6 - depth / reach)
    mixed = np.clip(strands, 0.0, 1.0) * blood * (depth < 2.5 * reach) * rng.uniform(0.0, 0.8)
    muscle = values[:, Tissue.MYOCARDIUM].reshape(-1, 1, 1)
    return images * (1.0 - mixed) + muscle * mixed


def _surroundings(images: Array, codes: NDArray[np.uint8], rng: np.random.Generator, size: int) -> Array:
    """Bowel, vessels and folds in the abdomen and chest wall, which the twin's chest paints evenly."""
    outside = np.isin(
        codes[0], [Tissue.LIVER, Tissue.STOMACH, Tissue.ABDOMEN_FAT, Tissue.SPLEEN, Tissue.MUSCLE, Tissue.GAS]
    )
    level = images.mean(axis=(1, 2), keepdims=True)
    for _ in range(int(rng.integers(1, 5))):
        inside = np.clip(
            (_smooth(rng, size, rng.uniform(2.0, 9.0)) - rng.uniform(0.4, 1.6)) / rng.uniform(0.05, 0.6), 0, 1
        )
        patch = 0.8 * inside * outside
        tone = level * rng.uniform(0.1, 3.0, (len(images), 1, 1)) * np.array([1, 1, 1, 1, 1.5]).reshape(-1, 1, 1)
        images = images * (1.0 - patch) + tone * patch
    return images


def _coil(rng: np.random.Generator, size: int) -> Array:
    """Surface-coil sensitivity: strong towards one side (mostly the chest wall, up and left), with a curved falloff."""
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    towards = np.deg2rad(rng.normal(-110, 45))
    along = np.cos(towards) * x + np.sin(towards) * y
    across = -np.sin(towards) * x + np.cos(towards) * y
    field = np.exp(rng.uniform(0.1, 1.4) * along - rng.uniform(0, 0.6) * (across - rng.uniform(-0.6, 0.6)) ** 2)
    return np.asarray(field / field.mean() * np.exp(0.12 * _smooth(rng, size, 18.0)))


def _smooth(rng: np.random.Generator, size: int, sigma_px: float) -> Array:
    """Smooth random field (size, size) of SD 1; coarse fields are drawn coarsely, so that they cost little."""
    step = max(1, int(sigma_px // 1.5))
    n = size // step + 4
    coarse = ndimage.gaussian_filter(rng.normal(size=(n, n)), sigma_px / step)
    if step > 1:
        place = np.arange(size) / step + 1.5
        coarse = ndimage.map_coordinates(coarse, np.meshgrid(place, place, indexing="ij"), order=1)
    else:
        coarse = coarse[:size, :size]
    return np.asarray(coarse / max(float(coarse.std()), 1e-9))


def _project_centre(heart: Heart, plane: Array) -> Array:
    """Pixel (x, y) where the LV axis meets the plane."""
    inverse = np.linalg.inv(np.concatenate([plane, [[0, 0, 0, 1]]]))
    z = float(plane[2, 3])
    for _ in range(3):
        point = np.array([*heart.lv_centre(np.array(z)), z])
        pixel = inverse[:3, :3] @ point + inverse[:3, 3]
        z -= float(pixel[2]) * plane[2, 2]
    return pixel[:2]


def _landmarks(labels: NDArray[np.uint8], centre_xy: Array) -> dict[str, Array]:
    """Pixel landmarks: the centre of the LV, and the two ends of the wall's contact with the RV."""
    cavity = np.argwhere(labels == Label.LV_CAVITY)
    wall = labels == Label.MYOCARDIUM
    if wall.sum() < 20:
        return {}
    centre = cavity.mean(axis=0)[::-1] if len(cavity) >= 12 else centre_xy
    found = {"lv_centre": np.asarray(centre, float)}
    contact = np.argwhere(wall & ndimage.binary_dilation(labels == Label.RV_CAVITY, iterations=2))
    if len(contact) < 8:
        return found
    away = contact[:, ::-1] - centre
    middle = np.arctan2(*away.mean(axis=0)[::-1])
    angle = np.mod(np.arctan2(away[:, 1], away[:, 0]) - middle + np.pi, 2 * np.pi) - np.pi
    # seen with the RV on the left, image angles grow clockwise: the anterior end is the larger one
    for name, index in (
        ("rv_insertion_anterior", int(np.argmax(angle))),
        ("rv_insertion_inferior", int(np.argmin(angle))),
    ):
        found[name] = contact[index, ::-1].astype(float)
    return found
