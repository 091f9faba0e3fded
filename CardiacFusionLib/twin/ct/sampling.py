"""Training cubes drawn from the twin: one seed, one sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.appearance import Appearance, draw_fields
from CardiacFusionLib.twin.ct.devices import add_devices
from CardiacFusionLib.twin.ct.painting import heart_points, paint
from CardiacFusionLib.twin.ct.render import heart_middle
from CardiacFusionLib.twin.ct.scanner import degrade
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.placement import draw_ct_pose

OUTSIDE_HU = -1024.0
UNUSUAL_HEART, UNUSUAL_LOOK, WITH_DEVICES = 0.25, 0.22, 0.2  # shares of training samples
OTHER_TIP, STRANGE_LOOK = 0.4, 0.25  # of the samples the label networks learn from
OTHER_RIGHT, FLUSHED = 0.6, 0.4  # likewise: another right ventricle, its blood cleared of contrast
FAR_OFF = 0.08  # share of coarse cubes that hold little of the heart or none
TURNED = 0.5  # share of coarse cubes in which the patient lies turned


@dataclass(frozen=True)
class CtSample:
    """One cube: ``image`` (z, y, x) float32 HU, ``labels`` uint8, its geometry, and the true pose with landmarks."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    volume: Volume  # the image with its place in the patient
    pose: HeartPose


def draw_heart(rng: np.random.Generator) -> Heart:
    """A heart at a random phase of the kind CT is taken at: mostly diastole, sometimes towards systole."""
    return _at_some_phase(Heart.draw(rng, UNUSUAL_HEART), rng)


def _stranger(seed: int, rng: np.random.Generator) -> tuple[Heart, Appearance]:
    """A heart as :func:`draw_heart` gives it or with another tip or right ventricle, and a look: now and then with the
    right heart's contrast flushed away, now and then of a strange body."""
    other = np.random.default_rng([seed, 21])
    heart = Heart.draw(rng, UNUSUAL_HEART)
    if other.random() < OTHER_TIP:
        heart = heart.with_other_tip(other)
    look = _draw_look(rng)
    if other.random() < STRANGE_LOOK:
        look = look.strange(other)
    right = np.random.default_rng([seed, 22])
    if right.random() < OTHER_RIGHT:
        heart = heart.with_other_right(right)
    if right.random() < FLUSHED:
        look = look.flushed(right)
    return _at_some_phase(heart, rng), look


def _at_some_phase(heart: Heart, rng: np.random.Generator) -> Heart:
    return heart.at_phase(float(rng.uniform(0, 1))) if rng.random() < 0.25 else heart


def ct_training_sample(
    seed: int, shape: tuple[int, int, int] = (48, 48, 48), spacing_mm: float = 4.0, varied: bool = False
) -> CtSample:
    """A coarse cube along the patient's axes (tilted by about 3 degrees) with the heart somewhere in it.

    The heart's middle lies off the cube's by 15 mm SD, in three of ten samples by up to 45 mm; the scanner's own field
    of view often ends inside the cube (then -1024 HU, background). ``varied``: forms and looks as the label networks
    learn from.
    """
    rng = np.random.default_rng(seed)
    heart, look = _stranger(seed, rng) if varied else (draw_heart(rng), None)
    pose = draw_ct_pose(rng, heart)
    shift = rng.normal(0, 15, 3) if rng.random() < 0.7 else rng.uniform(-45, 45, 3)
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 3, 3))).as_matrix()
    return _render(heart, pose, _grid_about(pose, shape, spacing_mm, shift, tilt), rng, crop=True, look=look)


def ct_turned_sample(seed: int, shape: tuple[int, int, int] = (48, 48, 48), spacing_mm: float = 4.0) -> CtSample:
    """As :func:`ct_training_sample`, but every other patient lies turned by 16 degrees SD about each axis, and some
    cubes hold the chest's ends, where there is little heart or none; tips and looks are more varied."""
    rng = np.random.default_rng([seed, 3])
    heart, look = _stranger(seed, rng)
    pose = draw_ct_pose(rng, heart)
    shift = rng.normal(0, 12, 3) if rng.random() < 0.6 else rng.uniform(-45, 45, 3)
    if rng.random() < FAR_OFF:
        shift = rng.uniform(-1, 1, 3) * [60, 60, 140]
    sd = 16.0 if rng.random() < TURNED else 3.0
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, sd, 3))).as_matrix()
    return _render(heart, pose, _grid_about(pose, shape, spacing_mm, shift, tilt), rng, crop=True, look=look)


def ct_heart_frame_sample(
    seed: int,
    shape: tuple[int, int, int] = (64, 64, 64),
    spacing_mm: float = 2.0,
    pose_error_deg: float = 8.0,
    pose_error_mm: float = 6.0,
) -> CtSample:
    """An upright cube about a disturbed pose (SD of each rotation and shift as given), as the wall network sees it."""
    return ct_pair_sample(seed, shape, spacing_mm, pose_error_deg, pose_error_mm)[0]


def ct_pair_sample(
    seed: int,
    shape: tuple[int, int, int] = (64, 64, 64),
    spacing_mm: float = 2.0,
    pose_error_deg: float = 8.0,
    pose_error_mm: float = 6.0,
    coarse: tuple[int, float] | None = None,
) -> tuple[CtSample, CtSample | None]:
    """The upright cube of :func:`ct_heart_frame_sample` and, where ``coarse`` (side, spacing) is given, the same
    examination as the chamber network sees it: a coarse cube near the patient's axes."""
    rng = np.random.default_rng(seed)
    heart, look = _stranger(seed, rng)
    pose = draw_ct_pose(rng, heart)
    error = np.eye(4)
    error[:3, :3] = Rotation.from_rotvec(np.deg2rad(rng.normal(0, pose_error_deg, 3))).as_matrix()
    error[:3, 3] = rng.normal(0, pose_error_mm, 3)
    guess = HeartPose(error @ pose.lps_to_heart)
    crop = bool(rng.random() < 0.5)
    fine = _render(heart, pose, heart_grid(guess, shape, spacing_mm), rng, crop=crop, look=look)
    if coarse is None:
        return fine, None
    side, coarse_mm = coarse
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, 6.0, 3))).as_matrix()
    grid = _grid_about(pose, (side,) * 3, coarse_mm, rng.normal(0, 8, 3), tilt)
    return fine, _render(heart, pose, grid, rng, crop=False, look=look)


def _grid_about(
    pose: HeartPose,
    shape: tuple[int, int, int],
    spacing_mm: float,
    shift_mm: NDArray[np.float64],
    tilt: NDArray[np.float64],
) -> Volume:
    """An empty grid with axes ``tilt`` (columns, LPS) whose middle lies ``shift_mm`` off the heart's."""
    half = (np.asarray(shape[::-1], float) - 1) / 2 * spacing_mm
    origin = heart_middle(pose) + shift_mm - tilt @ half
    return Volume(np.zeros(shape, np.uint8), (spacing_mm,) * 3, tuple(origin), tilt)


def _draw_look(rng: np.random.Generator) -> Appearance:
    look = Appearance.draw(rng)
    return look.unusual(rng) if rng.random() < UNUSUAL_LOOK else look


def _render(
    heart: Heart, pose: HeartPose, grid: Volume, rng: np.random.Generator, crop: bool, look: Appearance | None = None
) -> CtSample:
    shape: tuple[int, int, int] = grid.array.shape  # type: ignore[assignment]
    spacing = np.asarray(grid.spacing_mm, float)[::-1]
    look = look or _draw_look(rng)
    heart_from_index = pose.lps_to_heart @ grid.index_to_lps
    fields = draw_fields(rng, shape, spacing)
    points = heart_points(heart_from_index, shape)
    # a cube read from a finer CT by interpolation has sharper or softer edges than its own voxels
    edge = float(spacing.mean()) * float(rng.uniform(0.4, 1.2))
    hu, labels = paint(heart.layers(points), shape, look, fields, edge)
    hu += fields["shading"] * np.float32(look.shading)
    add_devices(hu, heart, heart_from_index, spacing, rng, WITH_DEVICES)
    noise = float(np.clip(rng.lognormal(np.log(16), 0.6), 3, 60))
    degrade(hu, heart, heart_from_index, spacing, look, rng, noise_hu=noise)
    if crop:
        outside = _outside_scan(heart, heart_from_index, shape, rng)
        hu[outside] = OUTSIDE_HU
        labels[outside] = 0
    np.clip(hu, -1024, 3071, out=hu)
    return CtSample(hu, labels, grid.with_array(hu), pose)


def _outside_scan(
    heart: Heart, heart_from_index: NDArray[np.float64], shape: tuple[int, int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Voxels (z, y, x) beyond the scan: a box about the heart, sometimes a cylinder in it, in patient axes."""
    to_patient = np.eye(4)
    to_patient[:3, :3] = heart.lps_axes.T
    points = heart_points(to_patient @ heart_from_index, shape)
    middle = heart.lps_axes.T @ np.array([-12.0, 2.0, 16.0])
    points -= (middle + rng.normal(0, 8, 3)).astype(np.float32)
    wide, tall = float(rng.uniform(78, 160)), float(rng.uniform(58, 150))
    inside = np.abs(points[:, 2]) < tall
    if rng.random() < 0.4:
        inside &= points[:, 0] ** 2 + points[:, 1] ** 2 < wide**2
    else:
        inside &= (np.abs(points[:, 0]) < wide) & (np.abs(points[:, 1]) < wide)
    return ~inside.reshape(shape)
