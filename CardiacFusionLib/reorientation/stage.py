"""The reorientation stage: a CT in, the heart's pose out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from CardiacFusionLib.models.cubes import coarse_image
from CardiacFusionLib.reorientation.chambers import label_heart
from CardiacFusionLib.reorientation.checks import STAGE, agree, check_cut, check_heart
from CardiacFusionLib.reorientation.refine import refined_pose
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.pose import between
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

# how far the pose handed on lies from the network's towards the anchor. On twins the network alone is best (axis 1.5
# degrees against 3.4 of the anchor), on the real CT the anchor's roll and centre are (the network's roll is 7 off)
ANCHOR_SHARE = 0.3


def reorient(ct: Volume, progress: Callable[[float, str], None] | None = None) -> Reorientation:
    """Find the heart in a contrast-enhanced CT (HU, any axes) and the rigid transform to the heart frame.

    Chamber labels give the geometric pose; the pose network corrects it in passes over the same labels; the pose
    between both, nearer to the network's, is handed on. Where the two disagree beyond the limits in ``checks`` the
    geometric pose is kept and a flag says so. Raises StageError where no heart is found or no contrast agent is seen.
    """
    heart = label_heart(ct, progress)
    quality = check_heart(coarse_image(ct, heart.labels), heart.labels) + check_cut(heart.labels, ct)
    anchor = geometric_pose(heart.labels)
    if progress:
        progress(0.8, "turning the heart upright")
    pose = refined_pose(heart, anchor)
    same, difference = agree(pose, anchor)
    if not same:
        reason = f"Pose network and anatomy differ by {difference}; the pose from the anatomy is used. Check the axes."
        quality += Quality((Flag(STAGE, "pose_disagreement", Level.DOUBTFUL, reason),))
        pose = replace(anchor, confidence=0.5 * anchor.confidence)
    else:
        pose = between(pose, anchor, ANCHOR_SHARE)
    if progress:
        progress(1.0, "reoriented")
    return Reorientation(pose, anchor, heart.labels, quality)
