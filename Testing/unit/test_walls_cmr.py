"""Phases of the first pass, what the network sees, and the walls it draws in synthetic and real pictures."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls.cmr import segment_cmr, segment_frame, segment_stack, walls_from_labels
from CardiacFusionLib.walls.cmr_input import View, even_out, read_plane, write_back
from CardiacFusionLib.walls.phases_cmr import find_phases, phase_images

DATA = Path(os.environ.get("CARDIACFUSION_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SIZE = 96
AXES = canonical_axes(MEAN_LONG_AXIS_LPS)
RV_PEAK_S, LV_PEAK_S = 12.0, 18.0


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))


@lru_cache(maxsize=2)
def bolus(muscle_rise: float = 0.5) -> Series:
    """A heart of discs through which a bolus passes: RV first, LV after it, then the wall."""
    t = np.arange(40.0)
    y, x = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
    radius = np.hypot(x - 4, y)
    picture = np.where(radius < 17, 2, 0) + np.where(radius < 11, -1, 0)
    picture = np.where((np.hypot(x + 20, y) < 14) & (picture == 0), 3, picture)

    def pass_through(peak: float, width: float) -> np.ndarray:
        return np.exp(-0.5 * ((t - peak) / width) ** 2)

    left, right = 0.2 + 2.0 * pass_through(LV_PEAK_S, 2.5), 0.2 + 2.3 * pass_through(RV_PEAK_S, 2.2)
    curves = np.stack([0 * t + 0.2, left, 0.25 + muscle_rise * pass_through(24.0, 5.0), right])
    rng = np.random.default_rng(3)
    frames = curves[picture].transpose(2, 0, 1) + rng.normal(0, 0.02, (40, SIZE, SIZE))
    pose = SlicePose((0.0, 0.0, 0.0), AXES, (2.0, 2.0), 8.0)
    return Series(frames[:, None].astype(np.float32), (pose,), t)


def test_the_phases_follow_the_blood_from_rv_to_lv_to_wall() -> None:
    phases = find_phases(bolus())
    assert abs(phases.rv.mean() - RV_PEAK_S) <= 1.5
    assert abs(phases.lv.mean() - LV_PEAK_S) <= 1.5
    assert phases.baseline.max() < phases.rv.min() < phases.lv.min() < phases.myocardium.min()


def test_muscle_that_brightens_more_than_half_as_much_as_blood_is_no_ventricle() -> None:
    phases = find_phases(bolus(1.5))  # as where saturation hides the blood's peak
    assert abs(phases.rv.mean() - RV_PEAK_S) <= 1.5
    assert abs(phases.lv.mean() - LV_PEAK_S) <= 1.5


def test_the_phases_do_not_ask_how_many_frames_there_are() -> None:
    series = bolus()
    dense = Series(np.repeat(series.array, 2, axis=0), series.poses, np.arange(80) * 0.5)
    sparse_times, dense_times = series.times_s[:, 0], dense.times_s[:, 0]
    for name in ("rv", "lv"):
        a, b = sparse_times[getattr(find_phases(series), name)], dense_times[getattr(find_phases(dense), name)]
        assert abs(a.mean() - b.mean()) < 1.5, name


def test_a_series_without_contrast_is_refused() -> None:
    quiet = np.random.default_rng(0).normal(1.0, 0.02, bolus().array.shape).astype(np.float32)
    with pytest.raises(StageError, match="no bolus"):
        find_phases(bolus().with_array(quiet))


def test_proton_density_frames_at_the_start_are_left_out() -> None:
    array = bolus().array.copy()
    array[:2] += 5.0
    assert find_phases(bolus().with_array(array)).baseline.min() >= 2


def test_coil_shading_and_units_leave_the_networks_view_alone() -> None:
    images = phase_images(bolus())
    shade = np.exp(np.linspace(-0.5, 0.5, SIZE))[None, None, None, :].astype(np.float32)
    plain, shaded = even_out(images), even_out(images * shade * 300.0)
    assert np.corrcoef(plain.ravel(), shaded.ravel())[0, 1] > 0.98


def test_what_is_read_onto_the_standard_plane_is_written_back_to_its_pixels() -> None:
    pose = SlicePose((10.0, -30.0, 5.0), AXES @ np.diag([-1.0, 1.0, -1.0]), (1.9, 1.9), 8.0)
    picture = phase_images(bolus())[0]
    centre = pose.grid_lps((SIZE, SIZE)).mean((0, 1)) @ AXES[:, :2]
    for view in (View(centre, 160, 12.0), View(centre, 160, -30.0, mirrored=True), View(centre, 180, pixel_mm=1.3)):
        back = write_back(read_plane(picture, pose, AXES, view), (SIZE, SIZE), pose, AXES, view)
        inner = slice(8, -8)
        assert np.corrcoef(back[2, inner, inner].ravel(), picture[2, inner, inner].ravel())[0, 1] > 0.97


def twin_series():
    """One slice of a twin's training picture as a series whose four phases it is."""
    from CardiacFusionLib.twin.cmr.training import cmr_training_slice

    for seed in range(900_100_000, 900_100_050):
        drawn = cmr_training_slice(seed, 128)
        if 0.4 < drawn.level < 0.7:
            break
    baseline, rv, lv, wall = drawn.channels[:4]
    frames = [baseline] * 8 + [rv] * 3 + [(rv + lv) / 2] * 3 + [lv] * 3 + [(lv + wall) / 2] * 3 + [wall] * 12
    pose = SlicePose((0.0, 0.0, 0.0), AXES, (drawn.spacing_mm,) * 2, 8.0)
    return Series(np.stack(frames)[:, None], (pose,), np.arange(len(frames)) * 1.0), drawn.labels


def test_the_wall_of_an_unseen_twin_is_found_also_when_the_picture_is_stored_otherwise() -> None:
    series, truth = twin_series()
    plain = segment_cmr(series)
    assert overlap(plain.labels[0] == 1, truth == 1) > 0.8
    assert overlap(plain.labels[0] == 2, truth == 2) > 0.6

    x, y, _ = AXES.T
    step = series.poses[0].spacing_mm[0]
    corner = x * step * (truth.shape[1] - 1)
    turned = SlicePose(tuple(corner), np.stack([y, -x, np.cross(y, -x)], axis=1), (step, step), 8.0)
    stored = replace(series, array=np.ascontiguousarray(series.array[..., ::-1].swapaxes(2, 3)), poses=(turned,))
    other = segment_cmr(stored)
    assert overlap(other.labels[0].T[:, ::-1] > 0, plain.labels[0] > 0) > 0.97
    for name, point in plain.landmarks[0].items():
        assert np.linalg.norm(other.landmarks[0][name] - point) < 3.0, name


def test_noise_is_not_called_a_good_heart() -> None:
    array = bolus().array.copy()
    rng = np.random.default_rng(1)
    array = rng.permutation(array.reshape(40, -1), axis=1).reshape(array.shape)
    assert segment_cmr(bolus().with_array(array)).quality.level > Level.GOOD


def test_a_users_own_labels_are_taken_and_checked() -> None:
    pose = bolus().poses
    labels = np.zeros((1, SIZE, SIZE), np.uint8)
    assert walls_from_labels(labels, pose).quality.level is Level.UNUSABLE
    with pytest.raises(BadInputError, match="labels up to 7"):
        walls_from_labels(labels + 7, pose)


def test_a_frame_with_missing_values_is_refused() -> None:
    with pytest.raises(BadInputError, match="finite"):
        segment_frame(np.full((64, 64), np.nan, np.float32), (1.5, 1.5))


def test_a_stack_needs_one_pose_a_slice() -> None:
    with pytest.raises(BadInputError, match="one pose a slice"):
        segment_stack(np.zeros((2, 64, 64), np.float32), bolus().poses)


@pytest.mark.skipif(not (DATA / "sunnybrook").exists(), reason="real cine frames are not here (CARDIACFUSION_DATA)")
def test_the_cavity_of_real_cine_frames_is_found() -> None:
    from CardiacFusionLib.training.cmr_real import read_frames
    from CardiacFusionLib.training.evaluation.real_cmr import patient_dice

    found = patient_dice(read_frames(DATA / "sunnybrook")[6::33])
    assert np.median([v for values in found.values() for v in values]) > 0.85


@pytest.mark.skipif(not (DATA / "cine").exists(), reason="the real cine stack is not here (CARDIACFUSION_DATA)")
def test_a_real_stack_never_trained_on_is_outlined_and_its_septum_found() -> None:
    from CardiacFusionLib.training.evaluation.real_cmr import cine

    figures = cine(DATA / "cine")
    middle = [s for s in figures["slices"] if s["slice"] in (2, 3)]
    assert np.mean([s["cavity_dice"] for s in middle]) > 0.88
    assert np.median([s["rv_insertion_inferior"] for s in middle if "rv_insertion_inferior" in s]) < 6.0
