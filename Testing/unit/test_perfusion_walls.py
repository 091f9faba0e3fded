"""A contour that is not perfect, a ventricle that narrows, a reader who knows better: what becomes of the flow."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from perfusion_phantom import Phantom, arterial_input, make_phantom, tissue_curve
from scipy import ndimage

from CardiacFusionLib.cli.perfusion import check_dicom_source, choices_of
from CardiacFusionLib.io.image_file import write_volume
from CardiacFusionLib.perfusion.choices import Choices, InputCurve
from CardiacFusionLib.perfusion.fermi import mbf_fermi
from CardiacFusionLib.perfusion.muscle import looks_like_muscle, muscle_brightness
from CardiacFusionLib.perfusion.spill import Spill
from CardiacFusionLib.perfusion.stage import quantify
from CardiacFusionLib.perfusion.wall import wall_coordinates
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Sequence
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CmrWalls

LEVELS = np.array([0.8, 0.5, 0.2])
TIMES = np.arange(0.0, 50.0, 0.9)


@cache
def still() -> Phantom:
    return make_phantom(2, breathing_mm=0.0)


def with_fat() -> Phantom:
    """The heart in a ring of fat, two and a half times as bright as muscle and unmoved by contrast."""
    phantom = still()
    array = phantom.series.array.copy()
    for s, labels in enumerate(phantom.walls.labels):
        heart = labels > 0
        ring = ndimage.binary_dilation(heart, iterations=4) & ~heart
        muscle = np.median(array[:8, s][:, labels == 2])
        array[:, s][:, ring] = 2.5 * muscle
    return replace(phantom, series=phantom.series.with_array(array))


def widened(walls: CmrWalls) -> CmrWalls:
    """An outline one pixel too wide on the outside."""
    labels = walls.labels.copy()
    for one in labels:
        outer = ndimage.binary_dilation((one == 1) | (one == 2), iterations=1)
        one[outer & (one == 0)] = 2
    return CmrWalls(labels, walls.landmarks)


def test_a_contour_that_takes_in_fat_makes_no_ischaemia() -> None:
    phantom = with_fat()
    right = quantify(phantom.series, phantom.walls, levels=LEVELS).segments.set_index("segment")
    wide = quantify(phantom.series, widened(phantom.walls), levels=LEVELS)
    table = wide.segments.set_index("segment")
    healthy = [3, 4, 5, 9, 10, 11, 15, 16]
    np.testing.assert_allclose(table.loc[healthy, "mbf_ml_min_g"], right.loc[healthy, "mbf_ml_min_g"], rtol=0.06)
    assert table.loc[healthy, "ischaemic_share"].max() < 0.25
    added = (wide.walls.labels == 2) & (phantom.walls.labels == 0)
    assert np.isnan(wide.maps.maps["mbf"][added]).mean() > 0.9


def test_fat_and_lung_are_told_from_muscle_under_a_sloping_coil() -> None:
    phantom = still()
    depth = wall_coordinates(phantom.walls, phantom.series.poses).depth
    baseline = phantom.series.array[:8].mean(axis=0).astype(float)
    expected = muscle_brightness(baseline, depth, phantom.series.poses)
    assert expected is not None
    middle = (depth > 0.3) & (depth < 0.7)
    np.testing.assert_allclose(np.median(baseline[middle] / expected[middle]), 1.0, atol=0.03)
    error = np.full(baseline.shape, 1.0)
    assert looks_like_muscle(baseline, expected, error)[middle].mean() > 0.95
    assert not looks_like_muscle(2.5 * expected, expected, error).any()
    assert not looks_like_muscle(0.2 * expected, expected, error).any()
    assert muscle_brightness(np.zeros_like(baseline), depth, phantom.series.poses) is None


@pytest.mark.parametrize("share", [-0.04, 0.05, 0.1])
def test_blood_that_spills_in_is_told_from_flow(share: float) -> None:
    aif = arterial_input(TIMES)
    blood = 2.2 * aif[None]
    curve = (1 - abs(share)) * tissue_curve(TIMES, 2.0) + share * blood[0]
    alone = mbf_fermi(curve, aif, times_s=TIMES, fit_until_s=36.0).mbf_ml_min_g[0]
    fit = mbf_fermi(curve, aif, times_s=TIMES, fit_until_s=36.0, spill=Spill(blood, 0.1))
    assert fit.mbf_ml_min_g[0] == pytest.approx(2.0 * (1 - abs(share)), rel=0.06)
    assert fit.spill[0, 0] == pytest.approx(share, abs=0.02)
    assert abs(fit.mbf_ml_min_g[0] - 2.0) < abs(alone - 2.0)


def test_pure_muscle_keeps_its_flow_where_blood_is_looked_for() -> None:
    aif = arterial_input(TIMES)
    noisy = tissue_curve(TIMES, 2.0) + np.random.default_rng(0).normal(0, 0.01, (200, TIMES.size))
    fit = mbf_fermi(noisy, aif, times_s=TIMES, fit_until_s=36.0, spill=Spill(2.2 * aif[None], 0.02))
    assert np.median(fit.mbf_ml_min_g) == pytest.approx(2.0, rel=0.04)
    with pytest.raises(BadInputError, match="spill"):
        mbf_fermi(noisy, aif, times_s=TIMES, spill=Spill(np.ones((1, 3)), 0.02))


def test_a_right_ventricle_that_narrows_does_not_turn_the_apical_segments() -> None:
    phantom = still()
    plain = wall_coordinates(phantom.walls, phantom.series.poses)
    marks = [dict(m) for m in phantom.walls.landmarks]
    middle = marks[2]["lv_centre"]
    for name, angle in (("rv_insertion_anterior", 160.0), ("rv_insertion_inferior", 200.0)):
        direction = np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle)), 0.0])
        marks[2][name] = middle + 25.0 * direction
    narrow = wall_coordinates(CmrWalls(phantom.walls.labels, tuple(marks)), phantom.series.poses)
    np.testing.assert_allclose(narrow.septum_deg, plain.septum_deg, atol=1e-6)
    turned = np.mod(narrow.angle_deg - plain.angle_deg + 180.0, 360.0) - 180.0
    assert np.nanmax(np.abs(turned)) < 1.0


def test_every_segment_has_an_interval_that_holds_its_flow() -> None:
    table = quantify(still().series, still().walls, levels=LEVELS).segments
    assert np.all(table["mbf_low"] < table["mbf_ml_min_g"]) and np.all(table["mbf_high"] > table["mbf_ml_min_g"])
    healthy = table.set_index("segment").loc[[3, 4, 5, 9, 10, 11]]
    assert np.all((healthy["mbf_low"] < 2.5) & (healthy["mbf_high"] > 2.5))


def test_the_readers_curve_and_region_take_the_place_of_the_automatic_input(tmp_path: Path) -> None:
    phantom = still()
    automatic = quantify(phantom.series, phantom.walls, levels=LEVELS)
    table = tmp_path / "aif.csv"
    lines = [f"{t},{c}" for t, c in zip(automatic.aif.times_s, automatic.aif.curve / 2)]
    table.write_text("time_s,aif\n" + "\n".join(lines))
    pose = phantom.series.poses[1]
    region = np.zeros((1, 72, 72), np.uint8)
    region[0, 33:39, 33:39] = 1
    write_volume(Volume(region, (*pose.spacing_mm, 4.0), pose.origin_mm, pose.direction), tmp_path / "region.nrrd")
    curve = choices_of({}, {"stress": table}, {}, None).aif(phantom.series, phantom.walls)
    assert curve is not None
    halved = quantify(phantom.series, phantom.walls, levels=LEVELS, aif=curve)
    ratio = halved.segments["mbf_ml_min_g"] / automatic.segments["mbf_ml_min_g"]
    np.testing.assert_allclose(ratio, 2.0, rtol=0.25)
    drawn = choices_of({}, {}, {"stress": tmp_path / "region.nrrd"}, None).aif(phantom.series, phantom.walls)
    assert drawn is not None and np.array_equal(np.nonzero(drawn.mask.any(axis=(1, 2)))[0], [1])
    assert drawn.mask[1].sum() == 36
    assert choices_of({}, {"rest": table}, {}, None).aif(phantom.series, phantom.walls) is None


def test_a_plasma_curve_is_brought_to_whole_blood() -> None:
    phantom = still()
    times = phantom.series.times_s[:, 0]
    own = InputCurve(times, arterial_input(times) / 0.6, haematocrit=0.4)
    aif = Choices(curves={"stress": own}).aif(phantom.series, phantom.walls)
    assert aif is not None
    np.testing.assert_allclose(aif.curve, arterial_input(times))


def test_the_readers_sequence_wins_over_the_files() -> None:
    series = replace(still().series, sequence=Sequence(tr_ms=2.2))
    known = choices_of({"ti_ms": 110.0, "tr_ms": None, "flip_deg": 12.0}, {}, {}, None).series(series).sequence
    assert (known.ti_ms, known.tr_ms, known.flip_deg) == (110.0, 2.2, 12.0)
    assert Choices().series(series) is series


def test_choices_that_do_not_fit_are_refused_with_a_reason(tmp_path: Path) -> None:
    phantom = still()
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInputError, match="time_s and aif"):
        choices_of({}, {"stress": tmp_path / "bad.csv"}, {}, None)
    with pytest.raises(BadInputError, match="above zero"):
        choices_of({"ti_ms": -5.0}, {}, {}, None)
    late = InputCurve(np.arange(500.0, 560.0), arterial_input(np.arange(60.0)))
    with pytest.raises(BadInputError, match="same clock"):
        Choices(curves={"stress": late}).aif(phantom.series, phantom.walls)
    elsewhere = Volume(np.ones((4, 4, 4), np.uint8), (1.0, 1.0, 1.0), (500.0, 0.0, 0.0), np.eye(3))
    with pytest.raises(BadInputError, match="touches no slice"):
        Choices(regions={"stress": elsewhere}).aif(phantom.series, phantom.walls)
    (tmp_path / "s.nii").write_bytes(b"no dicom")
    with pytest.raises(BadInputError, match="needs the DICOM series"):
        check_dicom_source(None, tmp_path / "s.nii")
