"""A user's own network takes the place of one of ours: TorchScript and ONNX, with its own grid and labels."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CardiacFusionLib.models import loading
from CardiacFusionLib.models.manifest import IN_PLACE, ModelEntry, read_manifest, write_weights
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label

KWARGS = {"inputs": 2, "classes": 4, "widths": [4, 8], "dimensions": 2}


class Bright(torch.nn.Module):
    """Its label 2 where the picture is brighter than the middle of its scale, label 1 elsewhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 40.0 * (x - 0.5)
        return torch.cat([torch.zeros_like(x) - 100.0, -score, score], dim=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARDIACFUSION_MODELS", str(tmp_path))
    monkeypatch.delenv(IN_PLACE, raising=False)
    loading._load.cache_clear()
    architecture = {"network": "chamber_unet:ChamberUNet", "kwargs": KWARGS}
    entry = ModelEntry("toy", "1", "toy.safetensors", "", architecture, {"spacing_mm": 1.5}, "", 0, 1, 0.0, {}, "")
    write_weights(entry, ChamberUNet(**KWARGS).state_dict(), tmp_path)
    return tmp_path


def described(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    torch.jit.script(Bright()).save(str(folder / "mine.pt"))
    given = {
        "replaces": "toy",
        "file": "mine.pt",
        "input": {"channels": [1], "spacing_mm": 0.75, "size": [64, 64], "scale": "minmax"},
        "output": {"labels": {"1": 0, "2": int(Label.LV_CAVITY)}},
        "licence": "CC0",
    }
    path = folder / "mine.json"
    path.write_text(json.dumps({**given, **changes}))
    monkeypatch.setenv(IN_PLACE, str(path))
    return path


def test_a_torchscript_network_with_another_grid_answers_on_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, monkeypatch)
    picture = torch.zeros(1, 2, 48, 40)
    picture[0, 1, 18:30, 14:26] = 7.0
    with torch.inference_mode():
        found = loading.load("toy", "cpu")(picture).softmax(1)
    assert found.shape == (1, 4, 48, 40)
    assert torch.equal(found.argmax(1)[0] == Label.LV_CAVITY, picture[0, 1] > 0)
    assert read_manifest()["toy"].licence == "CC0"


def test_beyond_the_users_grid_lies_background(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, monkeypatch)  # 64 of its pixels are 32 of ours
    picture = torch.rand(1, 2, 48, 48)
    picture[0, 1, :4] = 5.0
    with torch.inference_mode():
        found = loading.load("toy", "cpu")(picture).argmax(1)[0]
    assert not found[:6].any()


def test_without_the_description_ours_is_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, monkeypatch)
    assert read_manifest()["toy"].version == "user"
    monkeypatch.delenv(IN_PLACE)
    assert isinstance(loading.load("toy", "cpu"), ChamberUNet)


def test_a_network_with_our_own_contract_is_called_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, monkeypatch, contract="same")
    picture = torch.rand(2, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(loading.load("toy", "cpu")(picture), Bright()(picture))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replaces": "nothing"}, "toy"),
        ({"file": "gone.pt"}, "missing"),
        ({"file": "mine.json"}, "onnx"),
        ({"contract": "other"}, "contract"),
        ({"output": {"labels": {}}}, "labels"),
        ({"input": {"scale": "loud"}}, "scale"),
        ({"input": {"limits": [5, 1]}}, "rise"),
        ({"input": {"size": ["x"]}}, "number"),
    ],
)
def test_a_description_that_cannot_be_right_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], said: str
) -> None:
    described(folder, monkeypatch, **changes)
    with pytest.raises(BadInputError, match=said):
        loading.load("toy", "cpu")


def test_a_file_that_is_no_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(folder, monkeypatch)
    (folder / "mine.pt").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match="TorchScript"):
        loading.load("toy", "cpu")


def test_the_onnx_network_of_myopari_outlines_a_short_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'cardiacfusion[onnx]')")
    package = importlib.util.find_spec("myopari")
    if package is None or package.origin is None:
        pytest.skip("myopari is not installed (pip install --no-deps myopari)")
    from CardiacFusionLib.walls.cmr import segment_frame

    file = Path(package.origin).parent / "Resources" / "tiramisu_acdc_fp32.onnx"
    description = tmp_path / "myopari.json"
    given = {
        "replaces": "cmr_walls",
        "file": str(file),
        "input": {
            "channels": [2],
            "spacing_mm": 1.5,
            "size": [256, 256],
            "scale": "percentile",
            "limits": [0.05, 99.05],
        },
        "output": {"labels": {"1": 3, "2": 2, "3": 1}},
    }
    description.write_text(json.dumps(given))
    monkeypatch.setenv(IN_PLACE, str(description))
    y, x = np.mgrid[:160, :160].astype(float)
    lateral = np.hypot(x - 90, y - 80)
    image = np.full((160, 160), 60.0)
    image[np.hypot(x - 55, y - 84) < 26] = 220.0  # RV blood
    image[lateral < 30] = 70.0  # muscle
    image[lateral < 20] = 230.0  # LV blood
    rng = np.random.default_rng(0)
    labels = segment_frame((image + rng.normal(0, 6, image.shape)).astype(np.float32), (1.5, 1.5))
    cavity = labels == Label.LV_CAVITY
    assert 2 * (cavity & (lateral < 20)).sum() / (cavity.sum() + (lateral < 20).sum()) > 0.85
