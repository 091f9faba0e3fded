"""The mid-wall surface of the left ventricle in the heart frame, on a lattice of rays.

Rays leave the LV's own axis: level with the base and the middle they run square to the long axis, below they fan out
down to the tip, so that they meet the wall squarely everywhere. On each ray the cavity's last and the muscle's last
point give the wall; its middle is the surface's point. A lattice needs no repair, has one angle a column, and a hole in
the outline is filled from its neighbours (and weighs nothing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.spatial.aha import AHA_TERRITORY, insertion_angle_deg, segments, stretched_deg
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.spatial.voxels import label_points

Array = NDArray[np.float64]

COLUMNS = 72  # 5 degrees each
ROW_MM = 2.5  # distance of the rows square to the axis
FAN_ROWS = 14
FAN_LEVEL = 0.42  # below this share of the cavity's length the rays fan out
RAY_STEP_MM = 0.4
RAY_REACH_MM = 75.0
MIN_WALL_MM = 1.5  # thinner is a hole in the outline (valve plane, outflow tract), not muscle
MAX_WALL_MM = 30.0
DENSITY_G_ML = 1.05  # myocardium
VESSEL_CODE = {"LAD": 1, "LCx": 2, "RCA": 3}


@dataclass(frozen=True)
class WallLattice:
    """Rows from base to tip, ``COLUMNS`` around; the last row is the one apex point, repeated. Heart frame, mm."""

    inner_mm: Array  # (rows, columns, 3) endocardium
    outer_mm: Array  # (rows, columns, 3) epicardium
    present: NDArray[np.bool_]  # (rows, columns) False where the outline had no wall and neighbours filled in
    tip_z_mm: float  # tip of the cavity
    base_z_mm: float
    axis_z_mm: Array  # (k,) heights at which the cavity's centre is known
    axis_xy_mm: Array  # (k, 2)

    @property
    def middle_mm(self) -> Array:
        """(rows, columns, 3) half way through the wall."""
        return (self.inner_mm + self.outer_mm) / 2.0

    @property
    def thickness_mm(self) -> Array:
        """(rows, columns) wall thickness along the rays; 0 where there was no wall."""
        return np.where(self.present, np.linalg.norm(self.outer_mm - self.inner_mm, axis=-1), 0.0)

    def centre_xy(self, z_mm: Array) -> Array:
        """(..., 2) centre of the cavity at heights z; constant beyond the ends."""
        z = np.asarray(z_mm, float)
        return np.stack([np.interp(z, self.axis_z_mm, self.axis_xy_mm[:, k]) for k in (0, 1)], axis=-1)

    def level(self, z_mm: Array) -> Array:
        """0 at the tip of the cavity, 1 at the base."""
        return (np.asarray(z_mm, float) - self.tip_z_mm) / (self.base_z_mm - self.tip_z_mm)

    def angle_deg(self, points_mm: Array) -> Array:
        """Angle of heart-frame points (..., 3) about the cavity's centre at their own height."""
        points = np.array(points_mm, dtype=float)
        points[..., :2] -= self.centre_xy(points[..., 2])
        return insertion_angle_deg(points)


def _cavity_axis(labels: Volume, pose: HeartPose, base_z: float) -> tuple[Array, Array, float]:
    """Heights (k,), cavity centres (k, 2) and the height of the cavity's tip, heart frame."""
    points = label_points(labels, Label.LV_CAVITY, pose.lps_to_heart)
    if len(points) < 100:
        raise StageError("fusion", "the CT outlines hold no left ventricular cavity; correct the CT outlines first.")
    tip = float(np.quantile(points[:, 2], 0.0005)) - 0.5 * labels.spacing_mm[2]
    if base_z - tip < 25.0:
        raise StageError("fusion", f"the left ventricle in the CT outlines is only {base_z - tip:.0f} mm long.")
    heights = np.arange(tip + 1.0, base_z + 1.0, 2.0)
    # means over windows of height, from sums of the points in their order along the axis
    points = points[np.argsort(points[:, 2])]
    first = np.searchsorted(points[:, 2], heights - 1.5, side="left")
    last = np.searchsorted(points[:, 2], heights + 1.5, side="right")
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(points[:, :2], axis=0)])
    centres = (sums[last] - sums[first]) / np.maximum(last - first, 1)[:, None]
    known = last - first >= 12
    for k in (0, 1):
        centres[:, k] = np.interp(heights, heights[known], centres[known, k])
    return heights, gaussian_filter1d(centres, 3.0, axis=0, mode="nearest"), tip


def wall_lattice(labels: Volume, pose: HeartPose) -> WallLattice:
    """The LV wall of the chamber labels (any grid, LPS) as a lattice. Raises StageError where there is no ventricle.

    ``pose`` gives the frame and the base; without that landmark the top of the cavity serves.
    """
    base_z = _base_height(labels, pose)
    heights, centres, tip = _cavity_axis(labels, pose, base_z)
    length = base_z - tip
    fan_z = tip + FAN_LEVEL * length
    upper = np.linspace(base_z, fan_z, max(4, round((base_z - fan_z) / ROW_MM)), endpoint=False)
    dip = np.deg2rad(np.linspace(0.0, 90.0, FAN_ROWS))
    origin_z = np.concatenate([upper, np.full(FAN_ROWS, fan_z)])
    down = np.concatenate([np.zeros(len(upper)), dip])
    turn = np.deg2rad(np.arange(COLUMNS) * 360.0 / COLUMNS)
    origin = np.stack(
        [np.interp(origin_z, heights, centres[:, 0]), np.interp(origin_z, heights, centres[:, 1]), origin_z], -1
    )
    ray = np.stack(
        [
            np.cos(down)[:, None] * np.cos(turn),
            -np.cos(down)[:, None] * np.sin(turn),
            np.repeat(-np.sin(down)[:, None], COLUMNS, 1),
        ],
        -1,
    )
    # the axis of a curved heart leads to the tip: lean the fan towards it
    lean = np.concatenate([np.zeros(len(upper)), np.sin(dip)])[:, None] * (
        (np.array([np.interp(tip, heights, centres[:, 0]), np.interp(tip, heights, centres[:, 1])]) - origin[-1, :2])
        / (fan_z - tip)
    )
    ray[..., :2] += lean[:, None]
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    inner, outer = _crossings(labels, pose, origin, ray)
    present = np.isfinite(inner) & (outer - inner >= MIN_WALL_MM) & (outer - inner <= MAX_WALL_MM)
    if present.mean() < 0.4:
        raise StageError("fusion", "the myocardium in the CT outlines covers less than half of the ventricle.")
    inner, outer = _filled(inner, present), _filled(outer, present)
    inner[-1], outer[-1] = inner[-1].mean(), outer[-1].mean()
    at = origin[:, None]
    return WallLattice(at + inner[..., None] * ray, at + outer[..., None] * ray, present, tip, base_z, heights, centres)


def _base_height(labels: Volume, pose: HeartPose) -> float:
    if "base" in pose.landmarks:
        return float(pose.to_heart(pose.landmarks["base"])[2])
    heights = label_points(labels, Label.LV_CAVITY, pose.lps_to_heart)[:, 2]
    if not len(heights):
        raise StageError("fusion", "the CT outlines hold no left ventricular cavity; correct the CT outlines first.")
    return float(np.quantile(heights, 0.98))


def _crossings(labels: Volume, pose: HeartPose, origin: Array, ray: Array) -> tuple[Array, Array]:
    """Radius (rows, columns) of the endocardium and the epicardium on each ray; NaN where no wall is met."""
    reach = np.arange(0.0, RAY_REACH_MM, RAY_STEP_MM)
    # rays are straight: their points' voxel coordinates (z, y, x) are steps along one direction
    to_index = labels.lps_to_index @ pose.heart_to_lps
    start = apply(to_index, origin)[:, ::-1].T
    step = np.moveaxis(ray @ to_index[:3, :3].T, -1, 0)[::-1]
    index = (start[:, :, None, None] + step[..., None] * reach).astype(np.float32)
    # only the ventricle's box is blurred: the other chambers are most of the volume
    box = _box_of(np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)))
    part = labels.array[box]
    index -= np.array([s.start for s in box], np.float32)[:, None, None, None]

    def share(mask: NDArray[np.bool_]) -> Array:
        # a slight blur turns the voxels' stairs into a surface between them
        soft = gaussian_filter(mask.astype(np.float32), 0.6)
        return np.asarray(map_coordinates(soft, index, order=1, mode="constant", output=np.float32))

    blood, wall = share(part == Label.LV_CAVITY), share(part == Label.MYOCARDIUM)
    is_wall = (wall > blood) & (blood + wall >= 0.5)
    # the wall is the longest run of muscle on the ray: papillary muscles are short and followed by blood
    inner = np.full(ray.shape[:2], np.nan)
    outer = np.full(ray.shape[:2], np.nan)
    edge = np.diff(np.pad(is_wall, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=-1).reshape(inner.size, -1)
    on_ray, starts = np.nonzero(edge == 1)  # starts and ends come in the same order, ray by ray
    ends = np.nonzero(edge == -1)[1]
    order = np.lexsort((starts, starts - ends, on_ray))  # the longest run of each ray first, the inner one of two alike
    rays, first = np.unique(on_ray[order], return_index=True)
    longest = order[first]
    inner.flat[rays] = np.maximum(0.0, (starts[longest] - 0.5) * RAY_STEP_MM)
    outer.flat[rays] = (ends[longest] - 0.5) * RAY_STEP_MM
    return inner, outer


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box that holds the mask, two voxels wider on each side inside the grid."""
    used = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    a, b, c = (slice(max(0, int(u[0]) - 2), int(u[-1]) + 3) for u in used)
    return a, b, c


def _filled(radius: Array, present: NDArray[np.bool_]) -> Array:
    """Holes filled by a blur of what is there, around the ring and along the axis; a light smoothing everywhere."""
    value = np.where(present, radius, 0.0)
    weight = present.astype(float)
    result = np.where(present, radius, np.nan)
    for sigma in (1.0, 2.0, 4.0, 8.0, 16.0):
        num = gaussian_filter(value, sigma, mode=("nearest", "wrap"))
        den = gaussian_filter(weight, sigma, mode=("nearest", "wrap"))
        guess = np.where(den > 1e-3, num / np.maximum(den, 1e-3), np.nan)
        result = np.where(np.isfinite(result), result, guess)
    result = np.where(np.isfinite(result), result, np.nanmean(result))
    return np.asarray(gaussian_filter(result, 0.7, mode=("nearest", "wrap")))


def triangles_of(rows: int, columns: int) -> NDArray[np.int32]:
    """Triangles of a lattice closed around, whose last row shrinks to one point (index ``(rows - 1) * columns``)."""
    apex = (rows - 1) * columns
    k = np.arange(columns)
    nxt = (k + 1) % columns
    faces = []
    for r in range(rows - 2):
        a, b = r * columns + k, r * columns + nxt
        c, d = a + columns, b + columns
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    last = (rows - 2) * columns
    faces.append(np.stack([last + k, np.full(columns, apex), last + nxt], 1))
    return np.concatenate(faces).astype(np.int32)


def vertex_areas(points_mm: Array, triangles: NDArray[np.int32]) -> Array:
    """A third of the area (mm^2) of all triangles at each point."""
    a, b, c = (points_mm[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0
    return np.bincount(triangles.ravel(), np.repeat(area / 3.0, 3), minlength=len(points_mm)).astype(float)


def wall_surface(lattice: WallLattice, pose: HeartPose) -> Surface:
    """The mid-wall surface with area, mass, AHA segment and AHA territory per point."""
    rows, columns = lattice.present.shape
    keep = (rows - 1) * columns + 1  # the apex once
    points = lattice.middle_mm.reshape(-1, 3)[:keep]
    triangles = triangles_of(rows, columns)
    area = vertex_areas(points, triangles)
    # the shell between inner and outer surface: the area at mid wall times the thickness
    mass = area * lattice.thickness_mm.reshape(-1)[:keep] / 1000.0 * DENSITY_G_ML
    segment = wall_segments(lattice, pose, points)
    anterior, septum = insertions_deg(lattice, pose)
    phi = stretched_deg(lattice.angle_deg(points) - anterior, septum)
    level = lattice.level(points[:, 2])
    territory = np.array([VESSEL_CODE[AHA_TERRITORY[int(s)]] if s else 0 for s in segment], dtype=np.int8)
    values: dict[str, NDArray[np.generic]] = {
        "segment": segment,
        "territory_aha": territory,
        "area_mm2": area,
        "mass_g": mass,
    }
    return Surface(points, triangles, {**values, "aha_phi_deg": phi, "aha_level": level})


def wall_segments(lattice: WallLattice, pose: HeartPose, points_mm: Array) -> NDArray[np.int8]:
    """AHA segment of heart-frame points (n, 3) on this wall, from the RV insertions of ``pose``."""
    anterior, septum = insertions_deg(lattice, pose)
    level = np.minimum(lattice.level(points_mm[:, 2]), 1.0)
    return segments(lattice.angle_deg(points_mm), level, anterior, septum)


def insertions_deg(lattice: WallLattice, pose: HeartPose) -> tuple[float, float]:
    """Angle of the anterior RV insertion about the LV centre at its height, and the arc of the septum, degrees."""
    anterior = float(lattice.angle_deg(pose.to_heart(pose.landmarks["rv_insertion_anterior"])))
    inferior = float(lattice.angle_deg(pose.to_heart(pose.landmarks["rv_insertion_inferior"])))
    return anterior, float(np.mod(inferior - anterior, 360.0))
