"""Real frames in the training of the CMR wall network: what is made of them, and what is asked of the network."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CardiacFusionLib.training.cmr_real_vary import DIMMED, SHADING, dimmed, drawn_together, shaded

SIZE, PIXEL_MM = 120, 1.4
BLOOD, MUSCLE, AROUND = 1.0, 0.3, 0.1


def heart(radius: float = 18.0) -> tuple[np.ndarray, np.ndarray]:
    """A bright cavity in a dark ring of muscle 8 pixels thick; a bright vessel aside."""
    y, x = np.indices((SIZE, SIZE), dtype=float)
    away = np.hypot(y - 60, x - 62)
    image = np.where(away < radius, BLOOD, np.where(away < radius + 8, MUSCLE, AROUND))
    image[np.hypot(y - 60, x - 10) < 6] = BLOOD
    return image.astype(np.float32), away < radius


def radius_of(mask: np.ndarray) -> float:
    return float(np.sqrt(mask.sum() / np.pi))


def test_a_cavity_drawn_together_stays_the_blood_of_its_picture() -> None:
    image, cavity = heart()
    radii, walls = [], []
    for seed in range(12):
        shown, mask = drawn_together(image, cavity, PIXEL_MM, np.random.default_rng(seed))
        radii.append(radius_of(mask))
        near = ndimage.binary_dilation(mask, iterations=int(radii[-1]) + 3)
        blood = (shown > (BLOOD + MUSCLE) / 2) & near
        assert 2 * (blood & mask).sum() / (blood.sum() + mask.sum()) > 0.8
        ring = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_dilation(mask, iterations=2)
        walls.append(float(np.median(shown[ring])))
    assert min(radii) < 9.0 and max(radii) <= 18.0 * 1.16
    assert np.allclose(walls, MUSCLE, atol=0.12)


def test_muscle_grows_thicker_as_the_cavity_closes() -> None:
    image, cavity = heart()
    for seed in range(12):
        shown, mask = drawn_together(image, cavity, PIXEL_MM, np.random.default_rng(seed))
        if radius_of(mask) < 12.0:
            outside = ndimage.distance_transform_edt(~mask)
            muscle = (np.abs(shown - MUSCLE) < 0.1) & (outside > 1) & (outside < 40)
            assert np.sqrt((mask.sum() + muscle.sum()) / np.pi) - radius_of(mask) > 8.5


def test_a_frame_without_a_cavity_is_left_alone() -> None:
    image, cavity = heart()
    rng = np.random.default_rng(0)
    shown, mask = drawn_together(image, np.zeros_like(cavity), PIXEL_MM, rng)
    assert shown is image and not mask.any()
    assert dimmed(image, np.zeros_like(cavity), PIXEL_MM, rng) is image


def test_only_the_cavity_s_blood_is_dimmed() -> None:
    image, cavity = heart()
    levels = [float(np.median(dimmed(image, cavity, PIXEL_MM, np.random.default_rng(s))[cavity])) for s in range(8)]
    assert min(levels) < 0.75 and max(levels) <= BLOOD
    assert min(levels) >= BLOOD - DIMMED * (BLOOD - MUSCLE) - 1e-3
    shown = dimmed(image, cavity, PIXEL_MM, np.random.default_rng(1))
    far = ndimage.distance_transform_edt(~cavity) > 6
    assert np.allclose(shown[far], image[far], atol=1e-3)


def test_a_coil_changes_brightness_smoothly_and_by_no_more_than_said() -> None:
    flat = np.ones((2, SIZE, SIZE), np.float32)
    for seed in range(6):
        shown = shaded(flat, 1.5, np.random.default_rng(seed))
        assert np.array_equal(shown[0], shown[1]) and shown.min() > 0
        assert np.abs(np.diff(np.log(shown[0]), axis=0)).max() < 2 * SHADING * 1.5 / 60 * 1.5
    again = shaded(flat, 1.5, np.random.default_rng(5))
    assert np.array_equal(shown, again)


def test_masks_are_moved_back_by_parts_of_a_pixel() -> None:
    pytest.importorskip("torch")
    from CardiacFusionLib.training.cmr_real import RealFrame
    from CardiacFusionLib.training.evaluation.mask_offset import moved

    image, cavity = heart()
    back = moved([RealFrame("a", "p", image, np.roll(cavity, (2, 3), (0, 1)))], (2.0, 3.0))[0]
    assert np.allclose(ndimage.center_of_mass(back.cavity), ndimage.center_of_mass(cavity), atol=0.2)
    assert abs(radius_of(cavity) - radius_of(back.cavity)) < 0.3 and back.image is image
    assert not moved([RealFrame("a", "p", image, np.zeros_like(cavity))], (2.0, 3.0))[0].cavity.any()


def test_an_offset_of_masks_is_seen_in_the_pictures_alone() -> None:
    pytest.importorskip("torch")
    from CardiacFusionLib.training.cmr_real import RealFrame
    from CardiacFusionLib.training.evaluation.mask_offset import mask_offset

    image, cavity = heart()
    noisy = image + np.random.default_rng(4).normal(0, 0.03, image.shape).astype(np.float32)
    off = np.roll(ndimage.binary_dilation(cavity), (-1, 1), (0, 1))
    found = mask_offset([RealFrame("a", "p", noisy, off), RealFrame("b", "q", noisy, cavity)])
    assert np.allclose(found["p"][:2], (-1.0, 1.0), atol=0.3) and 0.4 <= found["p"][2] <= 1.5
    assert np.allclose(found["q"], 0.0, atol=0.5)


def test_a_margin_is_chosen_by_the_other_patients() -> None:
    pytest.importorskip("torch")
    from CardiacFusionLib.training.evaluation.leave_out import MARGINS_MM, summary

    def peak(at: int, frames: int) -> np.ndarray:
        return np.tile(0.9 - 0.01 * np.abs(np.arange(len(MARGINS_MM)) - at), (frames, 1))

    found = summary({"a": peak(3, 2), "b": peak(3, 5), "odd": peak(0, 4)})
    assert found["margin_mm"]["odd"] == MARGINS_MM[3]
    assert found["patients"]["odd"] == pytest.approx(0.87) and found["patients"]["a"] < 0.9 + 1e-9
    assert found["by_margin"][MARGINS_MM[3]] == pytest.approx((0.9 + 0.9 + 0.87) / 3)


def test_every_patient_is_left_out_once() -> None:
    pytest.importorskip("torch")
    from pathlib import Path

    from CardiacFusionLib.spatial.errors import BadInputError
    from CardiacFusionLib.training.cmr_real import RealFrame
    from CardiacFusionLib.training.evaluation.leave_out import leave_out

    image, cavity = heart()
    frames = [RealFrame(p, p, image, cavity) for p in ("a", "b", "c")]
    with pytest.raises(BadInputError, match="left out once"):
        leave_out(frames, Path("none"), Path("none"), Path("none"), groups=[["a", "b"], ["b", "c"]])


def test_runs_already_made_are_judged_with_their_own_weights(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    import json
    import os
    from pathlib import Path

    from CardiacFusionLib.models.loading import entry_of
    from CardiacFusionLib.models.manifest import ENVIRONMENT
    from CardiacFusionLib.training.cmr_real import CmrRealTask, RealFrame
    from CardiacFusionLib.training.evaluation import leave_out as room
    from CardiacFusionLib.walls import cmr

    monkeypatch.delenv(ENVIRONMENT, raising=False)
    image, cavity = heart()
    frames = [RealFrame(p, p, image, cavity) for p in ("a", "b")]
    facts = CmrRealTask(frames).facts()
    assert facts["input"]["frame_margin_mm"] > 0 and "2 frames of 2 patients" in facts["data"]
    levels = {("cmr_walls", "a"): 5.0, ("cmr_walls", "b"): 4.0, ("cmr_frames", "a"): -5.0, ("cmr_frames", "b"): -4.0}
    for (task, name), level in levels.items():
        run = Path(str(tmp_path)) / task / name
        run.mkdir(parents=True)
        network = CmrRealTask().build()
        network.head.bias.data[1] = level
        torch.save({"network": network.state_dict(), "step": 1, "seconds": 1.0, "metrics": {}}, run / "best.ckpt")
        (run / "run.json").write_text(json.dumps({"task": task, "seed": 1, "facts": facts}))
    seen = []

    def outline(picture: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
        asked = cmr._asked(True)
        assert all("frame_margin_mm" not in entry_of(name).input for name in asked)
        seen.append(tuple(float(cmr.load(name).head.bias[1]) for name in asked))
        return np.where(cavity, 1, 0).astype(np.uint8)

    monkeypatch.setattr(room, "segment_frame", outline)
    folder = Path(str(tmp_path))
    found = room.leave_out(frames, Path("unused"), folder / "cmr_frames", folder / "cmr_walls")
    assert seen == [(5.0, -5.0), (4.0, -4.0)]
    assert np.all(found["a"] == 1.0) and ENVIRONMENT not in os.environ


def test_single_frames_are_shown_to_two_networks_and_series_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
    from CardiacFusionLib.spatial.series import SlicePose
    from CardiacFusionLib.walls import cmr

    class Constant(torch.nn.Module):
        def __init__(self, scores: tuple[float, ...]) -> None:
            super().__init__()
            self.scores = torch.nn.Parameter(torch.tensor(scores), requires_grad=False)

        def forward(self, x: object) -> object:
            return self.scores[None, :, None, None].expand(len(x), 4, *x.shape[2:])

    asked: list[str] = []

    def load(name: str) -> torch.nn.Module:
        asked.append(name)
        return Constant((0.0, 4.0, 0.0, 0.0) if name == cmr.MODEL else (0.0, 0.0, 2.0, 0.0))

    monkeypatch.setattr(cmr, "load", load)
    both = cmr._run(np.zeros((1, 4, 16, 16), np.float32), (cmr.MODEL, cmr.FRAME_MODEL))
    parts = [cmr._run(np.zeros((1, 4, 16, 16), np.float32), (name,)) for name in (cmr.MODEL, cmr.FRAME_MODEL)]
    mean = np.mean(parts, axis=0)
    assert np.allclose(both[:, [0, 3]], mean[:, [0, 3]], atol=1e-6) and np.allclose(both.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(both[:, 1] / both[:, 2], parts[1][:, 1] / parts[1][:, 2], rtol=1e-4)
    image, pose = heart()[0], SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), (1.4, 1.4), 8.0)
    asked.clear()
    cmr.segment_frame(image, (1.4, 1.4))
    assert set(asked) == {cmr.MODEL, cmr.FRAME_MODEL}
    asked.clear()
    cmr._segment([np.repeat(image[None], 4, axis=0)], [pose])
    assert set(asked) == {cmr.MODEL}


def test_a_cavity_is_widened_into_its_wall_by_parts_of_a_pixel() -> None:
    from CardiacFusionLib.walls.cmr_tidy import widened

    y, x = np.indices((SIZE, SIZE), dtype=float)
    away = np.hypot(y - 60, x - 60)
    labels = np.where(away < 15, 1, np.where(away < 22, 2, 0)).astype(np.uint8)
    labels[:, :30] = np.where(labels[:, :30] == 0, 3, labels[:, :30])
    for margin in (0.4, 0.7, 1.0, 2.1):
        wider = widened(labels, (PIXEL_MM, PIXEL_MM), margin)
        assert radius_of(wider == 1) - radius_of(labels == 1) == pytest.approx(margin / PIXEL_MM, abs=0.3)
        assert np.array_equal(wider == 3, labels == 3) and np.array_equal(wider == 0, labels == 0)
    assert widened(labels, (PIXEL_MM, PIXEL_MM), 0.0) is labels
    far = widened(labels, (PIXEL_MM, PIXEL_MM), 50.0)
    assert np.array_equal(far == 1, np.isin(labels, (1, 2)))


def test_real_samples_are_the_same_for_the_same_seed_and_count_patients_alike() -> None:
    pytest.importorskip("torch")
    from CardiacFusionLib.training import cmr_real

    image, cavity = heart()
    many = [cmr_real.RealFrame(f"a{k}", "a", image, cavity) for k in range(9)]
    task = cmr_real.CmrRealTask([*many, cmr_real.RealFrame("b", "b", image, cavity)])
    assert [len(p) for p in task.patients] == [9, 1]
    seed = next(s for s in range(50) if np.random.default_rng((s, 2)).random() < cmr_real.REAL_SHARE)
    one, two = task.sample(seed), task.sample(seed)
    assert one["real"][0] == 1 and set(np.unique(one["labels"])) <= {0, 1}
    assert all(np.array_equal(one[k], two[k]) for k in one)


def test_beyond_a_thin_ring_of_muscle_nothing_is_asked_of_the_rest() -> None:
    torch = pytest.importorskip("torch")
    from CardiacFusionLib.training.cmr_real import RING_PIXELS, cavity_loss

    cavity = torch.zeros(1, 1, 24, 24, dtype=torch.bool)
    cavity[..., 9:15, 9:15] = True
    ring = torch.zeros_like(cavity)
    ring[..., 9 - RING_PIXELS : 15 + RING_PIXELS, 9 - RING_PIXELS : 15 + RING_PIXELS] = True
    wanted = torch.where(cavity, 1, torch.where(ring, 2, 0))[:, 0]

    def scores(labels: object) -> object:
        return torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float() * 16 - 8

    right = float(cavity_loss(scores(wanted), cavity))
    elsewhere = torch.where(wanted == 0, 3, wanted)  # RV instead of background, far from the cavity
    bare = torch.where(wanted == 2, 0, wanted)  # no muscle about the cavity
    assert right < 0.02
    assert float(cavity_loss(scores(elsewhere), cavity)) == pytest.approx(right, abs=1e-5)
    assert float(cavity_loss(scores(bare), cavity)) > right + 0.5
    assert float(cavity_loss(scores(wanted), ~cavity)) > 1.0


def test_a_small_cavity_missed_costs_as_much_as_a_large_one() -> None:
    torch = pytest.importorskip("torch")
    from CardiacFusionLib.training.cmr_real import cavity_loss

    def missed(side: int) -> float:
        both = torch.zeros(2, 1, 48, 48, dtype=torch.bool)
        both[0, 0, :20, :20] = True
        both[1, 0, 20 : 20 + side, 20 : 20 + side] = True
        scores = torch.full((2, 4, 48, 48), -8.0)
        scores[:, 2] = 8.0
        scores[0, 1] = torch.where(both[0, 0], 16.0, -8.0)  # the first is found, the second is not
        return float(cavity_loss(scores, both))

    assert missed(4) > 0.4 and missed(16) > 0.4
