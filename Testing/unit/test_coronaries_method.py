"""The steps that keep a coronary tree on its arteries, each on something drawn for it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CardiacFusionLib.coronaries.centring import recentred
from CardiacFusionLib.coronaries.likeness import features, score
from CardiacFusionLib.coronaries.lumen import Blood, _close_chambers, without_stubs
from CardiacFusionLib.coronaries.radius import cross_sections, measured
from CardiacFusionLib.coronaries.stenosis import find_stenoses
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.tree import Branch
from CardiacFusionLib.spatial.volume import Volume

SPACING, BLOOD_HU, FAT_HU = 0.5, 400.0, -90.0


def tube(radius: float = 1.4, blur: float = 0.6, noise: float = 10.0) -> tuple[Volume, np.ndarray]:
    """A straight tube along z in fat, muscle on one side from 3 mm on; its axis as points (n, 3)."""
    n, length = 41, 60
    at = np.arange(n) * SPACING
    middle = at[n // 2]
    y, x = np.meshgrid(at - middle, at - middle, indexing="ij")
    fine = np.full((n, n), FAT_HU)
    fine[x > 3.0] = 110.0
    fine[np.hypot(x, y) < radius + 0.6] = 60.0
    cover = np.clip(0.5 - (np.hypot(x, y) - radius) / SPACING, 0, 1)
    fine = fine + cover * (BLOOD_HU - fine)
    hu = np.repeat(ndimage.gaussian_filter(fine, blur / SPACING)[None], length, axis=0)
    hu = hu + np.random.default_rng(0).normal(0, noise, hu.shape)
    axis = np.stack([np.full(50, middle), np.full(50, middle), 2.0 + 0.5 * np.arange(50)], axis=1)
    return Volume(hu.astype(np.float32), (SPACING,) * 3, (0.0, 0.0, 0.0), np.eye(3)), axis


def test_a_line_beside_the_lumen_is_moved_into_its_middle():
    ct, axis = tube()
    beside = axis + np.array([0.35, -0.3, 0.0])
    cut = cross_sections(beside, ct, BLOOD_HU)
    radius = measured(cut, BLOOD_HU, 0.6).radius_mm
    moved, _ = recentred(beside, cut, radius, radius, ct, BLOOD_HU, 0.6)
    off = np.hypot(*(moved - axis)[8:-8, :2].T)
    assert off.mean() < 0.12
    assert np.array_equal(moved[0], beside[0])  # a branch stays on its fork


def test_a_line_in_the_middle_stays_there():
    ct, axis = tube()
    cut = cross_sections(axis, ct, BLOOD_HU)
    radius = measured(cut, BLOOD_HU, 0.6).radius_mm
    moved, _ = recentred(axis, cut, radius, radius, ct, BLOOD_HU, 0.6)
    assert np.hypot(*(moved - axis)[8:-8, :2].T).mean() < 0.1


def test_a_tube_in_fat_scores_as_an_artery_and_the_same_tube_in_unrest_does_not():
    ct, axis = tube()
    blood = Blood(BLOOD_HU, 10.0, 1000)
    cut = cross_sections(axis, ct, BLOOD_HU)
    tubes = np.full(len(axis), 0.15, np.float32)
    calm = score(*(np.full(1, part.mean()) for part in features(cut, tubes, blood)))
    assert calm[0] > 0
    faint = score(*(np.full(1, part.mean()) for part in features(cut, 0.1 * tubes, blood)))
    assert faint[0] < 0
    grain = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 1, ct.array.shape), 2.0)
    restless = ct.with_array((ct.array + 150.0 * grain / grain.std()).astype(np.float32))
    cut = cross_sections(axis, restless, BLOOD_HU)
    assert score(*(np.full(1, part.mean()) for part in features(cut, 0.4 * tubes, blood)))[0] < 0


def aorta_with_stub() -> Volume:
    z, y, x = np.meshgrid(*[np.arange(60) - 30.0] * 3, indexing="ij")
    labels = np.where(np.hypot(x, y) < 13, Label.AORTA, 0).astype(np.uint8)
    labels[(np.hypot(z, y) < 2.6) & (x > 0) & (x < 24)] = Label.AORTA
    return Volume(labels, (1.0,) * 3, (0.0, 0.0, 0.0), np.eye(3))


def test_an_outgrowth_of_the_aorta_is_no_aorta():
    before = aorta_with_stub()
    after = without_stubs(before).array
    assert after[30, 30, 48] == Label.BACKGROUND and before.array[30, 30, 48] == Label.AORTA
    assert after[30, 30, 20] == Label.AORTA
    z, y, x = np.meshgrid(*[np.arange(60) - 30.0] * 3, indexing="ij")
    body = (np.hypot(x, y) < 12) & (np.abs(z) < 20)
    assert (after[body] == Label.AORTA).all()


def test_ways_through_a_chamber_are_closed_and_those_through_an_artery_are_not():
    z, y, x = np.meshgrid(*[np.arange(80) * SPACING] * 3, indexing="ij")
    hu = np.full(z.shape, FAT_HU, np.float32)
    hu[np.linalg.norm([z - 20, y - 20, x - 12], axis=0) < 8] = BLOOD_HU  # a chamber the labels know nothing of
    hu[np.hypot(y - 20, x - 30) < 2.4] = BLOOD_HU
    ct = Volume(hu, (SPACING,) * 3, (0.0, 0.0, 0.0), np.eye(3))
    mask = np.ones(hu.shape, bool)
    _close_chambers(mask, ct, np.zeros(hu.shape, np.uint8), Blood(BLOOD_HU, 10.0, 1000))
    assert not mask[40, 40, 24] and mask[40, 40, 60] and mask[40, 40, 0]
    mask[:] = True
    _close_chambers(mask, ct, np.full(hu.shape, Label.AORTA, np.uint8), Blood(BLOOD_HU, 10.0, 1000))
    assert mask.all()  # the aorta is where ways begin


def branch_of(share: np.ndarray) -> tuple[Branch, object]:
    from CardiacFusionLib.coronaries.radius import Profile

    n = len(share)
    points = np.stack([np.zeros(n), np.zeros(n), 0.5 * np.arange(n)], axis=1)
    radius = 1.5 * share
    return Branch("LAD", points, radius), Profile(radius, np.full(n, 300.0), np.zeros(n, bool), np.ones(n))


def test_a_narrowing_has_healthy_lumen_behind_it():
    arc = np.arange(160) * 0.5
    dip = 1 - 0.7 * np.exp(-0.5 * ((arc - 30) / 2.5) ** 2)
    found = find_stenoses(*branch_of(dip))
    assert len(found) == 1 and abs(found[0].diameter_percent - 70) < 4
    fading = np.where(arc > 50, 0.35, 1.0)  # thin to its end: no narrowing
    assert find_stenoses(*branch_of(fading)) == []


def test_noise_raises_the_width_that_is_judged():
    arc = np.arange(160) * 0.5
    dip = 1 - 0.7 * np.exp(-0.5 * ((arc - 30) / 2.5) ** 2)
    branch, profile = branch_of(0.7 * dip)  # reference 2.1 mm
    assert len(find_stenoses(branch, profile, 0.05)) == 1
    assert find_stenoses(branch, profile, 0.25) == []


def test_something_wider_than_any_artery_is_not_judged():
    arc = np.arange(160) * 0.5
    dip = 1 - 0.7 * np.exp(-0.5 * ((arc - 30) / 2.5) ** 2)
    assert find_stenoses(*branch_of(2.2 * dip)) == []  # reference 6.6 mm
