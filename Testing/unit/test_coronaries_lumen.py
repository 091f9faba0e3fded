"""Radius, narrowings, straightening and seeding on one tube whose lumen is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.diameter_plot import draw_diameter
from CardiacFusionLib.coronaries.pruning import _last_good
from CardiacFusionLib.coronaries.radius import Profile, blur_of, cross_sections, measured
from CardiacFusionLib.coronaries.seeding import seeded
from CardiacFusionLib.coronaries.stenosis import find_stenoses, healthy
from CardiacFusionLib.coronaries.straightened import straightened_image, straightening
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume

BLOOD, WALL, FAT = 400.0, 60.0, -80.0
SPACING = 0.4


def arc_of_circle(length=60.0, bend=40.0, step=0.5):
    angle = np.arange(0, length, step) / bend
    return np.stack([bend * np.cos(angle) - bend, 6.0 * np.sin(angle / 2), bend * np.sin(angle)], axis=1)


def radius_along(n):
    """1.6 mm tapering to 1.2, narrowed by 70 % half way."""
    arc = np.arange(n) * 0.5
    taper = np.linspace(1.6, 1.2, n)
    return taper * (1 - 0.7 * np.exp(-0.5 * ((arc - 30.0) / 3.0) ** 2))


@pytest.fixture(scope="module")
def vessel():
    """CT (HU) of the tube after a blur of 0.6 mm and noise, its centreline and true radius."""
    line = arc_of_circle()
    radius = radius_along(len(line))
    healthy_radius = np.linspace(1.6, 1.2, len(line))
    low, high = line.min(axis=0) - 7, line.max(axis=0) + 7
    size = np.ceil((high - low) / SPACING).astype(int)
    ct = Volume(np.zeros(size[::-1], np.float32), (SPACING,) * 3, tuple(low), np.eye(3))
    distance, nearest = cKDTree(line).query(ct.grid_lps().reshape(-1, 3))
    hu = np.full(len(distance), FAT, np.float32)
    for edge, value in ((healthy_radius[nearest] + 0.6, WALL), (radius[nearest], BLOOD)):
        cover = np.clip(0.5 - (distance - edge) / SPACING, 0, 1)
        hu += cover * (value - hu)
    image = ndimage.gaussian_filter(hu.reshape(ct.array.shape), 0.6 / SPACING)
    image += np.random.default_rng(3).normal(0, 15, image.shape)
    return ct.with_array(image.astype(np.float32)), line, radius


def test_the_blur_of_the_scanner_is_read_from_the_vessel(vessel):
    ct, line, _ = vessel
    assert blur_of(cross_sections(line, ct, BLOOD), BLOOD) == pytest.approx(0.65, abs=0.2)


def test_the_lumen_is_read_to_a_quarter_of_a_voxel(vessel):
    ct, line, radius = vessel
    cut = cross_sections(line, ct, BLOOD)
    found = measured(cut, BLOOD, blur_of(cut, BLOOD))
    inner = slice(10, -10)
    assert np.abs(2 * (found.radius_mm - radius))[inner].mean() < 0.25
    assert found.enclosed[inner].mean() > 0.95
    assert not found.calcium.any()


def test_a_narrowing_of_70_percent_is_read_within_ten_points(vessel):
    ct, line, _ = vessel
    cut = cross_sections(line, ct, BLOOD)
    blur = blur_of(cut, BLOOD)
    first = measured(cut, BLOOD, blur)
    arc = Branch("LAD", line, first.radius_mm).arc_mm
    reference = healthy(arc, 2 * first.radius_mm)
    profile = measured(cut, BLOOD, blur, reference / 2)
    within = np.abs(arc - 30) < 6
    radius = np.where(within, profile.radius_mm, first.radius_mm)
    found = find_stenoses(Branch("LAD", line, radius), profile)
    worst = max(found, key=lambda s: s.diameter_percent)
    assert worst.diameter_percent == pytest.approx(70.0, abs=10.0)
    assert worst.position_mm == pytest.approx(30.0, abs=3.0)
    assert not worst.calcified


@pytest.mark.parametrize(("beside_mm", "closures"), [(2.5, 1), (4.0, 0)])
def test_a_way_that_leaves_its_vessel_is_no_closed_artery(beside_mm: float, closures: int) -> None:
    arc = np.arange(0.0, 80.0, 0.5)
    diameter = np.full(len(arc), 2.5)
    diameter[(arc > 22) & (arc < 32)] = beside_mm
    diameter[(arc > 16.5) & (arc < 21)] = 0.0
    branch = Branch("LCx", np.stack([arc, 0 * arc, 0 * arc], axis=1), diameter / 2)
    profile = Profile(diameter / 2, np.full(len(arc), 400.0), np.zeros(len(arc), bool), np.ones(len(arc)))
    assert len(find_stenoses(branch, profile)) == closures


@pytest.mark.parametrize(("length_mm", "found"), [(2.0, 0), (4.0, 1)])
def test_a_tight_place_shorter_than_any_plaque_is_where_a_way_crosses_a_wall(length_mm: float, found: int) -> None:
    arc = np.arange(0.0, 80.0, 0.5)
    diameter = np.where(np.abs(arc - 40.0) <= length_mm / 2, 0.5, 2.5)
    branch = Branch("PDA", np.stack([arc, 0 * arc, 0 * arc], axis=1), diameter / 2, "RCA")
    profile = Profile(diameter / 2, np.full(len(arc), 400.0), np.zeros(len(arc), bool), np.ones(len(arc)))
    assert len(find_stenoses(branch, profile)) == found


def test_a_branch_pulled_straight_runs_down_the_middle(vessel):
    ct, line, radius = vessel
    branch = Branch("LAD", line, radius)
    picture = straightened_image(ct, branch, 5.0)
    middle = picture.array.shape[1] // 2
    wide = np.flatnonzero(radius > 1.0)
    wide = wide[(wide > 8) & (wide < len(line) - 8)]
    rows = np.clip(wide, 0, len(picture.array) - 1)
    assert np.median(picture.array[rows, middle, middle]) > 300
    assert np.median(picture.array[rows, middle, 1]) < 0


def test_the_straightening_transform_leads_back_to_the_patient(vessel):
    _, line, radius = vessel
    branch = Branch("LAD", line, radius)
    place = straightening(branch, 5.0).TransformPoint((0.0, 0.0, 20.0))
    assert np.linalg.norm(np.asarray(place) - line[40]) < 0.5
    aside = np.asarray(straightening(branch, 5.0).TransformPoint((3.0, 0.0, 20.0)))
    assert np.linalg.norm(aside - place) == pytest.approx(3.0, abs=0.2)


def test_two_points_draw_a_branch(vessel):
    ct, line, radius = vessel
    tree = seeded(CoronaryTree(()), ct, line[4], line[-6], "OM1")
    branch = tree.branch("OM1")
    assert branch is not None
    off, _ = cKDTree(line).query(branch.points_mm)
    assert np.mean(off) < 0.3
    assert max(s.diameter_percent for s in tree.stenoses) > 55


def test_a_seeded_branch_hangs_on_its_parent_and_needs_sense(vessel):
    ct, line, radius = vessel
    parent = CoronaryTree((Branch("LCx", line[:30], radius[:30]),))
    child = seeded(parent, ct, line[20] + [0.5, 0.5, 0.0], line[-6], "OM1", "LCx").branch("OM1")
    assert child is not None and child.parent == "LCx"
    assert np.linalg.norm(line[:30] - child.points_mm[0], axis=1).min() < 1e-9
    for wrong in (("LCx", None), ("", None), ("OM1", "RCA")):
        with pytest.raises(BadInputError):
            seeded(parent, ct, line[4], line[-6], *wrong)
    with pytest.raises(BadInputError, match="outside"):
        seeded(parent, ct, line[4], line[4] + [0, 0, 100.0], "OM1")


def test_an_end_is_cut_where_it_stops_to_look_like_an_artery():
    yes, no = [True] * 20, [False] * 12
    assert _last_good(np.array(yes)) == 19
    assert _last_good(np.array(yes + no)) == 19
    assert _last_good(np.array(yes + no + yes)) == 51  # a gap with vessel behind it is bridged
    assert _last_good(np.array(yes + no + [True] * 5)) == 19  # a bright spot far off is not
    assert _last_good(np.array(no * 3)) == -1


def test_the_diameter_plot_names_the_narrowing():
    from matplotlib.figure import Figure

    line = arc_of_circle()
    branch = Branch("LAD", line, radius_along(len(line)), None, np.full(len(line), 3.0))
    tree = CoronaryTree((branch,))
    axes = Figure().subplots()
    draw_diameter(axes, tree, "LAD")
    assert axes.get_title() == "LAD" and len(axes.lines) == 2
    empty = Figure().subplots()
    draw_diameter(empty, tree, "RCA")
    assert "not found" in empty.texts[0].get_text()
