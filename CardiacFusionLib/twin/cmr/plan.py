"""Where the twin lies in the MR scanner and where its slices are put: pose, short and long axes, times."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.series import SlicePose

Array = NDArray[np.float64]

# three slices at these levels of the cavity (0 tip, 1 base): the '3-of-5' rule puts one in each third of the ventricle
THREE_LEVELS = (0.80, 0.50, 0.20)
REPOSITIONING_DEG = 4.0  # SD about each axis: another table, arms down, another breath-hold
BREATH_HOLD_MM = (4.0, 5.0, 9.0)  # SD along L, P, S between the two breath-holds


def draw_cmr_pose(ct_pose: HeartPose, landmarks_heart_mm: Mapping[str, Array], rng: np.random.Generator) -> HeartPose:
    """The heart's place in the MR scanner: the CT's, turned a little and moved by table and breath-hold.

    ``landmarks_heart_mm``: in the coordinates that the returned pose leads to, those of the model in the CMR's
    cardiac phase. The pose's own landmarks are in CMR LPS.
    """
    turn = Rotation.from_rotvec(np.deg2rad(rng.normal(0.0, REPOSITIONING_DEG, 3))).as_matrix()
    shift = rng.normal(0.0, BREATH_HOLD_MM) + rng.uniform(-30, 30, 3) * [1.0, 1.0, 3.0]  # isocentre lies elsewhere
    centre = ct_pose.to_lps(np.zeros(3))
    move = np.eye(4)
    move[:3, :3] = turn
    move[:3, 3] = centre + shift - turn @ centre
    heart_to_lps = move @ ct_pose.heart_to_lps
    landmarks = {name: apply(heart_to_lps, np.asarray(p, float)) for name, p in landmarks_heart_mm.items()}
    return HeartPose(np.asarray(np.linalg.inv(heart_to_lps), dtype=np.float64), landmarks)


def short_axis_slices(
    pose: HeartPose,
    rng: np.random.Generator,
    *,
    tip_z_mm: float,
    base_z_mm: float,
    levels: tuple[float, ...] = THREE_LEVELS,
    size: int = 144,
    spacing_mm: float = 1.8,
    thickness_mm: float = 8.0,
    tilt_deg: float = 3.0,
) -> tuple[SlicePose, ...]:
    """Short-axis slices as an operator would plan them, in the order of ``levels``; parallel to each other.

    ``tip_z_mm``, ``base_z_mm``: heights of the cavity tip and the base in the heart frame. ``tilt_deg``: SD of the
    planning error of the normal. The picture is turned as scanners turn it (RV to the viewer's left, the anterior
    insertion up and to the left).
    """
    tilt = np.deg2rad(rng.normal(0.0, tilt_deg, 2))
    roll = np.deg2rad(np.clip(rng.normal(18.0, 14.0), -15.0, 45.0))
    frame = (Rotation.from_rotvec([tilt[0], tilt[1], 0.0]) * Rotation.from_rotvec([0.0, 0.0, -roll])).as_matrix()
    off_axis = rng.normal([-6.0, 0.0], 4.0)  # the field is centred between the ventricles
    jitter = rng.normal(0.0, 0.02)
    slices = []
    half = (size - 1) / 2 * spacing_mm
    for level in levels:
        height = tip_z_mm + (level + jitter) * (base_z_mm - tip_z_mm)
        centre = np.array([*off_axis, 0.0]) + frame[:, 2] * (height / frame[2, 2])
        origin = centre - half * (frame[:, 0] + frame[:, 1])
        direction = pose.heart_to_lps[:3, :3] @ frame
        slices.append(SlicePose(tuple(pose.to_lps(origin)), direction, (spacing_mm, spacing_mm), thickness_mm))
    return tuple(slices)


def full_stack_levels(tip_z_mm: float, base_z_mm: float, step_mm: float = 10.0) -> tuple[float, ...]:
    """Levels of a stack from just beyond the base to just below the cavity's tip, ``step_mm`` apart, base first."""
    length = base_z_mm - tip_z_mm
    return tuple(float(v) for v in np.arange(1.0 + 0.3 * step_mm / length, -0.6 * step_mm / length, -step_mm / length))


def long_axis_slices(
    pose: HeartPose,
    rng: np.random.Generator,
    *,
    view: str = "four-chamber",
    size: int = 144,
    spacing_mm: float = 1.8,
    thickness_mm: float = 8.0,
) -> tuple[SlicePose, ...]:
    """One long-axis view ("two-", "three-" or "four-chamber") through the LV axis, apex up in the picture."""
    angle = {"four-chamber": 0.0, "three-chamber": 60.0, "two-chamber": 100.0}
    if view not in angle:
        raise ValueError(f"a long-axis view is one of {', '.join(angle)}, not '{view}'")
    turn = np.deg2rad(angle[view] + rng.normal(0.0, 4.0))
    x = np.array([np.cos(turn), -np.sin(turn), 0.0])
    y = np.array([0.0, 0.0, 1.0])  # down the picture runs towards the base
    frame = np.stack([x, y, np.cross(x, y)], axis=1)
    half = (size - 1) / 2 * spacing_mm
    origin = -half * (x + y) + np.array([0.0, 0.0, 15.0])
    direction = pose.heart_to_lps[:3, :3] @ frame
    return (SlicePose(tuple(pose.to_lps(origin)), direction, (spacing_mm, spacing_mm), thickness_mm),)


def frame_times(
    rng: np.random.Generator, frames: int, slices: int, state: str, missed_beat_share: float = 0.03
) -> Array:
    """Acquisition times (frame, slice) in seconds: one image a slice and heart beat, now and then a beat is missed."""
    rr = rng.uniform(0.64, 0.85) if state == "stress" else rng.uniform(0.8, 1.05)
    beats = rr * (1.0 + 0.03 * rng.normal(size=frames))
    beats[rng.random(frames) < missed_beat_share] *= 2.0
    start = np.concatenate([[0.0], np.cumsum(beats[:-1])])
    # slices follow each other within the beat; all of them fit into it
    gap = min(0.2, 0.85 * rr / slices)
    return np.asarray(start[:, None] + gap * np.arange(slices)[None])
