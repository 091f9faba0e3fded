"""However a CT or a CMR series is stored (oblique, flipped, axes exchanged), the heart stands at the same place."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")

from bullet_case import bullet_case
from scipy.spatial.transform import Rotation

from CardiacFusionLib.mrml.app import SceneApp
from CardiacFusionLib.mrml.scene import build_scene
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.mrml.volumes import volume_of
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import resample_to, sample
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume


def flipped(v: Volume) -> Volume:
    """x and z run the other way; every voxel stays where it was."""
    last = v.index_to_lps @ np.array([v.size[0] - 1, 0, v.size[2] - 1, 1.0])
    return Volume(v.array[::-1, :, ::-1].copy(), v.spacing_mm, tuple(last[:3]), v.direction * np.array([-1, 1, -1.0]))


def permuted(v: Volume) -> Volume:
    """Index axes exchanged in a circle."""
    sx, sy, sz = v.spacing_mm
    return Volume(np.transpose(v.array, (1, 2, 0)).copy(), (sz, sx, sy), v.origin_mm, v.direction[:, [2, 0, 1]])


def oblique(v: Volume) -> Volume:
    """The same content on a grid turned by 25 degrees about its middle."""
    turn = Rotation.from_euler("xyz", [25, -15, 10], degrees=True).as_matrix()
    half = (np.array(v.size) - 1) / 2 * np.array(v.spacing_mm)
    origin = v.centre_mm - turn @ half
    grid = Volume(np.zeros(v.array.shape, np.uint8), v.spacing_mm, tuple(origin), turn)
    image = resample_to(v.with_array(v.array.astype(np.float32)), grid, outside=-1000.0)
    return image.with_array(np.rint(image.array).astype(np.int16))


def flipped_series(s: Series) -> Series:
    """Columns run the other way and slices are stored in the opposite order."""
    width = s.array.shape[3]
    poses = []
    for pose in s.poses[::-1]:
        origin = pose.points_lps(np.array([width - 1.0, 0.0]))
        direction = pose.direction * np.array([-1.0, 1.0, -1.0])
        poses.append(SlicePose(tuple(origin), direction, pose.spacing_mm, pose.thickness_mm))
    return replace(s, array=s.array[:, ::-1, :, ::-1].copy(), poses=tuple(poses), times_s=s.times_s[:, ::-1])


def pool_centre(ct: Volume, pose: HeartPose) -> np.ndarray:
    """Heart-frame centroid of contrast-filled blood near the LV's axis (the turned grid cuts off what is farther)."""
    index = np.argwhere(ct.array > 300)[:, ::-1]
    heart = pose.to_heart(index @ ct.index_to_lps[:3, :3].T + ct.index_to_lps[:3, 3])
    return heart[(np.hypot(heart[:, 0], heart[:, 1]) < 18) & (np.abs(heart[:, 2]) < 30)].mean(axis=0)


@pytest.mark.parametrize("stored", [flipped, permuted, oblique])
def test_a_ct_stored_otherwise_shows_the_same_heart_at_the_same_place(stored) -> None:
    plain = bullet_case(48, 3.2, rest=False)
    other = replace(plain, ct=stored(plain.ct))
    rng = np.random.default_rng(3)
    heart = rng.uniform(-25, 25, (400, 3))
    seen = []
    for content in (plain, other):
        with SceneApp() as app:
            nodes = build_scene(content, app.scene)
            to_heart = matrix_of(nodes.ct_to_heart)
            np.testing.assert_allclose(to_heart, plain.pose.lps_to_heart, atol=1e-9)
            points = heart @ np.linalg.inv(to_heart)[:3, :3].T + np.linalg.inv(to_heart)[:3, 3]
            shown = volume_of(nodes.ct)
            seen.append(sample(shown.with_array(shown.array.astype(np.float32)), points))
            if content is other:  # centre of the blood pool, as shown in the scene: within 0.5 mm
                assert np.linalg.norm(pool_centre(shown, plain.pose) - pool_centre(plain.ct, plain.pose)) < 0.5
    assert np.corrcoef(seen[0], seen[1])[0, 1] > (0.9 if stored is oblique else 0.9999)


def test_a_series_stored_otherwise_gives_the_same_pose_and_the_same_segments() -> None:
    from case_results import results_of

    from CardiacFusionLib.pipeline.correct import move_landmark, recompute
    from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg

    plain = results_of(bullet_case(48, 3.2))

    def turned(study):
        maps = {k: v[::-1, :, ::-1].copy() for k, v in study.maps.maps.items()}
        walls = replace(
            study.walls, labels=study.walls.labels[::-1, :, ::-1].copy(), landmarks=tuple(study.walls.landmarks[::-1])
        )
        return replace(
            study,
            series=flipped_series(study.series),
            walls=walls,
            maps=replace(study.maps, maps=maps),
            segment_labels=study.segment_labels[::-1, :, ::-1].copy(),
        )

    reg = plain.registration
    other = replace(
        plain,
        stress=turned(plain.stress),
        rest=turned(plain.rest),
        registration=replace(
            reg,
            pairing=replace(reg.pairing, z_mm=reg.pairing.z_mm[::-1]),
            **{
                k: getattr(reg, k)[::-1]
                for k in ("displacement_mm", "inverse_mm", "ct_labels", "cmr_labels", "warped_labels")
            },
            **{k: getattr(reg, k)[::-1] for k in ("wall_dice_before", "wall_dice_after", "folded_share")},
        ),
    )
    apex = plain.pose.landmarks["apex"] + np.array([3.0, 0.0, 0.0])
    a, b = (recompute(r, [move_landmark(r, "apex", apex)]) for r in (plain, other))
    first, second = a.pairing.cmr_pose, b.pairing.cmr_pose
    assert axis_angle_deg(first, second) < 0.5 and abs(roll_angle_deg(first, second)) < 0.5
    centre = first.to_lps(np.array([0.0, 0.0, 2.0]))
    assert np.linalg.norm(first.to_heart(centre) - second.to_heart(centre)) < 0.5
    np.testing.assert_allclose(
        a.fusion.segments["mbf_ml_min_g"], b.fusion.segments["mbf_ml_min_g"], rtol=0.03, equal_nan=True
    )
