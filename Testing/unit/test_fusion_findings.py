"""What is said of a heart whose arteries, territories and flow are drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coronary_phantom import ct_of, drawn_tree

from CardiacFusionLib.fusion.findings import FlowOnWall, find
from CardiacFusionLib.fusion.narrowings import narrowing_table
from CardiacFusionLib.fusion.significance import MIN_SPREAD, chance, remote_of, weighted_quantile
from CardiacFusionLib.fusion.surface import wall_lattice, wall_surface
from CardiacFusionLib.fusion.territories import patient_supply
from CardiacFusionLib.spatial.quality import Quality
from CardiacFusionLib.spatial.tree import CoronaryTree, Stenosis

NORMAL = 2.6
LAD, LCX, RCA = 1, 2, 3


@pytest.fixture(scope="module")
def heart():
    _, walls = ct_of(None, 2.0)
    lattice = wall_lattice(walls.labels, walls.pose)
    surface = wall_surface(lattice, walls.pose)
    tree = drawn_tree().transformed(walls.pose.heart_to_lps, "lps")
    return surface, tree, patient_supply(surface, lattice, tree, walls.pose)


def narrowed(tree: CoronaryTree, branch: str, percent: float, at: float = 12.0) -> CoronaryTree:
    b = tree.branch(branch)
    point = b.points_mm[int(np.argmin(np.abs(b.arc_mm - at)))]
    found = Stenosis(branch, at, point, percent, 8.0, 3.0, 3.0 * (1 - percent / 100))
    return replace(tree, stenoses=(*tree.stenoses, found))


def flow_of(heart, share_by_vessel=(), level=NORMAL, grain=0.06, seed=0) -> FlowOnWall:
    surface, _, supply = heart
    mbf = np.full(len(surface.points_mm), level)
    for vessel, share in share_by_vessel:
        mbf[supply.vessel == vessel] *= share
    mbf *= 1 + grain * np.random.default_rng(seed).normal(size=len(mbf))
    surface = replace(surface, values={**surface.values, "mbf": mbf, "territory_patient": supply.vessel})
    return FlowOnWall(surface, mbf, None, np.zeros(len(mbf)), supply, False, Quality(), np.array([-25.0, 0.0, 25.0]))


def test_a_normal_heart_is_left_alone(heart):
    for seed in range(5):
        assert find(flow_of(heart, seed=seed), heart[1]) == ()


def test_a_narrowing_goes_with_the_muscle_behind_it(heart):
    found = find(flow_of(heart, [(LAD, 0.55)]), narrowed(heart[1], "LAD", 80))
    assert found[0].kind == "matched" and found[0].vessel == "LAD"
    assert found[0].numbers["ischaemic_share"] > 0.8
    assert found[0].sentence.count(".") - found[0].sentence.count("0.") >= 1
    assert {"aha_share", "patient_share"} <= set(found[0].numbers)
    assert found[0].confidence > 0.8


def test_low_flow_without_a_narrowing_is_told_apart(heart):
    found = find(flow_of(heart, [(LCX, 0.5)]), heart[1])
    assert [f.kind for f in found] == ["ischaemia_without_stenosis"]
    assert found[0].vessel == "LCx"


def test_muscle_on_the_border_of_two_territories_names_both_and_not_by_a_hair_the_one_or_the_other(heart):
    told = []
    phi = np.asarray(heart[0].values["aha_phi_deg"])
    border = border_deg(phi, np.asarray(heart[0].values["aha_level"]), heart[2].vessel)
    for shift in (-1.5, 1.5):  # a patch a little more on the one side, then on the other
        flow = flow_of(heart)
        low = np.abs(np.mod(phi - border - shift + 180, 360) - 180) < 40
        (finding,) = find(replace(flow, mbf=np.where(low, 0.5 * flow.mbf, flow.mbf)), heart[1])
        assert f"the {finding.vessel} and {finding.also} territories" in finding.sentence
        told.append({finding.vessel, finding.also})
        alone = find(flow_of(heart, [(LCX, 0.5)]), heart[1])[0]
        assert alone.also is None and finding.confidence < alone.confidence
    assert told[0] == told[1] == {"LCx", "RCA"}


def test_muscle_of_a_vessel_that_the_tree_lacks_is_not_given_to_its_neighbour_by_a_hair(heart):
    supply = replace(heart[2], vessel=np.where(heart[2].vessel == RCA, LCX, heart[2].vessel))
    phi = np.asarray(heart[0].values["aha_phi_deg"])
    told = []
    for middle in (178.0, 180.0, 182.0):  # the fixed border of RCA and LCx lies at 180 from the anterior insertion
        flow = replace(flow_of(heart), supply=supply)
        low = np.abs(np.mod(phi - middle + 180, 360) - 180) < 40
        (finding,) = find(replace(flow, mbf=np.where(low, 0.5 * flow.mbf, flow.mbf)), heart[1])
        told.append({finding.vessel, finding.also})
    assert told == [{"RCA", "LCx"}] * 3


def border_deg(phi, level, vessel) -> float:
    """The angle that halves the wall between the middles of the LCx's and the RCA's muscle at mid height."""
    mid = np.abs(level - 0.5) < 0.2
    angles = np.arange(150.0, 300.0)
    near = [mid & (np.abs(np.mod(phi - a + 180, 360) - 180) < 40) for a in angles]
    uneven = [abs(int((vessel[n] == LCX).sum()) - int((vessel[n] == RCA).sum())) for n in near]
    return float(angles[int(np.argmin(uneven))])


def test_a_severe_narrowing_with_normal_flow_is_told_too(heart):
    found = find(flow_of(heart), narrowed(heart[1], "LAD", 75))
    assert [f.kind for f in found] == ["stenosis_without_ischaemia"]
    assert "normal stress flow" in found[0].sentence


def test_low_flow_everywhere_is_not_laid_on_a_vessel(heart):
    found = find(flow_of(heart, level=1.3), narrowed(heart[1], "LAD", 46))
    assert [f.kind for f in found] == ["microvascular"] and found[0].vessel is None


def test_two_vessels_are_both_named_the_larger_one_first(heart):
    tree = narrowed(narrowed(heart[1], "LAD", 80), "LCx", 85)
    found = find(flow_of(heart, [(LAD, 0.55), (LCX, 0.55)]), tree)
    matched = [f for f in found if f.kind == "matched"]
    assert {f.vessel for f in matched} == {"LAD", "LCx"}
    masses = [f.numbers["low_flow_mass_g"] for f in matched]
    assert masses == sorted(masses, reverse=True)


def test_a_patch_that_one_slice_alone_saw_does_not_speak_without_a_narrowing(heart):
    flow = flow_of(heart)
    z = flow.surface.points_mm[:, 2]
    patch = (heart[2].vessel == LCX) & (np.abs(z) < 10)
    mbf = np.where(patch, 0.5 * flow.mbf, flow.mbf)
    assert find(replace(flow, mbf=mbf), heart[1]) == ()


def test_every_narrowing_has_its_muscle_at_risk(heart):
    surface, tree, supply = heart
    flow = flow_of(heart, [(LAD, 0.5)])
    tree = narrowed(narrowed(tree, "LAD", 80), "LAD", 60, at=60.0)
    table = narrowing_table(tree, supply, flow.surface, remote_of(flow.surface, flow.mbf))
    assert list(table["cad_rads"]) == ["4A", "3"]
    assert table["mass_at_risk_g"][0] > table["mass_at_risk_g"][1] > 0  # the one upstream has more behind it
    assert table["ischaemic_share"][0] > 0.8
    assert set(table["vessel"]) == {"LAD"}


def test_noise_raises_what_counts_as_more_than_chance(heart):
    calm, noisy = remote_of(flow_of(heart).surface, flow_of(heart).mbf), None
    assert calm.spread == pytest.approx(MIN_SPREAD, abs=0.02)
    segment = np.asarray(heart[0].values["segment"]).astype(int)
    patchy = flow_of(heart)
    uneven = patchy.mbf * (1 + 0.15 * np.random.default_rng(2).normal(size=18))[segment]
    noisy = remote_of(patchy.surface, uneven)
    assert noisy.spread > calm.spread
    assert chance(0.3, 10.0, noisy, 16) > chance(0.3, 10.0, calm, 16)


def test_chance_falls_with_depth_and_mass_and_grows_with_places(heart):
    remote = remote_of(flow_of(heart).surface, flow_of(heart).mbf)
    assert chance(0.4, 20, remote, 1) < chance(0.2, 20, remote, 1)
    assert chance(0.2, 60, remote, 1) < chance(0.2, 5, remote, 1)
    assert chance(0.2, 20, remote, 16) >= chance(0.2, 20, remote, 1)
    assert chance(0.0, 20, remote, 16) == 1.0


def test_a_weighted_quantile_knows_its_weights():
    values, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 8.0])
    assert weighted_quantile(values, weights, 0.5) > 2.5
    assert np.isnan(weighted_quantile(np.zeros(0), np.zeros(0), 0.5))
