"""What parallel slices tell about each other: the left ventricle runs through them along one nearly straight line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import SlicePose

AGREE_MM = 8.0  # a slice whose LV lies so far from the line half agrees with it
MARGIN_MM, FADE_MM = 8.0, 8.0  # beyond the ventricle's usual radius and this margin, LV labels fade out
# the axis leans against the slices' normal by a few degrees, as planned; more than 25 are another view
USUAL_SLOPE, MAX_SLOPE = 0.25, 0.47


@dataclass(frozen=True)
class Sighting:
    """What one slice shows of the LV: in-plane centre (2,) mm, epicardial radius mm, and how sure (0..1)."""

    depth_mm: float
    centre_uv_mm: NDArray[np.float64]
    radius_mm: float
    weight: float


def sight(
    labels: NDArray[np.uint8], certainty: float, closed: float, pose: SlicePose, axes: NDArray[np.float64]
) -> Sighting | None:
    """The LV of one labelled slice (y, x), or None where there is none."""
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    if not lv.any():
        return None
    uv = pose.grid_lps((labels.shape[0], labels.shape[1]))[lv] @ axes[:, :2]
    radius = float(np.sqrt(lv.sum() * pose.spacing_mm[0] * pose.spacing_mm[1] / np.pi))
    # large cross-sections are seldom mistaken
    weight = certainty * closed * min(radius / 25.0, 1.0)
    return Sighting(float(np.asarray(pose.origin_mm) @ axes[:, 2]), uv.mean(axis=0), radius, weight)


def axis_line(seen: Sequence[Sighting | None], depths_mm: Sequence[float]) -> tuple[NDArray[np.float64], float] | None:
    """In-plane centre (n, 2) mm of the LV at these depths, and its largest epicardial radius; None where no LV is seen.

    Of all lines through two sightings, and those along the normal through one, the one that most sightings agree with.
    """
    known = [s for s in seen if s]
    if not known:
        return None
    depth = np.array([s.depth_mm for s in known])
    centre = np.array([s.centre_uv_mm for s in known])
    weight = np.array([s.weight for s in known]) + 1e-6
    slopes = [(i, np.zeros(2)) for i in range(len(known))]
    for i in range(len(known)):
        for j in range(i):
            slope = (centre[i] - centre[j]) / (depth[i] - depth[j]) if abs(depth[i] - depth[j]) > 1.0 else np.zeros(2)
            if np.hypot(*slope) <= MAX_SLOPE:
                slopes.append((i, slope))
    best, line, agree = -1.0, (centre[0], np.zeros(2), depth[0]), np.ones(len(known))
    for i, slope in slopes:
        away = np.linalg.norm(centre - centre[i] - (depth - depth[i])[:, None] * slope, axis=1)
        near = np.exp(-0.5 * (away / AGREE_MM) ** 2)
        value = float((weight * near).sum()) * float(np.exp(-0.5 * (np.hypot(*slope) / USUAL_SLOPE) ** 2))
        if value > best:
            best, line, agree = value, (centre[i], slope, depth[i]), near
    place, slope, at = line
    shares = weight * agree
    if len(known) > 2:  # the slices that agree place it together
        away = depth - np.average(depth, weights=shares)
        middle = np.average(centre, axis=0, weights=shares)
        slope = (shares * away) @ (centre - middle) / max(float((shares * away) @ away), 1e-6)
        place, at = middle, float(np.average(depth, weights=shares))
    radius = max(s.radius_mm for s, near in zip(known, agree) if near >= agree.max() / 2)
    return place + (np.asarray(depths_mm) - at)[:, None] * slope, radius


def near_axis(
    probabilities: NDArray[np.float32],
    pose: SlicePose,
    axes: NDArray[np.float64],
    centre_uv_mm: NDArray[np.float64],
    radius_mm: float,
) -> NDArray[np.float32]:
    """Class probabilities (4, y, x) of a slice in which cavity and wall far from the axis have become background."""
    uv = pose.grid_lps((probabilities.shape[1], probabilities.shape[2])) @ axes[:, :2] - centre_uv_mm
    beyond = np.maximum(np.hypot(uv[..., 0], uv[..., 1]) - radius_mm - MARGIN_MM, 0.0)
    keep = np.exp(-0.5 * (beyond / FADE_MM) ** 2)
    result = probabilities.copy()
    for label in (Label.LV_CAVITY, Label.MYOCARDIUM):
        result[label] *= keep
    result[Label.BACKGROUND] += (probabilities.sum(axis=0) - result.sum(axis=0)).astype(result.dtype)
    return result
