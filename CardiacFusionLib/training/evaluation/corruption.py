"""CTs that must not be trusted: made from twins, or of nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.case import DrawnTwin
from CardiacFusionLib.twin.ct.render import clinical_grid, render_ct

SPACING_MM = 2.5
AWAY_MM = 170.0  # so far below or above the heart the scan shows none of it
HALF_SHARE = (0.42, 0.58)  # of the ventricle's extent at which the scan ends


def good(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """The heart as it is, from 2.5 mm voxels."""
    return drawn.ct((SPACING_MM,) * 3)[0]


def abdomen(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """The scan ends below the heart."""
    return _elsewhere(drawn, rng, np.array([0.0, 0.0, -AWAY_MM - rng.uniform(0, 40)]))


def no_heart_in_view(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """A scan of the chest beside or above the heart."""
    away = np.array([rng.choice([-1.0, 1.0]) * rng.uniform(170, 200), rng.uniform(-40, 40), rng.uniform(-20, 60)])
    return _elsewhere(drawn, rng, away if rng.random() < 0.5 else np.array([0.0, 0.0, AWAY_MM]))


def _elsewhere(drawn: DrawnTwin, rng: np.random.Generator, shift_mm: NDArray[np.float64]) -> Volume:
    grid = clinical_grid(drawn.ct_pose, rng, (SPACING_MM,) * 3)
    moved = Volume(grid.array, grid.spacing_mm, tuple(np.asarray(grid.origin_mm) + shift_mm), grid.direction)
    return render_ct(drawn.heart, drawn.ct_pose, moved, rng)[0]


def head(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """A head: skull, brain, ventricles of the brain, bright vessels at its base."""
    n = (64, 84, 76)
    z, y, x = (np.linspace(-s * SPACING_MM / 2, s * SPACING_MM / 2, s) for s in n)
    zz, yy, xx = np.meshgrid(z, y, x, indexing="ij")
    size = np.array([75.0, 92.0, 72.0]) * rng.uniform(0.9, 1.1)
    radius = np.sqrt((zz / size[0]) ** 2 + (yy / size[1]) ** 2 + (xx / size[2]) ** 2)
    hu = np.full(n, -1000.0)
    hu[radius < 1.05] = rng.uniform(0, 60)  # scalp
    hu[radius < 1.0] = rng.uniform(600, 1200)  # bone
    hu[radius < 0.93] = 35 + 6 * rng.normal(size=n)[radius < 0.93]
    hu[np.sqrt((zz / 15) ** 2 + (yy / 30) ** 2 + ((np.abs(xx) - 12) / 6) ** 2) < 1] = 8.0
    for _ in range(int(rng.integers(3, 8))):
        at = rng.uniform(-25, 25, 3)
        tube = np.hypot(yy - at[1], xx - at[2]) < rng.uniform(3, 9)
        hu[tube & (radius < 0.93)] = rng.uniform(200, 450)
    return _volume(ndimage.gaussian_filter(hu, 0.5) + rng.normal(0, 15, n))


def noise(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """No picture: noise of some grain and strength."""
    n = (56, 80, 80)
    field = ndimage.gaussian_filter(rng.normal(size=n), rng.uniform(0, 4))
    return _volume(rng.uniform(-200, 300) + field / field.std() * rng.uniform(50, 400))


def inverted(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """Black is white: HU mirrored about soft tissue."""
    ct = good(drawn, rng)
    return _hu(ct, 2 * rng.uniform(0, 150) - np.asarray(ct.array, float))


def half_a_heart(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """The scan ends in the middle of the left ventricle."""
    ct = good(drawn, rng)
    pose = drawn.ct_pose
    ends = [pose.to_lps(np.array([x, y, z])) for x in (-33.0, 33.0) for y in (-33.0, 33.0) for z in (-45.0, 45.0)]
    index = np.array([ct.lps_to_index[:3, :3] @ p + ct.lps_to_index[:3, 3] for p in ends])
    axis = int(rng.integers(0, 3))
    low, high = index[:, axis].min(), index[:, axis].max()
    cut = int(np.clip(low + rng.uniform(*HALF_SHARE) * (high - low), 4, ct.size[axis] - 4))
    kept = [slice(None)] * 3
    kept[2 - axis] = slice(cut, None) if rng.random() < 0.5 else slice(0, cut)
    array = ct.array[tuple(kept)]
    first = np.zeros(4)
    first[axis], first[3] = kept[2 - axis].start or 0, 1
    return Volume(np.ascontiguousarray(array), ct.spacing_mm, tuple((ct.index_to_lps @ first)[:3]), ct.direction)


def heavy_motion(drawn: DrawnTwin, rng: np.random.Generator) -> Volume:
    """The heart moved by centimetres while it was scanned: several places at once, slabs shifted against each other."""
    ct = good(drawn, rng)
    image = np.asarray(ct.array, float)
    reach = rng.uniform(9, 16) / SPACING_MM
    way = rng.normal(size=3)
    way /= np.linalg.norm(way)
    blurred = np.mean(
        [ndimage.shift(image, t * reach * way, order=1, mode="nearest") for t in (-1, -0.5, 0, 0.5, 1)], 0
    )
    slab = int(rng.integers(4, 9))
    for start in range(0, len(image), slab):
        step = rng.normal(0, 8 / SPACING_MM, 2)
        blurred[start : start + slab] = ndimage.shift(
            blurred[start : start + slab], (0, *step), order=1, mode="nearest"
        )
    return _hu(ct, blurred)


def _hu(ct: Volume, hu: NDArray[np.float64]) -> Volume:
    return ct.with_array(np.clip(np.rint(hu), -1024, 3071).astype(np.int16))


def _volume(hu: NDArray[np.float64]) -> Volume:
    origin = tuple(-(np.array(hu.shape[::-1]) - 1) / 2 * SPACING_MM)
    grid = Volume(np.zeros(hu.shape, np.uint8), (SPACING_MM,) * 3, origin, np.eye(3))
    return _hu(grid, hu)


Maker = Callable[[DrawnTwin, np.random.Generator], Volume]
HEARTLESS: dict[str, Maker] = {"abdomen": abdomen, "no_heart_in_view": no_heart_in_view, "head": head, "noise": noise}
SPOILT: dict[str, Maker] = {"inverted": inverted, "half_a_heart": half_a_heart, "heavy_motion": heavy_motion}
CORRUPTIONS: dict[str, Maker] = {**HEARTLESS, **SPOILT}
