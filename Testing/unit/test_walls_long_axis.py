"""Long-axis views: their standard orientation, what the network sees in them, films, and real cine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from CardiacFusionLib.models.heatmaps import Seen
from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.long_axis import NAMES, LongAxisView, long_axis_axes
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.twin.cmr.long_axis import USUAL_DEG, LongAxisSample, planned_views
from CardiacFusionLib.walls import long_axis
from CardiacFusionLib.walls.long_axis import LV_PIXELS, SIZE, close_view, find_long_axis_landmarks, see_long_axis
from CardiacFusionLib.walls.result import CmrWalls

DATA = Path(os.environ.get("CARDIACFUSION_DATA", Path(__file__).parents[3] / "shared" / "data"))
HEART = canonical_axes(MEAN_LONG_AXIS_LPS)
CINE = 4


@pytest.fixture(scope="module")
def drawn() -> LongAxisSample:
    """A well planned 4-chamber view of a development heart that shows all three landmarks."""
    return planned_views(1004)[2]


@pytest.mark.parametrize("angle_deg", USUAL_DEG)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_usual_views_are_seen_from_their_usual_side_with_the_apex_down(angle_deg: float, side: float) -> None:
    angle = np.deg2rad(angle_deg)
    normal = HEART @ np.array([-np.sin(angle), np.cos(angle), 0.0])
    axes = long_axis_axes(side * normal)
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert abs(axes[:, 2] @ normal) == pytest.approx(1.0)
    assert axes[:, 1] @ HEART[:, 2] == pytest.approx(-1.0)  # the apex is down
    right = HEART.T @ axes[:, 0]
    assert right[1] > 0.9 if angle_deg == 90 else right[0] > 0.6  # inferior, or lateral, wall on the right


def test_a_close_window_has_the_apex_below_the_valve_at_one_scale() -> None:
    apex, base = np.array([30.0, -12.0]), np.array([-25.0, 41.0])
    view = close_view(apex, base)
    low, high = view.pixels(apex), view.pixels(base)
    assert low[1] == pytest.approx(high[1], abs=1e-6)
    assert low[0] - high[0] == pytest.approx(LV_PIXELS)
    assert (low + high) / 2 == pytest.approx([(SIZE - 1) / 2] * 2)


def test_the_twins_points_lie_on_the_annulus_and_at_the_tip(drawn: LongAxisSample) -> None:
    heart, pose = drawn.heart, drawn.pose
    assert set(drawn.landmarks) == set(NAMES)
    marks = {name: drawn.patient @ pose.points_lps(p) for name, p in drawn.landmarks.items()}
    for name in ("mitral_1", "mitral_2"):  # bent by some millimetres
        away = float(np.linalg.norm(marks[name] - heart.landmarks["base"]))
        assert away == pytest.approx(heart.shape.mitral_radius, abs=8.0)
    assert np.linalg.norm(marks["apex"] - heart.landmarks["apex"]) < 15.0
    axes = long_axis_axes(pose.normal)
    assert pose.direction == pytest.approx(axes, abs=1e-9)
    assert drawn.landmarks["mitral_1"][0] < drawn.landmarks["mitral_2"][0]


def _stored(drawn: LongAxisSample, way: str) -> tuple[np.ndarray, SlicePose]:
    image, pose = drawn.channels[CINE], drawn.pose
    x, y, n = pose.direction.T
    far = pose.points_lps(np.array([image.shape[1] - 1.0, 0.0]))
    if way == "turned":
        axes = np.column_stack([y, -x, n])
        return np.rot90(image).copy(), SlicePose(tuple(far), axes, pose.spacing_mm, 6.0)
    if way == "mirrored":
        axes = np.column_stack([-x, y, -n])
        return image[:, ::-1].copy(), SlicePose(tuple(far), axes, pose.spacing_mm, 6.0)
    return image, pose


def test_landmarks_are_found_however_the_picture_is_stored(drawn: LongAxisSample) -> None:
    true = {name: drawn.pose.points_lps(p) for name, p in drawn.landmarks.items()}
    found = {way: find_long_axis_landmarks(*_stored(drawn, way)) for way in ("plain", "turned", "mirrored")}
    for name in NAMES:
        assert found["plain"][name].place == pytest.approx(true[name], abs=6.0)
        for way in ("turned", "mirrored"):
            assert found[way][name].place == pytest.approx(found["plain"][name].place, abs=0.5)


def test_what_the_picture_does_not_hold_is_absent(drawn: LongAxisSample) -> None:
    row = int(drawn.landmarks["apex"][1]) - 18  # 29 mm of the ventricle are cut off
    found = find_long_axis_landmarks(drawn.channels[CINE][:row], drawn.pose)
    assert "apex" not in found
    assert {"mitral_1", "mitral_2"} <= set(found)
    assert find_long_axis_landmarks(np.zeros((80, 90), np.float32), drawn.pose) == {}
    with pytest.raises(BadInputError, match="2D"):
        find_long_axis_landmarks(np.zeros((2, 80, 90), np.float32), drawn.pose)


def test_of_a_film_the_longest_ventricle_counts(drawn: LongAxisSample, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(image: np.ndarray, pose: SlicePose) -> dict[str, Seen]:
        length = float(image[0, 0])
        marks = {"mitral_1": [-15.0, 0, 0], "mitral_2": [15.0, 0, 0], "apex": [0.0, length, 0]}
        return {name: Seen(np.array(p), 0.9) for name, p in marks.items() if length > 0 or name != "apex"}

    monkeypatch.setattr(long_axis, "find_long_axis_landmarks", seen)
    lengths = np.array([90.0, 85, 75, 70, 72, 80, 88, 91, 0])
    film = np.ones((9, 4, 5), np.float32) * lengths[:, None, None].astype(np.float32)
    marks = see_long_axis(LongAxisView("4ch", film, drawn.pose))
    assert 85.0 <= marks.places["apex"][1] <= 91.0
    never = see_long_axis(LongAxisView("4ch", np.zeros((3, 4, 5), np.float32), drawn.pose))
    assert set(never.places) == {"mitral_1", "mitral_2"}


@pytest.mark.skipif(not (DATA / "cine").exists(), reason="the real cine is not here (CARDIACFUSION_DATA)")
@pytest.mark.parametrize("phase", ["ed", "es"])
def test_apex_and_mitral_points_of_real_views(phase: str) -> None:
    from CardiacFusionLib.io.long_axis import read_long_axis
    from CardiacFusionLib.training.evaluation.real_cmr import read_points
    from CardiacFusionLib.training.evaluation.real_cmr_long_axis import given_ends

    views = read_long_axis(sorted((DATA / "cine").glob(f"lax_*_{phase}.nii.gz")))
    assert [view.name for view in views] == [f"lax_2ch_{phase}", f"lax_4ch_{phase}"]
    given = given_ends(read_points(DATA / "cine" / f"contours_{phase}.csv"))
    seen = [see_long_axis(view) for view in views]
    for marks in seen:
        assert np.linalg.norm(marks.places["apex"] - given["apex"]) < 8.0
    short = SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), (1.0, 1.0), 8.0)
    ends = with_long_axis(CmrWalls(np.zeros((1, 2, 2), np.uint8), ({},)), seen, [short])[0].ends
    for name in ("apex", "base"):
        assert np.linalg.norm(ends[name].place_lps - given[name]) < 8.0
