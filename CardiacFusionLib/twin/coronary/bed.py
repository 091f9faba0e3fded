"""The ground coronary arteries run on: the heart's outer surface, the two interventricular and the AV groove."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from CardiacFusionLib.twin.heart import chambers
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.layers import heart_layers, ventricles_outer
from CardiacFusionLib.twin.heart.tissues import Tissue

Array = NDArray[np.float64]

SOLID = frozenset((Tissue.VESSEL_WALL, Tissue.RV_WALL, Tissue.MYOCARDIUM, Tissue.AORTA))
GROOVE_LEVELS = np.linspace(0.0, 1.0, 12)
_SEARCH_DEG = np.arange(-75.0, 45.1, 2.5)  # from the free wall of the LV towards the septum


def distance_to_heart(heart: Heart, points: Array) -> Array:
    """Distance (n,) in mm of heart-frame points (n, 3) to the outer surface of muscle, atria and great vessels."""
    layers = heart_layers(heart.shape, heart.to_material(points))
    return np.min([distance for tissue, distance in layers if tissue in SOLID], axis=0).astype(float)


def lv_surface(heart: Heart, angle_deg: Array, level: Array, lift_mm: float = 0.0) -> Array:
    """Points (n, 3) on the LV's epicardium alone (also under the RV), raised outward by ``lift_mm``."""
    tip, base = heart.landmarks["lv_cavity_tip"][2], heart.landmarks["base"][2]
    angle, level = np.broadcast_arrays(np.asarray(angle_deg, float), np.asarray(level, float))
    z = tip + level * (base - tip)
    origin = np.concatenate([heart.lv_centre(z), z[:, None]], axis=1)
    rad = np.deg2rad(angle)
    ray = np.stack([np.cos(rad), -np.sin(rad), np.zeros_like(rad)], axis=1)
    low, high = np.zeros(len(angle)), np.full(len(angle), 80.0)
    for _ in range(16):
        middle = (low + high) / 2
        inside = chambers.lv_outer_smooth(heart.shape, heart.to_material(origin + middle[:, None] * ray)) < 0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return origin + (low + lift_mm)[:, None] * ray


def groove_angles(heart: Heart, anterior: bool) -> Array:
    """Angle (degrees) of an interventricular groove at each of ``GROOVE_LEVELS``: where the RV leaves the LV's wall."""
    first, second = heart.insertion_angles_deg()
    towards_septum = 1.0 if anterior else -1.0
    insertion = first if anterior else second
    angles = insertion + towards_septum * _SEARCH_DEG
    grid_angle, grid_level = np.meshgrid(angles, GROOVE_LEVELS)
    points = lv_surface(heart, grid_angle.ravel(), grid_level.ravel(), lift_mm=3.5)
    rv = ventricles_outer(heart.shape, heart.to_material(points))[1].reshape(grid_angle.shape)
    found = np.full(len(GROOVE_LEVELS), insertion)
    for k, row in enumerate(rv < 1.0):
        if row.any():
            found[k] = angles[int(np.argmax(row))]
    # at the base the outflow tract leans over the groove; the vessel keeps a steady course
    found = np.clip(found, insertion - 30.0, insertion + 30.0)
    return gaussian_filter1d(found, 1.2, mode="nearest")


class AvRing:
    """The atrioventricular groove as a closed ring of points, smooth, with their angles about the valves' middle."""

    def __init__(self, heart: Heart) -> None:
        self.angle_deg = np.arange(-180.0, 180.0, 7.5)
        raw = np.asarray(heart.av_groove_point(self.angle_deg), dtype=float)
        self.points_mm = gaussian_filter1d(raw, 1.2, axis=0, mode="wrap")

    def at(self, angle_deg: Array) -> Array:
        """Points (n, 3) at any angles."""
        return np.stack([np.interp(angle_deg, self.angle_deg, c, period=360.0) for c in self.points_mm.T], axis=1)

    def angle_near(self, point: Array) -> float:
        """Angle of the ring's point nearest to a heart-frame point (3,)."""
        fine = np.arange(-180.0, 180.0, 1.0)
        return float(fine[int(np.argmin(np.linalg.norm(self.at(fine) - point, axis=1)))])
