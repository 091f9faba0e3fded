"""``cardiacfusion models``: what is in use, whether it is whole, and how the user's own network gets in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from CardiacFusionLib.cli.app import main
from CardiacFusionLib.models import loading
from CardiacFusionLib.models.manifest import IN_PLACE, ModelEntry, read_manifest, write_weights
from CardiacFusionLib.networks.chamber_unet import ChamberUNet

KWARGS = {"inputs": 1, "classes": 4, "widths": [4, 8], "dimensions": 2}


class Same(torch.nn.Module):
    """A 'network' that answers its input four times."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x, x, x], dim=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = tmp_path / "models"
    monkeypatch.setenv("CARDIACFUSION_MODELS", str(models))
    monkeypatch.delenv(IN_PLACE, raising=False)
    loading._load.cache_clear()
    architecture = {"network": "chamber_unet:ChamberUNet", "kwargs": KWARGS}
    entry = ModelEntry("toy", "1", "toy.safetensors", "", architecture, {}, "twins", 0, 1, 0.0, {"score": 0.5}, "CC0")
    write_weights(entry, ChamberUNet(**KWARGS).state_dict(), models)
    return models


def description(tmp_path: Path) -> Path:
    torch.jit.script(Same()).save(str(tmp_path / "mine.pt"))
    path = tmp_path / "mine.json"
    path.write_text(
        json.dumps({"replaces": "toy", "file": "mine.pt", "output": {"labels": {"1": 1}}, "data": "my own"})
    )
    return path


def test_the_networks_in_use_are_listed_and_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert "toy" in (said := capsys.readouterr().out)
    assert "twins" in said
    assert main(["models", "verify"]) == 0
    assert "ok     toy" in capsys.readouterr().out


def test_a_damaged_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "toy.safetensors").write_bytes(b"x")
    assert main(["models", "verify"]) == 2
    assert "BROKEN toy" in (said := capsys.readouterr()).out
    assert "toy" in said.err


def test_the_users_network_is_added_with_its_file(folder: Path, tmp_path: Path) -> None:
    assert main(["models", "add", str(description(tmp_path))]) == 0
    entry = read_manifest(folder)["toy"]
    assert (entry.file, entry.data, entry.version) == ("toy.pt", "my own", "user")
    (tmp_path / "mine.pt").unlink()  # the folder of weights stands by itself
    picture = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert loading.load("toy", "cpu")(picture).shape == (1, 4, 16, 16)


def test_the_users_network_may_serve_one_run_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(IN_PLACE, "")  # set by the command, taken back after the test
    assert main(["--weights", str(description(tmp_path)), "models", "list"]) == 0
    assert "my own" in capsys.readouterr().out
    monkeypatch.setenv(IN_PLACE, "")
    assert read_manifest()["toy"].data == "twins"


def test_what_cannot_be_added_says_why(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["models", "add", str(empty)]) == 2
    assert "no run.json" in capsys.readouterr().err
    assert main(["models", "add", str(tmp_path / "nothing.json")]) == 2
    assert "nothing.json" in capsys.readouterr().err


def test_training_names_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(["train", "sdn", "--data", str(tmp_path), *out]) == 2
    assert "twin only" in capsys.readouterr().err
    assert main(["train", "sdn", "--start", str(tmp_path / "no.ckpt"), *out]) == 2
    assert "no weights" in capsys.readouterr().err
    assert main(["evaluate", "wrong"]) == 2
    assert "reorientation" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from CardiacFusionLib import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cardiacfusion {__version__}\n"
