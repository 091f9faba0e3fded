"""The pictures, as a cardiologist expects them: LV upright, RV on the left, apex down, nothing unlabelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import PINNED_BACKEND
from scipy import ndimage

from CardiacFusionLib.mrml import outputs
from CardiacFusionLib.mrml.outputs import VIEW_NAMES, SceneOutputs, write_scene_and_views
from CardiacFusionLib.report.colours import perfusion_table


def picture(made: SceneOutputs, name: str) -> np.ndarray:
    """(rows, columns, 3) of one view."""
    from matplotlib.image import imread

    path = next(p for p in made.views if p.stem == name)
    return np.rint(imread(path)[..., :3] * 255).astype(int)


def saturated(pixels: np.ndarray) -> np.ndarray:
    """Where a picture is coloured, labels and legend (the right strip and the margins) left out."""
    mask = (pixels.max(axis=2) - pixels.min(axis=2)) > 60
    mask[:, 800:] = False
    mask[:90] = False
    mask[800:] = False
    return mask


def low_and_normal(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the defect (bluish) and of normal flow (greenish)."""
    colour = saturated(pixels)
    red, green, blue = np.moveaxis(pixels, 2, 0)
    masks = colour & (blue > green + 30) & (blue > red + 30), colour & (green > blue + 50) & (green > red + 20)
    low, normal = (ndimage.binary_opening(mask, iterations=4) for mask in masks)  # outlines and rings are thin
    return low, normal


def middle(mask: np.ndarray) -> np.ndarray:
    """(column, row) of a mask's centroid."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def test_every_part_was_made(pictures: SceneOutputs) -> None:
    assert pictures.problems == ()
    assert [p.stem for p in pictures.views] == list(VIEW_NAMES)
    assert pictures.scene is not None and pictures.scene.stat().st_size > 50_000


def test_short_axis_is_round_with_the_rv_on_the_left_and_the_defect_anterior(pictures: SceneOutputs) -> None:
    pixels = picture(pictures, "short_axis")
    low, normal = low_and_normal(pixels)
    rows, columns = np.nonzero(low | normal)
    width, height = np.ptp(columns), np.ptp(rows)
    assert width / height == pytest.approx(1.0, abs=0.05)
    centre = np.array([(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2])
    assert centre == pytest.approx([450, 450], abs=25)
    defect = middle(low) - centre
    assert defect[0] < -10 and defect[1] < -10  # septal is left, anterior is up
    grey = pixels.sum(axis=2)
    left, right = grey[440:460, 90:200].mean(), grey[440:460, 700:780].mean()
    assert left > right + 100  # contrast-filled RV against fat


def test_no_false_rim_stands_at_the_edge_of_the_wall(pictures: SceneOutputs) -> None:
    """A map mixed with 'no data' at the wall's edge would show the table's lowest, darkest violets."""
    pixels = picture(pictures, "short_axis")
    low, _ = low_and_normal(pixels)
    darkest = perfusion_table()[:40] * 255  # below 0.47 mL/min/g; the lowest true value is 0.9
    coloured = pixels[low].astype(float)
    nearest = np.min(np.linalg.norm(coloured[:, None] - darkest[None, ::4], axis=2), axis=1)
    assert np.mean(nearest < 25) < 0.01


@pytest.mark.parametrize("name", ["long_axis_vertical", "long_axis_horizontal"])
def test_the_apex_is_down_and_the_defect_on_the_left_in_the_long_axes(pictures: SceneOutputs, name: str) -> None:
    low, normal = low_and_normal(picture(pictures, name))
    wall = low | normal
    rows = np.nonzero(wall.any(axis=1))[0]

    def spread(row: int) -> float:
        columns = np.nonzero(wall[row])[0]
        return float(np.ptp(columns))

    top, bottom = int(np.percentile(rows, 15)), int(np.percentile(rows, 93))
    assert spread(top) > 1.3 * spread(bottom)  # the bullet narrows towards the lower end
    assert middle(low)[0] < middle(normal)[0]
    assert middle(low)[1] > middle(normal)[1]  # the defect is mid and apical


def test_the_surface_shows_the_defect_below_the_narrowing(pictures: SceneOutputs) -> None:
    low, normal = low_and_normal(picture(pictures, "surface_3d"))
    assert low.sum() > 5000 and normal.sum() > 5000
    assert middle(low)[1] > middle(normal)[1]


def test_the_bullseye_has_its_defect_up_and_left(pictures: SceneOutputs) -> None:
    low, normal = low_and_normal(picture(pictures, "bullseye"))
    offset = middle(low) - middle(low | normal)
    assert offset[0] < 0 and offset[1] < 0


def test_a_run_goes_on_without_slicer_core_and_says_what_is_missing(content, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(outputs.importlib.util, "find_spec", lambda name: None)
    made = write_scene_and_views(content, tmp_path)
    assert made.scene is None and made.views == ()
    assert "slicer-core is not installed" in made.problems[0]


def test_a_drawing_process_that_hangs_is_ended_with_a_reason(content, tmp_path: Path) -> None:
    made = write_scene_and_views(content, tmp_path, backends=(PINNED_BACKEND,), timeout_s=0.2)
    assert made.scene is None and made.views == ()
    assert "took longer" in made.problems[0] and "libegl1" in made.problems[0]


def test_a_drawing_process_that_dies_is_named_by_its_signal() -> None:
    import sys

    parts, reason = outputs._run(
        [sys.executable, "-c", 'import os; print(\'{"part": "built"}\', flush=True); os.abort()'], 60.0
    )
    assert parts == [{"part": "built"}]
    assert reason == "the drawing process was ended by SIGABRT"
