"""Parts of a scan that are shifted against each other are seen and measured; a whole scan is not doubted."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from heart_phantom import Heart, ct_walls, usual_pose
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.plausibility import RANGES, judge
from CardiacFusionLib.walls.slab_steps import slab_steps_mm

TONES = np.array([-80.0, 380.0, 110.0, 320.0])


@cache
def scan(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0), noise_hu: float = 20.0) -> tuple[Volume, Volume]:
    """A CT (HU) on the scanner's own axes, with borders 2 mm soft, and labels on an upright grid."""
    pose = usual_pose()
    count = np.ceil(130.0 / np.array(spacing_mm)).astype(int)
    empty = Volume(np.zeros(tuple(count[::-1]), np.uint8), spacing_mm, (-64.0, -66.0, -65.0), np.eye(3))
    image = TONES[Heart().labels(pose.to_heart(empty.grid_lps()))]
    image = ndimage.gaussian_filter(image, 2.0 / np.array(spacing_mm[::-1]) / 2.0)
    image += np.random.default_rng(0).normal(0, noise_hu, image.shape)
    return empty.with_array(np.rint(image).astype(np.int16)), ct_walls(Heart(), pose).labels


def shifted(ct: Volume, by_mm: float, thick_mm: float = 20.0, axis: int = 0) -> Volume:
    """Every other slab of ``thick_mm`` along the array's ``axis`` shifted by so much along another."""
    array = np.moveaxis(np.asarray(ct.array, np.float32).copy(), axis, 0)
    spacing = np.delete(np.asarray(ct.spacing_mm[::-1]), axis)
    slab = round(thick_mm / ct.spacing_mm[2 - axis])
    for first in range(3, len(array), 2 * slab):
        here = slice(first, first + slab)
        array[here] = ndimage.shift(array[here], (0, by_mm / spacing[0], 0), order=1, mode="nearest")
    return ct.with_array(np.moveaxis(array, 0, axis).astype(np.int16))


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.0, 1.0, 0.9), (1.2, 1.2, 3.0)])
def test_a_whole_scan_has_no_steps_and_a_shifted_one_has_its_own(spacing_mm: tuple[float, float, float]) -> None:
    ct, labels = scan(spacing_mm)
    assert slab_steps_mm(ct, labels) < 1.5
    measured = [slab_steps_mm(shifted(ct, mm), labels) for mm in (2.0, 4.0, 8.0)]
    assert measured == sorted(measured)
    assert measured[1] == pytest.approx(4.0, rel=0.5)
    assert measured[2] > 5.5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_steps_are_seen_along_whatever_axis_the_scan_was_stored(axis: int) -> None:
    ct, labels = scan()
    assert slab_steps_mm(shifted(ct, 8.0, axis=axis), labels) > 5.0


def test_noise_and_slabs_of_another_brightness_are_no_steps() -> None:
    ct, labels = scan()
    noisy = np.asarray(ct.array) + np.random.default_rng(1).normal(0, 60, ct.array.shape)
    assert slab_steps_mm(ct.with_array(noisy.astype(np.int16)), labels) < 1.0
    brighter = np.asarray(ct.array, np.float32).copy()
    slab: NDArray[np.intp] = np.arange(len(brighter)) // 10 % 2
    brighter[slab == 1] += 25.0 * (brighter[slab == 1] > 200)  # contrast agent of a later beat
    assert slab_steps_mm(ct.with_array(brighter.astype(np.int16)), labels) < 2.0


def test_a_shifted_scan_is_doubted_and_a_whole_one_is_not() -> None:
    ct, labels = scan()
    pose = usual_pose()
    found = Reorientation(pose, pose, labels)
    low, high = (RANGES["slab_steps_mm"][0].penalty(slab_steps_mm(s, labels)) for s in (ct, shifted(ct, 7.0)))
    assert low == 0.0 and high > 1.2  # doubtful by itself
    judged = judge(shifted(ct, 12.0), labels, pose, found)
    assert judged.quality.level is not Level.GOOD
    assert "shifted against each other" in judged.quality.flags[0].reason


def test_labels_without_a_ventricle_and_thin_scans_have_no_steps() -> None:
    ct, labels = scan()
    assert slab_steps_mm(ct, labels.with_array(np.zeros_like(labels.array))) == 0.0
    assert slab_steps_mm(Volume(ct.array[:5], ct.spacing_mm, ct.origin_mm, ct.direction), labels) < 1.0
