"""Apex and base seen in the CT's picture itself, beside the pose that is read from its labels."""

from __future__ import annotations

from CardiacFusionLib.models.cubes import coarse_image, normalised_hu, paired
from CardiacFusionLib.models.heatmaps import Seen, read_maps
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.volume import Volume

MODEL = "ct_landmarks"
NAMES = ("apex", "base")
# the ventricle with a margin of 2 to 3 cm, upright about the middle between apex and base
SHAPE, SPACING_MM = (36, 28, 28), 4.0
REACH_VOXELS = 3.0  # a place is the centroid of the heatmap this near its peak


def window(pose: HeartPose) -> Volume:
    """The empty upright grid (z, y, x) about the LV, in patient LPS."""
    return heart_grid(pose, SHAPE, SPACING_MM)


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
    seen = zip(NAMES, read_maps(scores, REACH_VOXELS))
    return {name: Seen(apply(grid.index_to_lps, one.place[::-1]), one.belief) for name, one in seen}
