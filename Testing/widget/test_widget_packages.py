"""Packages are looked for without importing them, asked for at the first Run only, and never replace what is there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FROM_SLICER = {"numpy", "simpleitk", "vtk"}  # shipped with Slicer
TRAINING_ONLY = {"monai"}


def names(lines: list[str]) -> set[str]:
    return {line.split(">")[0].split("=")[0].strip().lower() for line in lines if line and not line.startswith("#")}


def test_the_list_is_that_of_the_library_without_what_slicer_ships() -> None:
    listed = (ROOT / "CardiacFusion" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert names(project) - FROM_SLICER - TRAINING_ONLY <= names(listed)
    assert not names(listed) & FROM_SLICER
    assert not any("==" in line for line in listed)


def test_nothing_is_missing_where_everything_is_installed(desk: Any) -> None:
    assert desk.panel("packages").missing() == []


@pytest.fixture
def lacking(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Slicer without torch and jinja2, and a user who may answer."""
    packages = desk.panel("packages")
    real = packages.importlib.metadata.version
    absent = {"torch", "jinja2"}

    def version(name: str) -> str:
        if name.lower() in absent:
            raise packages.importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", version)
    desk.slicer.app.testing = False
    return types.SimpleNamespace(packages=packages, absent=absent, desk=desk)


def refused(lacking: Any) -> str:
    with pytest.raises(lacking.packages.PackagesError) as told:
        lacking.packages.ensure()
    return str(told.value)


def test_a_missing_torch_is_asked_for_at_run_not_before(lacking: Any, monkeypatch: Any) -> None:
    desk = lacking.desk
    desk.slicer.app.testing = True
    for name in ("ct.nii.gz", "stress.nii.gz"):
        (desk.folder / name).write_bytes(b"x")
    desk.parameters.ctFile, desk.parameters.stressFile = (
        str(desk.folder / "ct.nii.gz"),
        str(desk.folder / "stress.nii.gz"),
    )
    assert desk.ui.applyButton.enabled
    desk.ui.applyButton.click()
    assert "torch" in desk.last() and "missing" in desk.last() and not desk.logic.running


def test_the_new_packaging_gets_pins_for_everything_installed(lacking: Any, monkeypatch: Any) -> None:
    seen: dict[str, Any] = {}

    def pip_ensure(wanted: list[str], constraints: str, requester: str) -> None:
        seen.update(wanted=wanted, pins=Path(constraints).read_text().splitlines(), requester=requester)
        lacking.absent.clear()

    monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_ensure=pip_ensure))
    monkeypatch.setattr(lacking.desk.slicer, "packaging", sys.modules["slicer.packaging"], raising=False)
    lacking.packages.ensure()
    assert seen["requester"] == "CardiacFusion" and names(seen["wanted"]) == {"torch", "jinja2"}
    pinned = names(seen["pins"])
    assert {"numpy", "simpleitk", "vtk"} <= pinned and "jinja2" not in pinned


def test_slicer_5_10_is_asked_in_its_own_way(lacking: Any, monkeypatch: Any) -> None:
    done: list[list[str]] = []
    util = lacking.desk.slicer.util
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(util, "confirmOkCancelDisplay", lambda *a, **k: True)
    monkeypatch.setattr(util, "pip_install", lambda args: (done.append(args), lacking.absent.clear()))
    lacking.packages.ensure()
    assert done[0][0] == "-c" and "jinja2>=3.1" in done[0]
    lacking.absent.update({"jinja2"})
    monkeypatch.setattr(util, "confirmOkCancelDisplay", lambda *a, **k: False)
    assert "declined" in refused(lacking) and "jinja2" in refused(lacking)


def test_declining_failing_and_doing_nothing_are_told_apart(lacking: Any, monkeypatch: Any) -> None:
    def play(action: Any) -> None:
        module = types.SimpleNamespace(pip_ensure=action)
        monkeypatch.setitem(sys.modules, "slicer.packaging", module)
        monkeypatch.setattr(lacking.desk.slicer, "packaging", module, raising=False)

    def declined(*a: Any, **k: Any) -> None:
        raise RuntimeError("User declined package installation")

    def failed(*a: Any, **k: Any) -> None:
        raise subprocess.CalledProcessError(2, "pip")

    play(declined)
    assert "declined" in refused(lacking)
    play(failed)
    assert "code 2" in refused(lacking) and "connection" in refused(lacking)
    play(lambda *a, **k: None)
    assert "still missing" in refused(lacking)


def test_torch_comes_by_its_extension_where_that_is_installed(lacking: Any, monkeypatch: Any) -> None:
    asked: list[str] = []

    class Logic:
        def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> Any:
            asked.append(torchVersionRequirement)
            lacking.absent.discard("torch")
            return object()

    wanted: list[str] = []

    def pip_ensure(lines: list[str], **ignored: Any) -> None:
        wanted.extend(lines)
        lacking.absent.clear()

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    module = types.SimpleNamespace(pip_ensure=pip_ensure)
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    monkeypatch.setattr(lacking.desk.slicer, "packaging", module, raising=False)
    lacking.packages.ensure()
    assert asked == [">=2.4"] and names(wanted) == {"jinja2"}


def test_looking_at_a_case_needs_no_torch(lacking: Any) -> None:
    lacking.absent.discard("jinja2")
    packages = lacking.packages
    assert packages.missing(packages.VIEW) == [] and packages.missing() == ["torch>=2.4"]


def test_what_dicom_needs_is_asked_for_at_the_export(lacking: Any) -> None:
    lacking.absent.clear()
    lacking.absent.add("highdicom")
    packages = lacking.packages
    assert packages.missing() == packages.missing(packages.VIEW) == []
    assert packages.missing(packages.EXPORT) == ["highdicom>=0.25"]


def test_a_torch_that_cannot_use_the_card_is_told(desk: Any, monkeypatch: Any) -> None:
    packages = desk.panel("packages")
    real = packages.importlib.metadata.version
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda n: "2.8.0+cpu" if n == "torch" else real(n))
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    monkeypatch.setattr(packages, "_DRIVER", Path("/no/such/driver"))
    assert packages.torch_note() is None
    monkeypatch.setattr(packages.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    note = packages.torch_note()
    assert note is not None and "2.8.0+cpu" in note and "PyTorch" in note
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda n: "2.8.0+cu128" if n == "torch" else real(n))
    assert packages.torch_note() is None
