"""Where in the field of view the left ventricle lies, and at what scale it is best looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import ring_facts
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.cmr_input import CROP, PIXEL_MM, View, even_out, read_plane
from CardiacFusionLib.walls.cmr_tidy import tidy

MAX_COARSE = 256  # pixels a side of the first pass (384 mm)
CENTRED_MM = 70.0  # the heart is planned into the middle of the field: SD of its distance
SEARCHED = 5  # slices in which the ventricle is searched: it runs through all of them
CANDIDATES, APART_MM = 3, 35.0  # places looked at closely, and how far they lie apart
RIVAL = 0.25  # a place with less than this share of the best one's score is not looked at
USUAL_LV_MM2 = 700.0  # cavity and wall of a small adult LV between apex and middle
WANTED_MM = 75.0  # diameter of the epicardium at which the network sees most of its hearts
ZOOM = (0.8, 1.3)  # finest and coarsest scale of the window

Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def plausible(seen: NDArray[np.float32], pixel_mm: float) -> tuple[float, float]:
    """How much class probabilities (4, size, size) look like one short-axis LV (0 no ring .. 1 a sure, round, closed
    ring of adult size), and the diameter of its epicardium in mm."""
    labels = tidy(seen.argmax(axis=0).astype(np.uint8), (pixel_mm, pixel_mm))
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    if not lv.any():
        return 0.0, 0.0
    facts = ring_facts(labels, (pixel_mm, pixel_mm))
    solid = float(regionprops(lv.astype(np.uint8))[0].solidity)
    area = facts["cavity_mm2"] + facts["wall_mm2"]
    size = min(area / USUAL_LV_MM2, 1.0)
    sure = float(seen.max(axis=0)[lv].mean())
    value = sure * solid**2 * size * (facts["closed"] if facts["cavity_mm2"] > 0 else 0.2)
    return value, float(np.sqrt(4 * area / np.pi))


def find_lv(
    images: Sequence[NDArray[np.float32]],
    poses: Sequence[SlicePose],
    axes: NDArray[np.float64],
    probabilities: Probabilities,
) -> View:
    """The window in which all slices are outlined: they are parallel, and the LV runs through.

    The whole field is searched once; its best places are then looked at as the fine pass will see them, and the one
    that shows the most plausible ring of muscle about blood wins. Large and small hearts are brought to a usual size.
    """
    corners = [
        pose.points_lps(np.array([[0, 0], [0, i.shape[1] - 1], [i.shape[2] - 1, 0], [i.shape[2] - 1, i.shape[1] - 1]]))
        for i, pose in zip(images, poses)
    ]
    flat = np.concatenate(corners) @ axes[:, :2]
    centre = (flat.min(axis=0) + flat.max(axis=0)) / 2
    size = int(np.clip(16 * np.ceil(float(np.ptp(flat, axis=0).max()) / PIXEL_MM / 16), CROP, MAX_COARSE))
    field = View(centre, size)
    chosen = np.unique(np.linspace(0, len(images) - 1, min(SEARCHED, len(images))).round().astype(int))
    score = np.zeros((size, size))
    for k in chosen:
        seen = probabilities(even_out(read_plane(images[k], poses[k], axes, field))[None])[0]
        score += ndimage.gaussian_filter(seen[Label.LV_CAVITY] + seen[Label.MYOCARDIUM], 10.0 / PIXEL_MM)
    uv = field.grid()
    away = np.hypot(uv[..., 0] - centre[0], uv[..., 1] - centre[1])
    score *= np.exp(-0.5 * (away / CENTRED_MM) ** 2)
    best, place, diameter = -1.0, centre, 0.0
    least = max(float(score.max()) * RIVAL, 1e-9)
    for _ in range(CANDIDATES):
        row, column = np.unravel_index(int(np.argmax(score)), score.shape)
        if score[row, column] < least:
            break
        here = uv[row, column]
        crops = [even_out(read_plane(images[k], poses[k], axes, View(here))) for k in chosen]
        values, widths = zip(*(plausible(seen, PIXEL_MM) for seen in probabilities(np.stack(crops))))
        value = float(np.mean(values)) * float(np.exp(-0.5 * (away[row, column] / CENTRED_MM) ** 2))
        if value > best:
            best, place, diameter = value, here, float(np.max(widths))
        score[np.hypot(uv[..., 0] - here[0], uv[..., 1] - here[1]) < APART_MM] = 0
    zoom = float(np.clip(diameter / WANTED_MM, *ZOOM)) if diameter > 0 else 1.0
    return View(np.asarray(place), CROP, pixel_mm=PIXEL_MM * zoom)
