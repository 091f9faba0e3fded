"""Fast random long-axis views for training: five contrasts of one plane along the LV, with mitral points and apex.

Contrasts and surroundings are those of the short-axis training slices (``painting``); the plane is planned with the
errors of real ones, and now and then it is no long-axis view at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import long_axis_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.twin.cmr.painting import paint
from CardiacFusionLib.twin.cmr.surroundings import smooth_field
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.sdf import unit
from CardiacFusionLib.twin.heart.tissues import Tissue

Array = NDArray[np.float64]

USUAL_DEG = (90.0, 40.0, -25.0)  # 2-, 3- and 4-chamber: the plane's angle about the long axis, from +x to +y
ROLL_DEG = 14.0  # SD about the long axis
WILD_SHARE, ANY_SHARE = 0.1, 0.08  # planes planned badly; planes of any direction
UNUSUAL_HEARTS = 0.25
WIDER = (0.9, 1.4)  # annuli beyond the twin's own: those of the real views at hand measure 31 to 37 mm
LEAST_CHORD = 0.5  # a plane that crosses less of the annulus (share of its width) shows no two mitral points
FAR_APEX_MM = 13.0  # a plane this far from the apex does not show it
STEEP_DEG = 40.0  # a plane more inclined to the long axis is no long-axis view
NEAR_MM = 75.0
CLOSED_SHARE = 0.6  # of the views show the mitral valve shut
LV = (Tissue.MYOCARDIUM, Tissue.LV_CAVITY, Tissue.PAPILLARY)


@dataclass(frozen=True)
class LongAxisSample:
    """One training view in the standard orientation of its plane (``spatial.long_axis``) by the patient's axes.

    ``channels`` (5, y, x) float32 in the order of ``twin.cmr.training.CHANNELS``. ``landmarks``: pixel (x, y) of those
    of ``spatial.long_axis.NAMES`` that the plane shows, inside the picture or not. ``ends``: pixel (x, y) of the true
    ``apex`` and ``base`` (mitral centre), projected onto the plane, shown or not. ``plane`` (3, 4): pixel (x, y, offset
    mm, 1) -> heart mm, before the shape is bent. ``patient`` (3, 3): LPS axes in the heart frame; the heart's origin is
    that of LPS.
    """

    channels: NDArray[np.float32]
    spacing_mm: float
    plane: Array
    landmarks: Mapping[str, Array]
    ends: Mapping[str, Array]
    patient: Array
    heart: Heart = field(repr=False)

    @property
    def pose(self) -> SlicePose:
        """Where the picture lies in the patient."""
        frame = np.column_stack([self.plane[:, :2] / self.spacing_mm, self.plane[:, 2]])
        spacing = (self.spacing_mm, self.spacing_mm)
        return SlicePose(tuple(self.patient.T @ self.plane[:, 3]), self.patient.T @ frame, spacing, 6.0)


def long_axis_view(seed: int, size: int = 160, spacing_mm: float = 1.6) -> LongAxisSample:
    """A random heart at a random phase, cut by a random long-axis plane, in random contrasts."""
    rng = np.random.default_rng((seed, 41))
    return _view(_draw_heart(rng), rng, size, spacing_mm)


def planned_views(
    seed: int, size: int = 160, spacing_mm: float = 1.6, of: tuple[Heart, Array] | None = None
) -> tuple[LongAxisSample, ...]:
    """The 2-, 3- and 4-chamber view of one heart, each planned with its own errors.

    ``of``: the heart and the patient's axes (3, 3) in its frame; without it a random heart at a random phase.
    """
    rng = np.random.default_rng((seed, 44))
    heart = _draw_heart(rng) if of is None else of[0]
    patient = _lie(heart, rng) if of is None else of[1]
    return tuple(_view(heart, rng, size, spacing_mm, usual, patient) for usual in USUAL_DEG)


def _draw_heart(rng: np.random.Generator) -> Heart:
    contraction = float(np.clip(rng.uniform(-0.4, 1.1), 0.0, 1.0))
    while True:
        heart = _widened(Heart.draw(rng, UNUSUAL_HEARTS), rng).at_phase(contraction)
        with suppress(BadInputError):  # one in thousands has so small an RV that its insertions tell no frame
            _ = heart.lps_axes
            return heart


def _lie(heart: Heart, rng: np.random.Generator) -> Array:
    """The patient's axes (3, 3) in the heart frame: nobody lies quite straight."""
    return np.asarray(heart.lps_axes @ Rotation.from_rotvec(np.deg2rad(rng.normal(0.0, 6.0, 3))).as_matrix())


def _view(
    heart: Heart,
    rng: np.random.Generator,
    size: int,
    spacing_mm: float,
    usual_deg: float | None = None,
    patient: Array | None = None,
) -> LongAxisSample:
    """A view of a heart: of any kind, or planned as the usual one at an angle."""
    normal, offset = _planned(rng, usual_deg) if usual_deg is not None else _draw_normal(rng)
    patient = _lie(heart, rng) if patient is None else patient
    plane = _draw_plane(heart, patient, normal, offset, rng, size, spacing_mm)
    bend = _bend(rng, size, spacing_mm)
    codes = _cut(heart, plane, size, float(rng.uniform(5.0, 8.0)), bend)
    shown, ends = view_landmarks(heart, plane, codes[0], bend)
    if rng.random() < CLOSED_SHARE:
        codes = _shut(codes, shown, rng, spacing_mm)
    middle = (ends["apex"] + ends["base"]) / 2
    return LongAxisSample(paint(codes, rng, middle, spacing_mm), spacing_mm, plane, shown, ends, patient, heart)


def view_landmarks(
    heart: Heart, plane: Array, codes: NDArray[np.uint8], bend: Array | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Landmarks that a plane (3, 4) shows, and where apex and base lie when projected onto it: pixels (x, y).

    ``codes`` (y, x): tissue on the plane; ``bend`` (2, y, x): pixel (x, y) + bend is what the pixel shows. The apex is
    the point of the LV's outline farthest from the mitral centre, as in three dimensions; the mitral points are where
    the annulus crosses the plane, ``mitral_1`` on the left when the apex is down.
    """
    marks = {name: _to_pixels(heart.landmarks[name], plane) for name in ("apex", "base")}
    ends = {name: _unbent(p[:2], bend) for name, p in marks.items()}
    spacing = float(np.linalg.norm(plane[:, 0]))
    normal = plane[:, 2]
    steep = np.degrees(np.arcsin(min(abs(float(normal[2])), 1.0)))
    found: dict[str, Array] = {}
    if steep > STEEP_DEG:
        return found, ends
    if abs(marks["apex"][2]) < FAR_APEX_MM:
        tip = _tip(codes, ends["base"], spacing)
        if tip is not None:
            found["apex"] = tip
    points = _crossing(heart, plane)
    if points is not None:
        points = [_unbent(p, bend) for p in points]
        away = ends["apex"] - ends["base"]
        right = np.array([away[1], -away[0]])
        points.sort(key=lambda p: float(p @ right))
        found["mitral_1"], found["mitral_2"] = points
    return found, ends


def _widened(heart: Heart, rng: np.random.Generator) -> Heart:
    """The heart with another width of the mitral annulus, kept narrower than the ventricle."""
    shape = heart.shape
    radius = min(shape.mitral_radius * rng.uniform(*WIDER), 0.8 * min(shape.lv.radius_x, shape.lv.radius_y))
    return replace(heart, shape=replace(shape, mitral_radius=max(float(radius), 11.0)))


def _draw_normal(rng: np.random.Generator) -> tuple[Array, float]:
    """Normal (3,) and distance (mm) from the heart's middle of a plane of any kind."""
    kind = float(rng.random())
    if kind < ANY_SHARE:
        return unit(rng.normal(size=3)), float(rng.normal(0.0, 30.0))
    wild = kind < ANY_SHARE + WILD_SHARE
    usual = float(rng.choice(USUAL_DEG)) + rng.normal(0.0, ROLL_DEG)
    angle = usual if rng.random() < 0.75 else float(rng.uniform(0.0, 180.0))
    return _along_the_axis(angle, rng, wild)


def _planned(rng: np.random.Generator, usual_deg: float) -> tuple[Array, float]:
    """The same of a usual view, planned as well as it mostly is."""
    return _along_the_axis(usual_deg + float(rng.normal(0.0, ROLL_DEG)), rng, wild=False)


def _along_the_axis(angle_deg: float, rng: np.random.Generator, wild: bool) -> tuple[Array, float]:
    angle = np.deg2rad(angle_deg)
    normal = np.array([-np.sin(angle), np.cos(angle), 0.0])
    tilt = rng.normal(0.0, 14.0 if wild else 6.0)
    along = np.array([np.cos(angle), np.sin(angle), 0.0])
    normal = Rotation.from_rotvec(np.deg2rad(tilt) * along).apply(normal)
    return normal, float(rng.normal(0.0, 9.0 if wild else 4.0))


def _draw_plane(
    heart: Heart, patient: Array, normal: Array, offset: float, rng: np.random.Generator, size: int, spacing_mm: float
) -> Array:
    """A plane (3, 4) at ``offset`` mm from the heart's middle, rows and columns in the standard orientation."""
    frame = patient @ long_axis_axes(patient.T @ normal)
    apex, base = (heart.landmarks[name] for name in ("apex", "base"))
    middle = apex + rng.uniform(0.3, 0.75) * (base - apex)
    middle = middle - ((middle - (apex + base) / 2) @ normal) * normal + offset * normal
    middle = middle + frame[:, :2] @ rng.normal(0.0, 18.0, 2)
    half = (size - 1) / 2 * spacing_mm
    corner = middle - half * (frame[:, 0] + frame[:, 1])
    return np.concatenate([frame * [spacing_mm, spacing_mm, 1.0], corner[:, None]], axis=1)


def _bend(rng: np.random.Generator, size: int, spacing_mm: float) -> Array | None:
    """Displacement (2, y, x) in pixels, order (x, y), that bends the shapes beyond the twin's own; often none."""
    if rng.random() < 0.3:
        return None
    scale = rng.uniform(18.0, 45.0) / spacing_mm
    amount = min(float(rng.uniform(0.5, 4.0)) / spacing_mm, 0.12 * scale)  # gentle: it never folds
    return np.stack([smooth_field(rng, size, scale) for _ in range(2)]) * amount


def _unbent(xy: Array, bend: Array | None) -> Array:
    """The pixel (x, y) at which a bent picture shows the place ``xy`` of the plane."""
    if bend is None:
        return np.asarray(xy, float)
    at = np.asarray(xy, float)
    for _ in range(12):
        at = xy - np.array([ndimage.map_coordinates(b, at[::-1, None], order=1, mode="nearest")[0] for b in bend])
    return at


def _cut(heart: Heart, plane: Array, size: int, thickness_mm: float, bend: Array | None) -> NDArray[np.uint8]:
    """Tissue codes (3, y, x) in three layers of the slice, the middle one first; far from the heart all are alike."""
    y, x = np.meshgrid(np.arange(size, dtype=float), np.arange(size, dtype=float), indexing="ij")
    if bend is not None:
        x, y = x + bend[0], y + bend[1]
    layers = [
        np.stack([x, y, np.full_like(x, share * thickness_mm)], axis=-1) @ plane[:, :3].T + plane[:, 3]
        for share in (0.0, -1 / 3, 1 / 3)
    ]
    near = np.linalg.norm(layers[0] + [10.0, 0.0, 0.0], axis=-1) < NEAR_MM
    codes = np.stack([heart.tissue(layers[0])] * len(layers))
    for k in (1, 2) if near.any() else ():
        codes[k][near] = heart.tissue(layers[k][near])
    return codes


def _to_pixels(point: Array, plane: Array) -> Array:
    """(x, y, distance in mm from the plane) of a heart-frame point."""
    return np.asarray(np.linalg.solve(plane[:, :3], point - plane[:, 3]))


def _crossing(heart: Heart, plane: Array) -> list[Array] | None:
    """The two pixels (x, y) where the mitral annulus crosses the plane; None where it does not, or at its rim only."""
    shape = heart.shape
    first = unit(np.cross(shape.mitral_normal, [0.0, 1.0, 0.0]))
    second = np.cross(shape.mitral_normal, first)
    angle = np.linspace(0.0, 2 * np.pi, 180, endpoint=False)[:, None]
    ring = shape.mitral + shape.mitral_radius * (np.cos(angle) * first + np.sin(angle) * second)
    at = np.linalg.solve(plane[:, :3], (heart.to_heart(ring) - plane[:, 3]).T).T
    after = np.roll(at, -1, axis=0)
    crossing = np.flatnonzero(np.sign(at[:, 2]) != np.sign(after[:, 2]))
    if len(crossing) != 2:
        return None
    share = (at[crossing, 2] / (at[crossing, 2] - after[crossing, 2]))[:, None]
    points = (1 - share) * at[crossing, :2] + share * after[crossing, :2]
    chord = np.linalg.norm(points[1] - points[0]) * np.linalg.norm(plane[:, 0])
    return list(points) if chord > LEAST_CHORD * 2 * shape.mitral_radius else None


def _tip(codes: NDArray[np.uint8], base_xy: Array, spacing_mm: float) -> Array | None:
    """The LV's pixel (x, y) farthest from the mitral centre; of a blunt tip the middle."""
    places = np.argwhere(np.isin(codes, LV))[:, ::-1].astype(float)
    if len(places) * spacing_mm**2 < 300.0:
        return None
    away = np.linalg.norm(places - base_xy, axis=1)
    top = places[int(np.argmax(away))]
    last = (away > away.max() - 1.5 / spacing_mm) & (np.linalg.norm(places - top, axis=1) < 12.0 / spacing_mm)
    middle = places[last].mean(axis=0) - base_xy
    return np.asarray(base_xy + middle / np.linalg.norm(middle) * (away.max() + 0.4))


def _shut(
    codes: NDArray[np.uint8], marks: Mapping[str, Array], rng: np.random.Generator, spacing_mm: float
) -> NDArray[np.uint8]:
    """The codes with the leaflets of the mitral valve shut: a line between its points, tented to the ventricle."""
    if not {"mitral_1", "mitral_2", "apex"} <= set(marks):
        return codes
    one, two = marks["mitral_1"], marks["mitral_2"]
    along = two - one
    width = float(np.linalg.norm(along))
    down = np.array([-along[1], along[0]]) / width
    down *= np.sign(float(down @ (marks["apex"] - one)))
    y, x = np.mgrid[0 : codes.shape[1], 0 : codes.shape[2]].astype(float)
    s = ((x - one[0]) * along[0] + (y - one[1]) * along[1]) / width**2
    h = (x - one[0]) * down[0] + (y - one[1]) * down[1]
    meet, depth = rng.uniform(0.3, 0.7), rng.uniform(-2.0, 9.0) / spacing_mm
    tent = depth * np.clip(np.minimum(s / meet, (1 - s) / (1 - meet)), 0.0, 1.0) ** rng.uniform(0.6, 1.4)
    line = (np.abs(h - tent) < rng.uniform(0.6, 1.5) / spacing_mm) & (s > 0) & (s < 1)
    shut = np.where(codes == Tissue.MITRAL_VALVE, np.uint8(Tissue.LV_CAVITY), codes)
    blood = np.isin(shut, (Tissue.LV_CAVITY, Tissue.LEFT_ATRIUM))
    return np.where(line & blood, np.uint8(Tissue.MITRAL_VALVE), shut)
