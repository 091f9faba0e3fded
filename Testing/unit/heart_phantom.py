"""A bullet-shaped left ventricle with an RV beside it, as CT labels and as CMR slices, for tests of pairing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.cmr import walls_from_labels
from CardiacFusionLib.walls.result import CmrWalls, CtWalls

HALF_LENGTH = 45.0


@dataclass(frozen=True)
class Heart:
    """``scale``: width of the whole cross-section against the standard one (another phase of the beat)."""

    scale: float = 1.0

    def labels(self, points: np.ndarray) -> np.ndarray:
        """Labels 0..3 at heart-frame points (..., 3)."""
        x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
        level = np.clip((z + HALF_LENGTH) / (2 * HALF_LENGTH), 0, 1)
        outer = self.scale * 34.0 * np.sqrt(np.clip(1 - (1 - level) ** 2, 0, 1))
        inner = np.clip(outer - 10.0 * self.scale, 0, None)
        radius = np.hypot(x, y)
        inside = (z > -HALF_LENGTH) & (z < HALF_LENGTH)
        angle = np.mod(np.degrees(np.arctan2(y, x)), 360)
        rv = (angle > 125) & (angle < 250) & (radius < outer + 25 * self.scale * level) & (level > 0.12)
        result = np.where(rv, 3, 0)
        result = np.where(radius < outer, 2, result)
        result = np.where(radius < inner, 1, result)
        return np.where(inside, result, 0).astype(np.uint8)

    def landmarks(self) -> dict[str, np.ndarray]:
        """Heart-frame landmarks; the insertions' line is along y once squared to the axis."""
        r = 34.0 * self.scale * np.sqrt(0.75)
        ends = [r * np.array([np.cos(np.deg2rad(a)), np.sin(np.deg2rad(a)), 0.0]) for a in (250, 125)]
        names = ("rv_insertion_anterior", "rv_insertion_inferior")
        return {"apex": np.array([0, 0, -HALF_LENGTH]), "base": np.array([0, 0, HALF_LENGTH]), **dict(zip(names, ends))}


def usual_pose(shift=(0.0, 0.0, 0.0), roll_deg: float = 0.0) -> HeartPose:
    """Patient LPS -> phantom frame for a heart that lies as hearts do."""
    rotation = (canonical_axes(MEAN_LONG_AXIS_LPS) @ Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()).T
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = -rotation @ np.asarray(shift, float)
    return HeartPose(matrix)


def ct_walls(heart: Heart, pose: HeartPose) -> CtWalls:
    """The phantom on an upright 2 mm grid."""
    step = (np.arange(72) - 35.5) * 2.0
    z, y, x = np.meshgrid(step, step, step, indexing="ij")
    labels = heart.labels(np.stack([x, y, z], axis=-1))
    corner = pose.to_lps(np.full(3, step[0]))
    volume = Volume(labels, (2.0,) * 3, tuple(corner), pose.heart_to_lps[:3, :3])
    return CtWalls(volume, HeartPose(pose.lps_to_heart, {n: pose.to_lps(p) for n, p in heart.landmarks().items()}))


def cmr(heart: Heart, pose: HeartPose, heights_mm, mirrored: bool = False) -> tuple[Series, CmrWalls]:
    """Short-axis slices at heights of the phantom's axis, with the labels of its cross-sections; no picture content."""
    size, spacing = 96, 1.8
    half = (size - 1) / 2 * spacing
    axes = pose.heart_to_lps[:3, :3].copy()
    first = np.array([-half, -half])
    if mirrored:  # stored back to front: columns reversed, normal towards the apex
        axes = axes * np.array([-1.0, 1.0, -1.0])
        first = np.array([half, -half])
    poses, pictures = [], []
    for z in heights_mm:
        place = SlicePose(tuple(pose.to_lps(np.array([*first, z]))), axes, (spacing, spacing), 8.0)
        poses.append(place)
        pictures.append(heart.labels(pose.to_heart(place.grid_lps((size, size)))))
    array = np.zeros((20, len(poses), size, size), np.float32)
    series = Series(array, tuple(poses), np.arange(20.0))
    return series, walls_from_labels(np.stack(pictures), series.poses)
