"""Where perfusion maps lie: each CMR slice in the heart frame, and its values on the CT's wall.

Three forms of one map: the measured slice at its own place (values untouched, moved by a transform only), the same
slice carried onto the CT wall by the registration, and the whole wall filled from the fused surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
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
WALL_MM = 0.6  # voxels of the filled wall
VALUES_MM = 1.8  # values are blended on this grid and read between its points; the mask stays fine


def _height_mm(pose: SlicePose, shape: tuple[int, ...], to_heart: NDArray[np.float64]) -> float:
    """Height of a slice's middle in the heart frame."""
    middle = np.array([(shape[-1] - 1) / 2, (shape[-2] - 1) / 2])
    return float(apply(to_heart, pose.points_lps(middle))[2])


def slice_to_heart(registration: Registration, paired: Series, series: Series, index: int) -> NDArray[np.float64]:
    """4x4 CMR LPS -> heart frame that also lifts slice ``index`` of ``series`` to its height on the CT's long axis, and
    shifts it in its plane as its breath-hold asks.

    ``paired`` is the series the registration was made for (stress); a slice of another series (rest) is lifted as the
    nearest paired slice is, but not shifted: it was taken in a breath-hold of its own.
    """
    matrix = registration.pairing.cmr_pose.lps_to_heart.copy()
    heights = np.array([_height_mm(pose, paired.array.shape, matrix) for pose in paired.poses])
    own = _height_mm(series.poses[index], series.array.shape, matrix)
    nearest = int(np.argmin(np.abs(heights - own)))
    matrix[2, 3] += float(registration.pairing.z_mm[nearest]) - heights[nearest]
    if series is paired and len(registration.offset_mm):
        matrix[:2, 3] -= registration.offset_mm[index]
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
    steps = [(first[k] + np.arange(n) * FINE_MM - start[k]) / GRID_SPACING_MM for k, n in ((1, rows), (0, columns))]
    wall = ndimage.gaussian_filter((registration.ct_labels[index] == Label.MYOCARDIUM).astype(float), 0.6)
    inside = ndimage.map_coordinates(wall, np.meshgrid(*steps, indexing="ij"), order=1) >= 0.5
    row, column = np.nonzero(inside)
    coarse = np.stack([steps[0][row], steps[1][column]])
    moved = [
        first[k] + at * FINE_MM + ndimage.map_coordinates(shift.astype(float), coarse, order=1, mode="nearest")
        for k, at, shift in zip((0, 1), (column, row), registration.displacement_mm[index])
    ]
    # pixel (column, row) -> heart (x, y) is affine; invert it in the plane
    forward = registration.pairing.cmr_pose.lps_to_heart @ slice_pose.pixel_to_lps
    pixel = np.linalg.inv(forward[:2, :2]) @ (np.stack(moved) - forward[:2, 3][:, None])
    filled, distance = _filled(plane)
    away = ndimage.map_coordinates(distance, pixel[::-1], order=1, mode="nearest") * max(slice_pose.spacing_mm)
    near = away <= REACH_MM
    fine = np.full((rows, columns), np.nan, np.float32)
    fine[row[near], column[near]] = ndimage.map_coordinates(filled, pixel[::-1][:, near], order=1, mode="nearest")
    origin = pose.to_lps(np.array([first[0], first[1], float(registration.pairing.z_mm[index])]))
    return Volume(fine[None], (FINE_MM, FINE_MM, slice_pose.thickness_mm), tuple(origin), pose.heart_to_lps[:3, :3])


@dataclass(frozen=True)
class WallGrid:
    """The CT wall on a fine grid along the axes of the labels it was read from: a corrected heart frame does not change
    it. ``grid`` holds the mask (bool), its border between the labels' voxels.
    """

    labels: Volume
    grid: Volume

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(z, y, x) the wall."""
        return np.asarray(self.grid.array, bool)

    @cached_property
    def voxels(self) -> tuple[NDArray[np.intp], ...]:
        """Indices (z, y, x) of the wall's voxels."""
        return np.nonzero(self.inside)

    @cached_property
    def coarse(self) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """The points of the coarse grid that lie around the wall, and where its voxels lie between them (3, n)."""
        factor = VALUES_MM / WALL_MM
        near = np.zeros(tuple(int(np.ceil(n / factor)) + 1 for n in self.inside.shape), bool)
        corner = [(v / factor).astype(np.intp) for v in self.voxels]
        for shift in np.ndindex(2, 2, 2):
            near[tuple(c + s for c, s in zip(corner, shift))] = True
        return near, np.stack(self.voxels).astype(np.float32) / np.float32(factor)

    @cached_property
    def between(self) -> sparse.csr_array:
        """(wall voxels, coarse points near the wall): how much of each point a voxel takes (linear between eight)."""
        near, at = self.coarse
        number = np.full(near.shape, -1, np.int32)
        number[near] = np.arange(int(near.sum()), dtype=np.int32)
        corner = at.astype(np.int32)
        share = at - corner
        columns, weights = [], []
        for shift in np.ndindex(2, 2, 2):
            columns.append(number[tuple(c + s for c, s in zip(corner, shift))])
            parts = [f if s else 1 - f for f, s in zip(share, shift)]
            weights.append(parts[0] * parts[1] * parts[2])
        count = at.shape[1]
        rows = np.arange(0, 8 * count + 1, 8, dtype=np.int32)
        held = (np.stack(weights, axis=1).ravel(), np.stack(columns, axis=1).ravel(), rows)
        return sparse.csr_array(held, shape=(count, int(near.sum())))


def wall_grid(labels: Volume, spacing_mm: float = WALL_MM) -> WallGrid:
    """The wall of chamber labels (any grid in CT LPS) on a fine grid of its own."""
    array = np.asarray(labels.array) == Label.MYOCARDIUM
    used = [np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if any(len(u) == 0 for u in used):
        used = [np.array([0, 0])] * 3
    low = np.array([max(int(u[0]) - 2, 0) for u in used])  # z, y, x
    high = np.array([min(int(u[-1]) + 3, n) for u, n in zip(used, array.shape)])
    part = array[tuple(slice(a, b) for a, b in zip(low, high))].astype(np.float32)
    step = spacing_mm / np.asarray(labels.spacing_mm)[::-1]
    shape = tuple(int(n) for n in np.floor((np.array(part.shape) - 1) / step) + 1)
    inside = ndimage.affine_transform(ndimage.gaussian_filter(part, 0.6), step, output_shape=shape, order=1) >= 0.5
    origin = labels.index_to_lps[:3, :3] @ low[::-1] + labels.index_to_lps[:3, 3]
    return WallGrid(labels, Volume(inside, (spacing_mm,) * 3, tuple(origin), labels.direction))


def whole_wall(surface: Surface, wall: WallGrid, pose: HeartPose, quantities: tuple[str, ...]) -> dict[str, Volume]:
    """The CT wall filled with the fused surface's values, a volume each in CT LPS; NaN off the wall and where the
    nearest point of the surface has no value.

    Blended on a coarse grid (inverse-distance mean of the nearest points), read between its points by their share of
    known neighbours; the border of the wall stays that of the fine grid.
    """
    points = pose.to_lps(surface.points_mm)
    own = (points - np.asarray(wall.grid.origin_mm)) @ wall.grid.direction  # mm along the grid's axes
    places = np.argwhere(wall.coarse[0])
    distance, nearest = cKDTree(own).query(places[:, ::-1] * VALUES_MM, k=min(BLEND_POINTS, len(own)), workers=1)
    result: dict[str, Volume] = {}
    shares: list[tuple[NDArray[np.bool_], NDArray[np.float32]]] = []  # of known neighbours: mostly alike in all maps
    for quantity in quantities:
        values = np.asarray(surface.values[quantity], dtype=float)
        known = np.isfinite(values)[nearest]
        weight = known / np.maximum(distance, 0.5) ** 2
        mean = (weight * np.nan_to_num(values)[nearest]).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
        nearest_known = known[:, 0]
        share = next((s for mask, s in shares if np.array_equal(mask, nearest_known)), None)
        if share is None:
            share = wall.between @ nearest_known.astype(np.float32)
            shares.append((nearest_known, share))
        total = wall.between @ (mean * nearest_known).astype(np.float32)
        filled = np.full(wall.inside.shape, np.nan, np.float32)
        filled[wall.inside] = np.where(share >= 0.5, total / np.maximum(share, 1e-6), np.nan)
        result[quantity] = wall.grid.with_array(filled)
    return result
