"""The two RV insertions seen in the picture itself, beside the rule that reads them off the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, Seen, read_maps
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane

MODEL = "cmr_insertions"
NAMES = ("rv_insertion_anterior", "rv_insertion_inferior")
SIZE = 96  # pixels a side of the window
LV_PIXELS = 48.0  # the ventricle's epicardium is brought to this diameter, within the pixels below
PIXEL_MM = (1.0, 1.9)
MIN_LV_MM2 = 150.0  # less cavity and wall is the tip: there is no septum
# share of the heatmap, 'absent' included, that must lie there: to take the place of what the outlines show, and to be
# told where they show nothing (development twins: 95 % have 0.87 and more; the real cine 0.73 at most, once 8 mm off)
SURE, ENOUGH = 0.8, 0.5
# a first pass has three witnesses: this network, that of the whole course, and the outlines' ends, which count so much;
# places nearer than so many millimetres are the same
OUTLINE_WEIGHT, SAME_MM = 0.7, 8.0
# an RV this small against the LV (cavity and wall) is a sliver near the tip: the ends of its contact say nothing unless
# the network sees an insertion too (real cine: 0.15 where the anterior one was 9 mm off, from 0.30 on it was right)
SLIVER = 0.2


def lv_window(labels: NDArray[np.uint8], pose: SlicePose, axes: NDArray[np.float64]) -> View | None:
    """The window about the LV of labels (y, x), at the scale of its epicardium; None where too little is left of it."""
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    area = float(lv.sum()) * pose.spacing_mm[0] * pose.spacing_mm[1]
    if area < MIN_LV_MM2:
        return None
    centre = pose.points_lps(np.argwhere(lv).mean(axis=0)[::-1]) @ axes[:, :2]
    pixel = float(np.clip(np.sqrt(4 * area / np.pi) / LV_PIXELS, *PIXEL_MM))
    return View(np.asarray(centre), SIZE, pixel_mm=pixel)


def window_input(
    images: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], view: View
) -> NDArray[np.float32]:
    """What the network sees (channel, row, column) of a slice's phases (channel, y, x)."""
    return even_out(np.maximum(read_plane(images, pose, axes, view), 0.0), view.pixel_mm)


def see_insertions(images: NDArray[np.float32], labels: NDArray[np.uint8], pose: SlicePose) -> dict[str, Seen]:
    """The insertions (LPS mm) in a slice's phases (channel, y, x) outlined as ``labels``, as the network sees them.

    A single frame fills all channels alike. Empty where the slice shows no ventricle.
    """
    import torch

    axes = canonical_axes(pose.normal)
    view = lv_window(labels, pose, axes)
    if view is None:
        return {}
    network = load(MODEL)
    device = next(network.parameters()).device
    with torch.inference_mode():
        given = torch.from_numpy(window_input(images, pose, axes, view))[None].to(device)
        scores = network(given)[0].double().cpu().numpy()
    found = zip(NAMES, read_maps(scores, PLANE_REACH_PX))
    return {name: Seen(place_lps(seen.place, view, pose, axes), seen.belief) for name, seen in found}


def place_lps(
    place: NDArray[np.float64], view: View, pose: SlicePose, axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """LPS mm of a window's pixel (row, column)."""
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    return np.asarray(axes @ np.array([*view.uv(place), depth]))


def with_insertions(
    landmarks: Sequence[Mapping[str, NDArray[np.float64]]],
    images: Sequence[NDArray[np.float32]],
    labels: Sequence[NDArray[np.uint8]],
    poses: Sequence[SlicePose],
    courses: Sequence[Mapping[str, Seen]] = (),
) -> tuple[dict[str, NDArray[np.float64]], ...]:
    """Landmarks of each slice with the insertions as the network sees them; where it is unsure, or its weights are not
    installed, those read off the labels stay, unless they are the ends of a mere sliver of RV.

    ``courses``: for a first pass, what its whole course shows in each slice. All witnesses are then heard: the place
    that most of them (by belief) agree on is told.
    """
    result = tuple(dict(one) for one in landmarks)
    installed = MODEL in read_manifest()
    for k, (one, image, outline, pose) in enumerate(zip(result, images, labels, poses)):
        seen = see_insertions(image, outline, pose) if installed else {}
        course = courses[k] if courses else {}
        for name in NAMES:
            networks = [told[name] for told in (seen, course) if name in told]
            if not networks:
                continue
            surest = max(told.belief for told in networks)
            if surest < ENOUGH and _is_sliver(outline):
                one.pop(name, None)
            elif course:
                heard = [*networks, Seen(one[name], OUTLINE_WEIGHT)] if name in one else networks
                place = agreed(heard)
                if place.belief >= ENOUGH:
                    one[name] = place.place
            elif surest >= (SURE if name in one else ENOUGH):
                one[name] = networks[0].place
    return result


def agreed(seen: Sequence[Seen]) -> Seen:
    """The place on which most of some sightings (at least one) agree: of all groups within ``SAME_MM`` of one of them
    the one with the largest belief in all, its mean by belief."""
    best: tuple[float, NDArray[np.float64]] | None = None
    for middle in seen:
        near = [one for one in seen if float(np.linalg.norm(one.place - middle.place)) <= SAME_MM]
        weight = np.maximum([one.belief for one in near], 1e-9)
        if best is None or weight.sum() > best[0] + 1e-12:
            best = float(weight.sum()), np.average([one.place for one in near], axis=0, weights=weight)
    assert best is not None
    return Seen(np.asarray(best[1]), best[0])


def _is_sliver(labels: NDArray[np.uint8]) -> bool:
    """Whether labels (y, x) show next to nothing of the RV beside the LV."""
    ventricle = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    return bool((labels == Label.RV_CAVITY).sum() < SLIVER * ventricle.sum())
