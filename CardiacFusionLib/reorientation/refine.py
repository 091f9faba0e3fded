"""The spatial transformer of the reorientation: read the labels in the present frame, correct the frame, again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import paired
from CardiacFusionLib.models.loading import entry_of, load
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.volume import Volume

PASSES = 3
# what the pose network sees: the chambers that define the frame. Where great vessels and the right atrium lie to them
# differs between hearts (and between a twin and a patient) more than the frame may
SEEN_LABELS = (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY, Label.LEFT_ATRIUM)


@dataclass(frozen=True)
class CoarseHeart:
    """Chamber probabilities (label, z, y, x) on ``grid``, and the same as ``labels`` (uint8) on a finer grid.

    ``looks`` (look, label, z, y, x): the single looks the probabilities are the mean of, where there were several.
    ``drawn``: the labels with dark tissue outside the muscle (fluid, blood without contrast) as the network drew it.
    """

    probabilities: NDArray[np.float32]
    grid: Volume
    labels: Volume
    looks: NDArray[np.float32] | None = None
    drawn: Volume | None = None


def pose_cube(
    probabilities: NDArray[np.float32], lps_to_index: NDArray[np.float64], pose: HeartPose, cube: int, spacing_mm: float
) -> NDArray[np.float32]:
    """What the pose network sees: ``SEEN_LABELS``' probabilities on an upright cube about ``pose``: (4, z, y, x)."""
    points = heart_grid(pose, (cube,) * 3, spacing_mm).grid_lps()
    index = np.moveaxis(apply(lps_to_index, points)[..., ::-1], -1, 0).astype(np.float32)
    seen = [
        ndimage.map_coordinates(probabilities[label], index, order=1, mode="constant", cval=0.0)
        for label in SEEN_LABELS
    ]
    return np.stack(seen).astype(np.float32)


def corrected(
    pose: HeartPose, rotation: NDArray[np.float64], translation_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The rigid LPS -> heart matrix after a correction x_heart = R x + t in the frame of ``pose``."""
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = rotation, translation_mm
    return step @ pose.lps_to_heart


def refined_pose(heart: CoarseHeart, start: HeartPose, passes: int = PASSES) -> HeartPose:
    """``start`` corrected by the pose network in ``passes``; landmarks of ``start`` fitted to the new frame."""
    pose = corrected_pose(heart.probabilities, heart.grid.lps_to_index, start, passes)
    return with_fitted_landmarks(pose, start)


def corrected_pose(
    probabilities: NDArray[np.float32], lps_to_index: NDArray[np.float64], start: HeartPose, passes: int
) -> HeartPose:
    """``start`` corrected by the pose network on probabilities (label, z, y, x) that lie where ``lps_to_index`` says.

    The pose comes without landmarks.
    """
    import torch

    network, entry = load("ct_pose"), entry_of("ct_pose")
    cube, spacing = int(entry.input["cube"]), float(entry.input["spacing_mm"])
    device = next(network.parameters()).device
    pose = start
    for _ in range(passes):
        seen = torch.from_numpy(pose_cube(probabilities, lps_to_index, pose, cube, spacing))[None].to(device)
        with torch.inference_mode():
            rotation, translation = network(paired(seen))
        matrix = corrected(
            pose, _orthonormal(rotation[0].double().cpu().numpy()), translation[0].double().cpu().numpy()
        )
        pose = HeartPose(matrix, {}, start.confidence)
    return pose


def with_fitted_landmarks(pose: HeartPose, source: HeartPose) -> HeartPose:
    """``pose`` with the landmarks of ``source`` moved as little as it takes to give exactly the frame of ``pose``."""
    points = {name: pose.to_heart(point) for name, point in source.landmarks.items()}
    half = float(points["base"][2] - points["apex"][2]) / 2
    anterior, inferior = points["rv_insertion_anterior"], points["rv_insertion_inferior"]
    septal = (anterior[0] + inferior[0]) / 2
    fitted = {
        "apex": np.array([0.0, 0.0, -half]),
        "base": np.array([0.0, 0.0, half]),
        "rv_insertion_anterior": np.array([septal, anterior[1], anterior[2]]),
        "rv_insertion_inferior": np.array([septal, inferior[1], inferior[2]]),
    }
    landmarks = {name: pose.to_lps(point) for name, point in fitted.items()}
    return HeartPose(pose.lps_to_heart, landmarks, source.confidence)


def _orthonormal(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rotation: float32 axes are orthonormal to 1e-6 only, and errors would add up over the passes."""
    u, _, v = np.linalg.svd(rotation)
    return np.asarray(u @ v)
