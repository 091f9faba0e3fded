"""One CMR slice before time begins: tissue shares and flow on a fine grid, labels and true flow on the pixel grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL, Tissue

Array = NDArray[np.float64]
NEAR_MM = 70.0  # from the middle of the ventricles: here partial volume through the slice counts
FINE = 2  # samples a pixel along x and y


class Scene(Protocol):
    """Anything that can be imaged: a twin's heart, or the walls and chest of a real CT."""

    def tissue(self, points_heart_mm: Array) -> NDArray[np.uint8]:
        """``Tissue`` code at heart-frame points (n, 3)."""
        ...

    def mbf(self, points_heart_mm: Array, state: str) -> Array:
        """True MBF (mL/min/g) at points (n, 3) of the left ventricular wall."""
        ...

    def muscle_mbf(self, state: str) -> float:
        """Mean MBF of the other heart muscle (right ventricle, papillary muscles)."""
        ...


@dataclass(frozen=True)
class SliceModel:
    """What lies in one slice, through its thickness.

    ``shares``: tissue code -> share (fine y, fine x) of the voxel column. ``fine_mbf``: mean MBF by state of the wall
    in it (fine y, fine x), 0 where there is none. ``labels`` (y, x) uint8 0..3 by majority. ``mbf``: by state (y, x),
    NaN where the label is not wall. ``wall_points_mm`` (y, x, 3): heart-frame mid-slice points of the pixels.
    """

    shares: dict[int, NDArray[np.float32]]
    fine_mbf: dict[str, NDArray[np.float32]]
    labels: NDArray[np.uint8]
    mbf: dict[str, NDArray[np.float32]]
    points_mm: Array


def fine_points_heart(slice_pose: SlicePose, shape: tuple[int, int], pose: HeartPose, depth_samples: int) -> Array:
    """Heart-frame sample points (depth, fine y, fine x, 3) that fill the slice's pixels and thickness."""
    step = (np.arange(FINE) + 0.5) / FINE - 0.5
    y = (np.arange(shape[0])[:, None] + step).ravel()
    x = (np.arange(shape[1])[:, None] + step).ravel()
    yy, xx = np.meshgrid(y, x, indexing="ij")
    plane = slice_pose.points_lps(np.stack([xx, yy], axis=-1))
    offset = ((np.arange(depth_samples) + 0.5) / depth_samples - 0.5) * slice_pose.thickness_mm
    return pose.to_heart(plane[None] + offset[:, None, None, None] * slice_pose.normal)


def build_slice(
    scene: Scene,
    pose: HeartPose,
    slice_pose: SlicePose,
    shape: tuple[int, int],
    states: tuple[str, ...] = ("stress", "rest"),
    depth_samples: int = 4,
) -> SliceModel:
    """Sample the scene through one slice. ``pose``: CMR LPS -> the scene's own heart coordinates."""
    points = fine_points_heart(slice_pose, shape, pose, depth_samples)
    codes = _tissue_columns(scene, points)
    shares = {int(c): np.asarray(np.mean(codes == c, axis=0), dtype=np.float32) for c in np.unique(codes)}

    wall = codes == Tissue.MYOCARDIUM
    count = wall.sum(axis=0)
    pixel_count = _block_sum(count)
    votes = TISSUE_TO_LABEL[codes]
    votes = np.where(votes < CMR_LABEL_COUNT, votes, 0)
    ballots = np.stack([_block_sum((votes == k).sum(axis=0)) for k in range(CMR_LABEL_COUNT)])
    labels = np.argmax(ballots, axis=0).astype(np.uint8)

    fine_mbf, mbf = {}, {}
    for state in states:
        value = np.zeros(codes.shape)
        if wall.any():
            value[wall] = scene.mbf(points[wall], state)
        total = value.sum(axis=0)
        fine_mbf[state] = (total / np.maximum(count, 1)).astype(np.float32)
        mean = _block_sum(total) / np.maximum(pixel_count, 1)
        mbf[state] = np.where((labels == 2) & (pixel_count > 0), mean, np.nan).astype(np.float32)
    return SliceModel(shares, fine_mbf, labels, mbf, pose.to_heart(slice_pose.grid_lps(shape)))


def _tissue_columns(scene: Scene, points: Array) -> NDArray[np.uint8]:
    """Tissue codes (depth, fine y, fine x); away from the heart the middle of the slice stands for its thickness."""
    middle = points.shape[0] // 2
    codes = np.repeat(
        np.asarray(scene.tissue(points[middle].reshape(-1, 3))).reshape(1, *points.shape[1:3]), len(points), 0
    )
    near = np.hypot(points[middle, ..., 0] + 10.0, points[middle, ..., 1]) < NEAR_MM
    for k in range(len(points)):
        if k != middle and near.any():
            codes[k][near] = scene.tissue(points[k][near])
    return codes


def breathing_field(
    model: SliceModel, slice_pose: SlicePose, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How a breath moves the slice: ``share`` (fine y, fine x) of the heart's shift that each place follows, and a
    slight deformation (2, fine y, fine x) in mm per mm of shift, order (x, y)."""
    heart = sum(
        (model.shares.get(int(t), np.float32(0.0)) for t in (Tissue.MYOCARDIUM, Tissue.LV_CAVITY, Tissue.RV_CAVITY)),
        start=np.zeros(next(iter(model.shares.values())).shape, np.float32),
    )
    spacing = slice_pose.spacing_mm[0] / FINE
    distance = (
        ndimage.distance_transform_edt(heart < 0.5) * spacing if (heart >= 0.5).any() else np.full(heart.shape, 30.0)
    )
    share = 0.15 + 0.85 * np.exp(-((distance / 35.0) ** 2))
    # chest wall and spine stay where they are
    noise = rng.normal(size=(2, *heart.shape))
    smooth = np.stack([ndimage.gaussian_filter(n, 22.0 / spacing, mode="wrap") for n in noise])
    smooth *= 0.08 / max(float(smooth.std()), 1e-9)
    return share.astype(np.float32), smooth.astype(np.float32)


def _block_sum(fine: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sums over ``FINE`` x ``FINE`` blocks: (fine y, fine x) -> (y, x)."""
    y, x = fine.shape[0] // FINE, fine.shape[1] // FINE
    return np.asarray(fine, dtype=float).reshape(y, FINE, x, FINE).sum(axis=(1, 3))
