"""Bad input at the command line: exit 2 or 3, one sentence that says how to mend it, no folder left, no traceback."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CardiacFusionLib.cli.app import main

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def complain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that must fail; checks what every failure owes the user; returns exit code and sentence."""

    def run(*arguments: str | Path, word: str) -> tuple[int, str]:
        out = tmp_path / "case"
        before = set(tmp_path.iterdir())
        code = main([*map(str, arguments), "--out", str(out), "--progress", "none"])
        text = capsys.readouterr().err.strip()
        assert code in (2, 3), f"exit {code}: {text}"
        assert "Traceback" not in text and len(text.splitlines()) == 1, text
        assert len(text) > 30 and text.endswith((".", "'", ")")), f"not a sentence: {text}"
        assert re.search(word, text, re.IGNORECASE), text
        assert set(tmp_path.iterdir()) == before, "something was left behind"
        return code, text

    return run


def ct_array(size: int = 48) -> np.ndarray:
    """A warm bath in a box of air: CT-like values, but no heart."""
    array = np.full((size, size, size), -1000, np.int16)
    array[8:-8, 8:-8, 8:-8] = 40
    return array


def write_image(path: Path, array: np.ndarray, spacing: float = 4.0) -> Path:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * image.GetDimension())
    sitk.WriteImage(image, str(path))
    return path


def series_file(folder: Path, frames: int = 30, **change: object) -> Path:
    """A well-formed but empty perfusion file with its sidecar, to be broken by ``change``."""
    rng = np.random.default_rng(0)
    array = rng.normal(100, 5, (frames, 3, 24, 24)).astype(np.float32)
    path = folder / "stress.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(path))
    poses = [
        {
            "origin_mm": [0.0, 0.0, 20.0 * i],
            "direction": np.eye(3).tolist(),
            "spacing_mm": [2.0, 2.0],
            "thickness_mm": 8.0,
        }
        for i in range(3)
    ]
    sidecar = {"times_s": list(np.arange(frames) * 0.9), "poses": poses, "state": "stress", **change}
    (folder / "stress.json").write_text(json.dumps(sidecar))
    return path


def test_a_missing_file_is_named(tmp_path: Path, complain: Run) -> None:
    code, text = complain("reorient", "--ct", tmp_path / "nothing.nii.gz", word="no file")
    assert code == 2 and "nothing.nii.gz" in text


def test_a_file_that_is_no_image(tmp_path: Path, complain: Run) -> None:
    letter = tmp_path / "letter.nii.gz"
    letter.write_text("Dear colleague")
    assert complain("reorient", "--ct", letter, word="letter.nii.gz")[0] == 2


def test_an_empty_folder(tmp_path: Path, complain: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert complain("reorient", "--ct", tmp_path / "empty", word="DICOM|empty")[0] == 2


def test_values_that_are_not_hounsfield_units(tmp_path: Path, complain: Run) -> None:
    array = np.random.default_rng(0).integers(0, 255, (40, 40, 40)).astype(np.int16)
    assert complain("reorient", "--ct", write_image(tmp_path / "grey.nii.gz", array), word="HU|Hounsfield")[0] == 2


def test_a_ct_with_nan(tmp_path: Path, complain: Run) -> None:
    array = ct_array().astype(np.float32)
    array[5, 5, 5] = np.nan
    assert complain("reorient", "--ct", write_image(tmp_path / "nan.nii.gz", array), word="NaN|not numbers")[0] == 2


def test_zero_spacing(tmp_path: Path, complain: Run) -> None:
    path = write_image(tmp_path / "flat.nrrd", ct_array())
    raw = path.read_bytes()
    broken = re.sub(rb"space directions: \(4", b"space directions: (0", raw, count=1)
    assert broken != raw
    path.write_bytes(broken)
    assert complain("reorient", "--ct", path, word="spacing")[0] == 2


def test_a_sheared_direction(tmp_path: Path, complain: Run) -> None:
    path = write_image(tmp_path / "sheared.nrrd", ct_array())
    raw = path.read_bytes()
    broken = re.sub(rb"space directions: \(4,0,0\)", b"space directions: (4,1,0)", raw, count=1)
    assert broken != raw
    path.write_bytes(broken)
    assert complain("reorient", "--ct", path, word="shear|perpendicular")[0] == 2


def test_a_ct_without_a_heart_is_refused(tmp_path: Path, complain: Run) -> None:
    complain("reorient", "--ct", write_image(tmp_path / "bath.nii.gz", ct_array()), word="heart|contrast")


def test_a_head_ct_is_refused(tmp_path: Path, complain: Run) -> None:
    z, y, x = np.mgrid[-60:60:2, -60:60:2, -60:60:2]
    r = np.sqrt((x / 50) ** 2 + (y / 58) ** 2 + (z / 55) ** 2)
    head = np.full(r.shape, -1000, np.int16)
    head[r < 1.0] = 60
    head[r < 0.97] = 900
    head[r < 0.90] = 35
    head += np.random.default_rng(1).normal(0, 5, head.shape).astype(np.int16)
    complain("reorient", "--ct", write_image(tmp_path / "head.nii.gz", head, 2.0), word="heart|contrast")


@pytest.mark.parametrize(
    ("change", "frames", "word"),
    [
        ({}, 5, "frames"),
        ({"times_s": [0.0, 2.0, 1.0, *range(3, 30)]}, 30, "times"),
        ({"times_s": [0.0, 1.0, 1.0, *range(3, 30)]}, 30, "times"),
    ],
    ids=["five frames", "unsorted times", "repeated time"],
)
def test_a_series_that_is_no_first_pass(
    tmp_path: Path, complain: Run, change: dict[str, object], frames: int, word: str
) -> None:
    assert complain("perfusion", "--stress", series_file(tmp_path, frames, **change), word=word)[0] == 2


def test_slices_that_are_not_parallel(tmp_path: Path, complain: Run) -> None:
    path = series_file(tmp_path)
    sidecar = json.loads((tmp_path / "stress.json").read_text())
    sidecar["poses"][2]["direction"] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    (tmp_path / "stress.json").write_text(json.dumps(sidecar))
    assert complain("perfusion", "--stress", path, word="parallel")[0] == 2


def test_a_full_disk_at_the_last_file_leaves_nothing(
    tmp_path: Path, complain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from CardiacFusionLib.pipeline import case
    from CardiacFusionLib.pipeline.stages import Examinations, Results

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "case.json")

    monkeypatch.setattr(case, "run", lambda *_, **__: Results(Examinations()))
    monkeypatch.setattr(case, "write_json", full)
    array = ct_array()
    array[16:32, 16:32, 16:32] = 350  # contrast-filled, so that the CT passes the door
    path = write_image(tmp_path / "ct.nii.gz", array)
    code, _ = complain("reorient", "--ct", path, word="space|disk|full")
    assert code == 3


def test_fusing_without_a_stress_series_says_so(tmp_path: Path, complain: Run) -> None:
    complain("perfusion", word="--stress")


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reorient", "--no-such-option"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_the_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARDIACFUSION_DEBUG", raising=False)
    code = main(["--debug", "reorient", "--ct", str(tmp_path / "nothing.nii.gz"), "--out", str(tmp_path / "c")])
    monkeypatch.delenv("CARDIACFUSION_DEBUG", raising=False)
    assert code == 2 and "Traceback" in capsys.readouterr().err
