"""The CMR wall is bent onto the CT wall, and says how well that went."""

from __future__ import annotations

import numpy as np
import pytest
from heart_phantom import Heart, cmr, ct_walls, usual_pose

from CardiacFusionLib.registration.deformation import wall_dice, warp_maps
from CardiacFusionLib.registration.pairing import pair_slices
from CardiacFusionLib.registration.stage import deform, register
from CardiacFusionLib.spatial.quality import Level

CT = ct_walls(Heart(), usual_pose())
ELSEWHERE = usual_pose(shift=(20.0, -15.0, 30.0), roll_deg=17.0)


@pytest.fixture(scope="module")
def contracted():
    """A CMR in another phase (a tenth narrower), registered to the CT."""
    series, walls = cmr(Heart(scale=0.88), ELSEWHERE, [22.0, 0.0, -22.0])
    pairing = pair_slices(series, walls, CT)
    return register(CT.labels, CT, series, walls, pairing)


def test_the_walls_meet_after_the_deformation(contracted) -> None:
    assert contracted.wall_dice_after.min() > 0.85
    assert np.all(contracted.wall_dice_after > contracted.wall_dice_before)


def test_the_deformation_does_not_fold_and_keeps_the_insertions(contracted) -> None:
    assert contracted.folded_share.max() <= 0.0005
    assert np.nanmax(contracted.rv_insertion_mm) < 6.0


def test_the_inverse_leads_back(contracted) -> None:
    for there, back in zip(contracted.displacement_mm, contracted.inverse_mm):
        round_trip = back + warp_maps(there, back)
        assert np.abs(round_trip[:, 30:-30, 30:-30]).mean() < 0.4


def test_the_narrower_heart_is_widened(contracted) -> None:
    # at the lateral wall of the CT (x > 0) the CMR is shown from further inside
    assert contracted.displacement_mm[1, 0, 64, 64 + 30] < -1.0


def test_equal_pictures_are_hardly_moved(contracted) -> None:
    there, _ = deform(contracted.ct_labels[1:2], contracted.ct_labels[1:2])
    wall = contracted.ct_labels[1] == 2
    assert np.abs(there[0][:, wall]).mean() < 0.8


def test_a_slice_beyond_the_ct_keeps_its_rigid_place_and_says_so() -> None:
    series, walls = cmr(Heart(), ELSEWHERE, [22.0, 0.0])
    empty = walls.labels.copy()
    empty[1] = 0
    from CardiacFusionLib.walls.cmr import walls_from_labels

    bare = walls_from_labels(empty, series.poses)
    found = register(CT.labels, CT, series, bare, pair_slices(series, bare, CT))
    assert np.all(found.displacement_mm[1] == 0)
    assert "no_wall" in {f.name for f in found.quality.flags}
    assert found.quality.level is Level.DOUBTFUL
    assert np.isnan(found.wall_dice_after[1]) or found.wall_dice_after[1] == 0
    assert wall_dice(found.ct_labels[0], found.warped_labels[0]) == pytest.approx(found.wall_dice_after[0])
