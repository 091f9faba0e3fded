"""Reading a volume at other points: patient points, planes, and the upright grid of the heart frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.volume import Volume

_EDGE = 1e-6  # voxels


def sample(
    volume: Volume, points_lps: NDArray[np.float64], order: int = 1, outside: float = 0.0
) -> NDArray[np.float32]:
    """Values of ``volume`` at LPS points (..., 3); ``outside`` beyond the grid; order 0 for labels, 1 for images."""
    index = apply(volume.lps_to_index, points_lps)
    coordinates = np.moveaxis(index[..., ::-1], -1, 0).reshape(3, -1)
    for row, count in zip(coordinates, volume.array.shape, strict=True):
        # rounding must not push a point of the outermost voxels out of the grid
        row[(row < 0) & (row > -_EDGE)] = 0
        row[(row > count - 1) & (row < count - 1 + _EDGE)] = count - 1
    source = volume.array if volume.array.dtype in (np.float32, np.float64) else volume.array.astype(np.float32)
    values = ndimage.map_coordinates(source, coordinates, order=order, mode="constant", cval=outside, output=np.float32)
    return values.reshape(index.shape[:-1])


def heart_grid(
    pose: HeartPose,
    shape: tuple[int, int, int],
    spacing_mm: float,
    centre_heart_mm: tuple[float, float, float] = (0, 0, 0),
) -> Volume:
    """An empty (uint8) upright grid (z, y, x) **in patient LPS**: its x, y, z axes are the heart frame's axes.

    The grid is placed around ``centre_heart_mm`` (heart frame). Because its direction carries the pose, everything
    sampled onto it can be shown over the patient's own images without a further transform.
    """
    rotation = pose.heart_to_lps[:3, :3]
    half = (np.asarray(shape[::-1], dtype=float) - 1) / 2 * spacing_mm
    origin = pose.to_lps(np.asarray(centre_heart_mm, dtype=float) - half)
    return Volume(np.zeros(shape, np.uint8), (spacing_mm,) * 3, tuple(origin), rotation)


def resample_to(volume: Volume, grid: Volume, order: int = 1, outside: float = 0.0) -> Volume:
    """``volume`` resampled onto the grid of another volume; labels with order 0, images with order 1."""
    import SimpleITK as sitk

    interpolator = sitk.sitkNearestNeighbor if order == 0 else sitk.sitkLinear
    target = sitk.Image(list(grid.size), sitk.sitkUInt8)
    target.SetSpacing(grid.spacing_mm)
    target.SetOrigin(grid.origin_mm)
    target.SetDirection(grid.direction.ravel().tolist())
    source = volume.to_sitk()
    pixel = source.GetPixelID() if order == 0 else sitk.sitkFloat32
    return Volume.from_sitk(sitk.Resample(source, target, sitk.Transform(), interpolator, outside, pixel))
