"""What a reader writes beside a tree: SCCT segment numbers and CAD-RADS grades.

Segments: the 18-segment model of the SCCT (Raff 2009, J Cardiovasc Comput Tomogr 3:122; Leipsic 2014, 8:342). Grades:
CAD-RADS 2.0 (Cury 2022, J Cardiovasc Comput Tomogr 16:536), from % diameter alone; modifiers are a reader's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.tree import NOT_MEASURED, Branch, CoronaryTree, Stenosis, vessel_of

SCCT_NAMES = {
    1: "proximal RCA", 2: "mid RCA", 3: "distal RCA", 4: "right PDA", 5: "LM", 6: "proximal LAD", 7: "mid LAD",
    8: "distal LAD", 9: "D1", 10: "D2", 11: "proximal LCx", 12: "OM1", 13: "mid and distal LCx", 14: "OM2",
    15: "left PDA", 16: "right PLB", 17: "ramus intermedius", 18: "left PLB",
}  # fmt: skip
_FIXED = {"LM": 5, "D1": 9, "D2": 10, "OM1": 12, "OM2": 14, "RI": 17}
VESSELS = ("LM", "LAD", "LCx", "RCA")
GRADE_LIMITS_PERCENT = ((100.0, "5"), (70.0, "4A"), (50.0, "3"), (25.0, "2"), (1.0, "1"))
OCCLUDED_PERCENT = 99.0  # a lumen too thin to be seen
LEFT_MAIN_PERCENT = 50.0  # from here on a narrowing of the LM is 4B
PROXIMAL_LAD_SHARE = 0.22  # of its length, where no diagonal marks the end of the proximal LAD


@dataclass(frozen=True)
class Grade:
    """CAD-RADS of one vessel (LM, LAD, LCx, RCA): "0" to "5", "N" where it could not be judged, and its worst place."""

    vessel: str
    grade: str
    worst: Stenosis | None = None


def scct_number(tree: CoronaryTree, branch_name: str, arc_mm: float) -> int:
    """SCCT segment (1-18) of a place on a branch; 0 for branches outside the model ("side 1").

    Proximal LAD: up to the first diagonal; mid LAD: half of the rest. Proximal LCx: up to the first marginal. RCA: cut
    half way to the acute margin and at it; the margin is where the RCA lies farthest right and down in the patient.
    Raises BadInputError where the tree has no such branch.
    """
    branch = tree.branch(branch_name)
    if branch is None:
        raise BadInputError(f"The coronary tree has no branch '{branch_name}'.")
    if branch_name in _FIXED:
        return _FIXED[branch_name]
    if branch_name in ("PDA", "PLB"):
        right = vessel_of(tree, branch_name) != "LCx"
        return (4 if right else 15) if branch_name == "PDA" else (16 if right else 18)
    if branch_name == "LAD":
        first = _first_fork(tree, branch, ("D1", "D2"), PROXIMAL_LAD_SHARE * branch.length_mm)
        return 6 if arc_mm <= first else 7 if arc_mm <= first + 0.5 * (branch.length_mm - first) else 8
    if branch_name == "LCx":
        return 11 if arc_mm <= _first_fork(tree, branch, ("OM1", "OM2"), 0.4 * branch.length_mm) else 13
    if branch_name == "RCA":
        margin = _acute_margin_mm(tree, branch)
        return 1 if arc_mm <= 0.5 * margin else 2 if arc_mm <= margin else 3
    return 0


def _first_fork(tree: CoronaryTree, branch: Branch, names: tuple[str, ...], otherwise_mm: float) -> float:
    forks = [
        float(branch.arc_mm[int(np.argmin(np.linalg.norm(branch.points_mm - child.points_mm[0], axis=1)))])
        for child in tree.branches
        if child.name in names and child.parent == branch.name
    ]
    return min(forks, default=otherwise_mm)


def _acute_margin_mm(tree: CoronaryTree, branch: Branch) -> float:
    """Arc length of the acute margin; two thirds of the RCA where the tree is not in patient axes."""
    if tree.frame != "lps":
        return 0.66 * branch.length_mm
    right_and_down = -branch.points_mm[:, 0] - branch.points_mm[:, 2]
    at = float(branch.arc_mm[int(np.argmax(right_and_down))])
    return float(np.clip(at, 0.3 * branch.length_mm, 0.85 * branch.length_mm))


def cad_rads(percent: float) -> str:
    """CAD-RADS category "0".."5" of a % diameter stenosis (4A for 70-99 %)."""
    if percent >= OCCLUDED_PERCENT:
        return "5"
    return next((grade for limit, grade in GRADE_LIMITS_PERCENT if percent >= limit), "0")


def vessel_grades(tree: CoronaryTree) -> tuple[Grade, ...]:
    """One grade for each of LM, LAD, LCx and RCA with its branches.

    "N" where the vessel was not found or narrowings were not measured. Below 30 % nothing is measured: "0" means no
    narrowing of that size.
    """
    unmeasured = any(flag.name == NOT_MEASURED for flag in tree.quality.flags)
    grades = []
    for vessel in VESSELS:
        if unmeasured or tree.branch(vessel) is None:
            grades.append(Grade(vessel, "N"))
            continue
        mine = [
            s for s in tree.stenoses if s.branch == vessel or (vessel != "LM" and vessel_of(tree, s.branch) == vessel)
        ]
        worst = max(mine, key=lambda s: s.diameter_percent, default=None)
        grade = "0" if worst is None else cad_rads(worst.diameter_percent)
        if vessel == "LM" and worst is not None and worst.diameter_percent >= LEFT_MAIN_PERCENT and grade != "5":
            grade = "4B"
        grades.append(Grade(vessel, grade, worst))
    return tuple(grades)


def patient_grade(tree: CoronaryTree) -> str:
    """CAD-RADS of the patient: the worst vessel's; 4B for the LM from 50 % or three vessels from 70 %."""
    grades = vessel_grades(tree)
    order = ["0", "1", "2", "3", "4A", "4B", "5"]
    known = [g.grade for g in grades if g.grade != "N"]
    if not known:
        return "N"
    worst = max(known, key=order.index)
    severe = sum(g.grade in ("4A", "5") for g in grades if g.vessel != "LM")
    if severe == 3 and worst == "4A":
        worst = "4B"
    # a vessel that was not seen may hide more than a mild one elsewhere
    return "N" if len(known) < len(grades) and order.index(worst) < order.index("3") else worst
