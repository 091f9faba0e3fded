"""A second witness of the pose: apex and base as the picture shows them, beside the pose read from the labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from CardiacFusionLib.models.heatmaps import Seen
from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.reorientation.checks import STAGE
from CardiacFusionLib.reorientation.landmarks import MODEL, see_landmarks
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.volume import Volume

# SD of apex and base of a pose read from labels, mm: root mean square of their errors on development twins
POSE_SD_MM = {"apex": 1.8, "base": 1.9}
# what of a heatmap lies elsewhere is taken to lie so far off: so errors are about as large as the spread says (on 140
# windows of unseen hearts 8.9 and 7.4 mm fit best)
ELSEWHERE_MM = {"apex": 10.0, "base": 7.0}
# so many SDs apart, picture and labels contradict each other (good development twins: at most 1.3)
APART_SDS = 2.2
# with less belief the labels' place stays. Development twins: 0.85 and more; the real CT's apex, near which its scan
# ends: 0.03-0.63, and 5-12 mm off
SURE = 0.8
TITLES = {"apex": "apex", "base": "mitral valve"}


def witnessed(ct: Volume, pose: HeartPose) -> tuple[HeartPose, Quality]:
    """The pose with apex and base between those of ``pose`` and those seen in the CT (HU); where the two contradict
    each other ``pose`` as it is and a flag that says so.

    Without the network's weights the pose stays as it is.
    """
    if MODEL not in read_manifest():
        return pose, Quality()
    seen = see_landmarks(ct, pose)
    quality = contradictions(pose, seen)
    return (joined(pose, seen) if quality.level is Level.GOOD else pose), quality


def seen_sd_mm(name: str, belief: float) -> float:
    """Spread (1 SD, mm) of a landmark seen with ``belief``."""
    return ELSEWHERE_MM[name] * float(np.sqrt(1.0 - belief))


def joined(pose: HeartPose, seen: Mapping[str, Seen]) -> HeartPose:
    """The pose whose apex and base are the means of those of ``pose`` and those ``seen``, weighted by their spreads.

    One that is seen with less belief than ``SURE`` stays where it is.
    """
    moved = {}
    for name, one in seen.items():
        if one.belief < SURE:
            continue
        trust = POSE_SD_MM[name] ** 2, seen_sd_mm(name, one.belief) ** 2
        share = trust[0] / sum(trust)
        moved[name] = (1 - share) * pose.landmarks[name] + share * one.place
    return HeartPose.from_landmarks({**pose.landmarks, **moved}, pose.confidence)


def contradictions(pose: HeartPose, seen: Mapping[str, Seen]) -> Quality:
    """A flag where a landmark is seen farther from where the pose has it than both spreads allow."""
    flags = []
    for name, one in seen.items():
        apart = float(np.linalg.norm(one.place - pose.landmarks[name]))
        if apart > APART_SDS * np.hypot(POSE_SD_MM[name], seen_sd_mm(name, one.belief)):
            reason = f"The picture shows the heart's {TITLES[name]} {apart:.0f} mm from where its chambers' outlines "
            reason += "place it. Check the axes."
            flags.append(Flag(STAGE, "landmarks_apart", Level.DOUBTFUL, reason))
    return Quality.of(flags)
