"""Where the landmarks of a twin truly lie in a plane: of its material (to judge a registration) and as seen in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.sections import slice_landmarks
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.twin.heart.anatomy import Heart

Marks = Mapping[str, NDArray[np.float64]]
INSERTIONS = ("rv_insertion_anterior", "rv_insertion_inferior")
ANGLE_SD_DEG, DEPTH_SD = 5.0, 0.25  # how sharply the place on the wall is picked from a grid of points
HALF_MM, STEP_MM = 66.0, 2.0
MIN_WEIGHT = 0.5  # points; less and the plane does not cut the wall there
VISIBLE_DEG = 45.0  # the septum's end in a slice farther than this from the groove is another border of the RV


def plane_points(pose: HeartPose, z_mm: float) -> NDArray[np.float64]:
    """LPS points (n, 3) of a plane across the heart frame of ``pose`` at height ``z_mm``."""
    step = np.arange(-HALF_MM, HALF_MM + 1e-6, STEP_MM)
    y, x = np.meshgrid(step, step, indexing="ij")
    return pose.to_lps(np.stack([x.ravel(), y.ravel(), np.full(x.size, z_mm)], axis=1))


def material_marks(heart: Heart, pose: HeartPose, points_lps: NDArray[np.float64]) -> Marks:
    """The wall's own material at both RV insertions' angles, and the cavity's centre, among points (n, 3) of a plane.

    The same places of the muscle in every phase and examination: the twin's wall coordinates (angle about the LV's
    centre, depth) go with the muscle. Absent where the plane does not cut the wall there.
    """
    depth, angle, level = heart.wall_coordinates(pose.to_heart(points_lps))
    inside = (level > -0.05) & (level < 1.05)
    cavity = inside & (depth < 0)
    if not cavity.any():
        return {}
    found = {"lv_centre": points_lps[cavity].mean(axis=0)}
    for name, direction in zip(INSERTIONS, heart.insertion_angles_deg()):
        off = (angle - direction + 180) % 360 - 180
        weight = inside * np.exp(-0.5 * ((off / ANGLE_SD_DEG) ** 2 + ((depth - 1) / DEPTH_SD) ** 2))
        if weight.sum() > MIN_WEIGHT:
            found[name] = weight @ points_lps / weight.sum()
    return found


def visible_marks(
    labels: NDArray[np.uint8], poses: Sequence[SlicePose], heart: Heart, pose: HeartPose
) -> tuple[Marks, ...]:
    """Landmarks (LPS) that true labels (slice, y, x) show in each slice: the ends of the RV's contact with the wall.

    Near the base the atrium and the outflow tract cut the contact short: an end that lies far from the heart's groove
    is not an insertion and is left out.
    """
    result = []
    for one, place in zip(labels, poses):
        marks = dict(slice_landmarks(one, place))
        material = material_marks(heart, pose, place.grid_lps(one.shape)[::2, ::2].reshape(-1, 3))  # type: ignore[arg-type]
        for name in INSERTIONS:
            if name in marks and (name not in material or _turn(marks, material, name, pose) > VISIBLE_DEG):
                del marks[name]
        result.append(marks)
    return tuple(result)


def _turn(a: Marks, b: Marks, name: str, pose: HeartPose) -> float:
    """Angle between a landmark of ``a`` and of ``b`` about the LV centre of ``b``, degrees."""
    u, v = (pose.to_heart(m[name])[:2] - pose.to_heart(b["lv_centre"])[:2] for m in (a, b))
    return turn_deg(u, v, signed=False)


def turn_deg(u: NDArray[np.float64], v: NDArray[np.float64], signed: bool = True) -> float:
    """Angle from ``u`` to ``v`` in the plane, degrees."""
    angle = float(np.degrees(np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v)))
    return angle if signed else abs(angle)
