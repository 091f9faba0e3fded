"""The module's self-test with stand-ins for Qt and the application, but the real scene, library and child."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any

import pytest

from CardiacFusionLib.mrml.app import load_scene, save_scene


@pytest.fixture
def selftest(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``CardiacFusionTest``, and what it asks of the application."""
    slicer = desk.slicer

    def load_volume(path: str, properties: dict[str, str]) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", properties["name"])
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(path)
        assert storage.ReadData(node)
        node.SetAndObserveStorageNodeID(storage.GetID())
        return node

    def save(path: str) -> bool:
        save_scene(slicer.mrmlScene, Path(path))
        return True

    monkeypatch.setattr(slicer.util, "loadVolume", load_volume)
    monkeypatch.setattr(slicer.util, "saveScene", save)
    monkeypatch.setattr(slicer.util, "loadScene", lambda path: load_scene(slicer.mrmlScene, Path(path)))
    test = desk.module.CardiacFusionTest()
    yield test
    test.doCleanups()


def names(test: Any) -> list[str]:
    return unittest.TestLoader().getTestCaseNames(type(test))


def test_all_parts_are_found_by_slicer_and_unittest_alike(selftest: Any) -> None:
    found = [n for n in dir(selftest) if "test" in n.lower() and callable(getattr(selftest, n))]
    assert set(names(selftest)) == {n for n in found if n.startswith("test")}
    own = set(vars(type(selftest).__mro__[1]))  # the mixin brings no other method that Slicer would take for a test
    assert {n for n in own if "test" in n.lower()} == set(names(selftest))


def test_an_empty_scene_says_what_is_missing(selftest: Any) -> None:
    selftest.setUp()
    selftest.test_an_empty_scene_says_what_is_missing()


@pytest.mark.slow
def test_cancel_leaves_the_scene_as_it_was(selftest: Any) -> None:
    selftest.setUp()
    selftest.test_cancel_leaves_the_scene_as_it_was()


@pytest.mark.slow
def test_synthetic_heart_is_fused_corrected_saved_and_loaded(selftest: Any) -> None:
    selftest.setUp()
    selftest.test_synthetic_heart_is_fused_corrected_saved_and_loaded()
