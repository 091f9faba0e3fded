"""What the network of whole first passes sees: one slice's frames gathered into a fixed course about the bolus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls.cmr_input import View, even_out
from CardiacFusionLib.walls.phases_cmr import Phases

# seconds from the moment the RV is brightest at which a channel ends and the next begins: one a second while the bolus
# passes both ventricles, wider ones while the wall enhances. Before them comes the mean of all frames before contrast
EDGES_S = np.concatenate([np.arange(-5.0, 16.0), np.arange(16.0, 32.0, 2.0), [32.0, 35.0, 38.0]])
CHANNELS = len(EDGES_S)  # 'before contrast' and one between each two edges
WITHIN = 4  # moments at which each channel's stretch is read


def course_weights(times_s: NDArray[np.float64], rv_peak_s: float, before: NDArray[np.intp]) -> NDArray[np.float32]:
    """How much each frame counts in each channel: (CHANNELS, t), rows of sum 1.

    ``times_s`` (t,) of the frames, ``rv_peak_s`` when the RV's blood is brightest, ``before``: frames before contrast,
    the first of them the first frame that counts (those ahead of it show proton density). Between frames the course is
    linear; a series that ends earlier goes on with its last frame.
    """
    count, first = len(times_s), int(before[0])
    weights = np.zeros((CHANNELS, count))
    weights[0, before] = 1.0 / len(before)
    share = (np.arange(WITHIN) + 0.5) / WITHIN
    starts, widths = EDGES_S[:-1, None], np.diff(EDGES_S)[:, None]
    when = np.clip(rv_peak_s + starts + widths * share, times_s[first], times_s[-1])
    low = np.clip(np.searchsorted(times_s, when, side="right") - 1, first, count - 2)
    part = (when - times_s[low]) / (times_s[low + 1] - times_s[low])
    rows = np.repeat(np.arange(1, CHANNELS), WITHIN).reshape(when.shape)
    np.add.at(weights, (rows, low), (1.0 - part) / WITHIN)
    np.add.at(weights, (rows, low + 1), part / WITHIN)
    return weights.astype(np.float32)


def course_images(series: Series, phases: Phases) -> NDArray[np.float32]:
    """The course of every slice of a motion-corrected series: (slice, CHANNELS, y, x)."""
    peak = float(series.times_s.mean(axis=1)[phases.rv].mean())
    result = []
    for k in range(series.array.shape[1]):
        weights = course_weights(series.times_s[:, k], peak, phases.baseline)
        result.append(np.tensordot(weights, np.maximum(series.array[:, k], 0.0), axes=1))
    return np.stack(result).astype(np.float32)


def read_course(
    images: NDArray[np.float32], pose: SlicePose, axes: NDArray[np.float64], view: View
) -> NDArray[np.float32]:
    """The course (CHANNELS, y, x) of a slice in a window on the standard plane, evened out: (CHANNELS, size, size).

    As ``cmr_input.read_plane`` and ``even_out``, but all channels are read in one go: linear, 0 outside.
    """
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    xy = pose.pixels(view.grid() @ axes[:, :2].T + depth * axes[:, 2])
    return even_out(read_linear(images, xy[..., 1], xy[..., 0]), view.pixel_mm)


def read_linear(
    images: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Images (channel, y, x) between pixels, at ``rows`` and ``columns`` of one shape: (channel, ...); 0 outside."""
    height, width = images.shape[1:]
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    top = np.clip(np.floor(rows).astype(int), 0, max(height - 2, 0))
    left = np.clip(np.floor(columns).astype(int), 0, max(width - 2, 0))
    down, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    last = np.ascontiguousarray(np.moveaxis(images, 0, -1)).reshape(height * width, -1)
    corner = top * width + left
    result = np.zeros((*rows.shape, images.shape[0]), np.float32)
    for step, weight in (
        (0, (1 - down) * (1 - right)),
        (1, (1 - down) * right),
        (width, down * (1 - right)),
        (width + 1, down * right),
    ):
        result += last[np.minimum(corner + step, height * width - 1)] * (weight * inside)[..., None]
    return np.ascontiguousarray(np.moveaxis(result, -1, 0))
