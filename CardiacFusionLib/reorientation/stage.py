"""The reorientation stage: a CT in, the heart's pose out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from CardiacFusionLib.models.cubes import averaged
from CardiacFusionLib.reorientation.certainty import DOUBTFUL_BELOW, confidence, disagreement
from CardiacFusionLib.reorientation.chambers import label_heart
from CardiacFusionLib.reorientation.checks import STAGE, agree, check_cut, check_heart
from CardiacFusionLib.reorientation.refine import refined_pose
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.reorientation.second_witness import witnessed
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.pose import between
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

# How far the pose handed on lies from the network's towards the anchor's. On twins any share from 0.35 to 0.65 does as
# well; on the real CT network and anchor err to opposite sides of the frame marked by eye, the network more in roll
ANCHOR_SHARE = 0.5
FINEST_MM = 2.0


def reorient(ct: Volume, progress: Callable[[float, str], None] | None = None) -> Reorientation:
    """Find the heart in a contrast-enhanced CT (HU, any axes) and the rigid transform to the heart frame.

    Chamber labels give the geometric pose; the pose network corrects it in passes over the same labels; the pose
    halfway between both is handed on. Where the two disagree beyond the limits in ``checks`` the
    geometric pose is kept and a flag says so. Apex and base are then looked for in the picture itself
    (``second_witness``). Raises StageError where no heart is found or no contrast agent is seen.
    """
    small = averaged(ct, FINEST_MM)  # once: all that follows reads 2 mm or coarser
    heart = label_heart(small, progress)
    quality = check_heart(small, heart.labels) + check_cut(heart.labels, ct)
    anchor = geometric_pose(heart.labels, heart.drawn)
    if progress:
        progress(0.8, "turning the heart upright")
    network = refined_pose(heart, anchor)
    same, difference = agree(network, anchor)
    pose = between(network, anchor, ANCHOR_SHARE) if same else anchor
    doubt = disagreement(heart, pose, network, anchor)
    pose, witness = witnessed(small, pose)
    quality += witness
    flagged = not same or quality.level is not Level.GOOD
    sure = confidence(doubt, flagged)
    if not same:
        reason = f"Pose network and anatomy differ by {difference}; the pose from the anatomy is used. Check the axes."
        quality += Quality((Flag(STAGE, "pose_disagreement", Level.DOUBTFUL, reason),))
    elif sure < DOUBTFUL_BELOW:
        reason = f"The heart's pose is uncertain (confidence {sure:.2f}). Check the axes."
        quality += Quality((Flag(STAGE, "pose_uncertain", Level.DOUBTFUL, reason),))
    if progress:
        progress(1.0, "reoriented")
    return Reorientation(replace(pose, confidence=sure), anchor, heart.labels, quality)
