"""Mitral points and apex in a long-axis view: a look at the whole picture, then some close ones at the ventricle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, Seen, read_maps
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import NAMES, LongAxisView, long_axis_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane
from CardiacFusionLib.walls.result import LongAxisMarks

MODEL = "cmr_long_axis"
SIZE = 96  # pixels a side of a close window
COARSE_MM = 2.6  # pixel of the first look
MAX_COARSE = 160  # pixels a side of the first look: 416 mm
LV_PIXELS = 54.0  # a close window shows apex and mitral centre so far apart
FINE_MM = (0.9, 2.2)
USUAL_LV_MM = 90.0
TURNS_DEG = (-40.0, 0.0, 40.0)  # the first look, for hearts that lie unusually
# close windows: turned by, zoomed. Wide ones tell the apex better, near ones the valve (280 development hearts)
LOOKS = ((0.0, 1.0), (-12.0, 1.1), (12.0, 1.1), (0.0, 0.9), (0.0, 0.8), (-12.0, 0.95), (12.0, 0.95))
SEEN = 0.55  # belief, the mean over the close windows, from which a landmark is said to be there
EDGE_MM = 6.0  # a landmark nearer to the edge of the picture is a guess
FILM_FRAMES = 8  # of a film are looked at, evenly over its length
FIRST_SEEN = 0.15  # ... at the first look, to look closer


def close_view(apex: NDArray[np.float64], base: NDArray[np.float64]) -> View:
    """The window with the apex straight below the mitral centre; both (2,) in-plane mm (right, down)."""
    away = apex - base
    length = float(np.linalg.norm(away))
    angle = float(np.degrees(np.arctan2(-away[0], away[1])))
    return View((apex + base) / 2, SIZE, angle, float(np.clip(length / LV_PIXELS, *FINE_MM)))


def _run(images: Sequence[NDArray[np.float32]]) -> list[list[Seen]]:
    """Landmarks, in the order of ``NAMES``, of windows (1, row, column) of one size; places as (row, column)."""
    import torch

    network = load(MODEL)
    device = next(network.parameters()).device
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.stack(images)).to(device)).double().cpu().numpy()
    return [read_maps(one, PLANE_REACH_PX) for one in scores]


def _in_views(
    image: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], views: Sequence[View]
) -> list[dict[str, Seen]]:
    """Landmarks of each window: places in in-plane mm (right, down)."""
    shown = [even_out(read_plane(image[None], pose, axes, view), view.pixel_mm) for view in views]
    return [
        {name: Seen(view.uv(seen.place), seen.belief) for name, seen in zip(NAMES, marks)}
        for view, marks in zip(views, _run(shown))
    ]


def _first(image: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64]) -> list[dict[str, Seen]]:
    """The landmarks at first look, at each turn of the whole picture."""
    rows, columns = image.shape
    corners = pose.points_lps(np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]], float))
    uv = corners @ axes[:, :2]
    reach = float(np.linalg.norm(uv - uv.mean(axis=0), axis=1).max()) * 2
    size = int(np.clip(16 * np.ceil(reach / COARSE_MM / 16), SIZE, MAX_COARSE))
    return _in_views(image, pose, axes, [View(uv.mean(axis=0), size, turn, COARSE_MM) for turn in TURNS_DEG])


def _belief(marks: Mapping[str, Seen]) -> float:
    return sum(seen.belief for seen in marks.values())


def _close(first: Mapping[str, Seen]) -> View | None:
    """The window about the ventricle after the first look; None where nothing was seen."""
    there = {name: seen.place for name, seen in first.items() if seen.belief >= FIRST_SEEN}
    points = [there[name] for name in NAMES[:2] if name in there]
    base = np.mean(points, axis=0) if points else None
    apex = there.get("apex")
    down = np.array([0.0, USUAL_LV_MM])
    if apex is None:
        return None if base is None else close_view(base + down, base)
    if base is None:
        return close_view(apex, apex - down)
    if np.linalg.norm(apex - base) < 30.0:  # no ventricle is so short: look at the usual scale
        return replace(close_view(apex, base), pixel_mm=USUAL_LV_MM / LV_PIXELS)
    return close_view(apex, base)


def _within(place: NDArray[np.float64], image: NDArray[np.float32], pose: SlicePose) -> bool:
    """Whether a place (LPS mm) lies well within the picture: where the ventricle is cut off by the edge of the field of
    view, the place that looks most like its end is that edge."""
    xy, size, margin = pose.pixels(place), np.array(image.shape[::-1]), EDGE_MM / np.asarray(pose.spacing_mm)
    return bool(np.all(xy > margin) and np.all(xy < size - 1 - margin))


def find_long_axis_landmarks(image: NDArray[np.floating], pose: SlicePose) -> dict[str, Seen]:
    """``mitral_1``, ``mitral_2`` and ``apex`` (LPS mm, with the network's belief 0..1) in one long-axis frame (y, x).

    Absent are those the picture does not show. With the apex down ``mitral_1`` lies on the left, the picture seen as
    usual (septum or anterior wall on the left). The frame may be cine or perfusion, stored turned or mirrored.
    """
    if image.ndim != 2 or not np.all(np.isfinite(image)):
        raise BadInputError(f"A long-axis frame is one 2D picture of finite values; this one has shape {image.shape}.")
    frame = np.asarray(image - min(float(image.min()), 0.0), dtype=np.float32)
    axes = long_axis_axes(pose.normal)
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    pointed = [(view, _belief(first)) for first in _first(frame, pose, axes) if (view := _close(first)) is not None]
    if not pointed:
        return {}
    # of the places that the first looks point to, the one that the network believes in most, from afar and near
    closer = _in_views(frame, pose, axes, [view for view, _ in pointed])
    best = max(range(len(pointed)), key=lambda k: pointed[k][1] + _belief(closer[k]))
    again = _close(closer[best]) or pointed[best][0]
    views = [replace(again, angle_deg=again.angle_deg + turn, pixel_mm=again.pixel_mm * zoom) for turn, zoom in LOOKS]
    looks = _in_views(frame, pose, axes, views)
    found = {}
    for name in NAMES:
        beliefs = np.array([look[name].belief for look in looks])
        belief = float(beliefs.mean())
        uv = np.average([look[name].place for look in looks], axis=0, weights=beliefs)
        place = np.asarray(axes @ np.array([*uv, depth]))
        if belief >= SEEN and _within(place, frame, pose):
            found[name] = Seen(place, belief)
    return found


def see_long_axis(view: LongAxisView) -> LongAxisMarks:
    """The landmarks of a view. Of a film, the frames in which the ventricle is longest count (the CT and mostly the
    perfusion are taken in diastole): the median over a third of those looked at."""
    count = len(view.frames)
    chosen = np.unique(np.linspace(0, count - 1, min(count, FILM_FRAMES)).round().astype(int))
    seen = [find_long_axis_landmarks(view.frames[k], view.pose) for k in chosen]
    whole = [marks for marks in seen if set(marks) == set(NAMES)]
    if whole:
        longest = sorted(whole, key=_length, reverse=True)[: max(len(chosen) // 3, 1)]
        return _marks(view, longest, NAMES)
    often = [name for name in NAMES if 2 * sum(name in marks for marks in seen) > len(seen)]
    return _marks(view, seen, often)


def _length(marks: Mapping[str, Seen]) -> float:
    base = (marks[NAMES[0]].place + marks[NAMES[1]].place) / 2
    return float(np.linalg.norm(marks["apex"].place - base))


def _marks(view: LongAxisView, frames: Sequence[Mapping[str, Seen]], names: Sequence[str]) -> LongAxisMarks:
    """The median over frames of each landmark."""
    places = {n: np.median([f[n].place for f in frames if n in f], axis=0) for n in names}
    beliefs = {n: float(np.mean([f[n].belief for f in frames if n in f])) for n in names}
    return LongAxisMarks(view.name, places, beliefs, np.asarray(view.pose.normal))
