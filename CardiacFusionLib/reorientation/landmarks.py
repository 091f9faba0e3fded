"""Apex and base seen in the CT's picture itself, beside the pose that is read from its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import coarse_image, normalised_hu, paired
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.volume import Volume

MODEL = "ct_landmarks"
NAMES = ("apex", "base")
# the ventricle with a margin of 2 to 3 cm, upright about the middle between apex and base
SHAPE, SPACING_MM = (36, 28, 28), 4.0
REACH_MM = 12.0  # a place is the mean of the heatmap this near its peak
SMOOTHED_VOXELS = 1.0  # SD: the peak looked for is that of a blob, not of one voxel


@dataclass(frozen=True)
class Seen:
    """A landmark: ``place`` (voxel z, y, x of a window, or LPS mm) and the ``belief`` (0..1) that lies there and not
    elsewhere or in 'absent'."""

    place: NDArray[np.float64]
    belief: float


def window(pose: HeartPose) -> Volume:
    """The empty upright grid (z, y, x) about the LV, in patient LPS."""
    return heart_grid(pose, SHAPE, SPACING_MM)


def read_maps(scores: NDArray[np.floating]) -> list[Seen]:
    """Places from one window's scores (2 · landmark, z, y, x): first a map for each landmark, then for each one whose
    mean weighs against it ('absent'). One softmax over all places and 'absent'; the place is the blob's centroid."""
    count = len(scores) // 2
    grid = np.indices(scores.shape[1:]).astype(float)
    found = []
    for place, absent in zip(scores[:count].astype(float), scores[count:].astype(float)):
        against = float(absent.mean())
        top = max(float(place.max()), against)
        weight = np.exp(place - top)
        belief = weight / (weight.sum() + np.exp(against - top))
        peak = np.unravel_index(int(np.argmax(ndimage.gaussian_filter(belief, SMOOTHED_VOXELS))), belief.shape)
        away = [axis - p for axis, p in zip(grid, peak)]
        near = belief * (sum(a**2 for a in away) <= (REACH_MM / SPACING_MM) ** 2)
        mass = max(float(near.sum()), 1e-12)
        found.append(Seen(np.array([float((near * axis).sum()) / mass for axis in grid]), float(near.sum())))
    return found


def see_landmarks(ct: Volume, pose: HeartPose) -> dict[str, Seen]:
    """Apex and base (LPS mm) of a CT (HU) that ``pose`` turns about upright, as the heatmap network sees them.

    It is shown the picture alone, no label: what it says is a second opinion on a pose read from labels.
    """
    import torch

    network = load(MODEL)
    grid = window(pose)
    image = normalised_hu(coarse_image(ct, grid).array)
    with torch.inference_mode():
        given = torch.from_numpy(image)[None, None].to(next(network.parameters()).device)
        scores = network(paired(given.contiguous(memory_format=torch.channels_last_3d)))[0].double().cpu().numpy()
    seen = zip(NAMES, read_maps(scores))
    return {name: Seen(apply(grid.index_to_lps, one.place[::-1]), one.belief) for name, one in seen}
