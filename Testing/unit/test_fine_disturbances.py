"""What spoils a coronary CT does what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from coronary_phantom import ct_of, drawn_tree, pose

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.training.evaluation.fine_coronaries import FineCase
from CardiacFusionLib.training.evaluation.fine_disturbances import DISTURBANCES


@pytest.fixture(scope="module")
def plain() -> FineCase:
    tree = drawn_tree()
    ct, walls = ct_of(tree, 1.5, noise_hu=20.0)
    whole = ct.with_array(np.rint(ct.array).astype(np.int16))
    return FineCase(0, "normal", whole, walls, pose(), tree.transformed(pose().heart_to_lps, "lps"))


def disturbed(plain: FineCase, name: str) -> FineCase:
    return DISTURBANCES[name](plain, np.random.default_rng(3))


def test_noise_is_doubled(plain: FineCase) -> None:
    deep = plain.walls.labels.array == Label.AORTA
    ratio = disturbed(plain, "noise_doubled").ct.array[deep].std() / plain.ct.array[deep].std()
    assert 1.5 < ratio < 2.2


def test_slices_get_thick_and_stay_in_place(plain: FineCase) -> None:
    thin = FineCase(0, "normal", plain.ct.with_array(plain.ct.array), plain.walls, plain.pose, plain.tree)
    found = disturbed(thin, "slices_0.8_mm").ct
    assert found.spacing_mm[2] == 0.8
    here = plain.tree.branches[0].points_mm[10]
    before = plain.ct.array[tuple(np.rint(apply(plain.ct.lps_to_index, here)).astype(int)[::-1])]
    after = found.array[tuple(np.rint(apply(found.lps_to_index, here)).astype(int)[::-1])]
    assert abs(float(after) - float(before)) < 120


def test_calcium_lies_on_the_arteries_only(plain: FineCase) -> None:
    change = disturbed(plain, "blooming").ct.array.astype(int) - plain.ct.array
    assert change.max() > 200 and change.min() >= 0
    assert (change > 20).mean() < 0.01


def test_a_step_moves_picture_and_truth_together(plain: FineCase) -> None:
    found = disturbed(plain, "step_2_mm")
    move = [b.points_mm - a.points_mm for a, b in zip(plain.tree.branches, found.tree.branches)]
    size = np.linalg.norm(np.concatenate(move), axis=1)
    assert set(np.round(np.unique(size), 6)) == {0.0, 2.0}
    assert np.array_equal(found.ct.array[0], plain.ct.array[0])
    assert not np.array_equal(found.ct.array[-1], plain.ct.array[-1])


def test_the_right_heart_becomes_as_bright_as_the_aorta(plain: FineCase) -> None:
    found = disturbed(plain, "right_heart").ct.array
    labels = plain.walls.labels.array
    right, aorta = labels == Label.RV_CAVITY, labels == Label.AORTA
    assert abs(np.median(found[right]) - np.median(found[aorta])) < 25
    assert np.median(plain.ct.array[right]) < 0.7 * np.median(plain.ct.array[aorta])
