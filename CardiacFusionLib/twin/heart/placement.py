"""Where a patient lies in the scanner."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.twin.heart.anatomy import Heart


def draw_pose(rng: np.random.Generator, heart: Heart, tilt_deg: float = 4.0, shift_mm: float = 60.0) -> HeartPose:
    """Patient LPS -> heart frame of a patient lying about straight (each axis off by ``tilt_deg`` SD), table anywhere.

    The heart's own direction in the chest (long axis 45 +- 11 degrees left, 34 +- 13 degrees down, roll 0 +- 13) was
    drawn with the heart. Landmarks are given in LPS mm.
    """
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, tilt_deg, 3))).as_matrix()
    rotation = heart.lps_axes @ tilt
    u, _, vt = np.linalg.svd(rotation)
    matrix = np.eye(4)
    matrix[:3, :3] = u @ vt
    centre_lps = rng.uniform(-1, 1, 3) * [shift_mm, shift_mm, 5 * shift_mm] + [20.0, -20.0, 0.0]
    matrix[:3, 3] = -matrix[:3, :3] @ centre_lps
    pose = HeartPose(matrix)
    return HeartPose(matrix, {name: pose.to_lps(p) for name, p in heart.landmarks.items()})


def draw_ct_pose(rng: np.random.Generator, heart: Heart) -> HeartPose:
    """The pose of a CT examination: see :func:`draw_pose`."""
    return draw_pose(rng, heart)
