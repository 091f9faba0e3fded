"""Training of the long-axis network: its samples, and the study that judges it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from CardiacFusionLib.io.markups import write_landmarks
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import NAMES, long_axis_axes
from CardiacFusionLib.training.cmr_long_axis import CmrLongAxisTask
from CardiacFusionLib.training.evaluation.long_axis_study import summarise_long_axis
from CardiacFusionLib.training.folder_long_axis import FolderLongAxis
from CardiacFusionLib.training.registry import task as task_of
from CardiacFusionLib.twin.cmr.long_axis import long_axis_view
from CardiacFusionLib.walls.long_axis import SIZE

SHOWN = 40  # the number of a view that shows all three landmarks


def test_samples_show_landmarks_where_they_are_and_leave_out_what_is_cropped() -> None:
    task = CmrLongAxisTask()
    drawn = task.shown(SHOWN, np.random.default_rng(0))
    near = [task._sample(drawn, np.random.default_rng(k), fine=True) for k in range(16)]
    again = task._sample(drawn, np.random.default_rng(3), fine=True)
    assert np.array_equal(near[3]["image"], again["image"])
    marks = np.stack([one["marks"] for one in near])
    assert near[0]["image"].shape == (1, SIZE, SIZE) and marks.shape == (16, len(NAMES), 2)
    there = np.isfinite(marks).all(axis=2)
    assert there.any(axis=0).all() and not there.all()  # all are shown at times, and not always
    assert np.nanmin(marks) > 0 and np.nanmax(marks) < SIZE - 1
    whole = marks[there.all(axis=1)]
    assert np.all(whole[:, 2, 0] > whole[:, :2, 0].max(axis=1))  # close windows have the apex below the valve
    assert np.all(whole[:, 0, 1] < whole[:, 1, 1])


def test_the_loss_is_finite_and_falls_on_one_batch() -> None:
    task = CmrLongAxisTask()
    torch.manual_seed(0)
    network = task.build()
    drawn = task.shown(SHOWN, np.random.default_rng(0))
    samples = [task._sample(drawn, np.random.default_rng(k), fine=True) for k in range(2)]
    batch = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in ("image", "marks")}
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    values = []
    for _ in range(5):
        value, _ = task.loss(network, batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert np.isfinite(values).all() and values[-1] < values[0] - 0.3


def test_planes_that_are_no_long_axis_views_train_absent() -> None:
    shown = [set(long_axis_view(seed, size=40, spacing_mm=6.4).landmarks) for seed in range(16)]
    assert sum(found == set(NAMES) for found in shown) > 8
    assert any(not {"mitral_1", "mitral_2"} <= found for found in shown)
    assert any("apex" not in found for found in shown)


def test_the_study_tells_distance_found_and_absent_beside_the_mean_place() -> None:
    def mark(shown: bool, found: bool, place: float, mm: float) -> dict[str, object]:
        known = {"place": [place, 0.0]} if shown else {}
        return {"shown": shown, "found": found, **known, **({"mm": mm} if shown and found else {})}

    views = [
        {"view": "2ch", "contrast": "cine", "marks": dict.fromkeys(NAMES, mark(True, True, 0.0, 2.0))},
        {"view": "2ch", "contrast": "cine", "marks": dict.fromkeys(NAMES, mark(True, False, 30.0, 0.0))},
        {"view": "4ch", "contrast": "perfusion", "marks": dict.fromkeys(NAMES, mark(False, False, 0.0, 0.0))},
    ]
    figures = summarise_long_axis([{"views": views, "figures": {"apex_mm": 3.0}}])
    assert figures["all"]["apex_mm"]["mean"] == 2.0 and figures["all"]["apex_found"]["mean"] == 0.5
    assert figures["all"]["apex_absent_right"] == {"mean": 1.0, "n": 1}
    assert figures["predict_the_mean"]["apex_mm"]["mean"] == 30.0
    assert figures["from_three_views"]["apex_mm"]["mean"] == 3.0


def marked_view(patient: Path, off_mm: float = 0.0) -> dict[str, np.ndarray]:
    """A film of two frames with three bright spots, stored a quarter turned, and their places (LPS mm)."""
    right, down, normal = long_axis_axes(np.array([0.1, 0.8, 0.6])).T
    direction = np.column_stack([down, -right, normal])
    spots = {"mitral_2": (20, 30), "mitral_1": (22, 60), "apex": (80, 42)}  # (x, y) of the stored picture
    y, x = np.mgrid[:90, :100]
    picture = sum(np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / 4.0) for a, b in spots.values())
    full = np.eye(4)
    full[:3, :3] = direction
    image = sitk.JoinSeries([sitk.GetImageFromArray(picture[None].astype(np.float32))] * 2)
    image.SetDirection(full.ravel().tolist())
    image.SetSpacing([1.3, 1.3, 6.0, 1.0])
    places = {name: 1.3 * (a * down - b * right) + off_mm * normal for name, (a, b) in spots.items()}
    patient.mkdir(parents=True)
    sitk.WriteImage(image, str(patient / "lax_2ch.nii.gz"))
    write_landmarks(places, patient / "lax_2ch.mrk.json")
    return places


def test_the_users_views_train_with_the_points_marked_in_them(tmp_path: Path) -> None:
    for k in range(3):
        marked_view(tmp_path / "data" / f"p{k}")
    task = task_of("cmr_long_axis", tmp_path / "data")
    assert isinstance(task, FolderLongAxis) and "3 of 3 patients" in task.facts()["data"]
    shown = task.shown(5, np.random.default_rng(0))
    for place in shown.landmarks.values():  # the picture is bright where its points are
        column, row = np.rint(place).astype(int)
        assert shown.image[row, column] > 0.8
    assert shown.landmarks["mitral_1"][0] < shown.landmarks["mitral_2"][0]
    assert shown.landmarks["apex"][1] > shown.landmarks["mitral_1"][1] + 40
    assert np.isfinite(task.sample(5)["image"]).all()


def test_points_beside_the_plane_are_refused(tmp_path: Path) -> None:
    for k in range(2):
        marked_view(tmp_path / "data" / f"p{k}", off_mm=9.0 * k)
    with pytest.raises(BadInputError, match="does not lie in the plane"):
        task_of("cmr_long_axis", tmp_path / "data")


def test_a_heart_whose_insertions_tell_no_frame_is_drawn_anew() -> None:
    view = long_axis_view(2370)  # the first draw of its heart has hardly any RV
    assert np.isfinite(view.channels).all() and set(view.ends) == {"apex", "base"}


def test_a_plane_far_from_the_heart_is_a_view_without_landmarks() -> None:
    view = long_axis_view(500_353)
    assert not view.landmarks
    assert all(np.isfinite(channel).all() for channel in view.channels)
