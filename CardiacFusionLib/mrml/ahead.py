"""Where the segments would lie with a landmark elsewhere, in a few milliseconds: the wall stays, its coordinates turn.

What a release computes from the outlines is read here from the mid-wall surface as it is drawn. What that leaves out
(the exact centre of the cavity at each height) is taken from the surface's own coordinates before the landmark moved,
so that a landmark at its old place gives the old segments exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.spatial.aha import insertion_angle_deg, stretched_deg
from CardiacFusionLib.spatial.pose import HeartPose, apply

Array = NDArray[np.float64]

AXIS_STEP_MM = 5.0  # the middle of the wall is known this often along the long axis
_INSERTIONS = ("rv_insertion_anterior", "rv_insertion_inferior")


class SegmentsAhead:
    """The wall of a case before a drag; ``of`` gives its segments for another pose."""

    def __init__(self, surface: Surface, pose: HeartPose) -> None:
        """``surface`` with AHA coordinates, in the frame of ``pose``, whose four landmarks they rest on."""
        self._surface = surface
        self._pose = pose
        points, level = surface.points_mm, np.asarray(surface.values["aha_level"], float)
        slope, tip_z = np.polyfit(level, points[:, 2], 1)  # level is linear in height: the cavity's length and tip
        base_z = float(pose.to_heart(pose.landmarks["base"])[2])
        self._base_off = float(slope + tip_z) - base_z
        self._tip = np.array([*points[np.argmin(points[:, 2]), :2], tip_z])
        self._axis = _axis(points)
        guess = self._phi(points, self._axis, pose)
        self._off = np.mod(np.asarray(surface.values["aha_phi_deg"], float) - guess + 180.0, 360.0) - 180.0

    def of(self, pose: HeartPose) -> Surface:
        """The surface, still in the frame before, with the AHA coordinates that ``pose`` gives it."""
        turn = pose.lps_to_heart @ self._pose.heart_to_lps
        points, tip_z = apply(turn, self._surface.points_mm), float(apply(turn, self._tip)[2])
        base_z = float(pose.to_heart(pose.landmarks["base"])[2]) + self._base_off
        phi = np.mod(self._phi(points, apply(turn, self._axis), pose) + self._off, 360.0)
        level = (points[:, 2] - tip_z) / max(base_z - tip_z, 1.0)
        values = {**self._surface.values, "aha_phi_deg": phi, "aha_level": level}
        return Surface(self._surface.points_mm, self._surface.triangles, values)

    @staticmethod
    def _phi(points: Array, axis: Array, pose: HeartPose) -> Array:
        """Angle from the anterior insertion about the wall's middle, the septum stretched to 120 degrees."""
        axis = axis[np.argsort(axis[:, 2])]

        def angle(at: Array) -> Array:
            centre = np.stack([np.interp(at[..., 2], axis[:, 2], axis[:, k]) for k in (0, 1)], axis=-1)
            return insertion_angle_deg(np.concatenate([at[..., :2] - centre, at[..., 2:]], axis=-1))

        anterior, inferior = (angle(pose.to_heart(pose.landmarks[name])) for name in _INSERTIONS)
        return stretched_deg(angle(points) - anterior, np.mod(inferior - anterior, 360.0))


def _axis(points: Array) -> Array:
    """Middles (k, 3) of the wall along the long axis, from the tip up."""
    edges = np.arange(points[:, 2].min(), points[:, 2].max() + AXIS_STEP_MM, AXIS_STEP_MM)
    place = np.digitize(points[:, 2], edges)
    return np.array([points[place == k].mean(axis=0) for k in np.unique(place)])
