"""The long-axis network's task with the user's own views and points in the place of the twin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.long_axis import LongAxisView, long_axis_axes
from CardiacFusionLib.training.cmr_long_axis import CmrLongAxisTask, Shown
from CardiacFusionLib.training.folder import FolderData, read_view_pair
from CardiacFusionLib.walls.cmr_input import View, read_plane
from CardiacFusionLib.walls.long_axis import USUAL_LV_MM

PIXEL_MM = 1.4
MITRAL = ("mitral_1", "mitral_2")


class FolderLongAxis(CmrLongAxisTask):
    """Frames of the user's long-axis views (``lax*``), with the points marked in them."""

    def __init__(self, data: FolderData) -> None:
        super().__init__()
        self.data = data

    def source(self, seed: int, rng: np.random.Generator) -> int:
        """See :class:`CmrLongAxisTask`: the seed itself picks the view."""
        return seed

    def shown(self, number: int, rng: np.random.Generator) -> Shown:
        """A random frame of a view in the standard orientation."""
        view, points = read_view_pair(self.data.pick(number))
        return standing(view, points, int(rng.integers(len(view.frames))))

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        patients = len({pair.patient for pair in self.data.pairs})
        data = f"the user's own images: {len(self.data.pairs)} of {patients} patients"
        return {**super().facts(), "data": data, "version": "user"}


def standing(view: LongAxisView, points: Mapping[str, NDArray[np.float64]], frame: int) -> Shown:
    """A frame in the standard orientation on square pixels, with its points; the mitral ones are told left from right
    here, whatever the file calls them."""
    image = view.frames[frame] - min(float(view.frames[frame].min()), 0.0)
    axes = long_axis_axes(view.pose.normal)
    rows, columns = image.shape
    corners = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]], float)
    uv = view.pose.points_lps(corners) @ axes[:, :2]
    size = int(np.ceil(np.ptp(uv, axis=0).max() / PIXEL_MM)) + 1
    window = View((uv.min(axis=0) + uv.max(axis=0)) / 2, size, pixel_mm=PIXEL_MM)
    picture = read_plane(image[None], view.pose, axes, window)[0]
    marks = {name: window.pixels(place @ axes[:, :2])[::-1] for name, place in points.items()}
    ends = _ends(marks, np.full(2, (size - 1) / 2))
    if set(MITRAL) <= set(marks):
        away = ends["apex"] - ends["base"]
        right = np.array([away[1], -away[0]])
        marks |= dict(zip(MITRAL, sorted((marks[name] for name in MITRAL), key=lambda p: float(p @ right))))
    return Shown(picture, PIXEL_MM, marks, ends)


def _ends(marks: Mapping[str, NDArray[np.float64]], middle: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Apex and mitral centre (x, y), guessed by the usual length where they are not marked."""
    down = np.array([0.0, USUAL_LV_MM / PIXEL_MM])
    points = [marks[name] for name in MITRAL if name in marks]
    base = np.mean(points, axis=0) if points else marks["apex"] - down if "apex" in marks else middle - down / 2
    return {"apex": marks.get("apex", base + down), "base": base}
