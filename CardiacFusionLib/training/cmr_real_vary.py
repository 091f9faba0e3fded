"""Real short-axis frames as another heart or coil might have shown them, made with the expert's cavity mask.

Labelled real frames are few, and nearly closed cavities in thick muscle the rarest of them, yet those are what networks
fail on. The mask makes more of them: the picture is drawn together about the cavity, which thickens the muscle around
it as contraction does, and the label stays true because it goes the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CLOSED_MM = 5.0  # smallest radius a cavity is drawn together to
WIDENED = 1.15  # ... and how much wider it may become
REACH_MM = (16.0, 45.0)  # the bending ends so far outside the cavity
ASIDE = 0.35  # the closing cavity moves off its place by up to this share of what it loses in radius
RING_MM = (2.0, 6.0)  # muscle is found so far outside the cavity
DIMMED = 0.65  # most of the contrast between blood and muscle that is taken away
SHADING = 1.2  # largest change of the logarithm of brightness across 60 mm


def drawn_together(
    image: NDArray[np.float32], cavity: NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Image and cavity (y, x) with the cavity at another size, mostly smaller, and the muscle about it as much thicker.

    Unchanged where there is no cavity. The new radius is drawn evenly in its logarithm from ``CLOSED_MM`` to a little
    more than the old one.
    """
    radius = float(np.sqrt(cavity.sum() / np.pi))
    if radius * spacing_mm < CLOSED_MM:
        return image, cavity
    small = CLOSED_MM / spacing_mm
    wanted = float(np.exp(rng.uniform(np.log(small), np.log(radius * WIDENED))))
    end = max(radius, wanted) + rng.uniform(*REACH_MM) / spacing_mm
    angle, far = rng.uniform(0, 2 * np.pi), ASIDE * rng.random() * max(radius - wanted, 0.0)
    middle = np.array(ndimage.center_of_mass(cavity))
    y, x = np.indices(image.shape)
    dy, dx = y - middle[0], x - middle[1]
    near = np.clip(1.0 - np.hypot(dy, dx) / end, 0.0, 1.0)
    dy, dx = dy - far * np.sin(angle) * near, dx - far * np.cos(angle) * near
    away = np.hypot(dy, dx)
    source = np.interp(away, [0.0, wanted, end, 4.0 * max(image.shape)], [0.0, radius, end, 4.0 * max(image.shape)])
    factor = np.where(away > 1e-6, source / np.maximum(away, 1e-6), radius / wanted)
    at = [middle[0] + dy * factor, middle[1] + dx * factor]
    # where pixels are drawn together several of the old ones make one new: their mean
    blurred = ndimage.gaussian_filter(image, max(0.4 * (radius / wanted - 1.0), 0.0)) if wanted < radius else image
    inner = np.clip((away - wanted) / max(0.5 * wanted, 1.0), 0.0, 1.0)
    shown = [ndimage.map_coordinates(i, at, order=1, mode="nearest") for i in (blurred, image)]
    bent = ndimage.map_coordinates(cavity.astype(np.float32), at, order=1, mode="constant") > 0.5
    if not bent.any():
        return image, cavity
    return np.asarray((1.0 - inner) * shown[0] + inner * shown[1], dtype=np.float32), bent


def dimmed(
    image: NDArray[np.float32], cavity: NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The blood of the cavity (y, x) a random part nearer to the brightness of the muscle around it, as slow flow and
    partial volume make it; other blood stays bright."""
    if not cavity.any():
        return image
    outside = ndimage.distance_transform_edt(~cavity) * spacing_mm
    muscle = image[(outside > RING_MM[0]) & (outside < RING_MM[1])]
    level = float(np.median(muscle)) if muscle.size else float(image[cavity].min())
    soft = ndimage.gaussian_filter(cavity.astype(np.float32), 1.0)
    return np.asarray(image - rng.uniform(0.0, DIMMED) * soft * (image - level), dtype=np.float32)


def shaded(images: NDArray[np.float32], pixel_mm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Images (channel, y, x) ≥ 0 under another coil: a slope in any direction and one bright patch."""
    height, width = images.shape[1:]
    y, x = np.indices((height, width))
    u, v = (x - (width - 1) / 2) * pixel_mm / 60.0, (y - (height - 1) / 2) * pixel_mm / 60.0
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, SHADING) * (np.cos(angle) * u + np.sin(angle) * v)
    place, size = rng.uniform(-1.2, 1.2, 2), rng.uniform(0.5, 1.2)
    patch = rng.uniform(0, SHADING) * np.exp(-0.5 * ((u - place[0]) ** 2 + (v - place[1]) ** 2) / size**2)
    return np.asarray(images * np.exp(slope + patch), dtype=np.float32)
