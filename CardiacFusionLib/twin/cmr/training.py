"""Fast random short-axis slices for training CMR networks: five contrasts of one slice, with labels.

Only the anatomy is the twin's; brightness is randomised far beyond what one scanner makes (domain randomisation, as in
Billot 2023, Med Image Anal 86:102789), so that a network learns shapes and neighbourhoods rather than one contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT, Label
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes, slice_landmarks
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.twin.cmr.painting import paint
from CardiacFusionLib.twin.cmr.shapes import Bend, draw_bend
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL

Array = NDArray[np.float64]

CHANNELS = ("baseline", "rv_peak", "lv_peak", "myocardium", "cine")
COARSE = 3  # pixels of the coarse cut that measures a slice before its shape is changed
INSERTIONS = ("rv_insertion_anterior", "rv_insertion_inferior")
GROOVE_DEG = 45.0  # an end of the RV's contact farther from the groove is another border of the RV
NEAR_MM = 75.0  # partial volume through the slice is sampled this near the LV axis, once per slice elsewhere


@dataclass(frozen=True)
class Drawn:
    """What lies in a random short-axis slice: tissue ``codes`` (3, y, x) through its thickness, and where it lies in
    its heart (fields as in :class:`CmrSample`)."""

    codes: NDArray[np.uint8]
    heart: Heart
    plane: Array
    level: float
    contraction: float


@dataclass(frozen=True)
class CmrSample:
    """One training slice. ``channels`` (5, y, x) float32 in the order of ``CHANNELS``, brightness in no unit.

    ``labels`` (y, x) uint8 ``Label`` 0..3 (papillary muscles are cavity). ``landmarks``: pixel (x, y) of
    ``lv_centre``, ``rv_insertion_anterior``, ``rv_insertion_inferior``, absent where the slice does not show them.
    ``level``: 0 at the cavity's tip, 1 at the base. ``plane`` (3, 4): pixel (x, y, offset mm, 1) -> heart mm.
    """

    channels: NDArray[np.float32]
    labels: NDArray[np.uint8]
    spacing_mm: float
    level: float
    contraction: float
    plane: Array
    landmarks: Mapping[str, Array] = field(default_factory=dict)


def cmr_training_slice(seed: int, size: int = 128, spacing_mm: float = 1.6, thickness_mm: float = 8.0) -> CmrSample:
    """A random heart, cut by a random short-axis plane from beyond the apex to above the base, in random contrasts."""
    rng = np.random.default_rng(seed)
    drawn = draw_slice(rng, size, spacing_mm, thickness_mm)
    labels = labels_of(drawn.codes)
    centre = _project_centre(drawn.heart, drawn.plane)
    channels = paint(drawn.codes, rng, centre, spacing_mm)
    landmarks = landmarks_of(labels, drawn, spacing_mm)
    return CmrSample(channels, labels, spacing_mm, drawn.level, drawn.contraction, drawn.plane, landmarks)


def draw_slice(rng: np.random.Generator, size: int, spacing_mm: float, thickness_mm: float = 8.0) -> Drawn:
    """A random short-axis slice of a random heart at any phase, its shape bent beyond the twin's own range."""
    contraction = float(np.clip(rng.uniform(-0.3, 1.1), 0.0, 1.0))
    heart = Heart.draw(rng).at_phase(contraction)
    level = float(rng.uniform(-0.1, 1.12))
    plane = _draw_plane(heart, level, rng, size, spacing_mm)
    codes = _cut(heart, plane, size, thickness_mm, _bend(heart, plane, rng, size, spacing_mm))
    return Drawn(codes, heart, plane, level, contraction)


def label_slice(heart: Heart, plane: Array, size: int) -> NDArray[np.uint8]:
    """Labels 0..3 (size, size) of a heart on a plane (3, 4) as in :class:`CmrSample`; no partial volume."""
    found = TISSUE_TO_LABEL[heart.tissue(_plane_points(plane, size, 0.0))]
    return np.where(found < CMR_LABEL_COUNT, found, 0).astype(np.uint8)


def upright_plane(z_mm: float, size: int = 128, spacing_mm: float = 1.0) -> Array:
    """The plane (3, 4) at height ``z_mm`` of the heart frame whose rows and columns are the frame's x and y axes."""
    half = (size - 1) / 2 * spacing_mm
    return np.array([[spacing_mm, 0.0, 0.0, -half], [0.0, spacing_mm, 0.0, -half], [0.0, 0.0, 1.0, z_mm]], dtype=float)


def _draw_plane(heart: Heart, level: float, rng: np.random.Generator, size: int, spacing_mm: float) -> Array:
    tip, base = heart.landmarks["lv_cavity_tip"][2], heart.landmarks["base"][2]
    z = tip + level * (base - tip)
    tilt = np.deg2rad(rng.normal(0.0, 6.0, 2))
    roll = np.deg2rad(rng.normal(20.0, 28.0))
    frame = (Rotation.from_rotvec([*tilt, 0.0]) * Rotation.from_rotvec([0.0, 0.0, -roll])).as_matrix()
    centre = np.array([*heart.lv_centre(np.array(z)), z]) + frame[:, :2] @ rng.uniform(-30, 30, 2)
    half = (size - 1) / 2 * spacing_mm
    corner = centre - half * (frame[:, 0] + frame[:, 1])
    return np.concatenate([frame * [spacing_mm, spacing_mm, 1.0], corner[:, None]], axis=1)


def _plane_points(plane: Array, size: int, offset_mm: float) -> Array:
    y, x = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float), indexing="ij")
    return np.stack([x, y, np.full_like(x, offset_mm)], axis=-1) @ plane[:, :3].T + plane[:, 3]


def _bend(heart: Heart, plane: Array, rng: np.random.Generator, size: int, spacing_mm: float) -> Bend | None:
    """A random change of the heart's shape in this slice, measured on a coarse cut."""
    coarse = plane.copy()
    coarse[:, :2] *= COARSE
    small = label_slice(heart, coarse, size // COARSE)
    pixel = (COARSE * spacing_mm) ** 2
    spots = [np.argwhere(small == label)[:, ::-1] for label in (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY)]
    if len(spots[0]) + len(spots[1]) < 4:
        return None

    def middle(found: NDArray[np.intp]) -> Array:
        x, y = found.mean(axis=0)
        return np.asarray(coarse @ np.array([x, y, 0.0, 1.0]))[:2]

    centre = middle(spots[0] if len(spots[0]) > 3 else spots[1])
    rv = middle(spots[2]) if len(spots[2]) * pixel > 150.0 else None
    return draw_bend(rng, centre, len(spots[0]) * pixel, len(spots[1]) * pixel, rv)


def _cut(heart: Heart, plane: Array, size: int, thickness_mm: float, bend: Bend | None = None) -> NDArray[np.uint8]:
    """Tissue codes (3, y, x) in three layers of the slice, the middle one first; far from the heart all are alike."""
    layers = [_plane_points(plane, size, share * thickness_mm) for share in (0.0, -1 / 3, 1 / 3)]
    near = np.hypot(layers[0][..., 0] + 10.0, layers[0][..., 1]) < NEAR_MM
    if bend is not None:
        layers = [bend(points) for points in layers]
    codes = np.stack([heart.tissue(layers[0])] * len(layers))
    for k in (1, 2):
        codes[k][near] = heart.tissue(layers[k][near])
    return codes


def labels_of(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (y, x) 0..3 of tissue codes (3, y, x): majority over the layers, as the twin's truth; where all differ,
    the middle one."""
    found = TISSUE_TO_LABEL[codes]
    found = np.where(found < CMR_LABEL_COUNT, found, 0)
    return np.where(found[1] == found[2], found[1], found[0]).astype(np.uint8)


def _project_centre(heart: Heart, plane: Array) -> Array:
    """Pixel (x, y) where the LV axis meets the plane."""
    inverse = np.linalg.inv(np.concatenate([plane, [[0, 0, 0, 1]]]))
    z = float(plane[2, 3])
    for _ in range(3):
        point = np.array([*heart.lv_centre(np.array(z)), z])
        pixel = inverse[:3, :3] @ point + inverse[:3, 3]
        z -= float(pixel[2]) * plane[2, 2]
    return pixel[:2]


def landmarks_of(labels: NDArray[np.uint8], drawn: Drawn, spacing_mm: float) -> dict[str, Array]:
    """Pixel landmarks by the rule that reads them off an outline (``spatial.sections.slice_landmarks``). An end of the
    RV's contact far from the heart's groove, as near the base, is no insertion and is left out."""
    pose = SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), (spacing_mm, spacing_mm), 8.0)
    found = {name: np.asarray(pose.pixels(p)) for name, p in slice_landmarks(labels, pose).items()}
    inverse = np.linalg.inv(drawn.plane[:, :3])[:2, :2]  # heart mm in the plane -> pixels; tilts are small
    for name, degrees in zip(INSERTIONS, drawn.heart.insertion_angles_deg()):
        if name in found:
            groove = inverse @ np.array([np.cos(np.deg2rad(degrees)), -np.sin(np.deg2rad(degrees))])
            away = found[name] - found["lv_centre"]
            if away @ groove < np.cos(np.deg2rad(GROOVE_DEG)) * np.hypot(*away) * np.hypot(*groove):
                del found[name]
    return found
