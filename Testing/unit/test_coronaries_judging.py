"""What stands in the way of a coronary tree is named, and what does not is not."""

from __future__ import annotations

import numpy as np
import pytest

from CardiacFusionLib.coronaries.judging import judge
from CardiacFusionLib.coronaries.lumen import Blood, SearchRegion
from CardiacFusionLib.coronaries.measuring import Measured
from CardiacFusionLib.coronaries.ostia import AorticRoot
from CardiacFusionLib.spatial.tree import NOT_MEASURED, Branch
from CardiacFusionLib.spatial.volume import Volume

SIDE = 100


def ct_of(spacing=0.5, fill=40.0) -> Volume:
    return Volume(np.full((SIDE,) * 3, fill, np.float32), (spacing,) * 3, (0.0, 0.0, 0.0), np.eye(3))


def line(name, start, end, parent=None) -> Branch:
    return Branch(name, np.linspace(start, end, 40), np.ones(40), parent)


# the root stands upright in the middle, its valve at z 15; normal ostia face 120 degrees apart
ROOT = AorticRoot(np.array([25.0, 25.0, 15.0]), np.array([25.0, 25.0, 27.0]), np.zeros((2, 2, 2), bool))
LM = line("LM", (35.0, 25.0, 28.0), (38.0, 25.0, 27.0))
LAD = line("LAD", (38.0, 25.0, 27.0), (40.0, 15.0, 10.0), "LM")
LCX = line("LCx", (38.0, 25.0, 27.0), (40.0, 40.0, 15.0), "LM")
RCA = line("RCA", (20.0, 33.5, 28.0), (12.0, 40.0, 10.0))
ALL = (LM, LAD, LCX, RCA)


def flags_of(branches=ALL, *, ct=None, blood_sd=20.0, outside=0.0, dominance="right", **found) -> set[str]:
    ct = ct or ct_of()
    blood = found.get("blood", Blood(400, blood_sd, 99))
    region = SearchRegion(ct, np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), bool), blood, outside)
    measured = Measured(tuple(branches), (), found.get("bridged", ()), found.get("ringed", ()))
    any_tube, grafts = found.get("any_tube", True), found.get("grafts", 0)
    return {f.name for f in judge(ct, region, ROOT, measured, any_tube, dominance, grafts).flags}


def test_a_clean_tree_in_a_fine_ct_has_no_flag():
    assert flags_of() == set()


def test_pale_blood_and_a_possible_graft_are_named():
    assert flags_of(blood=Blood(180, 12.0, 99, 80.0)) == {"weak_contrast"}
    assert flags_of(blood=Blood(120, 30.0, 99, 60.0)) == {"weak_contrast", NOT_MEASURED}
    assert flags_of(grafts=2) == {"possible_bypass_graft"}


def test_a_missing_vessel_is_named():
    assert flags_of((LM, LAD, LCX)) == {"missing_branches"}
    assert "no_tree" in flags_of((), any_tube=False)


@pytest.mark.parametrize(("spacing", "names"), [(0.5, set()), (1.0, {"coarse_ct"}), (1.5, {"coarse_ct", NOT_MEASURED})])
def test_coarse_voxels_are_named(spacing, names):
    assert flags_of(ct=ct_of(spacing)) == names


def test_a_stent_and_metal_are_named():
    assert flags_of(ringed=("LAD",)) == {"stent_or_ring_calcium"}
    ct = ct_of()
    ct.array[90:96, 90:96, 4:8] = 2900
    assert flags_of(ct=ct) == {"metal"}


def test_a_heart_or_a_branch_that_leaves_the_picture_is_named():
    assert flags_of(outside=0.1) == {"heart_cut"}
    away = line("RCA", (20.0, 33.5, 28.0), (0.5, 40.0, 10.0))
    assert flags_of((LM, LAD, LCX, away)) == {"branch_cut"}
    empty = ct_of()
    empty.array[16:26, 76:84, 20:24] = -1024  # outside the scanner's circle, beside the RCA's end
    assert flags_of(ct=empty) == {"branch_cut"}


def test_odd_ostia_are_named():
    same_side = line("RCA", (33.0, 30.0, 28.0), (12.0, 40.0, 10.0))
    assert flags_of((LM, LAD, LCX, same_side)) == {"anomalous_ostium"}
    high = line("RCA", (20.0, 33.5, 49.0), (12.0, 40.0, 10.0))
    assert "anomalous_ostium" in flags_of((LM, LAD, LCX, high))
    apart = (
        line("LAD", (35.0, 25.0, 28.0), (40.0, 15.0, 10.0)),
        line("LCx", (35.0, 27.0, 28.0), (40.0, 40.0, 15.0)),
        RCA,
    )
    assert flags_of(apart) == {"anomalous_ostium", "missing_branches"}


def test_noise_bridges_and_unknown_dominance_are_named():
    assert flags_of(blood_sd=150.0) == {"noisy_blood"}
    assert flags_of(bridged=("LCx",)) == {"bridged"}
    assert flags_of(dominance="unknown") == {"dominance_unknown"}
