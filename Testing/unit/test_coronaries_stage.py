"""The coronary stage on a heart whose arteries are known because they were drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from coronary_phantom import ct_of, drawn_tree, pose
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.editing import cut, delete, rename
from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.spatial.tree import NOT_MEASURED, CoronaryTree


@pytest.fixture(scope="module")
def drawn() -> CoronaryTree:
    return drawn_tree(narrowing=0.65).transformed(pose().heart_to_lps, "lps")


@pytest.fixture(scope="module")
def found() -> CoronaryTree:
    ct, walls = ct_of(drawn_tree(narrowing=0.65), 0.8)  # fine enough for the branches drawn
    return extract(ct, walls, walls.pose)


@pytest.mark.parametrize("name", ["LAD", "LCx", "RCA"])
def test_the_main_branches_are_found_where_they_were_drawn(found: CoronaryTree, drawn: CoronaryTree, name: str) -> None:
    branch, truth = found.branch(name), drawn.branch(name)
    assert branch is not None and truth is not None
    off = cKDTree(truth.points_mm).query(branch.points_mm)[0]
    assert np.median(off) < 1.0
    assert branch.length_mm > 0.5 * truth.length_mm


def test_the_drawn_narrowing_of_the_lad_is_found(found: CoronaryTree, drawn: CoronaryTree) -> None:
    lad = drawn.branch("LAD")
    assert lad is not None
    place = lad.points_mm[np.argmin(np.abs(lad.arc_mm - 45.0))]
    near = [s for s in found.stenoses if s.branch == "LAD" and np.linalg.norm(s.point_mm - place) < 8.0]
    assert near and max(s.diameter_percent for s in near) > 35.0


def test_a_heart_without_arteries_is_given_no_vessel_names() -> None:
    ct, walls = ct_of(None, 1.2)
    tree = extract(ct, walls, walls.pose)
    assert not {b.name for b in tree.branches} & {"LAD", "LCx", "RCA"}
    assert tree.quality.flags


def test_a_ct_without_contrast_says_so() -> None:
    ct, walls = ct_of(drawn_tree(), 1.2, blood_hu=45.0)
    tree = extract(ct, walls, walls.pose)
    assert tree.branches == () and any(f.name == "no_contrast" for f in tree.quality.flags)


def test_a_coarse_ct_shows_main_branches_without_narrowings() -> None:
    ct, walls = ct_of(drawn_tree(narrowing=0.65), 1.5)
    tree = extract(ct, walls, walls.pose)
    assert tree.stenoses == () and any(f.name == NOT_MEASURED for f in tree.quality.flags)
    assert {b.name for b in tree.branches} <= {"LM", "LAD", "LCx", "RCA"}


def test_a_reader_renames_deletes_and_cuts(drawn: CoronaryTree) -> None:
    assert rename(drawn, "OM1", "OM2").branch("OM2") is not None
    without = delete(drawn, "LCx")
    assert without.branch("LCx") is None and without.branch("OM1") is None  # what hangs on it goes with it
    shorter = cut(drawn, "LAD", 30.0).branch("LAD")
    assert shorter is not None and shorter.length_mm == pytest.approx(30.0, abs=1.0)
    assert drawn.branch("LCx") is not None  # the tree given stays as it was


def test_landmarks_are_needed_for_names(drawn: CoronaryTree) -> None:
    ct, walls = ct_of(None, 2.0)
    bare = dataclasses.replace(walls.pose, landmarks={})
    with pytest.raises(Exception, match="landmarks"):
        extract(ct, walls, bare)
