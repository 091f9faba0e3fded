"""What surgeons and disease leave in a heart: pacing leads, valve prostheses, calcified valves and annuli."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.chambers import right_atrium_centre
from CardiacFusionLib.twin.heart.sdf import smooth_path

Image = NDArray[np.float32]
Array = NDArray[np.float64]
METAL_HU, CALCIUM_HU = (1800.0, 3000.0), (450.0, 1300.0)


def add_devices(
    hu: Image,
    heart: Heart,
    heart_from_index: Array,
    spacing: Array,
    rng: np.random.Generator,
    share: float = 0.2,
) -> None:
    """With the chance ``share`` paint one or two of the devices below into ``hu`` (z, y, x) in place, with streaks.

    ``spacing`` (z, y, x) mm. Labels do not change: a device lies in the chamber it lies in.
    """
    if rng.random() >= share:
        return
    index_from_heart = np.linalg.inv(heart_from_index)
    kinds = rng.choice(["lead", "aortic calcium", "mitral calcium", "prosthesis"], size=int(rng.integers(1, 3)))
    for kind in dict.fromkeys(kinds):
        points, radius, value = _drawn(str(kind), heart, rng)
        index = heart.to_heart(points) @ index_from_heart[:3, :3].T + index_from_heart[:3, 3]
        _paint(hu, index[:, ::-1], spacing, radius, value)
        if value > CALCIUM_HU[1]:
            _streaks(hu, index[:, ::-1], spacing, rng)


def _drawn(kind: str, heart: Heart, rng: np.random.Generator) -> tuple[Array, float, float]:
    """Material points (n, 3) of a device, its half thickness in mm and its HU."""
    shape = heart.shape
    if kind == "lead":
        atrium, lv = right_atrium_centre(shape), shape.lv
        height = lv.tip_z + shape.rv_tip + rng.uniform(5, 25)
        tip = np.array([-(lv.radius_y + lv.wall) * 0.9, rng.uniform(-8, 8), height])
        path = np.stack([atrium + shape.lps(0, 4, 60), atrium + shape.lps(0, 2, 12), shape.tricuspid, tip])
        return _dense(smooth_path(path, 12)), 0.9, float(rng.uniform(*METAL_HU))
    if kind == "prosthesis":
        centre, axis, radius = (
            (shape.aortic + 3 * shape.aortic_axis, shape.aortic_axis, shape.aortic_radius)
            if rng.random() < 0.6
            else (shape.mitral, shape.mitral_normal, shape.mitral_radius - 2)
        )
        return _ring(centre, axis, radius, 0.0, 1.0), 1.5, float(rng.uniform(*METAL_HU))
    value = float(rng.uniform(*CALCIUM_HU))
    start, length = rng.uniform(0, 1), rng.uniform(0.15, 0.6)
    if kind == "mitral calcium":
        ring = _ring(shape.mitral, shape.mitral_normal, shape.mitral_radius + 2, start, length)
        return ring, float(rng.uniform(1.0, 3.0)), value
    ring = _ring(shape.aortic + 3 * shape.aortic_axis, shape.aortic_axis, 0.6 * shape.aortic_radius, start, length)
    return ring + rng.normal(0, 1.5, ring.shape), float(rng.uniform(0.8, 2.0)), value


def _ring(centre: Array, axis: Array, radius: float, start: float, length: float) -> Array:
    """Points of an arc about ``axis``; start and length as shares of the whole turn."""
    first = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.8 else [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first)
    angle = 2 * np.pi * (start + np.linspace(0, length, 60))[:, None]
    return np.asarray(centre + radius * (np.cos(angle) * first + np.sin(angle) * np.cross(axis, first)))


def _dense(path: Array, step_mm: float = 1.5) -> Array:
    """The same path with a point every ``step_mm``."""
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.arange(0.0, arc[-1], step_mm)
    return np.stack([np.interp(at, arc, path[:, k]) for k in range(3)], axis=1)


def _paint(hu: Image, index: Array, spacing: Array, radius: float, value: float) -> None:
    """Balls of ``radius`` mm at ``index`` (n, 3; z, y, x); a thin one fills only part of a coarse voxel."""
    edge = float(spacing.mean())
    fill = min(1.0, (2 * radius / edge) ** 2)
    reach = np.ceil((radius + edge / 2) / spacing).astype(int)
    cover: dict[tuple[int, int, int], float] = {}
    for point in index:
        middle = np.rint(point).astype(int)
        if np.any(middle < -1) or np.any(middle > np.array(hu.shape)):
            continue
        for offset in np.ndindex(*(2 * reach + 1)):
            voxel = middle + offset - reach
            if np.any(voxel < 0) or np.any(voxel >= hu.shape):
                continue
            distance = float(np.linalg.norm((voxel - point) * spacing)) - radius
            share = fill * float(np.clip(0.5 - distance / edge, 0, 1))
            key = (int(voxel[0]), int(voxel[1]), int(voxel[2]))
            cover[key] = max(cover.get(key, 0.0), share)
    for key, share in cover.items():
        hu[key] += np.float32(share * (value - hu[key]))


def _streaks(hu: Image, index: Array, spacing: Array, rng: np.random.Generator) -> None:
    """Light and dark rays in the planes that metal lies in, as its photon starvation makes them."""
    strength, phase = rng.uniform(20, 140), rng.uniform(0, 2 * np.pi)
    rows, columns = np.arange(hu.shape[1])[:, None], np.arange(hu.shape[2])[None]
    planes = np.rint(index[:, 0]).astype(int)
    for z in np.unique(planes[(planes >= 0) & (planes < hu.shape[0])]):
        centre = index[planes == z].mean(axis=0)
        y, x = (rows - centre[1]) * spacing[1], (columns - centre[2]) * spacing[2]
        theta = np.arctan2(y, x)
        fan = np.sin(6 * theta + phase) + 0.7 * np.sin(11 * theta + 2 * phase + 0.3 * z)
        hu[z] += (strength * 0.5 * fan * np.exp(-np.hypot(x, y) / 40.0)).astype(np.float32)
