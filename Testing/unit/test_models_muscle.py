"""The wall is taken back where the CT shows fat, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from chamber_phantom import pose, volume
from scipy import ndimage

from CardiacFusionLib.models.muscle import beyond_muscle
from CardiacFusionLib.reorientation.chambers import within_muscle
from CardiacFusionLib.reorientation.refine import CoarseHeart
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT, Label
from CardiacFusionLib.spatial.pose import roll_angle_deg
from CardiacFusionLib.spatial.volume import Volume

BLOOD, MUSCLE, FAT = 400, 110, -90


def scene(fluid: int = FAT) -> tuple[Volume, Volume]:
    """A CT (HU, int16) and its true labels at 2 mm."""
    labels = volume(pose((0, 0, 0)), 2.0)
    hu = np.full(labels.array.shape, fluid, np.int16)
    hu[labels.array > 0] = BLOOD
    hu[labels.array == Label.MYOCARDIUM] = MUSCLE
    noise = np.random.default_rng(4).normal(0, 25, hu.shape)
    return labels.with_array((hu + noise).astype(np.int16)), labels


def thick_tip(labels: Volume) -> Volume:
    """The wall drawn 8 mm too thick near the tip."""
    true = geometric_pose(labels)
    height = true.to_heart(labels.grid_lps())[..., 2]
    near_tip = height < float(true.to_heart(true.landmarks["apex"])[2]) + 25.0
    grown = ndimage.binary_dilation(labels.array == Label.MYOCARDIUM, iterations=4)
    return labels.with_array(
        np.where(grown & near_tip & (labels.array == 0), Label.MYOCARDIUM, labels.array).astype(np.uint8)
    )


def kept_of(ct: Volume, labels: Volume) -> Volume:
    return beyond_muscle(ct, labels).taken_from(labels)


def test_a_tip_drawn_into_the_fat_is_taken_back() -> None:
    ct, labels = scene()
    drawn = thick_tip(labels)
    off = np.linalg.norm(geometric_pose(drawn).landmarks["apex"] - geometric_pose(labels).landmarks["apex"])
    found = kept_of(ct, drawn)
    apex = geometric_pose(found).landmarks["apex"]
    assert off > 5.0
    assert np.linalg.norm(apex - geometric_pose(labels).landmarks["apex"]) < 3.0
    true, kept = labels.array == Label.MYOCARDIUM, found.array == Label.MYOCARDIUM
    assert (kept & true).sum() > 0.97 * true.sum() and (kept & ~true).sum() < 0.05 * true.sum()


def test_fluid_drawn_as_wall_is_taken_back() -> None:
    _, labels = scene()
    drawn = thick_tip(labels)
    ct = scene(fluid=30)[0]
    beyond = beyond_muscle(ct, drawn)
    true = labels.array == Label.MYOCARDIUM
    extra = (drawn.array == Label.MYOCARDIUM) & ~true
    assert (beyond.fluid & extra).sum() > 0.75 * extra.sum()
    assert beyond.either[true].mean() < 0.02


def test_a_dark_infarct_of_usual_thickness_stays() -> None:
    ct, labels = scene()
    heart = geometric_pose(labels).to_heart(labels.grid_lps())
    infarct = (labels.array == Label.MYOCARDIUM) & (heart[..., 0] > 10.0)  # the lateral wall
    dark = ct.with_array(np.where(infarct, ct.array - 50, ct.array).astype(np.int16))
    assert infarct.mean() > 0.002
    assert beyond_muscle(dark, labels).either[infarct].mean() < 0.1


def test_a_thick_septum_of_muscle_stays() -> None:
    _, labels = scene()
    drawn = thick_tip(labels)
    hu = np.full(labels.array.shape, FAT, np.int16)
    hu[drawn.array > 0] = BLOOD
    hu[drawn.array == Label.MYOCARDIUM] = MUSCLE  # what was drawn is what there is
    true = drawn.array == Label.MYOCARDIUM
    assert beyond_muscle(labels.with_array(hu), drawn).either[true].mean() < 0.03


def test_dark_blood_beside_the_septum_still_tells_the_insertions() -> None:
    """Blood of the RV without contrast, drawn as wall: taken from the wall, kept where the insertions are read."""
    ct, labels = scene()
    heart = geometric_pose(labels).to_heart(labels.grid_lps())
    unmixed = (labels.array == Label.RV_CAVITY) & (heart[..., 1] > 0.0)
    drawn = labels.with_array(np.where(unmixed, Label.MYOCARDIUM, labels.array).astype(np.uint8))
    dark = ct.with_array(np.where(unmixed, 45, ct.array).astype(np.int16))
    beyond = beyond_muscle(dark, drawn)
    trimmed = beyond.taken_from(drawn)
    seen = beyond.fluid_put_back(trimmed)
    true = geometric_pose(labels)
    with_it, without = (roll_angle_deg(true, geometric_pose(trimmed, given)) for given in (seen, None))
    assert abs(with_it) < 10.0 < abs(without)


def test_other_labels_stay_whatever_they_lie_on() -> None:
    ct, labels = scene()
    dark = ct.with_array(np.where(labels.array == Label.RV_CAVITY, FAT, ct.array).astype(np.int16))
    found = kept_of(dark, labels).array
    for label in set(Label) - {Label.MYOCARDIUM, Label.BACKGROUND}:
        np.testing.assert_array_equal(found == label, labels.array == label)


@pytest.mark.parametrize("way", ["padding", "end of the scan"])
def test_where_the_ct_shows_nothing_the_wall_stays(way: str) -> None:
    ct, labels = scene()
    drawn = thick_tip(labels)
    rows = np.flatnonzero((drawn.array == Label.MYOCARDIUM).any(axis=(1, 2)))
    cut = int(rows[len(rows) // 3])
    if way == "padding":
        array = ct.array.copy()
        array[:cut] = -1024
        short = ct.with_array(array)
    else:
        origin = tuple(ct.index_to_lps @ [0, 0, cut, 1])[:3]
        short = Volume(ct.array[cut:], ct.spacing_mm, origin, ct.direction)
    assert not beyond_muscle(short, drawn).either[: cut - 1].any()
    assert beyond_muscle(ct, drawn).either[: cut - 1].any()


def test_a_ct_that_lies_elsewhere_takes_nothing() -> None:
    ct, labels = scene()
    away = Volume(ct.array, ct.spacing_mm, tuple(np.asarray(ct.origin_mm) + 900.0), ct.direction)
    assert not beyond_muscle(away, labels).either.any()


def test_the_ct_itself_is_left_as_it_is() -> None:
    ct, labels = scene()
    ct.array[:5] = -2000
    before = ct.array.copy()
    kept_of(ct, labels)
    np.testing.assert_array_equal(ct.array, before)


def test_labels_without_a_wall_stay() -> None:
    ct, labels = scene()
    empty = labels.with_array(np.zeros_like(labels.array))
    assert not beyond_muscle(ct, empty).either.any()


def test_probabilities_give_up_what_lies_on_fat() -> None:
    n, factor = 6, 3
    rng = np.random.default_rng(0)
    found = rng.random((CT_LABEL_COUNT, n, n, n)).astype(np.float32)
    found /= found.sum(axis=0)
    grid = Volume(np.zeros((n, n, n), np.uint8), (4.0,) * 3, (0.0, 0.0, 0.0), np.eye(3))
    fat = np.zeros((n * factor,) * 3, bool)
    fat[3:6, 6:9, 9:12] = True  # the whole voxel (1, 2, 3)
    fat[0, 0, 0] = True  # a 27th of the first one
    heart = within_muscle(CoarseHeart(found, grid, grid, found[None].copy()), fat)
    for seen in (heart.probabilities, heart.looks[0]):
        np.testing.assert_allclose(seen.sum(axis=0), 1.0, atol=1e-6)
        assert seen[Label.MYOCARDIUM, 1, 2, 3] == 0.0
        before = found[Label.MYOCARDIUM, 0, 0, 0]
        assert seen[Label.MYOCARDIUM, 0, 0, 0] == pytest.approx(before - min(before, 1 / 27), abs=1e-6)
        np.testing.assert_array_equal(seen[Label.LV_CAVITY], found[Label.LV_CAVITY])
    np.testing.assert_array_equal(found[Label.MYOCARDIUM, 5, 5, 5], heart.probabilities[Label.MYOCARDIUM, 5, 5, 5])
