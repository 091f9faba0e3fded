"""The wall's own coordinates in a short-axis slice: angle from the anterior RV insertion and depth endo to epi."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Level
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import CmrWalls

STAGE = "perfusion"
Floats = NDArray[np.float64]


USUAL_SEPTUM_DEG = 120.0  # two of six equal segments (Cerqueira 2002)
# the RV touches the LV along less than the whole septum (its grooves hold fat), never along more: a narrower arc than
# the usual one says nothing, a wider one does
WIDEST_SEPTUM_DEG = 160.0


@dataclass(frozen=True)
class WallCoordinates:
    """``angle_deg`` (slice, y, x): 0 at the anterior RV insertion, rising through the septum to the inferior insertion
    (0..360). ``septum_deg`` (slice,): the arc between the insertions. ``depth`` (slice, y, x): 0 endocardium, 1
    epicardium; both NaN outside the myocardium. ``flags``: what had to be guessed.
    """

    angle_deg: Floats
    septum_deg: Floats
    depth: Floats
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True)
class _Septum:
    """Where the septum of one slice lies, seen in the axes of the first slice: angles in degrees, image-wise rising."""

    middle_deg: float
    arc_deg: float
    sense: float  # +1 where the angle from the anterior insertion through the septum rises with the image's angle


def wall_coordinates(walls: CmrWalls, poses: tuple[SlicePose, ...]) -> WallCoordinates:
    """Coordinates of every myocardial pixel from the labels and the landmarks of each slice.

    All slices share one frame, as a reader lays one reference line through a stack: the RV narrows towards the apex, so
    that its contact there is half as wide and, slice by slice, would turn the apical segments by 40 degrees. The
    *middle* of the septum hardly moves; its median over the slices is taken. The arc is 120 degrees, or the widest
    found where that is more. Where no slice has both insertions, the septum is taken towards the RV, and a flag says
    so.
    """
    shape = walls.labels.shape
    angle, depth = np.full(shape, np.nan), np.full(shape, np.nan)
    found = [_slice_septum(walls, poses, s) for s in range(shape[0])]
    known = [f for f in found if f is not None]
    flags = []
    if not known:
        flags.append(
            Flag(
                STAGE,
                "no_rv_insertions",
                Level.DOUBTFUL,
                "No RV insertion was found in any slice; the segments start from the middle of the RV instead. Place "
                "the two RV insertions by hand.",
            )
        )
    common = _consensus(known) if known else None
    septum = np.full(shape[0], USUAL_SEPTUM_DEG if common is None else common.arc_deg)
    for s in range(shape[0]):
        wall = walls.labels[s] == Label.MYOCARDIUM
        if not wall.any():
            continue
        centre = _centre(walls, poses, s)
        frame = common or _from_rv(walls, poses, s, centre)
        y, x = np.nonzero(wall)
        here = _image_angle_deg(np.stack([x, y], axis=-1) - centre, poses, s)
        start = frame.middle_deg - frame.sense * frame.arc_deg / 2
        angle[s][wall] = np.mod(frame.sense * (here - start), 360.0)
        depth[s][wall] = _depth(walls.labels[s], poses[s].spacing_mm)[wall]
    return WallCoordinates(angle, septum, depth, tuple(flags))


def _image_angle_deg(offset_px: Floats, poses: tuple[SlicePose, ...], s: int) -> Floats:
    """Angle of pixel offsets (..., 2) of slice ``s`` in the axes of the first slice: the slices may be turned."""
    mm = (np.asarray(offset_px, float) * np.asarray(poses[s].spacing_mm)) @ poses[s].direction[:, :2].T
    along = mm @ poses[0].direction[:, :2]
    return np.asarray(np.degrees(np.arctan2(along[..., 1], along[..., 0])))


def _centre(walls: CmrWalls, poses: tuple[SlicePose, ...], s: int) -> Floats:
    """LV centre of a slice in pixels (x, y): the landmark, else the middle of cavity and wall."""
    if "lv_centre" in walls.landmarks[s]:
        return np.asarray(poses[s].pixels(walls.landmarks[s]["lv_centre"]))
    y, x = np.nonzero((walls.labels[s] == Label.LV_CAVITY) | (walls.labels[s] == Label.MYOCARDIUM))
    return np.array([x.mean(), y.mean()])


def _slice_septum(walls: CmrWalls, poses: tuple[SlicePose, ...], s: int) -> _Septum | None:
    """The septum between the RV insertions of one slice; None without them."""
    marks = walls.landmarks[s]
    if "rv_insertion_anterior" not in marks or "rv_insertion_inferior" not in marks:
        return None
    if not np.isin(walls.labels[s], (Label.LV_CAVITY, Label.MYOCARDIUM)).any() and "lv_centre" not in marks:
        return None
    centre = _centre(walls, poses, s)
    pixels = poses[s].pixels(np.stack([marks["rv_insertion_anterior"], marks["rv_insertion_inferior"]]))
    start, end = _image_angle_deg(pixels - centre, poses, s)
    arc = float(np.mod(end - start, 360.0))
    # of the two arcs between the insertions, the septum is the one that faces the RV
    rv_y, rv_x = np.nonzero(walls.labels[s] == Label.RV_CAVITY)
    if rv_x.size >= 10:
        toward = float(_image_angle_deg(np.array([rv_x.mean(), rv_y.mean()]) - centre, poses, s))
        rising = float(np.mod(toward - start, 360.0)) < arc
    else:
        rising = arc < 180.0
    septum = arc if rising else 360.0 - arc
    if not 25.0 < septum < 220.0:
        return None
    sense = 1.0 if rising else -1.0
    return _Septum(float(start) + sense * septum / 2, septum, sense)


def _consensus(known: list[_Septum]) -> _Septum:
    """One septum for all slices: median of the middles, the usual arc or a wider one."""
    middles = np.deg2rad([f.middle_deg for f in known])
    about = float(np.degrees(np.angle(np.exp(1j * middles).mean())))
    away = np.mod(np.degrees(middles) - about + 180.0, 360.0) - 180.0
    arcs = [f.arc_deg for f in known if f.arc_deg <= WIDEST_SEPTUM_DEG]
    sense = 1.0 if sum(f.sense for f in known) >= 0 else -1.0
    return _Septum(about + float(np.median(away)), max([USUAL_SEPTUM_DEG, *arcs]), sense)


def _from_rv(walls: CmrWalls, poses: tuple[SlicePose, ...], s: int, centre: Floats) -> _Septum:
    """Without insertions: septum of 120 degrees about the direction of the RV, as a picture with the RV on its left."""
    y, x = np.nonzero(walls.labels[s] == Label.RV_CAVITY)
    offset = np.array([x.mean(), y.mean()]) - centre if x.size else np.array([-1.0, 0.0])
    # in a standard short-axis picture (row axis downwards) the septum runs from anterior (up) to inferior (down)
    # anticlockwise, against the rising image angle
    return _Septum(float(_image_angle_deg(offset, poses, s)), USUAL_SEPTUM_DEG, -1.0)


def _depth(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> Floats:
    """0 at the endocardium, 1 at the epicardium, from the distances to cavity and outside."""
    sampling = (spacing_mm[1], spacing_mm[0])
    cavity = labels == Label.LV_CAVITY
    wall = labels == Label.MYOCARDIUM
    half = min(sampling) / 2  # distances run to pixel centres, the border lies half a pixel before
    if cavity.any():
        inner = np.maximum(ndimage.distance_transform_edt(~cavity, sampling=sampling) - half, 0.0)
    else:  # an apical slice without cavity: from the middle outwards
        inner = ndimage.distance_transform_edt(wall, sampling=sampling)
        inner = inner.max() - inner
    outer = np.maximum(ndimage.distance_transform_edt(wall | cavity, sampling=sampling) - half, 0.0)
    return np.asarray(inner / np.maximum(inner + outer, 1e-9))
