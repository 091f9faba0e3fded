"""A second witness of the pose: apex and base as the picture shows them, beside the pose read from the labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.reorientation.checks import STAGE
from CardiacFusionLib.reorientation.landmarks import MODEL, Seen, see_landmarks
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

# how far the pose goes towards the picture's apex and base, see Docs/reorientation.md
SHARE = {"apex": 0.5, "base": 0.5}
# farther apart, picture and labels contradict each other; good development twins: at most 3 mm
APART_MM = 8.0
UNSEEN = 0.3  # less belief: the picture does not show the landmark
TITLES = {"apex": "apex", "base": "mitral valve"}


def witnessed(ct: Volume, pose: HeartPose) -> tuple[HeartPose, Quality]:
    """The pose with apex and base between those of ``pose`` and those seen in the CT (HU); where the two contradict
    each other, or the picture does not show them, ``pose`` as it is and a flag that says so.

    Without the network's weights the pose stays as it is.
    """
    if MODEL not in read_manifest():
        return pose, Quality()
    seen = see_landmarks(ct, pose)
    quality = contradictions(pose, seen)
    return (joined(pose, seen) if quality.level is Level.GOOD else pose), quality


def joined(pose: HeartPose, seen: Mapping[str, Seen]) -> HeartPose:
    """The pose whose apex and base lie ``SHARE`` of the way from those of ``pose`` to those ``seen``."""
    moved = {
        name: (1 - SHARE[name]) * pose.landmarks[name] + SHARE[name] * one.place for name, one in seen.items()
    }  # fmt: skip
    return HeartPose.from_landmarks({**pose.landmarks, **moved}, pose.confidence)


def contradictions(pose: HeartPose, seen: Mapping[str, Seen]) -> Quality:
    """A flag where a landmark is seen far from where the pose has it, or is not seen at all."""
    flags = []
    for name, one in seen.items():
        apart = float(np.linalg.norm(one.place - pose.landmarks[name]))
        if one.belief < UNSEEN:
            reason = f"The CT's picture does not clearly show the heart's {TITLES[name]}. Check the axes."
            flags.append(Flag(STAGE, "landmark_unseen", Level.DOUBTFUL, reason))
        elif apart > APART_MM:
            reason = f"The picture shows the heart's {TITLES[name]} {apart:.0f} mm from where its chambers' outlines "
            reason += "place it. Check the axes."
            flags.append(Flag(STAGE, "landmarks_apart", Level.DOUBTFUL, reason))
    return Quality.of(flags)
