"""Where things of the heart lie on the bullseye: segments, and points such as coronary branches.

The bullseye is the usual one: anterior up, septum on the viewer's left, base outside, apex in the middle; rings of
equal width (Cerqueira 2002). Plane coordinates: x to the right, y up, outer edge at radius 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.spatial.aha import insertion_angle_deg
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.voxels import label_points

APEX_RADIUS = 0.25
INSERTION_DEG = 120.0  # plane angle of the anterior RV insertion (segments 1 and 2 meet there)
SEPTUM_DEG = 120.0
# segment -> (inner radius, outer radius, first angle, last angle), angles counter-clockwise from the right
SEGMENT_BOX: dict[int, tuple[float, float, float, float]] = {
    **{s: (0.75, 1.0, 60.0 * s, 60.0 * s + 60.0) for s in range(1, 7)},
    **{s + 6: (0.5, 0.75, 60.0 * s, 60.0 * s + 60.0) for s in range(1, 7)},
    **{s: (APEX_RADIUS, 0.5, 45.0 + 90.0 * (s - 13), 135.0 + 90.0 * (s - 13)) for s in range(13, 17)},
    17: (0.0, APEX_RADIUS, 0.0, 360.0),
}
OUTSIDE_LIMIT = 1.25  # vessels above the base (left main, atrioventricular groove) are drawn out to here


def segment_outline(segment: int, step_deg: float = 3.0) -> NDArray[np.float64]:
    """Closed outline (n, 2) of a segment, first point repeated at the end."""
    inner, outer, first, last = SEGMENT_BOX[segment]
    angles = np.radians(np.linspace(first, last, max(2, round((last - first) / step_deg) + 1)))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if inner == 0.0:
        return arc * outer
    outline = np.concatenate([arc * outer, arc[::-1] * inner])
    return np.concatenate([outline, outline[:1]])


def segment_centre(segment: int) -> NDArray[np.float64]:
    """Plane point (2,) in the middle of a segment, where its number stands."""
    inner, outer, first, last = SEGMENT_BOX[segment]
    if inner == 0.0:
        return np.zeros(2)
    angle = np.radians((first + last) / 2)
    return (inner + outer) / 2 * np.array([np.cos(angle), np.sin(angle)])


@dataclass(frozen=True)
class PolarMap:
    """From the heart frame to the bullseye of one case.

    ``tip_z_mm`` and ``base_z_mm``: heights of the LV cavity's tip and of the base; ``centre_mm``: the LV's axis (x, y);
    ``insertion_deg`` and ``septum_deg``: the anterior RV insertion's angle and the arc of the septum.
    """

    tip_z_mm: float
    base_z_mm: float
    centre_mm: tuple[float, float]
    insertion_deg: float
    septum_deg: float
    apex_z_mm: float

    def level(self, points_heart_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """0 at the tip of the LV cavity, 1 at the base."""
        return (np.asarray(points_heart_mm)[..., 2] - self.tip_z_mm) / (self.base_z_mm - self.tip_z_mm)

    def plane(self, points_heart_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heart-frame points (n, 3) -> bullseye points (n, 2)."""
        points = np.asarray(points_heart_mm, dtype=float)
        angle = insertion_angle_deg(points - np.array([*self.centre_mm, 0.0]))
        from_insertion = np.mod(angle - self.insertion_deg, 360.0)
        rest = 360.0 - self.septum_deg
        phi = np.where(
            from_insertion < self.septum_deg,
            from_insertion * SEPTUM_DEG / self.septum_deg,
            SEPTUM_DEG + (from_insertion - self.septum_deg) * (360.0 - SEPTUM_DEG) / rest,
        )
        theta = np.radians(INSERTION_DEG + phi)
        level = self.level(points)
        below = max(self.tip_z_mm - self.apex_z_mm, 1.0)
        depth = np.clip((self.tip_z_mm - points[..., 2]) / below, 0.0, 1.0)
        radius = np.where(level < 0, APEX_RADIUS * (1.0 - depth), APEX_RADIUS + (1 - APEX_RADIUS) * level)
        radius = np.minimum(radius, OUTSIDE_LIMIT)
        return np.stack([radius * np.cos(theta), radius * np.sin(theta)], axis=-1)


def polar_map(content: CaseContent) -> PolarMap:
    """The bullseye of a case, from its CT walls and its RV insertions."""
    pose, labels = content.ct_walls.pose, content.ct_walls.labels
    if not {"rv_insertion_anterior", "rv_insertion_inferior"} <= set(pose.landmarks):
        pose = content.pose
    cavity = label_points(labels, Label.LV_CAVITY, pose.lps_to_heart)
    base_z = float(pose.to_heart(pose.landmarks["base"])[2]) if "base" in pose.landmarks else float(cavity[:, 2].max())
    tip_z = float(np.percentile(cavity[:, 2], 0.2))
    apex_z = float(pose.to_heart(pose.landmarks["apex"])[2]) if "apex" in pose.landmarks else tip_z - 10.0
    middle = np.abs(cavity[:, 2] - (tip_z + base_z) / 2) < (base_z - tip_z) / 4
    centre = cavity[middle, :2].mean(axis=0)
    insertion, septum = INSERTION_DEG, SEPTUM_DEG
    if {"rv_insertion_anterior", "rv_insertion_inferior"} <= set(pose.landmarks):
        ends = np.stack([pose.landmarks["rv_insertion_anterior"], pose.landmarks["rv_insertion_inferior"]])
        angles = insertion_angle_deg(pose.to_heart(ends) - np.array([*centre, 0.0]))
        insertion = float(angles[0])
        septum = float(np.clip(np.mod(angles[1] - angles[0], 360.0), 60.0, 180.0))
    return PolarMap(tip_z, base_z, (float(centre[0]), float(centre[1])), insertion, septum, min(apex_z, tip_z - 1.0))
