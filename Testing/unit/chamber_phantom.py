"""A heart of a few ellipsoids whose frame is known exactly: chamber labels and a CT on any grid."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.volume import Volume

HALF_LENGTH_MM = 45.0
HU = {
    Label.BACKGROUND: -80.0, Label.LV_CAVITY: 420.0, Label.MYOCARDIUM: 110.0, Label.RV_CAVITY: 300.0,
    Label.LEFT_ATRIUM: 420.0, Label.RIGHT_ATRIUM: 280.0, Label.AORTA: 430.0, Label.PULMONARY_TRUNK: 320.0,
}  # fmt: skip


def pose(rotation_vector: tuple[float, float, float], centre_mm: tuple[float, float, float] = (0, 0, 0)) -> HeartPose:
    """A pose with its landmarks, turned from LPS by a rotation vector in degrees."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(rotation_vector)).as_matrix()
    matrix[:3, 3] = -matrix[:3, :3] @ np.asarray(centre_mm, float)
    frame = HeartPose(matrix)
    points = {
        "apex": (0.0, 0.0, -HALF_LENGTH_MM),
        "base": (0.0, 0.0, HALF_LENGTH_MM),
        "rv_insertion_anterior": (-20.0, -24.0, 5.0),
        "rv_insertion_inferior": (-20.0, 24.0, 5.0),
    }
    return HeartPose(matrix, {name: frame.to_lps(np.array(p)) for name, p in points.items()})


def labels_at(p: np.ndarray) -> np.ndarray:
    """Labels (...) at heart-frame points (..., 3)."""
    x, y, z = np.moveaxis(p, -1, 0)
    result = np.zeros(x.shape, np.uint8)
    below = z < HALF_LENGTH_MM

    def inside(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    result[inside(-24, 0, 12, 36, 27, 42) & below & (z < 35)] = Label.RV_CAVITY
    result[inside(0, 0, 15, 31, 31, 60) & below] = Label.MYOCARDIUM
    result[inside(0, 0, 15, 22, 22, 51) & below] = Label.LV_CAVITY
    result[inside(0, 0, 66, 26, 26, 24) & ~below] = Label.LEFT_ATRIUM
    result[inside(-50, 10, 62, 24, 24, 24) & (z > 36)] = Label.RIGHT_ATRIUM
    return result


def volume(frame: HeartPose, spacing_mm: float = 3.0, size_mm: float = 190.0) -> Volume:
    """The labels on a cube along LPS about the heart."""
    count = round(size_mm / spacing_mm)
    centre = frame.to_lps(np.array([-10.0, 0.0, 12.0]))
    origin = centre - (count - 1) / 2 * spacing_mm
    grid = Volume(np.zeros((count,) * 3, np.uint8), (spacing_mm,) * 3, tuple(origin), np.eye(3))
    return grid.with_array(labels_at(frame.to_heart(grid.grid_lps())))


def ct_of(labels: Volume, seed: int = 0) -> Volume:
    """A noisy CT in HU of a label volume."""
    table = np.array([HU[label] for label in Label], np.float32)
    noise = np.random.default_rng(seed).normal(0, 15, labels.array.shape)
    return labels.with_array((table[labels.array] + noise).astype(np.float32))
