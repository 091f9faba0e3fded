"""How far a coronary tree can be trusted: flags that name what stands in the way, in a reader's words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.lumen import WEAK_CONTRAST_HU, SearchRegion
from CardiacFusionLib.coronaries.measuring import Measured
from CardiacFusionLib.coronaries.ostia import AorticRoot
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import MAIN_BRANCHES, NOT_MEASURED, Branch
from CardiacFusionLib.spatial.volume import Volume

STAGE = "coronaries"
FINE_SPACING_MM = 0.7  # SCCT 2022: coronary CT is reconstructed at <= 0.6 mm; above, small branches blur away
MEASURE_SPACING_MM = 1.2  # above, an artery of 3 mm is two voxels wide: its narrowings and its twigs are guesswork
NOISE_SHARE = 0.25  # of the contrast
METAL_HU = 2000.0  # bone and dense calcium stay below; wires, clips, leads and valves do not
METAL_VOXELS = 6
CUT_SHARE = 0.01  # of the ventricles
BORDER_MM = 2.5
NOTHING_HU = -1000.0  # what scanners write outside their field of view
OSTIA_APART_DEG = 60.0  # left and right sinus face 120 degrees apart
OSTIUM_HEIGHT_MM = 32.0  # the sinutubular junction lies about 20 mm above the annulus (Cavalcanti 2003)


def nothing(name: str, reason: str) -> Quality:
    """The flag of a CT in which no artery was sought or found."""
    return Quality((Flag(STAGE, name, Level.DOUBTFUL, reason),))


def judge(
    ct: Volume,
    region: SearchRegion,
    root: AorticRoot,
    found: Measured,
    any_tube: bool,
    dominance: str,
    grafts: int = 0,
) -> Quality:
    """All flags of a tree.

    ``any_tube``: something tubular hung on the aortic root, named or not; ``grafts``: how many tubes leave the aorta
    above its sinuses (``grafts.py``).
    """
    flags: list[Flag] = []

    def doubt(name: str, reason: str) -> None:
        flags.append(Flag(STAGE, name, Level.DOUBTFUL, reason))

    names = {b.name for b in found.branches}
    missing = [name for name in MAIN_BRANCHES if name not in names]
    if not any_tube:
        doubt("no_tree", "No vessel connected to the aortic root was found; the coronary tree is empty.")
    elif missing:
        doubt("missing_branches", f"Not found: {', '.join(missing)}; a narrowing there would not be seen.")
    spacing = max(ct.spacing_mm)
    if spacing > FINE_SPACING_MM:
        doubt("coarse_ct", f"Voxels of {spacing:.1f} mm: only main branches can be followed, diameters are estimates.")
    if spacing > MEASURE_SPACING_MM:
        doubt(
            NOT_MEASURED,
            f"Voxels of {spacing:.1f} mm: side branches and narrowings are not shown; above {MEASURE_SPACING_MM} mm "
            "they cannot be told from noise.",
        )
    blood = region.blood
    if blood.is_faint and spacing <= MEASURE_SPACING_MM:
        doubt(
            NOT_MEASURED,
            f"Blood ({blood.hu:.0f} HU) outshines muscle ({blood.muscle_hu:.0f}) by less than three times its noise: "
            "side branches and narrowings are not shown; they cannot be told from noise.",
        )
    if blood.sd_hu > NOISE_SHARE * blood.contrast_hu:
        doubt("noisy_blood", f"Blood in the aortic root varies by {blood.sd_hu:.0f} HU; small branches may be noise.")
    if blood.hu < WEAK_CONTRAST_HU:
        doubt(
            "weak_contrast",
            f"Blood in the aortic root measures {blood.hu:.0f} HU; 250 and more are wanted: small branches may be "
            "missing and narrowings are less sure.",
        )
    if grafts:
        doubt(
            "possible_bypass_graft",
            f"{grafts} vessel(s) of an artery's width leave the ascending aorta above its sinuses: bypass grafts? They "
            "are neither followed nor named, and the muscle they supply is given to the patient's own arteries.",
        )
    if found.bridged:
        doubt("bridged", f"Parts of {', '.join(found.bridged)} were bridged without a visible lumen.")
    if any_tube and dominance == "unknown":
        doubt("dominance_unknown", "The posterior descending artery was not found; dominance is unknown.")
    if found.ringed:
        doubt(
            "stent_or_ring_calcium",
            f"Something dense rings part of {', '.join(found.ringed)}: a stent or calcium all around; the lumen inside "
            "cannot be measured.",
        )
    if int(np.greater(ct.array[::2, ::2, ::2], METAL_HU).sum()) >= METAL_VOXELS:
        doubt(
            "metal",
            "There is metal in this CT (wires, clips, leads or a valve): vessels beside it may be hidden, and bypass "
            "grafts, if there are any, are not followed.",
        )
    if region.outside_share > CUT_SHARE:
        doubt(
            "heart_cut",
            f"{100 * region.outside_share:.0f} % of the ventricles lie outside this CT; arteries there cannot be seen.",
        )
    ends = [b.name for b in found.branches if _leaves_picture(b, ct)]
    if ends:
        doubt("branch_cut", f"{', '.join(ends)} run out of the field of view; what follows cannot be seen.")
    flags += _ostia(found, root)
    return Quality.of(flags)


def _leaves_picture(branch: Branch, ct: Volume) -> bool:
    """Does the branch end at the border of the CT, or beside voxels that the scanner left empty?"""
    index = apply(ct.lps_to_index, branch.points_mm[-1])
    margin = BORDER_MM / np.asarray(ct.spacing_mm)
    size = np.asarray(ct.size)
    if np.any(index < margin) or np.any(index > size - 1 - margin):
        return True
    low = np.maximum(np.floor(index - margin).astype(int), 0)
    high = np.minimum(np.ceil(index + margin).astype(int) + 1, size)
    near = ct.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    return bool(np.less_equal(near, NOTHING_HU).any())


def _ostia(found: Measured, root: AorticRoot) -> list[Flag]:
    """Ostia that lie too near each other around the root, or too high above it."""
    axis = root.centre_mm - root.annulus_mm
    length = float(np.linalg.norm(axis))
    if length < 1.0:
        return []
    axis = axis / length
    first = {b.name: b.points_mm[0] for b in found.branches if b.parent is None}
    left = next((first[name] for name in ("LM", "LAD", "LCx") if name in first), None)
    right = first.get("RCA")
    flags = []
    for name, place in (("left", left), ("right", right)):
        if place is not None and float((place - root.annulus_mm) @ axis) > OSTIUM_HEIGHT_MM:
            flags.append(_anomalous(f"The {name} coronary artery leaves the aorta unusually high above its valve."))
    if left is not None and right is not None:
        apart = _angle_deg(_across(left - root.centre_mm, axis), _across(right - root.centre_mm, axis))
        if apart < OSTIA_APART_DEG:
            flags.append(
                _anomalous(f"Both coronary arteries leave the same side of the aorta ({apart:.0f} degrees apart).")
            )
    if "LM" not in first and "LAD" in first and "LCx" in first:
        flags.append(_anomalous("LAD and LCx leave the aorta by doors of their own; no left main was found."))
    return flags


def _anomalous(observed: str) -> Flag:
    return Flag(STAGE, "anomalous_ostium", Level.DOUBTFUL, f"{observed} Look at the ostia.")


def _across(vector: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector - (vector @ axis) * axis)


def _angle_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    cosine = float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
