"""Blood inside the outline of the wall: a ring closed across the outflow, a thin wall outlined in the cavity."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from perfusion_phantom import Phantom, make_phantom
from scipy import ndimage

from CardiacFusionLib.perfusion.flags import fit_flags
from CardiacFusionLib.perfusion.flow import SegmentFlow, too_small
from CardiacFusionLib.perfusion.mixture import mixed_pixels
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.stage import quantify
from CardiacFusionLib.spatial.labels import Label

FLOW, SEGMENT = 2.5, 10  # mid inferior, in the middle slice
MIDDLE = 1


@cache
def still(flow: float = FLOW) -> Phantom:
    return make_phantom(2, breathing_mm=0.0, normal=flow)


@cache
def quantified(flow: float = FLOW) -> Perfusion:
    return quantify(still(flow).series, still(flow).walls)


def segment() -> NDArray[np.bool_]:
    """The pixels (y, x) of the segment in the middle slice."""
    return np.asarray(quantified().segment_labels)[MIDDLE] == SEGMENT


def flow_of(study: Perfusion) -> float:
    return float(study.segments.set_index("segment").loc[SEGMENT, "mbf_ml_min_g"])


def test_blood_mixed_into_half_of_a_segment_does_not_raise_its_flow() -> None:
    phantom, here = still(), segment()
    array = phantom.series.array.copy()
    cavity = ndimage.binary_erosion(phantom.walls.labels[MIDDLE] == Label.LV_CAVITY, iterations=3)
    blood = array[:, MIDDLE][:, cavity].mean(axis=1, keepdims=True)
    rng = np.random.default_rng(1)
    share = rng.uniform(0.1, 0.6, here.sum()) * (rng.random(here.sum()) < 0.5)
    array[:, MIDDLE][:, here] = (1 - share) * array[:, MIDDLE][:, here] + share * blood
    mixed = quantify(phantom.series.with_array(array), phantom.walls)
    assert flow_of(mixed) == pytest.approx(flow_of(quantified()), rel=0.06)
    left = np.isfinite(mixed.maps.maps["mbf"][MIDDLE][here])
    assert not left[share > 0.2].any() and left[share == 0].mean() > 0.7


@pytest.mark.parametrize("pixels", [2, 3])
def test_an_outline_pushed_into_the_cavity_is_read_from_its_muscle(pixels: int) -> None:
    """The segment lies at the bottom of the picture: up is towards the cavity. Its wall is four pixels thick."""
    phantom, here = still(), segment()
    pushed = np.roll(here, -pixels, axis=0)
    labels = phantom.walls.labels.copy()
    labels[MIDDLE][here] = Label.BACKGROUND
    labels[MIDDLE][pushed] = Label.MYOCARDIUM
    study = quantify(phantom.series, replace(phantom.walls, labels=labels))
    assert flow_of(study) == pytest.approx(FLOW, rel=0.1)
    blood = pushed & (phantom.walls.labels[MIDDLE] == Label.LV_CAVITY)
    blood = ndimage.binary_erosion(blood, structure=np.array([[0, 1, 0]] * 3), border_value=0)
    assert not np.isfinite(study.maps.maps["mbf"][MIDDLE][blood]).any()
    others = study.segments.set_index("segment")["mbf_ml_min_g"].drop(SEGMENT)
    before = quantified().segments.set_index("segment")["mbf_ml_min_g"].drop(SEGMENT)
    np.testing.assert_allclose(others, before, rtol=0.05)


@pytest.mark.parametrize("flow", [2.5, 4.5])
def test_muscle_of_high_flow_is_not_taken_for_blood(flow: float) -> None:
    study = quantified(flow)
    wall = study.walls.labels == Label.MYOCARDIUM
    inside = ndimage.binary_erosion(wall, structure=np.ones((1, 3, 3)))
    healthy = inside & (still(flow).mbf == flow)
    assert np.isfinite(study.maps.maps["mbf"][healthy]).mean() > 0.98
    assert np.nanmedian(study.maps.maps["mbf"][healthy]) == pytest.approx(flow, rel=0.06)


def test_each_sign_of_blood_empties_a_pixel_by_itself() -> None:
    shape = (1, 6, 10)
    flow, peak_s = np.full(shape, 2.0, np.float32), np.full(shape, 9.0, np.float32)
    share, core = np.zeros(shape, np.float32), np.ones(shape, dtype=bool)
    core[0, 0] = False
    share[0, 0, 0], share[0, 0, 1] = 0.12, 0.2  # borders hold some blood by nature
    share[0, 1, 0], share[0, 1, 1], share[0, 1, 2] = 0.12, -0.5, 0.05
    peak_s[0, 2, 0], peak_s[0, 2, 1] = 5.3, 7.0  # the input peaks at 5
    out = mixed_pixels({"mbf": flow, "time_to_peak": peak_s}, core, share, 5.0)
    assert sorted(map(tuple, np.argwhere(out[0]))) == [(0, 1), (1, 0), (1, 1), (2, 0)]


def test_a_segment_of_four_pixels_gets_no_flow_and_is_named() -> None:
    flow = {n: SegmentFlow(2.0, 0.1, 0.02, 1.0, np.zeros(3), 0.9, 40) for n in range(1, 17)}
    flow[2] = replace(flow[2], trusted_share=0.06, trusted=4)
    assert too_small(flow) == [2]
    (flag,) = fit_flags(flow, np.arange(17, dtype=np.int8))
    assert flag.name == "mixed_segments" and "segment(s) 2 could not be measured" in flag.reason


def test_a_segment_with_hardly_a_muscle_pixel_has_no_row() -> None:
    phantom, here = still(), segment()
    array = phantom.series.array.copy()
    fat = np.flatnonzero(here)[:-3]  # three pixels stay muscle
    level = array[:8, MIDDLE].mean(axis=0)[here].mean()
    array.reshape(*array.shape[:2], -1)[:, MIDDLE, fat] = 2.5 * level
    study = quantify(phantom.series.with_array(array), phantom.walls)
    assert SEGMENT not in set(study.segments["segment"])
    flag = next(f for f in study.quality.flags if f.name == "mixed_segments")
    assert f"segment(s) {SEGMENT} could not be measured" in flag.reason
