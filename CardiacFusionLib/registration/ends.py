"""Apex and base in the CMR, where a few slices do not reach: from the CT and from the outlines themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.result import Pairing
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import CmrWalls, Located

NAMES = ("apex", "base")
CENTRE_SD_MM = 1.0  # of an LV centre in one slice
TILT_SD = 0.09  # of the slope of the CMR's axis against the CT's (5 degrees: planning and repositioning)


def ends_in_cmr(
    pairing: Pairing, ct_pose: HeartPose, walls: CmrWalls, slices: Sequence[SlicePose]
) -> dict[str, Located]:
    """``apex`` and ``base`` in CMR LPS mm.

    Two witnesses, weighted by their spread: the CT's landmarks brought over by the pairing, and what the outlines tell
    by themselves (``walls.ends``, where there are any). Along the axis the pairing's heights are continued (another
    phase, another length). Slices are never quite square to the axis, so that what the pairing says across them grows
    unsure with the distance.
    """
    cmr = pairing.cmr_pose
    own = np.array([float(cmr.to_heart(np.asarray(s.origin_mm))[2]) for s in slices])
    slope, offset = np.polyfit(pairing.z_mm, own, 1) if len(own) > 1 else (1.0, float((own - pairing.z_mm)[0]))
    found: dict[str, Located] = {}
    for name in NAMES:
        if name not in ct_pose.landmarks:
            continue
        x, y, z = ct_pose.to_heart(ct_pose.landmarks[name])
        height = float(slope * z + offset)
        place = np.array([x, y, height])
        along, across = _spread(height, own)
        witness = walls.ends.get(name)
        if witness is not None:
            there = cmr.to_heart(witness.place_lps)
            share = along**-2 / (along**-2 + witness.along_sd_mm**-2)
            place[2] = share * place[2] + (1 - share) * there[2]
            share_across = across**-2 / (across**-2 + witness.across_sd_mm**-2)
            place[:2] = share_across * place[:2] + (1 - share_across) * there[:2]
            along, across = along * np.sqrt(share), across * np.sqrt(share_across)
        found[name] = Located(cmr.to_lps(place), float(along), float(across))
    return found


def _spread(height_mm: float, slices_mm: NDArray[np.float64]) -> tuple[float, float]:
    """Spread (mm) along and across of what the pairing says at a height: it grows with the distance from the slices."""
    beyond = abs(height_mm - float(slices_mm.mean()))
    return 0.06 * beyond + 1.5, TILT_SD * beyond + CENTRE_SD_MM
