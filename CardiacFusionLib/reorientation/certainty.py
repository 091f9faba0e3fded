"""How sure a pose is: how far the looks at the heart disagree, and network and anatomy with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CardiacFusionLib.reorientation.refine import CoarseHeart, corrected_pose
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg

DOUBTFUL_BELOW = 0.5
# logistic regression on 33 twins, 9 of them wrong: looks looking alike do not help where the heart is cut off
BIAS, WEIGHTS, FLAG_WEIGHT = 5.1, (0.6, 1.6, 0.7, 0.6), 3.6


@dataclass(frozen=True)
class Disagreement:
    """``looks_deg``, ``looks_mm``: root mean square of what single looks would turn and shift the pose by.
    ``anchor_deg``, ``anchor_roll_deg``: between the pose network's pose and the one read from the anatomy."""

    looks_deg: float
    looks_mm: float
    anchor_deg: float
    anchor_roll_deg: float


def disagreement(heart: CoarseHeart, pose: HeartPose, network: HeartPose, anchor: HeartPose) -> Disagreement:
    """What the single looks, the network and the anatomy make of the heart, against ``pose``."""
    turns, shifts = [], []
    for look in heart.looks if heart.looks is not None else ():
        seen = corrected_pose(look, heart.grid.lps_to_index, pose, 1)
        turns.append(axis_angle_deg(pose, seen))
        shifts.append(float(np.linalg.norm(seen.to_lps(np.zeros(3)) - pose.to_lps(np.zeros(3)))))
    return Disagreement(
        float(np.sqrt(np.mean(np.square(turns)))) if turns else 0.0,
        float(np.sqrt(np.mean(np.square(shifts)))) if shifts else 0.0,
        axis_angle_deg(network, anchor),
        abs(roll_angle_deg(network, anchor)),
    )


def confidence(doubt: Disagreement, flagged: bool = False) -> float:
    """Chance 0..1 that the pose is right to 5 degrees of axis, 10 of roll and 5 mm: a logistic curve over the
    logarithms of the disagreements and whether the checks of the labels raised a flag (``flagged``), fitted on spoilt
    twins (see ``Docs/reorientation.md``)."""
    measured = np.array([doubt.looks_deg, doubt.looks_mm, doubt.anchor_deg, doubt.anchor_roll_deg])
    score = BIAS - float(np.log1p(measured) @ np.array(WEIGHTS)) - FLAG_WEIGHT * flagged
    return float(1 / (1 + np.exp(-score)))
