"""What the reorientation stage hands on."""

from dataclasses import dataclass, field

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Quality
from CardiacFusionLib.spatial.volume import Volume


@dataclass(frozen=True)
class Reorientation:
    """The heart pose of a CT, the coarse chamber labels it rests on, and the anchor it was checked against."""

    pose: HeartPose
    geometric_pose: HeartPose  # from the labels alone: anchor and cross-check of the pose network
    labels: Volume  # uint8 ``Label`` on a coarse grid in patient LPS
    quality: Quality = field(default_factory=Quality)
