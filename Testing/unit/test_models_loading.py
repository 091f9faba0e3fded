"""Weights come back as they were written, and damaged or missing ones are refused with a way out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CardiacFusionLib.models import loading
from CardiacFusionLib.models.cubes import coarse_image, normalised_hu, sliding_probabilities, starts
from CardiacFusionLib.models.manifest import ModelEntry, file_sha256, models_folder, read_manifest, write_weights
from CardiacFusionLib.networks.chamber_unet import ChamberUNet
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Volume

KWARGS = {"inputs": 1, "classes": 3, "widths": [4, 8]}


def entry(name: str = "toy") -> ModelEntry:
    architecture = {"network": "chamber_unet:ChamberUNet", "kwargs": KWARGS}
    return ModelEntry(name, "1", f"{name}.safetensors", "", architecture, {}, "none", 0, 1, 0.0, {}, "Apache-2.0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARDIACFUSION_MODELS", str(tmp_path))
    loading._load.cache_clear()
    return tmp_path


def test_weights_return_as_they_were_within_half_precision(folder: Path) -> None:
    torch.manual_seed(1)
    network = ChamberUNet(**KWARGS).eval()
    written = write_weights(entry(), network.state_dict(), folder)
    assert written.sha256 == file_sha256(folder / "toy.safetensors")
    loaded = loading.load("toy", "cpu")
    picture = torch.rand(1, 1, 16, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(picture), network(picture), atol=2e-2, rtol=1e-2)
    assert not loaded.training
    assert loading.load("toy", "cpu") is loaded


def test_other_entries_of_the_manifest_stay(folder: Path) -> None:
    state = ChamberUNet(**KWARGS).state_dict()
    write_weights(entry("one"), state, folder)
    write_weights(entry("two"), state, folder)
    assert sorted(read_manifest()) == ["one", "two"]


def test_altered_weights_are_refused(folder: Path) -> None:
    write_weights(entry(), ChamberUNet(**KWARGS).state_dict(), folder)
    path = folder / "toy.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadInputError, match="SHA-256"):
        loading.load("toy", "cpu")


def test_missing_weights_say_how_to_get_them(folder: Path) -> None:
    with pytest.raises(BadInputError, match="CARDIACFUSION_MODELS"):
        loading.load("toy", "cpu")
    write_weights(entry(), ChamberUNet(**KWARGS).state_dict(), folder)
    with pytest.raises(BadInputError, match="cardiacfusion train other"):
        loading.load("other", "cpu")
    (folder / "toy.safetensors").unlink()
    with pytest.raises(BadInputError, match="missing"):
        loading.load("toy", "cpu")


def test_a_broken_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_manifest()


@pytest.mark.parametrize("network", ["os:system", "../x:Y", "chamber_unet", "chamber_unet:Nothing"])
def test_only_networks_of_this_library_are_built(folder: Path, network: str) -> None:
    write_weights(entry(), ChamberUNet(**KWARGS).state_dict(), folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["models"][0]["architecture"]["network"] = network
    manifest.write_text(json.dumps(content))
    with pytest.raises(BadInputError):
        loading.load("toy", "cpu")


def test_the_shipped_manifest_fits_the_shipped_files() -> None:
    for shipped in read_manifest().values():
        path = models_folder() / shipped.file
        assert file_sha256(path) == shipped.sha256, f"{path.name} differs from its manifest entry"
        assert path.stat().st_size < 8_000_000


def test_the_device_comes_with_its_reason() -> None:
    device, reason = loading.choose_device()
    assert device.type in ("cpu", "cuda")
    assert len(reason) > 10


@pytest.mark.parametrize("length", [10, 16, 17, 40, 100])
def test_cubes_cover_every_voxel(length: int) -> None:
    covered = np.zeros(max(length, 16), bool)
    for start in starts(length, 16, 8):
        covered[start : start + 16] = True
    assert covered.all()


class Threshold(torch.nn.Module):
    """A 'network' that labels bright voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-20 * x, 20 * x], dim=1)


@pytest.mark.parametrize("shape", [(8, 20, 30), (16, 16, 16), (33, 17, 16)])
def test_overlapping_cubes_give_what_one_look_would(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = sliding_probabilities(Threshold(), image, 16, 8, 0.0)
    assert found.shape == (2, *shape)
    np.testing.assert_allclose(found.sum(0), 1.0, atol=1e-5)
    np.testing.assert_array_equal(found.argmax(0), image > 0)


def test_the_coarse_image_keeps_the_mean_and_averages_the_noise() -> None:
    rng = np.random.default_rng(0)
    fine = Volume(rng.normal(100, 50, (64, 64, 64)).astype(np.float32), (0.5,) * 3, (0, 0, 0), np.eye(3))
    grid = Volume(np.zeros((6, 6, 6), np.uint8), (4.0,) * 3, (4, 4, 4), np.eye(3))
    coarse = coarse_image(fine, grid).array
    assert coarse.mean() == pytest.approx(100, abs=2)
    assert coarse.std() < 6  # of 50: single voxels are not what is read


def test_air_and_metal_are_cut_off() -> None:
    low, soft, high = normalised_hu(np.array([-3000.0, 180.0, 9000.0]))
    assert (low, soft, high) == (normalised_hu(np.array(-300.0)), 0.0, normalised_hu(np.array(700.0)))
