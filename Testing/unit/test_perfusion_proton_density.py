"""Proton-density frames tell the coil, and how bright dark blood must be."""

from dataclasses import replace
from functools import cache

import numpy as np
from perfusion_phantom import Phantom, arterial_input, make_phantom

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.perfusion.proton_density import blood_before_contrast, sensitivity
from CardiacFusionLib.perfusion.stage import quantify
from CardiacFusionLib.spatial.series import Sequence, Series

NOISE = 0.06  # the phantom's blood is then 1.5 noise levels bright before contrast
FRAMES = 3


@cache
def dark() -> Phantom:
    return make_phantom(2, breathing_mm=0.0, noise=NOISE, slices=2)


def with_proton_density(series: Series) -> Series:
    """The phantom's tissues have one proton density; its coil falls off from right to left."""
    size, spacing = series.array.shape[-1], series.poses[0].spacing_mm[0]
    x = (np.arange(size) + 0.25) * spacing - size * spacing / 2
    coil = np.broadcast_to(1.0 + 0.3 * x / 70.0, (size, size))
    rng = np.random.default_rng(7)
    shape = (FRAMES, series.slice_count, size, size)
    noise = 100.0 * NOISE * rng.normal(size=(2, *shape))
    frames = np.hypot(250.0 * coil + noise[0], noise[1]).astype(np.float32)
    times = series.times_s[:FRAMES] - series.times_s[FRAMES] + series.times_s[0]
    return replace(
        series,
        array=np.concatenate([frames, series.array]),
        times_s=np.concatenate([times, series.times_s]),
    )


def test_the_height_of_a_dark_input_is_found_from_proton_density() -> None:
    phantom = dark()
    truth = arterial_input(phantom.series.times_s[:, 0]).max()
    series = with_proton_density(phantom.series)
    helped = find_aif(series, phantom.walls)
    assert helped.foot >= FRAMES and np.all(helped.curve[:FRAMES] == 0)
    assert abs(helped.curve.max() / truth - 1) < 0.1
    unknown = find_aif(replace(series, sequence=Sequence()), phantom.walls)
    assert unknown.curve.max() != helped.curve.max()


def test_an_input_that_was_helped_is_not_flagged_and_one_that_was_not_is() -> None:
    phantom = dark()
    names = [
        {f.name for f in quantify(series, phantom.walls, levels=np.array([0.8, 0.5])).quality.flags}
        for series in (phantom.series, with_proton_density(phantom.series))
    ]
    assert "input_near_noise" in names[0] and "input_near_noise" not in names[1]


def test_bright_blood_is_read_from_its_own_frames() -> None:
    phantom = make_phantom(2, breathing_mm=0.0, slices=2)
    plain, helped = (find_aif(s, phantom.walls) for s in (phantom.series, with_proton_density(phantom.series)))
    np.testing.assert_allclose(helped.curve[FRAMES:], plain.curve, rtol=0.02, atol=0.02)


def test_sensitivity_is_the_coil_and_none_without_such_frames() -> None:
    phantom = dark()
    series = with_proton_density(phantom.series)
    muscle = phantom.walls.labels[0] == 2
    found = sensitivity(series.array[:, 0], FRAMES, muscle)
    assert found is not None
    columns = found.mean(axis=0)
    assert columns[-5:].mean() / columns[:5].mean() > 1.5
    assert abs(found[muscle].mean() - 1) < 1e-6
    assert sensitivity(series.array[:, 0], 0, muscle) is None
    blood = phantom.walls.labels[0] == 1
    before = slice(0, 8)
    frames, sequence = phantom.series.array[:, 0], phantom.series.sequence
    assert blood_before_contrast(frames, before, muscle, blood, sequence, 6.0) is None
