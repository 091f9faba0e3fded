"""Where perfusion maps lie: each CMR slice in the heart frame, and its values on the CT's wall.

Three forms of one map: the measured slice at its own place (values untouched, moved by a transform only), the same
slice carried onto the CT wall by the registration, and the whole wall filled from the fused surface.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM, Registration
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

FINE_MM = 0.5  # pixels of the drawn maps: the wall's edge is smooth although colours are never interpolated across it
THIN_PIXELS = 1.5  # a border pixel further than this from any inner pixel belongs to a thin part and is kept
BLEND_POINTS = 5
REACH_MM = 4.0  # a wall pixel further than this from any measured pixel stays without colour


def _height_mm(pose: SlicePose, shape: tuple[int, ...], to_heart: NDArray[np.float64]) -> float:
    """Height of a slice's middle in the heart frame."""
    middle = np.array([(shape[-1] - 1) / 2, (shape[-2] - 1) / 2])
    return float(apply(to_heart, pose.points_lps(middle))[2])


def slice_to_heart(registration: Registration, paired: Series, series: Series, index: int) -> NDArray[np.float64]:
    """4x4 CMR LPS -> heart frame that also lifts slice ``index`` of ``series`` to its height on the CT's long axis.

    ``paired`` is the series the registration was made for (stress); a slice of another series (rest) is lifted as the
    nearest paired slice is.
    """
    matrix = registration.pairing.cmr_pose.lps_to_heart.copy()
    heights = np.array([_height_mm(pose, paired.array.shape, matrix) for pose in paired.poses])
    own = _height_mm(series.poses[index], series.array.shape, matrix)
    nearest = int(np.argmin(np.abs(heights - own)))
    matrix[2, 3] += float(registration.pairing.z_mm[nearest]) - heights[nearest]
    return matrix


def measured_slice(series: Series, values: NDArray[np.float32], index: int) -> Volume:
    """One slice of a map (slice, y, x) as a one-slice volume in CMR LPS, NaN where nothing was measured."""
    return series.slice_volume(values[index], index)


def _inner(measured: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Measured pixels whose four neighbours are measured too; where the wall is too thin to have any, all of it.

    A pixel at the wall's border shares its volume with blood, fat or lung; readers leave such borders out (endo- and
    epicardial offsets), and drawn on the CT's sharp wall they would look like a rim of low or high flow.
    """
    inner = ndimage.binary_erosion(measured)
    far = ndimage.distance_transform_edt(~inner) if inner.any() else np.full(measured.shape, np.inf)
    return inner | (measured & (far > THIN_PIXELS))


def _filled(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A map (y, x) with NaN and border pixels filled from the nearest inner pixel, and each pixel's distance (in
    pixels) to the nearest measured one."""
    measured = np.isfinite(values)
    nearest = ndimage.distance_transform_edt(~_inner(measured), return_distances=False, return_indices=True)
    return values[tuple(nearest)], ndimage.distance_transform_edt(~measured)


def slice_on_wall(
    registration: Registration, series: Series, values: NDArray[np.float32], index: int, pose: HeartPose
) -> Volume | None:
    """One slice of a map (slice, y, x) on the CT wall as a fine one-slice volume in CT LPS, NaN off the wall.

    Heart pixel p shows the CMR at p + displacement(p). The mask is interpolated, the colours are not: values come from
    measured pixels only, from those inside the wall's border where there are such. None where nothing was measured.
    """
    plane = values[index]
    if not np.isfinite(plane).any():
        return None
    slice_pose = series.poses[index]
    rows, columns = (round(n * GRID_SPACING_MM / FINE_MM) for n in GRID_SHAPE)
    start = -((np.array(GRID_SHAPE[::-1]) - 1) / 2 * GRID_SPACING_MM)
    first = start - GRID_SPACING_MM / 2 + FINE_MM / 2  # pixel edges of both grids agree
    x, y = np.meshgrid(first[0] + np.arange(columns) * FINE_MM, first[1] + np.arange(rows) * FINE_MM)
    coarse = np.stack([(y - start[1]) / GRID_SPACING_MM, (x - start[0]) / GRID_SPACING_MM])
    moved = [
        axis + ndimage.map_coordinates(shift, coarse, order=1, mode="nearest")
        for axis, shift in zip((x, y), registration.displacement_mm[index].astype(float))
    ]
    # pixel (column, row) -> heart (x, y) is affine; invert it in the plane
    forward = registration.pairing.cmr_pose.lps_to_heart @ slice_pose.pixel_to_lps
    inverse = np.linalg.inv(forward[:2, :2])
    pixel = np.einsum("ij,jyx->iyx", inverse, np.stack(moved) - forward[:2, 3][:, None, None])
    filled, distance = _filled(plane)
    at = pixel[::-1]
    fine = ndimage.map_coordinates(filled, at, order=1, mode="nearest")
    away = ndimage.map_coordinates(distance, at, order=1, mode="nearest") * max(slice_pose.spacing_mm)
    wall = (registration.ct_labels[index] == Label.MYOCARDIUM).astype(float)
    inside = ndimage.map_coordinates(ndimage.gaussian_filter(wall, 0.6), coarse, order=1) >= 0.5
    fine = np.where(inside & (away <= REACH_MM), fine, np.nan).astype(np.float32)
    origin = pose.to_lps(np.array([first[0], first[1], float(registration.pairing.z_mm[index])]))
    return Volume(fine[None], (FINE_MM, FINE_MM, slice_pose.thickness_mm), tuple(origin), pose.heart_to_lps[:3, :3])


def _blended(surface: Surface, quantity: str, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (n,) at heart points (n, 3): inverse-distance mean of the nearest surface points with data; NaN where the
    nearest of all has none."""
    own = np.asarray(surface.values[quantity], dtype=float)
    distance, nearest = cKDTree(surface.points_mm).query(points, k=min(BLEND_POINTS, len(own)), workers=1)
    known = np.isfinite(own)[nearest]
    weight = known / np.maximum(distance, 0.5) ** 2
    mean = (weight * np.nan_to_num(own)[nearest]).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
    return np.where(known[:, 0], mean, np.nan)


def whole_wall(surface: Surface, labels: Volume, pose: HeartPose, quantity: str, spacing_mm: float = 0.6) -> Volume:
    """The CT wall filled with the fused surface's values: a volume upright in the heart frame, in CT LPS.

    ``labels``: chamber labels on any grid in CT LPS. Voxels off the wall, or nearest to a surface point without data,
    are NaN.
    """
    array = np.asarray(labels.array) == Label.MYOCARDIUM
    index = np.argwhere(array)[:, ::-1]
    heart = pose.to_heart(index @ labels.index_to_lps[:3, :3].T + labels.index_to_lps[:3, 3])
    low, high = heart.min(axis=0) - 2.0, heart.max(axis=0) + 2.0
    size = np.ceil((high - low) / spacing_mm).astype(int) + 1
    grid = Volume(
        np.zeros(tuple(int(n) for n in size[::-1]), np.float32),
        (spacing_mm,) * 3,
        tuple(pose.to_lps(low)),
        pose.heart_to_lps[:3, :3],
    )
    to_index = labels.lps_to_index @ grid.index_to_lps
    smooth = ndimage.gaussian_filter(array.astype(np.float32), 0.6)
    # both orders are (z, y, x) for ndimage, (x, y, z) for the matrix
    flipped = to_index[:3, :3][::-1, ::-1]
    inside = (
        ndimage.affine_transform(smooth, flipped, to_index[:3, 3][::-1], output_shape=grid.array.shape, order=1) >= 0.5
    )
    voxels = np.argwhere(inside)
    values = np.full(grid.array.shape, np.nan, np.float32)
    if len(voxels):
        points = low + voxels[:, ::-1] * spacing_mm
        values[inside] = _blended(surface, quantity, points)
    return grid.with_array(values)
