"""The wall and the RV insertions as the network of whole first passes sees them: frames as channels (Xue 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.heatmaps import PLANE_REACH_PX, Seen, read_maps
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.cmr_input import View, write_back
from CardiacFusionLib.walls.cmr_insertions import NAMES, agreed, place_lps
from CardiacFusionLib.walls.cmr_series_input import read_course

MODEL = "cmr_series"
# pixels a side of a window, as in training: channels are normalised over the window, and a wider one (more lung in it)
# widens the wall
SIZE = 96
# turned by degrees, zoomed: what both views tell is averaged
LOOKS = ((-15.0, 0.95), (15.0, 1.1))


@dataclass(frozen=True)
class SeenSeries:
    """What the course of one slice shows: class ``probabilities`` (4, y, x) on the image's own pixels, 0 beyond the
    window, and the RV insertions (LPS mm) with the belief in them."""

    probabilities: NDArray[np.float32]
    marks: Mapping[str, Seen]


def see_series(course: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], window: View) -> SeenSeries:
    """The course (channel, y, x) of one slice, as ``course_images`` gives it, seen about the LV's ``window``."""
    import torch

    network = load(MODEL)
    device = next(network.parameters()).device
    views = [replace(window, angle_deg=a, pixel_mm=window.pixel_mm * z, mirrored=False, size=SIZE) for a, z in LOOKS]
    given = np.stack([read_course(course, pose, axes, view) for view in views])
    with torch.inference_mode():
        scores = network(torch.from_numpy(given).to(device)).float()
        classes = torch.softmax(scores[:, :CMR_LABEL_COUNT], dim=1).cpu().numpy()
        maps = scores[:, CMR_LABEL_COUNT:].double().cpu().numpy()
    shape = (course.shape[1], course.shape[2])
    mean = np.mean([write_back(p, shape, pose, axes, v) for p, v in zip(classes, views)], axis=0)
    found: dict[str, list[Seen]] = {name: [] for name in NAMES}
    for one, view in zip(maps, views):
        for name, seen in zip(NAMES, read_maps(one, PLANE_REACH_PX)):
            found[name].append(Seen(place_lps(seen.place, view, pose, axes), seen.belief))
    return SeenSeries(mean.astype(np.float32), {name: both(seen) for name, seen in found.items()})


def both(seen: Sequence[Seen]) -> Seen:
    """One place from the sightings of all views; views that saw another place weigh against it."""
    found = agreed(seen)
    return Seen(found.place, found.belief / len(seen))
