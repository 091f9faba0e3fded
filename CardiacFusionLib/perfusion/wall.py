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


def wall_coordinates(walls: CmrWalls, poses: tuple[SlicePose, ...]) -> WallCoordinates:
    """Coordinates of every myocardial pixel from the labels and the landmarks of each slice.

    A slice without landmarks takes them from the other slices, moved along the normal; where no slice has both
    insertions, the middle of the septum is taken towards the RV and its arc as 120 degrees, and a flag says so.
    """
    shape = walls.labels.shape
    angle, depth = np.full(shape, np.nan), np.full(shape, np.nan)
    septum = np.full(shape[0], 120.0)
    frames = [_slice_frame(walls, poses, s) for s in range(shape[0])]
    known = [f for f in frames if f is not None]
    flags = []
    if not known:
        flags.append(
            Flag(
                STAGE,
                "no_rv_insertions",
                Level.DOUBTFUL,
                "No RV insertion was found in any slice; the segments start from the middle of the RV instead. "
                "Place the "
                "two RV insertions by hand.",
            )
        )
    for s in range(shape[0]):
        wall = walls.labels[s] == Label.MYOCARDIUM
        if not wall.any():
            continue
        centre = _centre(walls, poses, s)
        frame = frames[s]
        if frame is None and known:
            frame = _mean_frame(known)
        if frame is None:
            frame = _from_rv(walls, s, centre)
        start, septum[s], sense = frame
        y, x = np.nonzero(wall)
        dx = (x - centre[0]) * poses[s].spacing_mm[0]
        dy = (y - centre[1]) * poses[s].spacing_mm[1]
        here = np.degrees(np.arctan2(dy, dx))
        angle[s][wall] = np.mod(sense * (here - start), 360.0)
        depth[s][wall] = _depth(walls.labels[s], poses[s].spacing_mm)[wall]
    return WallCoordinates(angle, septum, depth, tuple(flags))


def _centre(walls: CmrWalls, poses: tuple[SlicePose, ...], s: int) -> Floats:
    """LV centre of a slice in pixels (x, y): the landmark, else the middle of cavity and wall."""
    if "lv_centre" in walls.landmarks[s]:
        return np.asarray(poses[s].pixels(walls.landmarks[s]["lv_centre"]))
    y, x = np.nonzero((walls.labels[s] == Label.LV_CAVITY) | (walls.labels[s] == Label.MYOCARDIUM))
    return np.array([x.mean(), y.mean()])


def _slice_frame(walls: CmrWalls, poses: tuple[SlicePose, ...], s: int) -> tuple[float, float, float] | None:
    """(image angle of the anterior insertion, septal arc, sense +1 or -1 of rising image angle), or None."""
    marks = walls.landmarks[s]
    if "rv_insertion_anterior" not in marks or "rv_insertion_inferior" not in marks:
        return None
    if not np.isin(walls.labels[s], (Label.LV_CAVITY, Label.MYOCARDIUM)).any() and "lv_centre" not in marks:
        return None
    centre = _centre(walls, poses, s)
    spacing = np.asarray(poses[s].spacing_mm)
    anterior = (poses[s].pixels(marks["rv_insertion_anterior"]) - centre) * spacing
    inferior = (poses[s].pixels(marks["rv_insertion_inferior"]) - centre) * spacing
    start = float(np.degrees(np.arctan2(anterior[1], anterior[0])))
    arc = float(np.mod(np.degrees(np.arctan2(inferior[1], inferior[0])) - start, 360.0))
    # of the two arcs between the insertions, the septum is the one that faces the RV
    rv_y, rv_x = np.nonzero(walls.labels[s] == Label.RV_CAVITY)
    if rv_x.size >= 10:
        toward = np.degrees(np.arctan2((rv_y.mean() - centre[1]) * spacing[1], (rv_x.mean() - centre[0]) * spacing[0]))
        rising = float(np.mod(toward - start, 360.0)) < arc
    else:
        rising = arc < 180.0
    septum = arc if rising else 360.0 - arc
    if not 40.0 < septum < 220.0:
        return None
    return start, septum, 1.0 if rising else -1.0


def _mean_frame(known: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    start = np.exp(1j * np.deg2rad([f[0] for f in known])).mean()
    sense = 1.0 if sum(f[2] for f in known) >= 0 else -1.0
    return float(np.degrees(np.angle(start))), float(np.mean([f[1] for f in known])), sense


def _from_rv(walls: CmrWalls, s: int, centre: Floats) -> tuple[float, float, float]:
    """Without insertions: septum of 120 degrees about the direction of the RV, as a picture with the RV on its left."""
    y, x = np.nonzero(walls.labels[s] == Label.RV_CAVITY)
    toward = np.degrees(np.arctan2(y.mean() - centre[1], x.mean() - centre[0])) if x.size else 180.0
    # in a standard short-axis picture (row axis downwards) the septum runs from anterior (up) to inferior (down)
    # anticlockwise, against the rising image angle
    return float(toward + 60.0), 120.0, -1.0


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
