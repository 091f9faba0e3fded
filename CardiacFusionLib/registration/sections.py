"""Cross-sections of the CT wall across the long axis: areas, centres and RV insertions at every height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT, Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.sections import MIN_CAVITY_MM2, plane_landmarks
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.spatial.voxels import label_points
from CardiacFusionLib.walls.result import CtWalls

STEP_MM = 2.5  # between heights
PIXEL_MM = 1.5
HALF_WIDTH_MM = 57.0  # LV and the RV beside it
HALF_HEIGHT_MM = 70.0  # from the middle of the long axis: an adult LV is at most 110 mm long


@dataclass(frozen=True)
class Sections:
    """Measures at heights ``z_mm`` (k,) of the heart frame; NaN where not to be seen.

    Radii are those of circles of equal area: of cavity and wall together, of the cavity, of the RV. ``centre_mm`` and
    the insertions are (k, 2) heart x, y.
    """

    z_mm: NDArray[np.float64]
    outer_mm: NDArray[np.float64]
    cavity_mm: NDArray[np.float64]
    rv_mm: NDArray[np.float64]
    centre_mm: NDArray[np.float64]
    anterior_mm: NDArray[np.float64]
    inferior_mm: NDArray[np.float64]
    cavity_span_mm: tuple[float, float]  # lowest and highest height with LV cavity

    def at(self, name: str, z_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """The measure ``name`` at other heights (linear; the last known value beyond the ends)."""
        values = getattr(self, name)
        columns = values.reshape(len(values), -1).T
        found = []
        for column in columns:
            known = np.isfinite(column)
            if not known.any():
                found.append(np.full(np.shape(z_mm), np.nan))
            else:
                found.append(np.interp(z_mm, self.z_mm[known], column[known]))
        return found[0] if values.ndim == 1 else np.stack(found, axis=-1)


def class_maps(labels: Volume, pose: HeartPose, points_heart_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Shares (4, ...) of background, cavity, myocardium, RV at heart-frame points (..., 3), linear between voxels."""
    points = pose.to_lps(points_heart_mm)
    shares = [sample(labels.with_array((labels.array == k).astype(np.float32)), points) for k in (1, 2, 3)]
    return np.stack([np.clip(1 - sum(shares), 0, 1), *shares]).astype(np.float32)


def measure_sections(walls: CtWalls) -> Sections:
    """Cut the CT wall at every height. Raises StageError where it holds no left ventricle."""
    z = np.arange(-HALF_HEIGHT_MM, HALF_HEIGHT_MM + 1e-6, STEP_MM)
    xy = np.arange(-HALF_WIDTH_MM, HALF_WIDTH_MM + 1e-6, PIXEL_MM)
    yy, xx = np.meshgrid(xy, xy, indexing="ij")
    flat = np.stack([xx, yy], axis=-1)
    points = np.concatenate(
        [np.broadcast_to(flat, (len(z), *flat.shape)), np.broadcast_to(z[:, None, None, None], (len(z), *xx.shape, 1))],
        axis=-1,
    )
    picture = sample(walls.labels, walls.pose.to_lps(points), order=0).astype(np.uint8)
    picture[picture >= CMR_LABEL_COUNT] = 0
    area = PIXEL_MM**2
    rows = []
    for plane in picture:
        masks = [plane == k for k in (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY)]
        found = plane_landmarks(flat[masks[0]], flat[masks[1]], flat[masks[2]], area)
        none = np.full(2, np.nan)
        sizes = [np.sqrt(n * area / np.pi) for n in (masks[0].sum() + masks[1].sum(), masks[0].sum(), masks[2].sum())]
        names = ("lv_centre", "rv_insertion_anterior", "rv_insertion_inferior")
        rows.append((*sizes, *(found.get(name, none) for name in names)))
    columns = [np.array(c, dtype=float) for c in zip(*rows)]
    if not np.isfinite(columns[3]).any():
        raise StageError("registration", "the CT wall holds no left ventricle to pair the CMR slices with.")
    outer, cavity, rv, centre, anterior, inferior = columns
    return Sections(z, outer, cavity, rv, centre, anterior, inferior, cavity_span(walls))


def cavity_span(walls: CtWalls) -> tuple[float, float]:
    """Lowest and highest height (mm, heart frame) with LV cavity in the CT. Raises StageError where there is none."""
    heights = label_points(walls.labels, Label.LV_CAVITY, walls.pose.lps_to_heart)[:, 2]
    bins = np.arange(-100.0, 100.0 + STEP_MM, STEP_MM)
    area = np.histogram(heights, bins)[0] * walls.labels.voxel_volume_ml * 1000.0 / STEP_MM
    known = np.flatnonzero(area > MIN_CAVITY_MM2)
    if len(known) == 0:
        raise StageError("registration", "the CT wall holds no LV cavity to pair the CMR slices with.")
    return float(bins[known[0]]), float(bins[known[-1] + 1])
