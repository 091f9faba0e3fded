"""What the stack landmark network is told: measures of every slice's outlines about the ventricle's middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import canonical_axes, ring_facts
from CardiacFusionLib.spatial.series import SlicePose

MIN_LV_MM2 = 60.0  # a slice with less cavity and wall does not say where the ventricle lies
SCALE_MM = 20.0  # lengths are told in this unit: about an adult cavity's radius
FACT_COUNT = 10


@dataclass(frozen=True)
class StackView:
    """``facts`` (slice, fact) and ``height_mm`` (slice,); points are ``axes @ (window + middle_mm)`` in LPS.

    ``axes`` as of ``spatial.sections.canonical_axes``; ``middle_mm``: LV centre of all slices, mean height.
    """

    facts: NDArray[np.float32]
    height_mm: NDArray[np.float32]
    axes: NDArray[np.float64]
    middle_mm: NDArray[np.float64]

    def to_lps(self, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """A point (..., 3) of the window's coordinates in LPS mm."""
        return np.asarray((point_mm + self.middle_mm) @ self.axes.T)


@dataclass(frozen=True)
class SliceMeasures:
    """Of one slice: areas in mm², share of the cavity's outline under wall, and centroids (x, y) in mm on the standard
    plane, None where there is no such label."""

    cavity_mm2: float
    wall_mm2: float
    rv_mm2: float
    closed: float
    lv_mm: NDArray[np.float64] | None
    rv_mm: NDArray[np.float64] | None


def measure_slice(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> SliceMeasures:
    """Measures of labels (y, x); centroids in mm from pixel (0, 0)."""
    ring = ring_facts(labels, spacing_mm)
    lv, rv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM)), labels == Label.RV_CAVITY
    return SliceMeasures(
        *(ring["cavity_mm2"], ring["wall_mm2"], ring["rv_mm2"], ring["closed"]),
        *(np.argwhere(m).mean(axis=0)[::-1] * spacing_mm if m.any() else None for m in (lv, rv)),
    )


def centre_of(slices: Sequence[SliceMeasures]) -> NDArray[np.float64] | None:
    """LV centre (x, y) over the slices, weighted by area; None where none shows a left ventricle."""
    known = [(s.lv_mm, s.cavity_mm2 + s.wall_mm2) for s in slices if s.cavity_mm2 + s.wall_mm2 >= MIN_LV_MM2]
    if not known:
        return None
    centres, weights = zip(*known)
    return np.asarray(np.average(np.stack(centres), axis=0, weights=weights))


def facts_of(one: SliceMeasures, centre_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """The numbers (fact,) that tell the network of one slice: radii of circles of equal area, whether LV and RV are
    seen, how closed the ring is, and where LV and RV lie."""
    radius = [np.sqrt(a / np.pi) for a in (one.cavity_mm2, one.cavity_mm2 + one.wall_mm2, one.rv_mm2)]
    lv = (one.lv_mm - centre_mm) if one.lv_mm is not None else np.zeros(2)
    rv = (one.rv_mm - centre_mm - lv) if one.rv_mm is not None else np.zeros(2)
    lengths = np.array([*radius, *lv, *(rv / 2)]) / SCALE_MM
    return np.array([*lengths, radius[1] > 0, radius[2] > 0, one.closed], dtype=np.float32)


def stack_view(labels: NDArray[np.uint8], poses: Sequence[SlicePose]) -> StackView | None:
    """The view of labels (slice, y, x) of parallel slices; None where no slice shows a left ventricle.

    Slices without one take part: that the ventricle has ended there is worth knowing.
    """
    axes = canonical_axes(poses[0].normal)
    heights = np.array([np.asarray(p.origin_mm) @ axes[:, 2] for p in poses])
    slices = [_on_plane(measure_slice(one, p.spacing_mm), p, axes) for one, p in zip(labels, poses)]
    centre = centre_of(slices)
    if centre is None:
        return None
    middle = np.array([*centre, heights.mean()])
    facts = np.stack([facts_of(one, centre) for one in slices])
    return StackView(facts, (heights - middle[2]).astype(np.float32), axes, middle)


def _on_plane(one: SliceMeasures, pose: SlicePose, axes: NDArray[np.float64]) -> SliceMeasures:
    """The measures with centroids on the standard plane in place of image millimetres."""
    lv, rv = (
        pose.points_lps(c / np.asarray(pose.spacing_mm)) @ axes[:, :2] if c is not None else None
        for c in (one.lv_mm, one.rv_mm)
    )
    return SliceMeasures(one.cavity_mm2, one.wall_mm2, one.rv_mm2, one.closed, lv, rv)
