"""SCCT segments and CAD-RADS grades follow their published rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.grading import cad_rads, patient_grade, scct_number, vessel_grades
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import NOT_MEASURED, Branch, CoronaryTree, Stenosis


def line(start, end, n=101):
    return np.linspace(start, end, n)


@pytest.fixture
def tree() -> CoronaryTree:
    radius = np.ones(101)
    return CoronaryTree(
        (
            Branch("LM", line((0, 0, 0), (10, 0, 0)), radius),
            Branch("LAD", line((10, 0, 0), (10, -20, -100)), radius, "LM"),
            Branch("D1", line((10, -5, -25), (30, -5, -60)), radius, "LAD"),
            Branch("LCx", line((10, 0, 0), (40, 40, -20)), radius, "LM"),
            Branch("OM1", line((25, 20, -10), (45, 20, -60)), radius, "LCx"),
            Branch(
                "RCA",
                np.concatenate([line((-10, 0, 0), (-50, -5, -50)), line((-50, -5, -50), (0, 40, -50))[1:]]),
                np.ones(201),
            ),
            Branch("PDA", line((0, 40, -50), (0, 10, -90)), radius, "RCA"),
        ),
        dominance="right",
    )


def with_stenosis(tree, *given):
    found = tuple(Stenosis(b, at, np.zeros(3), p, 5.0, 3.0, 3.0 * (1 - p / 100)) for b, at, p in given)
    return replace(tree, stenoses=found)


@pytest.mark.parametrize(
    ("percent", "grade"), [(0, "0"), (10, "1"), (25, "2"), (49, "2"), (50, "3"), (69, "3"), (70, "4A"), (100, "5")]
)
def test_cad_rads_follows_the_published_limits(percent, grade):
    assert cad_rads(percent) == grade


@pytest.mark.parametrize(
    ("branch", "at", "number"),
    [
        ("LM", 5, 5), ("LAD", 5, 6), ("LAD", 40, 7), ("LAD", 95, 8), ("D1", 3, 9), ("LCx", 5, 11), ("LCx", 45, 13),
        ("OM1", 4, 12), ("RCA", 5, 1), ("RCA", 50, 2), ("RCA", 120, 3), ("PDA", 3, 4),
    ],
)  # fmt: skip
def test_places_carry_their_scct_number(tree, branch, at, number):
    assert scct_number(tree, branch, at) == number


def test_a_left_pda_has_the_left_number(tree):
    left = replace(tree, branches=tuple(replace(b, parent="LCx") if b.name == "PDA" else b for b in tree.branches))
    assert scct_number(left, "PDA", 2.0) == 15
    with pytest.raises(BadInputError):
        scct_number(tree, "PLB", 2.0)


def test_each_vessel_has_the_grade_of_its_worst_place(tree):
    grades = {g.vessel: g for g in vessel_grades(with_stenosis(tree, ("LAD", 20, 30), ("D1", 5, 75), ("PDA", 5, 55)))}
    assert [grades[v].grade for v in ("LM", "LAD", "LCx", "RCA")] == ["0", "4A", "0", "3"]
    assert grades["LAD"].worst is not None and grades["LAD"].worst.branch == "D1"


def test_left_main_and_three_vessel_disease_are_4b(tree):
    assert patient_grade(with_stenosis(tree, ("LM", 5, 55))) == "4B"
    assert patient_grade(with_stenosis(tree, ("LAD", 5, 75), ("LCx", 5, 80), ("RCA", 5, 72))) == "4B"
    assert patient_grade(with_stenosis(tree, ("LAD", 5, 75))) == "4A"
    assert patient_grade(tree) == "0"


def test_what_could_not_be_seen_is_not_called_clean(tree):
    lost = replace(tree, branches=tuple(b for b in tree.branches if b.name not in ("RCA", "PDA")))
    assert patient_grade(lost) == "N"
    coarse = replace(tree, quality=Quality((Flag("coronaries", NOT_MEASURED, Level.DOUBTFUL, "coarse"),)))
    assert {g.grade for g in vessel_grades(coarse)} == {"N"}
