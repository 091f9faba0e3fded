"""The whole way on one synthetic heart, through the command line: two examinations in, one fused case out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from CardiacFusionLib.cli.app import main

pytestmark = pytest.mark.slow
SEED = 1203
PARTS = (
    *("case.json", "ct_to_heart.tfm", "landmarks.mrk.json", "walls/ct.seg.nrrd", "registration", "perfusion"),
    *("coronaries/tree.vtp", "coronaries/tree.json", "coronaries/stenoses.csv", "fusion/surface.vtp"),
    *("fusion/segments.csv", "fusion/findings.json"),
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "twin"
    code = main(["twin", "--seed", str(SEED), "--spacing", "1.0", "--kind", "one-vessel", "--out", str(folder)])
    assert code == 0
    return folder


def fuse(twin: Path, out: Path, *more: str) -> int:
    arguments = ["fuse", "--ct", str(twin / "ct.nii.gz"), "--stress", str(twin / "stress.nii.gz")]
    arguments += ["--rest", str(twin / "rest.nii.gz"), "--out", str(out), "--progress", "none", *more]
    return main(arguments)


@pytest.fixture(scope="module")
def case(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cases") / "case"
    assert fuse(twin, out) == 0
    return out


def test_the_folder_holds_every_part(case: Path) -> None:
    assert [part for part in PARTS if not (case / part).exists()] == []
    assert (case / "report.html").stat().st_size > 10_000


def test_the_case_says_it_is_synthetic_and_not_for_clinical_use(case: Path) -> None:
    record = json.loads((case / "case.json").read_text())
    assert record["synthetic"] is True and "not for clinical use" in record["note"]
    report = (case / "report.html").read_text()
    assert "not for clinical use" in report.lower() and "synthetic" in report.lower()


def test_the_bullseye_has_segments_with_flow(case: Path) -> None:
    table = pd.read_csv(case / "fusion" / "segments.csv")
    flow = table["mbf_ml_min_g"].dropna()
    assert len(flow) >= 12 and flow.between(0.2, 6.0).all()


def test_the_ct_wall_is_where_the_blood_is(case: Path, twin: Path) -> None:
    ct = sitk.ReadImage(str(twin / "ct.nii.gz"))
    labels = sitk.ReadImage(str(case / "walls" / "ct.seg.nrrd"))
    values = sitk.GetArrayFromImage(sitk.Resample(ct, labels, sitk.Transform(), sitk.sitkLinear, -1000.0))
    codes = sitk.GetArrayFromImage(labels)
    assert np.median(values[codes == 1]) > np.median(values[codes == 2]) + 50


def test_running_again_gives_the_same_bytes(case: Path, twin: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert fuse(twin, again, "--no-pictures") == 0
    files = [p for p in sorted(again.rglob("*")) if p.suffix in (".csv", ".nrrd", ".vtp") or p.name == "findings.json"]
    assert len(files) > 10
    changed = [str(p.relative_to(again)) for p in files if p.read_bytes() != (case / p.relative_to(again)).read_bytes()]
    assert changed == []


def test_a_cancelled_run_exits_4_and_leaves_nothing(twin: Path, tmp_path: Path) -> None:
    out = tmp_path / "cancelled"
    command = [sys.executable, "-c", "from CardiacFusionLib.cli import main; main()", "reorient"]
    command += ["--ct", str(twin / "ct.nii.gz"), "--out", str(out), "--progress", "json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    assert set(first) == {"stage", "fraction", "message"}
    while "reorient" not in child.stdout.readline():
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 4
    assert list(tmp_path.iterdir()) == []
