"""The real command line as the panel's child: its refusals reach the reader, and it never outlives its parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from CardiacFusionLib.io.write import write_series, write_volume
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume


@pytest.fixture
def examinations(desk: Any) -> Path:
    """A CT with a contrast-filled ball and a first pass, good enough to be read; chosen in the panel."""
    axis = np.arange(48) - 23.5
    ball = np.hypot(np.hypot(axis[:, None, None], axis[None, :, None]), axis[None, None, :]) < 16
    ct = np.where(ball, 420, -100).astype(np.int16)
    ct[:, :4] = -1000
    write_volume(Volume(ct, (3.0, 3.0, 3.0), (0.0, 0.0, 0.0), np.eye(3)), desk.folder / "ct.nii.gz")
    times = np.arange(24) * 0.8
    frames = np.ones((24, 1, 32, 32), np.float32) * (40 + 100 * np.exp(-((times - 8) ** 2) / 8))[:, None, None, None]
    pose = SlicePose((0.0, 0.0, 0.0), np.eye(3), (1.5, 1.5), 8.0)
    write_series(Series(frames.astype(np.float32), (pose,), times), desk.folder / "stress.nii.gz")
    desk.parameters.ctFile = str(desk.folder / "ct.nii.gz")
    desk.parameters.stressFile = str(desk.folder / "stress.nii.gz")
    return desk.folder


def run_and_wait(desk: Any) -> str:
    desk.ui.applyButton.click()
    assert desk.logic.running, desk.last()
    desk.wait(180)
    assert not list(desk.folder.glob("CardiacFusion"))
    return desk.last()


def test_missing_weights_are_named_and_nothing_is_left(desk: Any, examinations: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "manifest.json").write_text('{"models": []}')
    desk.parameters.weightsFolder = str(weights)
    sentence = run_and_wait(desk)
    assert "weights" in sentence and str(weights) in sentence and "train" in sentence


def altered_weights(tmp_path: Path, name: str) -> tuple[Path, str]:
    """A folder with the manifest of one network and another file under its name; folder and the file's name."""
    from CardiacFusionLib.models.manifest import models_folder

    records = json.loads((models_folder() / "manifest.json").read_text())["models"]
    record = next(r for r in records if r["name"] == name)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "manifest.json").write_text(json.dumps({"models": [record]}))
    (weights / record["file"]).write_bytes(b"something else")
    return weights, str(record["file"])


def test_altered_weights_are_named_by_the_run(desk: Any, examinations: Path, tmp_path: Path) -> None:
    weights, file = altered_weights(tmp_path, "ct_chambers")
    desk.parameters.weightsFolder = str(weights)
    sentence = run_and_wait(desk)
    assert file in sentence and "manifest" in sentence


def test_altered_weights_are_found_by_the_check_of_this_computer(desk: Any, tmp_path: Path) -> None:
    weights, _ = altered_weights(tmp_path, "ct_chambers")
    desk.parameters.weightsFolder = str(weights)
    desk.ui.checkButton.click()
    desk.wait(120)
    assert "MISSING" in desk.last() and "weights ct_chambers: altered" in desk.ui.logText.plainText


def test_a_broken_torch_is_named(
    desk: Any, examinations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(shadow))
    sentence = run_and_wait(desk)
    assert "'torch' is missing" in sentence and "Run again" in sentence


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
def test_the_child_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        "env = dict(os.environ, CARDIACFUSION_PARENT_PID=str(os.getpid()))\n"
        "code = 'import sys, time\\nfrom CardiacFusionLib.cli import app, child\\n"
        "app.main = lambda: time.sleep(600)\\nchild.main()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], env=env, stdout=-1, stderr=-3)\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "os._exit(0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    told = ran.stdout
    pid = json.loads(told)["pid"]
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child outlived its parent")
