"""Where ways begin and what they may not run along: the right aorta, its wall, rims of chambers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from CardiacFusionLib.coronaries.aorta import ascending
from CardiacFusionLib.coronaries.detours import closed, detours, settled
from CardiacFusionLib.coronaries.facing import rehung
from CardiacFusionLib.coronaries.lumen import Blood, blood_of_root
from CardiacFusionLib.coronaries.ostia import walled
from CardiacFusionLib.coronaries.paths import PathTree, SearchGrid, grow_tree
from CardiacFusionLib.coronaries.pruning import Picture
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.volume import Volume

BLOOD_HU, FAT_HU = 400.0, -90.0
SPACING = 0.8
BLOOD = Blood(BLOOD_HU, 10.0, 1000)


def axes(*size: int) -> list[np.ndarray]:
    return np.meshgrid(*[np.arange(n) * SPACING for n in size], indexing="ij")


def volume(hu: np.ndarray) -> Volume:
    return Volume(hu.astype(np.float32), (SPACING,) * 3, (0.0, 0.0, 0.0), np.eye(3))


def test_the_ascending_aorta_is_the_one_at_the_cavity_though_the_other_touches_the_wall():
    z, y, x = axes(60, 60, 60)
    labels = np.zeros(z.shape, np.uint8)
    labels[np.linalg.norm([z - 20, y - 24, x - 24], axis=0) < 16] = Label.MYOCARDIUM
    labels[np.linalg.norm([z - 20, y - 24, x - 24], axis=0) < 9] = Label.LV_CAVITY
    labels[(np.hypot(y - 24, x - 24) < 6) & (z > 26)] = Label.AORTA
    labels[np.hypot(y - 24, x - 44) < 5] = Label.AORTA  # behind the heart: nearer to the wall than the root is
    found = ascending(labels, (SPACING,) * 3)
    assert found is not None and found[50, 30, 30] and not found[25, 30, 55]
    hu = np.where(found, 400.0, 250.0) * (labels == Label.AORTA) + 90.0 * (labels == Label.MYOCARDIUM)
    blood = blood_of_root(volume(hu), labels)
    assert blood.hu == pytest.approx(400.0) and blood.muscle_hu == pytest.approx(90.0)


@pytest.mark.parametrize(("blood_hu", "muscle_hu", "seen"), [(40, 45, False), (122, 65, True), (145, 95, True),
                                                             (100, 90, False), (float("nan"), 60, False)])  # fmt: skip
def test_contrast_is_what_blood_has_over_muscle(blood_hu: float, muscle_hu: float, seen: bool):
    assert Blood(blood_hu, 10.0, 99, muscle_hu).is_enhanced is seen


@pytest.mark.parametrize(("hu", "sd_hu", "faint"), [(112, 30, True), (112, 12, False), (245, 72, False)])
def test_pale_blood_is_faint_where_noise_hides_its_edge(hu: float, sd_hu: float, faint: bool):
    assert Blood(hu, sd_hu, 99, 57.0).is_faint is faint


def loop_past_the_aorta(light: float = 1.0) -> tuple[Volume, np.ndarray, SearchGrid, list[float]]:
    """An artery that leaves a straight aorta at z 8 mm, bows out and passes by at z 40 mm, a wall of 1 mm between."""
    z, y, x = axes(90, 40, 60)
    aorta = np.hypot(y - 16, x - 10) < 8.0
    hu = np.where(aorta, BLOOD_HU, FAT_HU)
    at = np.arange(8.0, 68.0, 0.3)
    middle = np.where(at < 40, 20.6 + 9.0 * np.sin(np.pi * (at - 8) / 32), 20.6 + 0.5 * np.maximum(at - 46.0, 0.0))
    middle[at < 9] = 17.0
    for a, m in zip(at, middle):
        hu[np.linalg.norm([z - a, y - 16, x - m], axis=0) < 1.6] = BLOOD_HU
    hu[(np.linalg.norm([z - 8, y - 16], axis=0) < 1.6) & (x > 10) & (x < 21)] = BLOOD_HU
    hu[(hu > 0) & ~aorta] = FAT_HU + light * (BLOOD_HU - FAT_HU)
    hu[aorta] = BLOOD_HU
    tube = np.where((hu > 0) & ~aorta, 0.25, 0.0).astype(np.float32)
    tube = np.maximum(tube, 0.6 * ndimage.maximum_filter(tube, 3))  # a filter blurs over a thin wall
    support = np.clip(tube / 0.12, 0, 1).astype(np.float32)
    surface = aorta & ~ndimage.binary_erosion(aorta)
    grid = SearchGrid(volume(hu), (1, 1, 1), (0, 0, 0), tube, support, np.flatnonzero(tube.ravel() > 0.2))
    return grid.volume, surface, grid, [8.0, 40.0]


@pytest.mark.parametrize("light", [1.0, 0.78])  # a thin artery under the scanner's blur is dimmer than the aorta
def test_a_way_does_not_leave_through_the_aorta_s_wall_where_an_artery_passes_by(light: float):
    _, surface, grid, (ostium, passing) = loop_past_the_aorta(light)
    plain = grow_tree(grid, surface)
    guarded = grow_tree(walled(grid, surface, BLOOD), surface)

    def door(tree: PathTree) -> float:
        leaf = max(tree.leaves, key=lambda one: tree.points_mm[one][2])
        return float(tree.points_mm[tree.way(int(leaf))[0]][2])

    assert abs(door(plain) - passing) < 8.0  # what the wall is there for
    assert abs(door(guarded) - ostium) < 4.0


def rim_and_artery() -> tuple[Picture, PathTree]:
    """A straight artery in fat, reached over the edge of a bright chamber: fork at both ends of the edge."""
    z, y, x = axes(110, 50, 50)
    hu = np.full(z.shape, FAT_HU)
    hu[(x < 20) & (y < 20) & (z < 44)] = BLOOD_HU
    hu[(np.hypot(y - 20, x - 20) < 1.6) & (z > 42)] = BLOOD_HU
    hu[(np.hypot(z - 60, x - 20) < 1.4) & (y > 20)] = BLOOD_HU
    ct = volume(ndimage.gaussian_filter(hu, 0.7 / SPACING))
    tubes = np.full(hu.shape, 0.02, np.float32)
    tubes[z > 44] = 0.2
    line = np.stack([np.full(100, 20.0), np.full(100, 20.0), np.arange(100) * SPACING + 2.0], axis=1)
    spur = np.stack([np.full(16, 20.0), np.arange(16) * SPACING + 21.0, np.full(16, 60.0)], axis=1)
    twig = np.stack([np.full(12, 20.0), np.arange(12) * SPACING + 21.0, np.full(12, 42.0)], axis=1)
    points = np.concatenate([line, spur, twig])
    parent = np.concatenate([np.arange(-1, 99), [72], np.arange(100, 115), [50], np.arange(116, 127)]).astype(np.intp)
    return Picture(ct, tubes, BLOOD, 0.7), PathTree(points, parent, np.zeros(len(points), bool))


def test_the_edge_of_a_chamber_between_two_forks_is_a_detour_and_the_artery_behind_it_is_none():
    picture, tree = rim_and_artery()
    marked = detours(tree, picture)
    assert marked[8:44].mean() > 0.8
    assert not marked[58:].any()


def test_a_detour_that_stays_is_a_bridge_to_more_artery_than_it_is_long_and_else_goes():
    picture, tree = rim_and_artery()
    assert len(settled(tree, picture).points_mm) == len(tree.points_mm)
    assert settled(tree, picture).gap[8:44].mean() > 0.8
    short = np.arange(len(tree.points_mm))
    short = short[(short < 60) | (short >= 116)]
    number = np.full(len(tree.points_mm), -1)
    number[short] = np.arange(len(short))
    cut_short = PathTree(tree.points_mm[short], number[tree.parent[short]].astype(np.intp), tree.gap[short])
    cut_short = dataclasses.replace(cut_short, parent=np.where(tree.parent[short] < 0, -1, cut_short.parent))
    assert len(settled(cut_short, picture).points_mm) < len(cut_short.points_mm)


def test_what_is_closed_is_the_detour_and_not_the_artery():
    picture, tree = rim_and_artery()
    field = picture.tubes
    grid = SearchGrid(picture.ct, (1, 1, 1), (0, 0, 0), field, np.clip(field / 0.02, 0, 1), np.arange(field.size))
    marked = detours(tree, picture)
    shut = closed(grid, tree, marked)
    inside = tuple(np.rint(tree.points_mm[24][::-1] / SPACING).astype(int))
    beyond = tuple(np.rint(tree.points_mm[80][::-1] / SPACING).astype(int))
    assert shut.field[inside] == 0 and shut.support[inside] == 0
    assert shut.field[beyond] > 0 and shut.support[beyond] > 0
    assert np.ravel_multi_index(inside, field.shape) not in shut.candidates


def test_an_artery_drawn_inside_a_chamber_or_through_another_is_a_conflict():
    from CardiacFusionLib.training.evaluation.fine_coronaries import conflicts, patient_of

    patient = patient_of(1)
    assert conflicts(patient) == []
    lad, rca = patient.tree.branch("LAD"), patient.tree.branch("RCA")
    assert lad is not None and rca is not None
    middle = patient.heart.landmarks["base"]
    deep = dataclasses.replace(lad, points_mm=lad.points_mm + 0.7 * (np.asarray(middle) - lad.points_mm.mean(axis=0)))
    others = tuple(b for b in patient.tree.branches if b.name != "LAD")
    wrong = dataclasses.replace(patient, tree=dataclasses.replace(patient.tree, branches=(*others, deep)))
    assert any("LAD runs" in said and "chamber" in said for said in conflicts(wrong))
    moved = dataclasses.replace(rca, points_mm=rca.points_mm + (lad.points_mm[60] - rca.points_mm[60]))
    others = tuple(b for b in patient.tree.branches if b.name != "RCA")
    wrong = dataclasses.replace(patient, tree=dataclasses.replace(patient.tree, branches=(*others, moved)))
    assert any("through" in said for said in conflicts(wrong))


def nose_to_nose(widens: bool) -> tuple[Picture, PathTree]:
    """Two ways whose ends face each other at z 60 mm in one vessel, which the lower one entered at z 48 mm."""
    z, y, x = axes(140, 30, 30)
    radius = np.where(z < 48, 1.0 if widens else 1.6, 1.6)
    hu = np.where(np.hypot(y - 12, x - 12) < radius, BLOOD_HU, FAT_HU)
    ct = volume(ndimage.gaussian_filter(hu, 0.5 / SPACING))
    tubes = np.where(np.hypot(y - 12, x - 12) < 0.9, 0.25, 0.0).astype(np.float32)
    low, high = np.arange(4.0, 58.0, SPACING), np.arange(108.0, 62.0, -SPACING)
    points = np.concatenate([np.stack([np.full(len(a), 12.0), np.full(len(a), 12.0), a], axis=1) for a in (low, high)])
    parent = np.concatenate([np.arange(-1, len(low) - 1), [-1], np.arange(len(low), len(points) - 1)]).astype(np.intp)
    return Picture(ct, tubes, BLOOD, 0.5), PathTree(points, parent, np.zeros(len(points), bool))


def test_a_vessel_entered_from_a_thinner_one_belongs_to_the_artery_whose_end_it_faces():
    picture, tree = nose_to_nose(widens=True)
    new = rehung(tree, picture)
    ends = sorted(float(new.points_mm[leaf][2]) for leaf in new.leaves)
    assert len(ends) == 2
    assert all(abs(end - 48.0) < 4.0 for end in ends)
    assert (new.parent < np.arange(len(new.parent))).all()  # parents before children
    assert len(new.points_mm) == len(tree.points_mm)


def test_ends_that_face_each_other_in_a_vessel_of_one_width_stay_as_they_are():
    picture, tree = nose_to_nose(widens=False)
    assert rehung(tree, picture) is tree
