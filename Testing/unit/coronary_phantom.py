"""A plain heart with tubes for arteries: chamber labels, a CT at any spacing, and the tree that was drawn."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CtWalls

BLOOD_HU, WALL_HU, FAT_HU = 400.0, 100.0, -90.0
ANTERIOR_DEG, INFERIOR_DEG = 120.0, 240.0
BASE_Z, TIP_Z = 40.0, -40.0


def ray(angle_deg, radius, z):
    """Heart-frame point at an angle (0 lateral, 90 anterior) about the long axis."""
    a = np.deg2rad(angle_deg)
    return np.stack([radius * np.cos(a), -radius * np.sin(a), np.broadcast_to(z, np.shape(a))], axis=-1)


def outer_radius(z):
    """Epicardial radius of the bullet at height z."""
    level = np.clip((np.asarray(z, float) - TIP_Z) / (BASE_Z - TIP_Z), 0, 1)
    return 34.0 * np.sqrt(1 - (1 - level) ** 2)


def labels_at(p):
    """Labels (...) at heart-frame points (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(p, float), -1, 0)
    r = np.hypot(x, y)
    angle = np.mod(np.degrees(np.arctan2(-y, x)), 360)
    result = np.zeros(x.shape, np.uint8)
    body = (z > TIP_Z) & (z < BASE_Z)
    right = (angle > ANTERIOR_DEG) & (angle < INFERIOR_DEG)
    result[body & right & (r < outer_radius(z) + 18 * np.sin(np.deg2rad((angle - 120) * 1.5)))] = Label.RV_CAVITY
    result[body & (r < outer_radius(z))] = Label.MYOCARDIUM
    result[body & (z > TIP_Z + 9) & (r < outer_radius(z - 4) - 9)] = Label.LV_CAVITY
    result[np.linalg.norm([x - 10, y - 4, (z - 58) / 0.8], axis=0) < 19] = Label.LEFT_ATRIUM
    result[np.linalg.norm([x + 42, y - 8, (z - 60) / 0.9], axis=0) < 17] = Label.RIGHT_ATRIUM
    result[(np.hypot(x + 12, y + 18) < 11) & (z > BASE_Z - 4) & (z < 95)] = Label.AORTA
    return result


def curve(waypoints, step=0.5):
    """A smooth polyline through heart-frame waypoints."""
    from scipy.interpolate import make_interp_spline

    w = np.asarray(waypoints, float)
    t = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(w, axis=0), axis=1))])
    dense = make_interp_spline(t, w, k=3)(np.linspace(0, t[-1], 800))
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    at = np.linspace(0, arc[-1], int(arc[-1] / step) + 1)
    return np.stack([np.interp(at, arc, dense[:, k]) for k in range(3)], axis=1)


def drawn_tree(narrowing: float = 0.0) -> CoronaryTree:
    """LM, LAD, LCx, D1, OM1, RCA, PDA in the heart frame; ``narrowing``: share of the LAD's width lost at 45 mm."""
    fork = np.array([12.0, -31.0, 50.0])
    lm = curve([[-5.0, -26.5, 52.0], [0.0, -29.0, 52.0], [6.0, -31.0, 51.0], fork])
    groove = [ray(ANTERIOR_DEG - 4, outer_radius(z) + 3.0, z) for z in (36, 24, 10, -5, -18, -30)]
    lad = curve([fork, [2.0, -35.0, 44.0], *groove])
    lcx = curve([fork, *[ray(a, 38.0, 41.0) for a in (50, 30, 10, -10, -30, -50)]])
    rca = curve([[-22.0, -22.5, 52.0], [-31.0, -29.0, 48.0], *[ray(a, 54.0, 42.0) for a in (150, 170, 190, 210)],
                 ray(228.0, 44.0, 41.0), ray(240.0, 38.0, 40.0)])  # fmt: skip
    pda = curve([rca[-1], *[ray(INFERIOR_DEG + 3, outer_radius(z) + 3.0, z) for z in (30, 18, 5, -8, -18)]])
    d1 = curve([lad[60], *[ray(ANTERIOR_DEG - a, outer_radius(z) + 2.5, z) for a, z in ((22, 14), (38, 4), (48, -8))]])
    om = curve([lcx[90], *[ray(a, outer_radius(z) + 2.5, z) for a, z in ((0, 30), (-6, 18), (-10, 4), (-12, -8))]])
    branches = []
    for name, parent, points, start, end in (
        ("LM", None, lm, 2.2, 2.1), ("LAD", "LM", lad, 1.9, 1.1), ("LCx", "LM", lcx, 1.8, 1.2),
        ("D1", "LAD", d1, 1.2, 0.9), ("OM1", "LCx", om, 1.3, 0.9), ("RCA", None, rca, 1.9, 1.5),
        ("PDA", "RCA", pda, 1.3, 1.0),
    ):  # fmt: skip
        radius = np.linspace(start, end, len(points))
        if name == "LAD" and narrowing:
            arc = np.arange(len(points)) * 0.5
            radius = radius * (1 - narrowing * np.exp(-0.5 * ((arc - 45.0) / 3.0) ** 2))
        branches.append(Branch(name, points, radius, parent))
    return CoronaryTree(tuple(branches), dominance="right", frame="heart")


def pose() -> HeartPose:
    """A heart frame well off the patient's axes, with its landmarks in LPS."""
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [25, -40, 15], degrees=True).as_matrix()
    matrix[:3, 3] = [12.0, -30.0, 8.0]
    bare = HeartPose(matrix)
    heart = {
        "apex": np.array([0, 0, TIP_Z]),
        "base": np.array([0, 0, BASE_Z]),
        "rv_insertion_anterior": ray(ANTERIOR_DEG, 33.0, 0.0),
        "rv_insertion_inferior": ray(INFERIOR_DEG, 33.0, 0.0),
    }
    return HeartPose(matrix, {k: bare.to_lps(v) for k, v in heart.items()})


def ct_of(tree: CoronaryTree | None, spacing: float, noise_hu: float = 15.0, blood_hu: float = BLOOD_HU, seed: int = 0):
    """The phantom's CT (HU, axis-parallel grid) and walls; ``tree`` in the heart frame or None for a heart without."""
    frame = pose()
    middle = frame.to_lps(np.array([-8.0, 0.0, 12.0]))
    n = int(150 / spacing)
    ct = Volume(np.zeros((n, n, n), np.float32), (spacing,) * 3, tuple(middle - 75.0), np.eye(3))
    points = frame.to_heart(ct.grid_lps()).reshape(-1, 3)
    labels = labels_at(points).reshape(ct.array.shape)
    hu = np.full(labels.shape, FAT_HU, np.float32)
    hu[labels > 0] = blood_hu
    hu[labels == Label.RV_CAVITY] = 0.5 * blood_hu
    hu[labels == Label.RIGHT_ATRIUM] = 0.5 * blood_hu
    hu[labels == Label.MYOCARDIUM] = WALL_HU
    if tree is not None:
        _draw(hu.reshape(-1), points, tree, spacing, blood_hu)
    hu = ndimage.gaussian_filter(hu, 0.4 / spacing)
    hu += np.random.default_rng(seed).normal(0, noise_hu, hu.shape).astype(np.float32)
    return ct.with_array(hu), CtWalls(ct.with_array(labels), frame)


def _draw(hu, points, tree, spacing, blood_hu):
    line = np.concatenate([b.points_mm for b in tree.branches])
    radius = np.concatenate([b.radius_mm for b in tree.branches])
    near = np.flatnonzero(np.isfinite(cKDTree(line).query(points, distance_upper_bound=4.0)[0]))
    parts = np.stack(np.meshgrid(*[(np.arange(3) - 1) / 3 * spacing] * 3), -1).reshape(-1, 3)
    cover = np.zeros(len(near))
    for part in parts:
        distance, k = cKDTree(line).query(points[near] + part)
        cover += distance < radius[k]
    cover /= len(parts)
    hu[near] += (cover * (blood_hu - hu[near])).astype(np.float32)
