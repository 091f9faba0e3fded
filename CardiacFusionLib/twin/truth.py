"""One synthetic heart with both examinations and every truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume


@dataclass(frozen=True)
class Truth:
    """What is known of a twin because it was made. Shapes follow the examinations they belong to."""

    seed: int
    ct_pose: HeartPose  # CT patient LPS -> heart frame, with all four landmarks
    cmr_pose: HeartPose  # CMR patient LPS -> heart frame (phase of the CMR), with all four landmarks
    ct_labels: Volume  # uint8 Label on the CT grid
    cmr_labels: NDArray[np.uint8]  # (slice, y, x) Label 0..3 at the reference breathing position
    tree: CoronaryTree  # in CT LPS, with its stenoses
    mbf_stress: NDArray[np.float32]  # (slice, y, x) mL/min/g, NaN outside the wall
    mbf_rest: NDArray[np.float32]
    segment_mbf_stress: Mapping[int, float] = field(default_factory=dict)  # AHA segment -> mean true MBF
    segment_mbf_rest: Mapping[int, float] = field(default_factory=dict)
    kind: str = "normal"  # "normal", "one-vessel", "two-vessel", "microvascular"
    culprits: tuple[str, ...] = ()  # vessels (LAD, LCx, RCA) with a flow-limiting stenosis
    motion_mm: NDArray[np.float32] | None = None  # (t, slice, 2) in-plane shift of the heart in each stress frame


@dataclass(frozen=True)
class TwinCase:
    """Both examinations of one synthetic heart."""

    ct: Volume
    stress: Series
    rest: Series | None
    truth: Truth
