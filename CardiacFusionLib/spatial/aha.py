"""AHA segments 1-17 (Cerqueira 2002, Circulation 105:539) from positions in the heart frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEGMENT_NAMES = {
    1: "basal anterior", 2: "basal anteroseptal", 3: "basal inferoseptal", 4: "basal inferior",
    5: "basal inferolateral", 6: "basal anterolateral", 7: "mid anterior", 8: "mid anteroseptal",
    9: "mid inferoseptal", 10: "mid inferior", 11: "mid inferolateral", 12: "mid anterolateral",
    13: "apical anterior", 14: "apical septal", 15: "apical inferior", 16: "apical lateral", 17: "apex",
}  # fmt: skip
AHA_TERRITORY = {
    **dict.fromkeys((1, 2, 7, 8, 13, 14, 17), "LAD"),
    **dict.fromkeys((3, 4, 9, 10, 15), "RCA"),
    **dict.fromkeys((5, 6, 11, 12, 16), "LCx"),
}
# the order met going from the anterior RV insertion through the septum, 60 degrees each
_SIX = np.array([2, 3, 4, 5, 6, 1])
# apical quarters: septal first, centred on the middle of the septum
_FOUR = np.array([14, 15, 16, 13])


def insertion_angle_deg(points_heart_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of heart-frame points (..., 3) about the z axis in degrees, 0 = lateral (+x), 90 = anterior (-y)."""
    points = np.asarray(points_heart_mm, dtype=float)
    return np.degrees(np.arctan2(-points[..., 1], points[..., 0]))


def stretched_deg(
    from_insertion_deg: NDArray[np.float64], septum_deg: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Angle from the anterior insertion with the septal arc stretched to 120 degrees and the rest to 240 (0..360), so
    that one table of borders serves every heart."""
    angle = np.mod(np.asarray(from_insertion_deg, float), 360.0)
    septum = np.asarray(septum_deg, float)
    return np.where(angle < septum, angle * 120.0 / septum, 120.0 + (angle - septum) * 240.0 / (360.0 - septum))


def segments(
    angle_deg: NDArray[np.float64],
    level: NDArray[np.float64],
    anterior_insertion_deg: float | NDArray[np.float64],
    septum_deg: float | NDArray[np.float64] = 120.0,
) -> NDArray[np.int8]:
    """Segment number for each angle and level.

    ``angle_deg``: as :func:`insertion_angle_deg`, about the LV centre. ``level``: 0 at the tip of the LV cavity, 1 at
    the base; below 0 is the apex (17), above 1 belongs to no segment (0). ``anterior_insertion_deg``: angle of
    the anterior RV insertion. ``septum_deg``: arc from the anterior to the inferior insertion; segments 2 and 3 share
    it equally when given, the other four share the rest (120 gives the fixed 60-degree segments).
    """
    angle, level = np.broadcast_arrays(np.asarray(angle_deg, float), np.asarray(level, float))
    septum = np.broadcast_to(np.asarray(septum_deg, float), angle.shape)
    phi = np.clip(stretched_deg(angle - anterior_insertion_deg, septum), 0.0, 359.999)
    six = _SIX[(phi // 60).astype(int)]
    four = _FOUR[(np.mod(phi - 15.0, 360.0) // 90).astype(int)]
    result = np.where(level >= 2 / 3, six, np.where(level >= 1 / 3, six + 6, four))
    result = np.where(level < 0, 17, result)
    return np.where(level > 1, 0, result).astype(np.int8)
