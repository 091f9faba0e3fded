"""Narrowings of a branch against its own robust taper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.coronaries.radius import Profile
from CardiacFusionLib.spatial.tree import Branch, Stenosis

Array = NDArray[np.float64]

MIN_REFERENCE_MM = 1.8  # SCCT/CAD-RADS 2.0 grades vessels from 1.5 mm; with the 1 mm grid's error on top
MAX_REFERENCE_MM = 5.8  # the widest normal artery is an LM of 4.5 + 2 x 0.65 mm (Dodge 1992); wider is no artery
REPORT_PERCENT = 30.0  # below CAD-RADS 2.0 "mild" from 25 %: measurement error of the taper
EDGE_SHARE = 0.82  # the narrowing ends where the diameter is back at this share of its reference
# noise shortens some rays and lengthens others, the more so the thinner the lumen: reference per share of noise
MIN_REFERENCE_PER_NOISE_MM, USUAL_NOISE = 4.0, 0.08
SKIP_START_MM = 3.0  # an ostium or fork is no tube: its cross-section is not a disc
SKIP_SIDE_MM = 6.0  # a side branch leaves its parent at a slant: the parent's lumen lies beside it so far
RECOVERY_MM, RECOVERY_RUN_MM = 20.0, 3.0  # behind a narrowing the lumen is wide again for so long, within that reach
SKIP_END_MM = 6.0  # the vessel fades out
MIN_LENGTH_MM = 1.5
# plaque lies in fat, so that even a closed lumen is darker all around; a way that strayed off the vessel is not
MIN_ENCLOSED = 0.6
# A way that leaves its vessel crosses a wall (no lumen there) into something wider (appendage, vein, chamber) and comes
# back over a wall again. A closed artery does not widen beside its closure: ectasia begins at 1.5 times the reference
# (Swaye et al., Circulation 1983, doi 10.1161/01.CIR.67.1.134), and the taper is drawn towards the stray's own width.
STRAY_PERCENT = 50.0
# the same crossing where two vessels were joined; of 48 drawn narrowings read as 50 % or more none was below 3.5 mm at
# half depth (Testing/bench/coronaries_narrowings.py, seeds 500-599)
MIN_TIGHT_LENGTH_MM = 3.0
STRAY_WIDTH = 1.4
STRAY_REACH_MM = 12.0


def taper(arc_mm: Array, diameter_mm: Array) -> Array:
    """Reference diameter (n,): a line fitted to the healthy stretches, never widening distally.

    Iteratively reweighted least squares in which points far below the line lose their say (narrowings are one-sided)
    and points far above lose some (forks, neighbouring blood).
    """
    weight = np.ones_like(arc_mm)
    # start from the upper half, so that a long narrowing does not draw the line down
    line = np.full_like(arc_mm, np.quantile(diameter_mm, 0.6))
    for _ in range(12):
        design = np.stack([np.ones_like(arc_mm), arc_mm], axis=1)
        lhs = design.T @ (design * weight[:, None]) + np.diag([1e-9, 1e-6])
        offset, slope = np.linalg.solve(lhs, design.T @ (weight * diameter_mm))
        if slope > 0:
            offset, slope = float(np.average(diameter_mm, weights=weight)), 0.0
        line = offset + slope * arc_mm
        residual = diameter_mm - line
        spread = max(0.1, 1.4826 * float(np.median(np.abs(residual[weight > 0.3]))) if np.any(weight > 0.3) else 0.1)
        weight = np.where(
            residual < 0, 1.0 / (1.0 + (residual / spread) ** 4), 1.0 / (1.0 + (residual / (2.0 * spread)) ** 4)
        )
    return np.maximum(line, 0.3)


def _judged(arc_mm: Array) -> NDArray[np.bool_]:
    """Points (n,) that are neither ostium nor fading end; none where the branch is too short."""
    if arc_mm[-1] < SKIP_START_MM + SKIP_END_MM + 4.0:
        return np.zeros(len(arc_mm), bool)
    return np.asarray((arc_mm >= SKIP_START_MM) & (arc_mm <= arc_mm[-1] - SKIP_END_MM))


def healthy(arc_mm: Array, diameter_mm: Array) -> Array:
    """Diameter (n,) of the lumen without its narrowings; the given one where the branch is too short to tell."""
    judged = _judged(arc_mm)
    if not judged.any():
        return diameter_mm
    return np.interp(arc_mm, arc_mm[judged], taper(arc_mm[judged], diameter_mm[judged]))


def find_stenoses(branch: Branch, profile: Profile, noise_share: float = 0.0) -> list[Stenosis]:
    """Narrowings of one branch, proximal to distal; none where the reference is too thin to be judged.

    ``noise_share``: spread of blood's brightness as a share of its contrast; the noisier, the wider a vessel must be.
    A narrowing has an end: what stays thin to the branch's end is its taper, or the picture's.
    """
    arc = branch.arc_mm
    judged = _judged(arc)
    if not judged.any():
        return []
    diameter = 2.0 * branch.radius_mm
    reference = healthy(arc, diameter)
    share = diameter / reference
    least = MIN_REFERENCE_MM + MIN_REFERENCE_PER_NOISE_MM * max(0.0, noise_share - USUAL_NOISE)
    if branch.parent not in (None, "LM"):
        judged &= arc >= SKIP_SIDE_MM
    narrow, count = ndimage.label(
        (share < EDGE_SHARE) & judged & (reference >= least) & (reference <= MAX_REFERENCE_MM)
    )
    found = []
    for k in range(1, count + 1):
        where = np.flatnonzero(narrow == k)
        worst = int(where[np.argmin(share[where])])
        percent = 100.0 * (1.0 - float(share[worst]))
        # length at half depth, as a reader measures it
        deep = where[1.0 - share[where] >= 0.5 * percent / 100.0]
        length = float(arc[deep[-1]] - arc[deep[0]])
        if percent < REPORT_PERCENT or length < MIN_LENGTH_MM:
            continue
        if float(profile.enclosed[where].mean()) < MIN_ENCLOSED or not _recovers(arc, share, int(where[-1])):
            continue
        if percent >= STRAY_PERCENT and length < MIN_TIGHT_LENGTH_MM:
            continue
        if percent >= STRAY_PERCENT and _strays(arc, diameter, worst, float(reference[worst])):
            continue
        found.append(
            Stenosis(
                branch.name,
                float(arc[worst]),
                branch.points_mm[worst],
                float(np.clip(percent, 0.0, 100.0)),
                length,
                float(reference[worst]),
                float(diameter[worst]),
                bool(profile.calcium[where].mean() > 0.2),
            )
        )
    return found


def _recovers(arc: Array, share: Array, last: int) -> bool:
    """Whether the lumen is wide again somewhere behind the point ``last``."""
    behind = (arc > arc[last]) & (arc <= arc[last] + RECOVERY_MM) & (share >= EDGE_SHARE)
    runs, count = ndimage.label(behind)
    lengths = [float(np.ptp(arc[runs == k])) for k in range(1, count + 1)]
    return max(lengths, default=0.0) >= RECOVERY_RUN_MM


def _strays(arc: Array, diameter: Array, worst: int, reference_mm: float) -> bool:
    """Whether the way beside this narrow point runs through something too wide to be the same artery."""
    beside = (np.abs(arc - arc[worst]) <= STRAY_REACH_MM) & (arc >= SKIP_SIDE_MM)  # its parent's lumen is wider
    return float(diameter[beside].max(initial=0.0)) > STRAY_WIDTH * reference_mm
