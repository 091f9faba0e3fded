"""The scene tests need slicer-core; the picture tests also need an offscreen OpenGL. Both skip with a reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bullet_case import bullet_case

from CardiacFusionLib.mrml.outputs import SceneOutputs, write_scene_and_views
from CardiacFusionLib.report.content import CaseContent

# one backend for all pictures: software rendering looks the same on every machine, within a few pixels
PINNED_BACKEND = "vtkOSOpenGLRenderWindow"


@dataclass
class Built:
    """A case in a scene."""

    content: CaseContent
    app: Any
    nodes: Any
    empty_count: int  # nodes before the case came


@pytest.fixture(scope="session")
def content() -> CaseContent:
    """The bullet heart, CT of 64³."""
    return bullet_case(64, 2.4)


@pytest.fixture(scope="session")
def built(content: CaseContent) -> Iterator[Built]:
    """The bullet heart in a scene without the application."""
    if importlib.util.find_spec("slicer") is None:
        pytest.skip("slicer-core is not installed (pip install cardiacfusion[scene])")
    from CardiacFusionLib.mrml.app import SceneApp
    from CardiacFusionLib.mrml.scene import build_scene

    with SceneApp() as app:
        count = app.scene.GetNumberOfNodes()
        yield Built(content, app, build_scene(content, app.scene), count)


@pytest.fixture(scope="session")
def pictures(content: CaseContent, tmp_path_factory: pytest.TempPathFactory) -> SceneOutputs:
    """Scene file and pictures, drawn once in a child process."""
    if importlib.util.find_spec("slicer") is None:
        pytest.skip("slicer-core is not installed (pip install cardiacfusion[scene])")
    folder: Path = tmp_path_factory.mktemp("pictures")
    made = write_scene_and_views(content, folder, backends=(PINNED_BACKEND,), timeout_s=240)
    if made.scene is not None and not made.views:
        pytest.skip(f"no offscreen OpenGL here: {made.reason}")
    return made
