"""Apex and base are told from a few outlined slices that do not reach them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CardiacFusionLib.networks.stack_landmarks import StackLandmarks
from CardiacFusionLib.registration.ends import ends_in_cmr
from CardiacFusionLib.registration.result import Pairing
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.cmr_landmarks import PIXEL_MM, WINDOW, DrawnStack, draw_stack
from CardiacFusionLib.walls.result import CmrWalls, Located
from CardiacFusionLib.walls.stack_input import FACT_COUNT, stack_view
from CardiacFusionLib.walls.stack_landmarks import NAMES, levels_of_stack, locate_ends

AXES = canonical_axes(MEAN_LONG_AXIS_LPS)
ISOCENTRE = np.array([12.0, -30.0, 140.0])
UNSEEN = range(700_000_000, 700_000_024)


def poses(drawn: DrawnStack, mirrored: bool = False) -> tuple[SlicePose, ...]:
    """Where the drawn slices lie; ``mirrored``: stored with rows reversed."""
    half = (WINDOW - 1) / 2 * PIXEL_MM
    corner, rows = (-half, half) if mirrored else (-half, -half), -1.0 if mirrored else 1.0
    x, y = AXES[:, 0], AXES[:, 1] * rows
    direction = np.stack([x, y, np.cross(x, y)], axis=1)
    return tuple(
        SlicePose(tuple(ISOCENTRE + AXES @ np.array([corner[0], corner[1], z])), direction, (PIXEL_MM,) * 2, 8.0)
        for z in drawn.height_mm
    )


def three_slices(seed: int) -> DrawnStack:
    """The stack of an unseen heart if it is one of three slices, else the three of its middle."""
    drawn = draw_stack(seed)
    middle = len(drawn.labels) // 2
    kept = slice(max(middle - 1, 0), middle + 2)
    return DrawnStack(drawn.labels[kept], drawn.height_mm[kept], drawn.marks_mm)


def test_three_slices_tell_apex_and_base_better_than_the_mean_place() -> None:
    far, true = [], []
    for seed in UNSEEN:
        drawn = three_slices(seed)
        found = locate_ends(drawn.labels, poses(drawn))
        middle = np.array([0.0, 0.0, drawn.height_mm.mean()])
        places = np.stack([(found[name].place_lps - ISOCENTRE) @ AXES for name in NAMES])
        far.append(np.linalg.norm(places - drawn.marks_mm, axis=1))
        true.append(drawn.marks_mm - middle)
    mean_place = np.linalg.norm(np.array(true) - np.mean(true, axis=0), axis=2)
    assert np.mean(far) < 0.6 * mean_place.mean()
    assert np.mean(far) < 8.0


def test_the_truth_lies_within_the_spread_that_is_told() -> None:
    inside = []
    for seed in UNSEEN:
        drawn = three_slices(seed)
        for k, name in enumerate(NAMES):
            one = locate_ends(drawn.labels, poses(drawn))[name]
            away = (one.place_lps - ISOCENTRE) @ AXES - drawn.marks_mm[k]
            inside.append(abs(away[2]) <= 2 * one.along_sd_mm)
    assert 0.8 <= np.mean(inside) <= 1.0


def test_it_does_not_matter_how_the_pictures_are_stored_or_in_which_order() -> None:
    drawn = three_slices(UNSEEN[0])
    plain = locate_ends(drawn.labels, poses(drawn))
    turned = locate_ends(np.ascontiguousarray(drawn.labels[::-1, ::-1]), poses(drawn, mirrored=True)[::-1])
    for name in NAMES:
        assert turned[name].place_lps == pytest.approx(plain[name].place_lps, abs=0.05)


def test_slices_without_a_ventricle_tell_nothing() -> None:
    drawn = three_slices(UNSEEN[0])
    assert stack_view(np.zeros_like(drawn.labels), poses(drawn)) is None
    assert locate_ends(np.zeros_like(drawn.labels), poses(drawn)) == {}


def test_places_that_hold_no_slice_do_not_count() -> None:
    torch.manual_seed(0)
    network = StackLandmarks(FACT_COUNT, 3).eval()
    facts, height = torch.randn(1, 3, FACT_COUNT), torch.tensor([[15.0, 0.0, -15.0]])
    padded = torch.cat([facts, torch.randn(1, 4, FACT_COUNT)], dim=1), torch.cat([height, torch.ones(1, 4)], dim=1)
    there = torch.tensor([[1.0] * 3 + [0.0] * 4])
    with torch.inference_mode():
        alone, among = network(facts, height, torch.ones(1, 3)), network(*padded, there)
    assert torch.allclose(alone[0], among[0], atol=1e-4) and torch.allclose(alone[1], among[1], atol=1e-4)


def test_levels_run_from_the_tip_to_the_base() -> None:
    drawn = three_slices(UNSEEN[1])
    walls = CmrWalls(drawn.labels, ({}, {}, {}), ends=locate_ends(drawn.labels, poses(drawn)))
    levels = levels_of_stack(walls, poses(drawn))
    assert levels is not None
    tip, base = drawn.marks_mm[2, 2], drawn.marks_mm[1, 2]
    assert levels == pytest.approx((drawn.height_mm - tip) / (base - tip), abs=0.2)


def test_levels_stay_open_where_the_ends_are_unknown_or_a_guess() -> None:
    drawn = three_slices(UNSEEN[1])
    bare = CmrWalls(drawn.labels, ({}, {}, {}))
    assert levels_of_stack(bare, poses(drawn)) is None
    vague = {name: Located(ISOCENTRE + AXES @ mark, 20.0, 20.0) for name, mark in zip(NAMES, drawn.marks_mm)}
    assert levels_of_stack(CmrWalls(drawn.labels, ({}, {}, {}), ends=vague), poses(drawn)) is None


def test_apex_and_base_beyond_the_slices_come_from_the_ct_through_the_pairing() -> None:
    marks = {"apex": [0, 0, -45], "base": [0, 0, 45], "rv_insertion_anterior": [-30, -20, 0]}
    ct_pose = HeartPose.from_landmarks({n: np.array(p, float) for n, p in marks.items()} | {
        "rv_insertion_inferior": np.array([-30.0, 20.0, 0.0])
    })  # fmt: skip
    slices = tuple(SlicePose((0.0, 0.0, z), np.eye(3), (1.0, 1.0), 8.0) for z in (18.0, 0.0, -18.0))
    shorter = Pairing(HeartPose(np.eye(4)), np.array([20.0, 0.0, -20.0]))  # CMR shorter by a tenth
    found = ends_in_cmr(shorter, ct_pose, CmrWalls(np.zeros((3, 4, 4), np.uint8), ({}, {}, {})), slices)
    np.testing.assert_allclose(found["apex"].place_lps, [0, 0, -40.5], atol=1e-9)
    np.testing.assert_allclose(found["base"].place_lps, [0, 0, 40.5], atol=1e-9)


def test_the_surer_of_two_witnesses_counts_more() -> None:
    drawn = three_slices(UNSEEN[2])
    slices = poses(drawn)
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = AXES.T, -AXES.T @ ISOCENTRE
    marks = {name: ISOCENTRE + AXES @ mark for name, mark in zip(NAMES, drawn.marks_mm)}
    pose = HeartPose(frame, marks)
    pairing = Pairing(HeartPose(frame), drawn.height_mm)
    alone = ends_in_cmr(pairing, pose, CmrWalls(drawn.labels, ({}, {}, {})), slices)
    assert alone["apex"].place_lps == pytest.approx(marks["apex"], abs=1e-6)
    aside = marks["apex"] + 10.0 * AXES[:, 2]
    for spread, share in ((0.01, 1.0), (1000.0, 0.0)):
        walls = CmrWalls(drawn.labels, ({}, {}, {}), ends={"apex": Located(aside, spread, spread)})
        place = ends_in_cmr(pairing, pose, walls, slices)["apex"].place_lps
        assert place == pytest.approx(marks["apex"] + share * 10.0 * AXES[:, 2], abs=0.05)
