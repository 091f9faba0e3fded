"""What stands in the way of a coronary tree is named from the picture itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from coronary_phantom import ct_of, curve, drawn_tree, pose, ray
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume


def flags(tree: CoronaryTree) -> set[str]:
    return {flag.name for flag in tree.quality.flags}


@pytest.fixture(scope="module")
def stented_and_odd() -> CoronaryTree:
    """A stent in the LAD, and a right artery that leaves the left sinus and crosses before the aorta."""
    drawn = drawn_tree()
    rca = drawn.branch("RCA")
    assert rca is not None
    points = curve([[-1.0, -27.5, 54.0], [-9.0, -33.0, 55.0], [-20.0, -33.0, 52.0], [-31.0, -29.0, 48.0],
                    *[ray(a, 54.0, 42.0) for a in (150, 170, 190, 210)], ray(228.0, 44.0, 41.0),
                    ray(240.0, 38.0, 40.0)])  # fmt: skip
    odd = dataclasses.replace(rca, points_mm=points, radius_mm=np.linspace(1.9, 1.5, len(points)))
    tree = dataclasses.replace(drawn, branches=tuple(odd if b.name == "RCA" else b for b in drawn.branches))
    ct, walls = ct_of(tree, 0.8)
    lad = drawn.transformed(pose().heart_to_lps, "lps").branch("LAD")
    assert lad is not None
    stent = lad.points_mm[30:66]
    away, _ = cKDTree(stent).query(ct.grid_lps().reshape(-1, 3), distance_upper_bound=3.0)
    hu = ct.array.reshape(-1).copy()
    hu[(away > 1.3) & (away < 2.2)] = 2600.0
    return extract(ct.with_array(hu.reshape(ct.array.shape)), walls, walls.pose)


def test_a_stent_is_named(stented_and_odd: CoronaryTree) -> None:
    assert {"stent_or_ring_calcium", "metal"} <= flags(stented_and_odd)


def test_an_artery_from_the_wrong_sinus_is_named(stented_and_odd: CoronaryTree) -> None:
    assert "anomalous_ostium" in flags(stented_and_odd)
    rca = stented_and_odd.branch("RCA")
    assert rca is not None and rca.length_mm > 60.0


def test_a_heart_that_leaves_the_picture_is_named() -> None:
    ct, walls = ct_of(drawn_tree(), 1.5)
    apex = walls.pose.landmarks["apex"]
    keep = int((apex[2] - ct.origin_mm[2]) / 1.5) - 12
    part = (
        Volume(ct.array[:keep], ct.spacing_mm, ct.origin_mm, ct.direction)
        if apex[2] > ct.origin_mm[2] + 75
        else Volume(
            ct.array[keep + 24 :],
            ct.spacing_mm,
            (*ct.origin_mm[:2], ct.origin_mm[2] + 1.5 * (keep + 24)),
            ct.direction,
        )
    )
    assert "heart_cut" in flags(extract(part, walls, walls.pose))


def test_an_aorta_that_is_not_outlined_is_named_and_no_vessel_is() -> None:
    ct, walls = ct_of(drawn_tree(), 1.5)
    labels = walls.labels.array.copy()
    labels[labels == Label.AORTA] = 0
    tree = extract(ct, dataclasses.replace(walls, labels=walls.labels.with_array(labels)), walls.pose)
    assert tree.branches == () and flags(tree) == {"no_aortic_root"}
