"""A user's own images train a network: the layout is checked sentence by sentence, and patients are never mixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from CardiacFusionLib.models.manifest import read_manifest
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.training import registry
from CardiacFusionLib.training.folder import CT, FRAMES, FolderData
from CardiacFusionLib.training.harness import VALIDATION_SEED


def write(path: Path, array: np.ndarray, spacing: tuple[float, float, float]) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def short_axis(patient: Path, shift: float = 0.0, slices: int = 2) -> None:
    y, x = np.mgrid[:72, :72].astype(float)
    away = np.hypot(x - 40 - shift, y - 36)
    labels = np.where(away < 10, 1, np.where(away < 16, 2, 0))
    labels[(np.hypot(x - 22, y - 36) < 12) & (labels == 0)] = 3
    tones = np.array([60.0, 220.0, 80.0, 200.0])
    noise = np.random.default_rng(0).normal(0, 5, (slices, 72, 72))
    write(patient / "sax.nii.gz", (tones[labels] + noise).astype(np.float32), (1.8, 1.8, 8.0))
    write(patient / "sax_labels.nii.gz", np.stack([labels] * slices).astype(np.uint8), (1.8, 1.8, 8.0))


def chest(patient: Path, shift: float = 0.0) -> None:
    z, y, x = np.mgrid[:40, :48, :48].astype(float) * 3.0
    away = np.sqrt((z - 60) ** 2 + (y - 70) ** 2 + (x - 80 - shift) ** 2)
    labels = np.where(away < 24, 1, np.where(away < 34, 2, 0))
    labels[(np.sqrt((z - 60) ** 2 + (y - 70) ** 2 + (x - 40 - shift) ** 2) < 24) & (labels == 0)] = 3
    tones = np.array([-80.0, 400.0, 100.0, 350.0])
    write(patient / "ct.nii.gz", tones[labels].astype(np.int16), (3.0, 3.0, 3.0))
    write(patient / "ct_labels.nii.gz", labels.astype(np.uint8), (3.0, 3.0, 3.0))


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    for k in range(6):
        short_axis(tmp_path / "data" / f"p{k}", shift=k)
    return tmp_path / "data"


def test_validation_patients_are_never_trained_on(patients: Path) -> None:
    data = FolderData(patients, FRAMES)
    training = {data.pick(seed).patient for seed in range(200)}
    validating = {data.pick(VALIDATION_SEED + k).patient for k in range(50)}
    assert validating == data.held_back
    assert training | validating == {f"p{k}" for k in range(6)}
    assert not training & validating


def test_the_user_may_name_the_validation_patients(patients: Path) -> None:
    (patients / "validation.txt").write_text("p1\np4\n")
    assert FolderData(patients, FRAMES).held_back == {"p1", "p4"}
    (patients / "validation.txt").write_text("p9\n")
    with pytest.raises(BadInputError, match="p9 is no patient"):
        _ = FolderData(patients, FRAMES).held_back


def test_what_is_wrong_with_a_folder_is_said(patients: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no folder"):
        registry.task("cmr_walls", tmp_path / "nowhere")
    with pytest.raises(BadInputError, match="two or more"):
        registry.task("ct_walls", patients)
    with pytest.raises(BadInputError, match="twin only"):
        registry.task("sdn", patients)
    labels = patients / "p2" / "sax_labels.nii.gz"
    write(labels, np.full((2, 72, 72), 9, np.uint8), (1.8, 1.8, 8.0))
    with pytest.raises(BadInputError, match=r"p2/sax_labels.nii.gz must hold whole numbers from 0 to 3"):
        registry.task("cmr_walls", patients)
    write(labels, np.zeros((2, 72, 72), np.uint8), (1.8, 1.8, 8.0))
    with pytest.raises(BadInputError, match="no lv cavity"):
        registry.task("cmr_walls", patients)
    short_axis(patients / "p2")
    write(labels, sitk.GetArrayFromImage(sitk.ReadImage(str(labels))), (2.0, 1.8, 8.0))
    with pytest.raises(BadInputError, match="another grid"):
        registry.task("cmr_walls", patients)
    labels.unlink()
    with pytest.raises(BadInputError, match="has no labels"):
        registry.task("cmr_walls", patients)


def test_frames_of_a_folder_train_and_become_weights(patients: Path, tmp_path: Path) -> None:
    result = registry.train("cmr_walls", tmp_path / "run", steps=2, workers=0, data=patients, device="cpu")
    assert result.steps == 2
    assert np.isfinite(result.best["score"])
    assert "6 of 6 patients" in json.loads((tmp_path / "run" / "run.json").read_text())["facts"]["data"]
    registry.export("cmr_walls", tmp_path / "run", tmp_path / "models")
    assert "own images" in read_manifest(tmp_path / "models")["cmr_walls"].data


def test_cubes_of_the_users_ct_show_the_labelled_heart(tmp_path: Path) -> None:
    for k in range(2):
        chest(tmp_path / f"p{k}", shift=4.0 * k)
    assert FolderData(tmp_path, CT).check().startswith("2 images of 2 patients")
    drawn = registry.task("ct_chambers", tmp_path).sample(0)
    assert set(np.unique(drawn["labels"])) >= {0, 1, 2}
    cavity = drawn["labels"][0] == 1
    assert drawn["image"][0][cavity].mean() > drawn["image"][0][drawn["labels"][0] == 0].mean() + 0.3
