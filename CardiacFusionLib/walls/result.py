"""What the wall stages hand on: chamber labels in CT and in each CMR slice."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Quality
from CardiacFusionLib.spatial.volume import Volume


@dataclass(frozen=True)
class CtWalls:
    """``labels``: uint8 ``Label`` on a grid in patient LPS that stood upright in the pose the stage was given."""

    labels: Volume
    pose: HeartPose  # the grid's own up to a few degrees, until the reader corrects it
    quality: Quality = field(default_factory=Quality)
    score: float | None = None  # 0..1, how much it looks like a heart (walls.plausibility); None where not judged


@dataclass(frozen=True)
class Located:
    """A landmark in LPS mm and the spread (1 SD, mm) of its place along the slices' normal and across it."""

    place_lps: NDArray[np.float64]
    along_sd_mm: float
    across_sd_mm: float


@dataclass(frozen=True)
class CmrWalls:
    """``labels`` (slice, y, x) uint8 ``Label`` 0..3; ``landmarks``: per slice, name -> LPS mm, absent if unseen.

    Names: ``lv_centre``, ``rv_insertion_anterior``, ``rv_insertion_inferior``. ``ends``: ``apex``, ``base`` and
    ``lv_cavity_tip`` as the outlines tell them, though no slice may reach them; empty where they were not asked for.
    """

    labels: NDArray[np.uint8]
    landmarks: tuple[Mapping[str, NDArray[np.float64]], ...]
    quality: Quality = field(default_factory=Quality)
    ends: Mapping[str, Located] = field(default_factory=dict)


@dataclass(frozen=True)
class LongAxisMarks:
    """What one long-axis view shows: ``places`` (LPS mm) of ``mitral_1``, ``mitral_2`` and ``apex``, absent if unseen,
    the network's ``beliefs`` (0..1) in them, and the unit ``normal`` (3,) of the view's plane."""

    view: str
    places: Mapping[str, NDArray[np.float64]]
    beliefs: Mapping[str, float]
    normal: NDArray[np.float64]


@dataclass(frozen=True)
class LongAxis:
    """All long-axis views of a case, and ``ends``: ``apex`` and ``base`` of the CMR as the views alone tell them
    (joined with the short axis they are in ``CmrWalls.ends``)."""

    views: tuple[LongAxisMarks, ...]
    ends: Mapping[str, Located] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
