"""What the CT networks are trained on: rarer hearts and looks, devices, turned patients, and priors without a bias."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.ct_walls import chamber_prior, marred_prior
from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.ct.devices import add_devices
from CardiacFusionLib.twin.ct.painting import heart_points
from CardiacFusionLib.twin.ct.sampling import ct_pair_sample, ct_turned_sample
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.placement import draw_ct_pose
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL, Tissue


def labelled(seed: int, spacing_mm: float = 2.5) -> tuple[Heart, Volume, object]:
    """A heart's true labels on a cube along LPS, and its true pose."""
    rng = np.random.default_rng(seed)
    heart = Heart.draw(rng)
    pose = draw_ct_pose(rng, heart)
    count = round(180 / spacing_mm)
    origin = pose.to_lps(np.zeros(3)) - spacing_mm * (count - 1) / 2
    grid = Volume(np.zeros((count,) * 3, np.uint8), (spacing_mm,) * 3, tuple(origin), np.eye(3))
    return heart, grid.with_array(TISSUE_TO_LABEL[heart.tissue(pose.to_heart(grid.grid_lps()))]), pose


def test_the_frame_can_be_read_from_the_labels_alone() -> None:
    errors, rolls, bases = [], [], []
    for seed in range(7000, 7008):
        _, labels, pose = labelled(seed)
        found = geometric_pose(labels)
        errors.append(axis_angle_deg(pose, found))
        rolls.append(abs(roll_angle_deg(pose, found)))
        bases.append(np.linalg.norm(found.landmarks["base"] - pose.landmarks["base"]))
    assert np.mean(errors) < 2.5
    assert np.mean(rolls) < 4.0
    assert np.mean(bases) < 3.5, "the atrium meets the ventricle at the mitral annulus alone"


def test_the_apex_is_the_farthest_point_of_the_ventricle_from_the_mitral_valve() -> None:
    for seed in range(7000, 7004):
        heart, labels, pose = labelled(seed)
        ventricle = np.argwhere(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)))[:, ::-1]
        points = ventricle @ labels.index_to_lps[:3, :3].T + labels.index_to_lps[:3, 3]
        reach = np.linalg.norm(points - pose.landmarks["base"], axis=1).max()
        apex = np.linalg.norm(pose.landmarks["apex"] - pose.landmarks["base"])
        assert apex == pytest.approx(reach, abs=3.5)


def test_unusual_hearts_go_beyond_the_ordinary_ones() -> None:
    rng = np.random.default_rng(3)
    ordinary = [Heart.draw(rng).shape.lv for _ in range(60)]
    unusual = [Heart.draw(rng, 1.0).shape.lv for _ in range(60)]
    assert max(lv.wall for lv in unusual) > max(lv.wall for lv in ordinary) + 2
    assert max(lv.radius_x for lv in unusual) > max(lv.radius_x for lv in ordinary)
    assert all(3.0 < lv.wall <= 22.0 and lv.radius_x < 46.0 for lv in unusual)


def test_unusual_looks_keep_blood_brighter_than_muscle() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        look = Appearance.draw(rng).unusual(rng)
        assert look.hu[Tissue.LV_CAVITY] > look.hu[Tissue.MYOCARDIUM] + 50


def test_strange_looks_change_what_lies_about_the_heart_not_the_blood() -> None:
    rng = np.random.default_rng(6)
    looks = [(look, look.strange(rng)) for look in (Appearance.draw(rng) for _ in range(80))]
    for plain, strange in looks:
        for tissue in (Tissue.LV_CAVITY, Tissue.MYOCARDIUM, Tissue.LEFT_ATRIUM, Tissue.RV_CAVITY, Tissue.AORTA):
            assert strange.hu[tissue] == plain.hu[tissue]
        assert strange.hu[Tissue.HEART_FAT] <= plain.hu[Tissue.MYOCARDIUM]
    about = np.array([strange.hu[Tissue.HEART_FAT] for _, strange in looks])
    assert (about < -500).any() and ((about > -130) & (about < -60)).any() and (about > 30).any()
    assert any(not strange.fields_of(Tissue.AORTA) and strange.mixing == 0 for _, strange in looks)


def test_other_tips_go_from_the_thin_point_to_a_whole_wall() -> None:
    rng = np.random.default_rng(7)
    hearts = [Heart.draw(rng) for _ in range(60)]
    share = np.array([h.with_other_tip(rng).shape.lv.apex_wall / h.shape.lv.wall for h in hearts])
    assert share.min() < 0.25 and share.max() > 0.95
    heart = hearts[0]
    thin = heart.with_other_tip(rng)
    assert thin.shape.lv.tip_z == heart.shape.lv.tip_z and thin.shape.lv.wall == heart.shape.lv.wall
    # the landmark is the outer tip: it goes with the wall
    reach = [np.linalg.norm(h.landmarks["apex"] - h.landmarks["lv_cavity_tip"]) for h in (thin, heart)]
    assert (reach[0] < reach[1]) == (thin.shape.lv.apex_wall < heart.shape.lv.apex_wall)


def test_other_right_ventricles_stay_at_the_left_one_and_vary_more() -> None:
    rng = np.random.default_rng(8)
    hearts = [Heart.draw(rng) for _ in range(25)]
    others = [heart.with_other_right(rng) for heart in hearts]
    for heart, other in zip(hearts, others, strict=True):
        assert other.shape.lv is heart.shape.lv and other.contraction == 0
        # blood of the RV lies within a septum's thickness of the LV's wall, on the septal side of the frame
        spots = other.landmarks["rv_insertion_anterior"], other.landmarks["rv_insertion_inferior"]
        assert all(12.0 < np.linalg.norm(p[:2]) < 60.0 for p in spots)
        septum = np.linspace(-80.0, -5.0, 151)[:, None] * [1.0, 0.0, 0.0]
        along = other.tissue(septum)
        assert (along == Tissue.RV_CAVITY).any()
        last = int(np.flatnonzero(np.isin(along, (Tissue.RV_CAVITY, Tissue.RV_TRABECULA)))[-1])
        between = along[last + 1 : int(np.flatnonzero(along == Tissue.MYOCARDIUM)[0])]
        assert len(between) < 15, "no gap beyond the RV's own wall between the two ventricles"

    def widths(some: list[Heart]) -> np.ndarray:
        return np.array([heart.shape.rv_power + heart.shape.rv_reach for heart in some])

    assert np.ptp(widths(hearts)) == 0 and np.ptp(widths(others)) > 0.8


def test_hearts_sunk_in_the_diaphragm_lie_on_it_with_their_underside() -> None:
    rng = np.random.default_rng(10)
    share = {True: [], False: []}  # of what lies close below the RV, how much is lung
    for heart in (Heart.draw(rng).with_other_right(rng) for _ in range(30)):
        place = np.stack(np.meshgrid(*[np.arange(-60.0, 61.0, 4.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
        blood = place[heart.tissue(place) == Tissue.RV_CAVITY]
        down = heart.lps_axes @ [0.0, 0.0, -1.0]
        below = heart.tissue(np.concatenate([blood + step * down for step in (10.0, 15.0, 20.0)]))
        share[heart.shape.sunk > 15].append(float((below == Tissue.LUNG).mean()))
    assert np.mean(share[True]) < 0.5 * np.mean(share[False])


def test_flushed_looks_clear_the_right_heart_and_leave_the_left() -> None:
    rng = np.random.default_rng(9)
    pale = []
    for _ in range(80):
        plain = Appearance.draw(rng)
        look = plain.flushed(rng)
        for tissue in (Tissue.LV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.AORTA, Tissue.HEART_FAT):
            assert look.hu[tissue] == plain.hu[tissue]
        blood, muscle = look.hu[Tissue.RV_CAVITY], look.hu[Tissue.MYOCARDIUM]
        assert 10 < blood < muscle + 45 and muscle < look.hu[Tissue.LV_CAVITY] - 50
        assert min(blood, muscle) - 15 <= look.hu[Tissue.RV_TRABECULA] <= max(blood, muscle) + 15
        pale.append(muscle - blood)
    assert min(pale) < 0 < 80 < max(pale)


def test_devices_are_dense_and_rare_ones_leave_the_picture_alone() -> None:
    rng = np.random.default_rng(5)
    heart = Heart.draw(rng)
    to_heart = np.diag([3.0, 3.0, 3.0, 1.0])
    to_heart[:3, 3] = -96.0
    shape = (64, 64, 64)
    assert len(heart_points(to_heart, shape)) == 64**3
    none, some = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    add_devices(none, heart, to_heart, np.full(3, 3.0), np.random.default_rng(1), share=0.0)
    for seed in range(6):
        add_devices(some, heart, to_heart, np.full(3, 3.0), np.random.default_rng(seed), share=1.0)
    assert not none.any()
    assert some.max() > 250
    assert (np.abs(some) > 250).mean() < 0.02, "a device fills a small part of the heart"


def test_both_cubes_of_a_pair_show_the_same_heart() -> None:
    fine, coarse = ct_pair_sample(11, (48,) * 3, 2.5, coarse=(40, 4.0))
    assert coarse is not None
    np.testing.assert_array_equal(fine.pose.lps_to_heart, coarse.pose.lps_to_heart)
    blood = [s.image[s.labels == Label.LV_CAVITY].mean() for s in (fine, coarse)]
    assert blood[0] == pytest.approx(blood[1], rel=0.15)


def test_turned_patients_lie_turned() -> None:
    tilts = [np.trace(ct_turned_sample(seed, (8,) * 3, 20.0).volume.direction) for seed in range(40)]
    angles = np.degrees(np.arccos((np.array(tilts) - 1) / 2))
    assert 8 < (angles < 10).sum() < 35
    assert angles.max() > 25


def test_a_prior_is_not_shifted_against_the_truth() -> None:
    # a prior whose coarse voxels were laid half a voxel off taught the wall network to shift every wall
    gaps = []
    for seed in range(6):
        labels = ct_pair_sample(seed + 50, (48,) * 3, 2.5)[0].labels
        prior = marred_prior(labels, np.random.default_rng(seed))
        ventricle = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
        places = np.indices(labels.shape).reshape(3, -1)
        weights = [m.reshape(-1).astype(float) for m in (prior[0] + prior[1], ventricle)]
        gaps.append(np.subtract(*((places * w).sum(axis=1) / w.sum() for w in weights)))
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.35


def test_the_chamber_networks_prior_lies_on_the_heart() -> None:
    fine, coarse = ct_pair_sample(21, (48,) * 3, 2.5, coarse=(48, 4.0))
    assert coarse is not None
    prior = chamber_prior(fine, coarse, np.random.default_rng(0))
    inside = prior[Label.LV_CAVITY - 1][fine.labels == Label.LV_CAVITY]
    assert inside.mean() > 0.75
