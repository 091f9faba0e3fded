"""Arteries that leave the wrong sinus keep their names by their course, and the judge is told."""

from __future__ import annotations

import dataclasses

import numpy as np
from coronary_phantom import ANTERIOR_DEG, curve, drawn_tree, labels_at, pose, ray

from CardiacFusionLib.coronaries.judging import judge
from CardiacFusionLib.coronaries.lumen import Blood, SearchRegion
from CardiacFusionLib.coronaries.measuring import Measured
from CardiacFusionLib.coronaries.naming import NamedPath, name_branches
from CardiacFusionLib.coronaries.ostia import AorticRoot
from CardiacFusionLib.coronaries.paths import PathTree
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume

AV_RIGHT = [*[ray(a, 54.0, 42.0) for a in (150, 170, 190, 210)], ray(228.0, 44.0, 41.0), ray(240.0, 38.0, 40.0)]
AV_LEFT = [ray(a, 38.0, 41.0) for a in (60, 50, 30, 10, -10, -30, -50)]


def with_course(name: str, parent: str | None, waypoints: list) -> CoronaryTree:
    """The phantom's tree (heart frame) with another course of one branch; what hung on it goes."""
    points = curve(waypoints)
    tree = drawn_tree()
    branches = [b for b in tree.branches if b.name != name and b.parent != name]
    branches.append(Branch(name, points, np.full(len(points), 1.7), parent))
    return dataclasses.replace(tree, branches=tuple(branches))


def ways_of(tree: CoronaryTree) -> PathTree:
    """The tree's centrelines as ways in LPS: every branch hangs on its parent's nearest point."""
    points: list[np.ndarray] = []
    parents: list[int] = []
    place: dict[str, tuple[int, np.ndarray]] = {}
    for b in tree.branches:
        first = len(parents)
        up = -1
        if b.parent is not None:
            start, line = place[b.parent]
            up = start + int(np.argmin(np.linalg.norm(line - b.points_mm[0], axis=1)))
        parents += [up, *range(first, first + len(b.points_mm) - 1)]
        place[b.name] = (first, b.points_mm)
        points.append(b.points_mm)
    lps = pose().to_lps(np.concatenate(points))
    return PathTree(lps, np.asarray(parents, np.intp), np.zeros(len(lps), bool))


def root() -> AorticRoot:
    return AorticRoot(pose().to_lps(np.array([-12.0, -18.0, 38.0])), pose().to_lps(np.array([-12.0, -18.0, 52.0])),
                      np.zeros((2, 2, 2), bool))  # fmt: skip


def names_and_flags(tree: CoronaryTree) -> tuple[dict[str, NamedPath], set[str]]:
    ways = ways_of(tree)
    named, dominance = name_branches(ways, pose(), root().centre_mm)
    branches = tuple(
        Branch(p.name, ways.points_mm[p.nodes], np.ones(len(p.nodes)), p.parent) for p in named if len(p.nodes) > 1
    )
    ct = Volume(np.full((8, 8, 8), 40.0, np.float32), (0.5,) * 3, (0.0, 0.0, 0.0), np.eye(3))
    region = SearchRegion(ct, np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 2), bool), Blood(400, 20, 99))
    flags = judge(ct, region, root(), Measured(branches, (), ()), True, dominance).flags
    return {p.name: p for p in named}, {f.name for f in flags}


def test_the_usual_heart_is_named_without_an_anomaly() -> None:
    named, flags = names_and_flags(drawn_tree())
    assert {"LM", "LAD", "LCx", "RCA", "PDA"} <= set(named)
    assert "anomalous_ostium" not in flags


def test_a_right_artery_on_the_left_main_is_named_and_flagged() -> None:
    lm = drawn_tree().branch("LM")
    assert lm is not None
    before = [[-9.0, -34.0, 53.0], [-20.0, -34.0, 52.0], [-31.0, -29.0, 48.0], *AV_RIGHT]
    named, flags = names_and_flags(with_course("RCA", "LM", [lm.points_mm[3], *before]))
    assert {"LAD", "LCx", "RCA"} <= set(named)
    assert named["RCA"].parent is None
    assert "anomalous_ostium" in flags


def test_a_circumflex_from_the_right_sinus_is_named_and_flagged() -> None:
    rca = drawn_tree().branch("RCA")
    assert rca is not None
    behind = [[-26.0, -10.0, 52.0], [-18.0, 2.0, 50.0], [0.0, -4.0, 48.0], [10.0, -22.0, 46.0], *AV_LEFT]
    tree = with_course("LCx", "RCA", [rca.points_mm[2], *behind])
    order = {"LM": 0, "LAD": 1, "RCA": 2}
    tree = dataclasses.replace(tree, branches=tuple(sorted(tree.branches, key=lambda b: order.get(b.name, 3))))
    named, flags = names_and_flags(tree)
    assert {"LAD", "LCx", "RCA"} <= set(named)
    assert named["LCx"].parent is None
    assert "anomalous_ostium" in flags


def test_a_dominant_right_artery_that_goes_on_round_the_crux_is_no_circumflex() -> None:
    tree = drawn_tree()
    rca = tree.branch("RCA")
    assert rca is not None
    onward = np.concatenate([rca.points_mm, curve([ray(a, 38.0, 41.0) for a in (-120, -95, -75, -55, -40)])])
    longer = dataclasses.replace(rca, points_mm=onward, radius_mm=np.full(len(onward), 1.6))
    kept = [b for b in tree.branches if b.name not in ("LCx", "OM1", "RCA")]
    named, _ = names_and_flags(dataclasses.replace(tree, branches=(*kept[:2], longer, *kept[2:])))
    assert "LCx" not in named
    assert "RCA" in named


def test_the_phantom_s_courses_lie_outside_its_chambers() -> None:
    """Else the tests above would speak of arteries that cannot be."""
    for a in (150, 170, 190, 210):
        assert labels_at(ray(a, 54.0, 42.0)) == 0
    assert ANTERIOR_DEG == 120.0
