"""The heart frame: the rigid transform from the patient (LPS mm) to the standard upright heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.errors import BadInputError

LANDMARK_NAMES = ("apex", "base", "rv_insertion_anterior", "rv_insertion_inferior")


def apply(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a 4x4 matrix to points (..., 3)."""
    return np.asarray(points, dtype=float) @ matrix[:3, :3].T + matrix[:3, 3]


@dataclass(frozen=True)
class HeartPose:
    """Rigid transform patient LPS -> heart frame (mm), the landmarks it rests on (LPS mm) and a confidence 0..1.

    Heart frame: +z apex to base, +y from the anterior to the inferior RV insertion made square to z, x = y x z
    (septum to lateral wall), origin midway between apex (epicardial tip) and base (mitral annulus centre).
    """

    lps_to_heart: NDArray[np.float64]
    landmarks: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    confidence: float = 1.0

    def __post_init__(self) -> None:
        matrix = np.asarray(self.lps_to_heart, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or np.any(matrix[3] != (0, 0, 0, 1)):
            raise ValueError("a heart pose is a finite rigid 4x4 transform")
        rotation = matrix[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4:
            raise ValueError("a heart pose is a rigid transform; this one stretches or shears")
        if np.linalg.det(rotation) < 0:
            raise ValueError("a heart pose must not mirror the heart (its rotation has determinant -1)")
        object.__setattr__(self, "lps_to_heart", matrix)
        object.__setattr__(self, "landmarks", {k: np.asarray(v, dtype=float) for k, v in self.landmarks.items()})

    @property
    def heart_to_lps(self) -> NDArray[np.float64]:
        """4x4 from the heart frame to patient LPS mm."""
        return np.asarray(np.linalg.inv(self.lps_to_heart))

    @property
    def long_axis_lps(self) -> NDArray[np.float64]:
        """Unit vector apex -> base in patient LPS."""
        return self.lps_to_heart[2, :3]

    def to_heart(self, points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm (..., 3) -> heart mm (..., 3)."""
        return apply(self.lps_to_heart, points_lps)

    def to_lps(self, points_heart: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heart mm (..., 3) -> LPS mm (..., 3)."""
        return apply(self.heart_to_lps, points_heart)

    @staticmethod
    def from_landmarks(landmarks: Mapping[str, NDArray[np.float64]], confidence: float = 1.0) -> HeartPose:
        """The heart frame of the four landmarks of ``LANDMARK_NAMES`` in LPS mm.

        Raises BadInputError where a landmark is missing or the four do not span a frame.
        """
        missing = [name for name in LANDMARK_NAMES if name not in landmarks]
        if missing:
            raise BadInputError(f"The heart frame needs the landmarks {', '.join(missing)}; place them and run again.")
        points = {name: np.asarray(landmarks[name], dtype=float) for name in LANDMARK_NAMES}
        lost = [name for name, point in points.items() if point.shape != (3,) or not np.all(np.isfinite(point))]
        if lost:
            raise BadInputError(f"The landmark {lost[0]} has no position in three dimensions; place it again.")
        z = points["base"] - points["apex"]
        across = points["rv_insertion_inferior"] - points["rv_insertion_anterior"]
        length = float(np.linalg.norm(z))
        if length < 20.0:
            raise BadInputError(f"Apex and base lie only {length:.0f} mm apart; place them at the heart's two ends.")
        z = z / length
        y = across - (across @ z) * z
        if np.linalg.norm(y) < 5.0:
            raise BadInputError(
                "The two RV insertions coincide along the long axis; place them apart in a short-axis view."
            )
        y = y / np.linalg.norm(y)
        rotation = np.stack([np.cross(y, z), y, z])
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = -rotation @ ((points["apex"] + points["base"]) / 2)
        return HeartPose(matrix, dict(landmarks), confidence)


def between(a: HeartPose, b: HeartPose, share: float = 0.5) -> HeartPose:
    """The pose ``share`` of the way from one to another: that of their landmarks' weighted means, with the lower
    confidence of the two.

    Two poses read in different ways err differently, so one between them may err less than either.
    """
    landmarks = {name: (1 - share) * a.landmarks[name] + share * b.landmarks[name] for name in LANDMARK_NAMES}
    return HeartPose.from_landmarks(landmarks, min(a.confidence, b.confidence))


def rolled(pose: HeartPose, angle_deg: float) -> HeartPose:
    """``pose`` turned about its long axis, its landmarks with it: ``roll_angle_deg(pose, rolled(pose, a)) == a``."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0.0, 0.0, np.deg2rad(angle_deg)]).as_matrix()
    landmarks = {name: pose.to_lps(apply(turn, pose.to_heart(point))) for name, point in pose.landmarks.items()}
    return HeartPose(turn.T @ pose.lps_to_heart, landmarks, pose.confidence)


def axis_angle_deg(a: HeartPose, b: HeartPose) -> float:
    """Angle between the long axes of two poses in degrees."""
    cosine = float(np.clip(a.long_axis_lps @ b.long_axis_lps, -1, 1))
    return float(np.degrees(np.arccos(cosine)))


def roll_angle_deg(a: HeartPose, b: HeartPose) -> float:
    """Signed roll of b against a about a's long axis, in degrees, after the axes are swung onto each other."""
    za, zb = a.long_axis_lps, b.long_axis_lps
    axis = np.cross(zb, za)
    sine, cosine = np.linalg.norm(axis), float(za @ zb)
    swing = np.eye(3)
    if sine > 1e-9:
        k = axis / sine
        skew = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
        swing = np.eye(3) + sine * skew + (1 - cosine) * skew @ skew
    y = a.lps_to_heart[:3, :3] @ (swing @ b.lps_to_heart[1, :3])
    return float(np.degrees(np.arctan2(-y[0], y[1])))
