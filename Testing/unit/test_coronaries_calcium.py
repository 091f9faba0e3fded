"""Calcium beside a narrowed lumen: its light is taken off, and only its own."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CardiacFusionLib.coronaries.calcium import blooming
from CardiacFusionLib.coronaries.radius import cross_sections, measured, within_wall
from CardiacFusionLib.spatial.volume import Volume

SPACING, BLUR_MM, BLOOD_HU, FAT_HU, WALL_HU = 0.4, 0.6, 400.0, -90.0, 60.0
LUMEN_MM, OUTER_MM = 0.5, 1.5


def narrowed(grain_hu: float = 0.0, grain_mm: float = 1.0, noise: float = 0.0) -> tuple[Volume, np.ndarray]:
    """A straight vessel whose lumen is a third of its width, with a grain in its wall; its axis (n, 3)."""
    n = 45
    at = (np.arange(n) - n // 2) * SPACING
    z, y, x = np.meshgrid(at, at, at, indexing="ij")

    def cover(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance / SPACING, 0, 1)

    across = np.hypot(x, y)
    hu = np.full(across.shape, FAT_HU)
    hu += cover(across - OUTER_MM - 0.6) * (WALL_HU - hu)
    hu += cover(across - LUMEN_MM) * (BLOOD_HU - hu)
    if grain_hu:
        away = np.sqrt((x - 1.7) ** 2 + y**2 + z**2)
        hu += cover(away - grain_mm) * (grain_hu - hu)
    hu = ndimage.gaussian_filter(hu, BLUR_MM / SPACING) + np.random.default_rng(1).normal(0, noise, hu.shape)
    axis = np.stack([np.zeros(25), np.zeros(25), (np.arange(25) - 12) * 0.5], axis=1)
    return Volume(hu.astype(np.float32), (SPACING,) * 3, (at[0],) * 3, np.eye(3)), axis


def lumen_mm(ct: Volume, axis: np.ndarray, bloom: Volume | None) -> float:
    cut = cross_sections(axis, ct, BLOOD_HU, bloom=bloom)
    radius = measured(cut, BLOOD_HU, BLUR_MM, np.full(len(axis), OUTER_MM)).radius_mm
    return float(radius[11:14].mean())


def test_a_narrowing_beside_calcium_reads_as_without_it():
    plain, axis = narrowed()
    without = lumen_mm(plain, axis, None)
    ct, _ = narrowed(1100.0)
    bloom = blooming(ct, axis, BLOOD_HU, BLUR_MM)
    assert bloom is not None
    read, corrected = lumen_mm(ct, axis, None), lumen_mm(ct, axis, bloom)
    assert read - without > 0.1  # the error that is to be mended is there
    assert abs(corrected - without) < 0.5 * (read - without)


def test_most_of_the_grain_s_light_is_taken_off_and_no_other():
    ct, axis = narrowed(1100.0, noise=15.0)
    bloom = blooming(ct, axis, BLOOD_HU, BLUR_MM, 15.0)
    assert bloom is not None
    truth = narrowed(1100.0)[0].array - narrowed()[0].array
    taken = np.asarray(bloom.array, float)
    assert 0.5 < taken.sum() / truth.sum() < 1.1
    assert (taken <= truth + 60.0).all()
    far = np.abs(axis[:, 2].min() + 0.5 * np.arange(25)) > 4.5
    index = np.rint((axis[far] - ct.origin_mm[0]) / SPACING).astype(int)[:, ::-1]
    assert not taken[tuple(index.T)].any()


def test_no_calcium_no_change_and_a_bright_chamber_is_none():
    ct, axis = narrowed(noise=15.0)
    assert blooming(ct, axis, BLOOD_HU, BLUR_MM, 15.0) is None
    hu = ct.array.copy()
    hu[:, :, 32:] = 900.0  # a right heart full of contrast, 4 mm away
    bloom = blooming(ct.with_array(hu), axis, BLOOD_HU, BLUR_MM, 15.0)
    assert bloom is None or not bloom.array.any()


def test_the_wall_is_taken_where_the_picture_has_it():
    ct, axis = narrowed()
    cut = cross_sections(axis, ct, BLOOD_HU)
    on_lumen = measured(cut, BLOOD_HU, BLUR_MM).radius_mm
    free = within_wall(cut, BLOOD_HU, BLUR_MM, on_lumen, np.full(len(axis), OUTER_MM))
    middle = slice(8, 17)
    assert np.abs(free[middle] - LUMEN_MM).mean() < 0.5 * np.abs(on_lumen[middle] - LUMEN_MM).mean()
    assert np.abs(free[middle] - LUMEN_MM).max() < 0.12
