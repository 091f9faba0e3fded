"""What the scanner does to the picture: streaks, metal, motion, kernel, noise, field of view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.chambers import right_atrium_centre
from CardiacFusionLib.twin.heart.chest import sternum_depth
from CardiacFusionLib.twin.heart.shape import Shape

Image = NDArray[np.float32]


def degrade(
    hu: Image,
    heart: Heart,
    heart_from_index: NDArray[np.float64],
    spacing: NDArray[np.float64],
    look: Appearance,
    rng: np.random.Generator,
    *,
    noise_hu: float | None = None,
    blur_mm: float | None = None,
    motion_mm: float | None = None,
    metal: bool | None = None,
) -> None:
    """Change ``hu`` (z, y, x) in place; ``spacing`` in (z, y, x) order. None draws a value."""
    index_from_heart = np.linalg.inv(heart_from_index)
    if look.streak > 0:
        _streaks(hu, _index_of(heart, index_from_heart, right_atrium_centre(heart.shape)), spacing, look)
    if rng.random() < 0.15 if metal is None else metal:
        _wires(hu, heart, index_from_heart, spacing, rng)
    motion = float(rng.uniform(0, 1.5)) if motion_mm is None else motion_mm
    if motion > 0:
        _shift_blur(hu, rng.normal(size=3) * motion / np.sqrt(3) / spacing)
    blur = float(rng.uniform(0, 1.0)) if blur_mm is None else blur_mm
    sigma = blur / spacing
    if sigma.max() > 0.15:
        ndimage.gaussian_filter(hu, sigma, output=hu, truncate=3.0)
    noise = float(np.clip(rng.lognormal(np.log(18), 0.5), 6, 60)) if noise_hu is None else noise_hu
    add_noise(hu, spacing, noise, rng)


def _index_of(
    heart: Heart, index_from_heart: NDArray[np.floating], material: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Index (z, y, x) of material points (..., 3)."""
    points = heart.to_heart(np.atleast_2d(material))
    return (points @ index_from_heart[:3, :3].T + index_from_heart[:3, 3])[:, ::-1]


def _streaks(hu: Image, centre: NDArray[np.float64], spacing: NDArray[np.float64], look: Appearance) -> None:
    """Beam hardening from dense contrast: light and dark rays in the axial plane that fade with distance."""
    nz, ny, nx = hu.shape
    y = ((np.arange(ny) - centre[0, 1]) * spacing[1])[:, None]
    x = ((np.arange(nx) - centre[0, 2]) * spacing[2])[None]
    theta = np.arctan2(y, x)
    fan = np.sin(5 * theta + look.streak_phase) + 0.6 * np.sin(9 * theta + 2 * look.streak_phase)
    plane = (look.streak * 0.5 * fan * np.exp(-np.hypot(x, y) / 45.0)).astype(np.float32)
    height = (np.arange(nz) - centre[0, 0]) * spacing[0]
    weight = np.exp(-((height - 15) ** 2) / (2 * 30.0**2)).astype(np.float32)
    for z in np.flatnonzero(weight > 0.02):
        hu[z] += weight[z] * plane


def _wires(
    hu: Image,
    heart: Heart,
    index_from_heart: NDArray[np.floating],
    spacing: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Sternal wires: small, very bright spots every few centimetres about the sternum, each with a dark band."""
    shape: Shape = heart.shape
    front = sternum_depth(shape)
    for height in np.arange(-25.0, 90.0, rng.uniform(22, 34)):
        offset = np.array([rng.normal(0, 3), front - rng.choice([0.0, 7.0]), height])
        centre = _index_of(heart, index_from_heart, shape.aortic + shape.chest @ offset)[0]
        reach = np.ceil(6.0 / spacing).astype(int)
        low = np.maximum(np.round(centre).astype(int) - reach, 0)
        high = np.minimum(np.round(centre).astype(int) + reach + 1, hu.shape)
        if np.any(low >= high):
            continue
        axes = [((np.arange(a, b) - c) * s) for a, b, c, s in zip(low, high, centre, spacing, strict=True)]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        share = min(1.0, 2.0 / float(spacing.mean()) ** 2)  # a thin wire fills only part of a coarse voxel
        spot = (
            2600.0 * share * np.exp(-(z**2 + y**2 + (x / 2.2) ** 2) / (2 * max(0.9, 0.45 * float(spacing.mean())) ** 2))
        )
        dark = -160.0 * np.exp(-(z**2) / 4 - y**2 / 3) * (np.abs(x) > 2)
        hu[low[0] : high[0], low[1] : high[1], low[2] : high[2]] += (spot + dark).astype(np.float32)


def _shift_blur(hu: Image, shift: NDArray[np.float64]) -> None:
    """Mean of the picture moved by half of ``shift`` voxels either way: the double contour of a beating heart."""
    reach = np.abs(shift)
    if reach.max() < 0.1:
        return
    for axis in range(3):
        w = float(np.clip(reach[axis], 0, 1)) * 0.5
        if w > 0.05:
            # half a shift to either side: the truth lies in the middle of the double contour
            kernel = np.array([w / 2, 1 - w, w / 2])
            ndimage.correlate1d(hu, kernel, axis=axis, output=hu)


def add_noise(hu: Image, spacing: NDArray[np.float64], noise_hu: float, rng: np.random.Generator) -> None:
    """Gaussian noise of ``noise_hu`` SD with a random grain of 0-1.2 mm, added slab by slab in place."""
    if noise_hu <= 0:
        return
    grain = float(rng.uniform(0, 1.2)) / spacing
    step = max(1, int(4e6 // (hu.shape[1] * hu.shape[2])))
    for start in range(0, hu.shape[0], step):
        part = hu[start : start + step]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        if grain.max() > 0.3:
            ndimage.gaussian_filter(noise, grain, output=noise, truncate=3.0)
            noise *= np.float32(1.0 / max(float(noise.std()), 1e-6))
        part += np.float32(noise_hu) * noise


def field_of_view(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(y, x) true outside the circle that a scanner reconstructs."""
    ny, nx = shape[-2:]
    y = (np.arange(ny) - (ny - 1) / 2)[:, None] / (ny / 2)
    x = (np.arange(nx) - (nx - 1) / 2)[None] / (nx / 2)
    return x * x + y * y > 1.0
