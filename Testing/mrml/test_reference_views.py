"""The six views look as they did when a person last looked at them (``Testing/reference/make_views.py``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import PINNED_BACKEND
from PIL import Image

from CardiacFusionLib.mrml.outputs import VIEW_NAMES, SceneOutputs, write_scene_and_views
from CardiacFusionLib.pipeline.packing import read_packed

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "views"
FAR = 48  # grey levels of 255: a pixel that differs by more shows something else
MOST_FAR, MOST_MEAN = 0.02, 3.0  # text and lines shift by a pixel between OpenGL versions


def small(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(rows, columns, 3) of a picture at another size, pixels averaged."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX)).astype(int)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> SceneOutputs:
    """The six views of the kept twin, drawn once in a child process."""
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")
    heart = read_packed(REFERENCE.parent / "heart.npz")
    made = write_scene_and_views(heart, tmp_path_factory.mktemp("heart"), backends=(PINNED_BACKEND,), timeout_s=400)
    if not made.views:
        pytest.skip(f"no offscreen OpenGL here: {made.problems[0]}")
    return made


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_a_view_equals_its_reference(pictures: SceneOutputs, name: str) -> None:
    kept = REFERENCE / f"{name}.png"
    with Image.open(kept) as image:
        size = image.size
    expected = small(kept, size)
    made = small(next(p for p in pictures.views if p.stem == name), size)
    difference = np.abs(made - expected).max(axis=2)
    assert (difference > FAR).mean() < MOST_FAR and difference.mean() < MOST_MEAN


def test_the_tolerance_would_notice_a_turned_or_mirrored_heart() -> None:
    for name in ("short_axis", "bullseye", "surface_3d"):
        with Image.open(REFERENCE / f"{name}.png") as image:
            seen = np.asarray(image.convert("RGB")).astype(int)
        mirrored = np.abs(seen - seen[:, ::-1]).max(axis=2)
        assert (mirrored > FAR).mean() > 2 * MOST_FAR, name
