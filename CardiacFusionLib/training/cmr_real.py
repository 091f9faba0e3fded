"""Real cine frames with an expert's LV cavity, mixed into the training of the network for single CMR frames.

Folder layout (that of the Sunnybrook pictures in SegNetCMR): ``image/NAME.png`` and ``lv_cavity/NAME.png``, NAME
beginning with the patient and ``-IM-``. Frames of one patient never stand on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.training import harness
from CardiacFusionLib.training.cmr_real_vary import dimmed, drawn_together, shaded
from CardiacFusionLib.training.cmr_walls import CmrWallsTask, turned_window, vary
from CardiacFusionLib.training.harness import Batch, Metrics
from CardiacFusionLib.walls.cmr_input import CHANNELS, even_out
from CardiacFusionLib.walls.cmr_input import PIXEL_MM as WINDOW_MM

PIXEL_MM = 1.37  # the pictures carry no pixel size; 350 mm over 256 pixels is usual for these scans
REAL_SHARE = 0.6  # of the samples; of these so many are ...
BENT_SHARE, DIMMED_SHARE, SHADED_SHARE = 0.5, 0.3, 0.35
RING_PIXELS = 2  # muscle surrounds a cavity at least so thickly (3 mm)
RING_WEIGHT = 0.2
FINE_TUNE_RATE = 6e-4
STEPS, SEED = 300, 71
# an expert outlines the cavity of a cine outside the trabeculae that line it; ring and small cavities teach the network
# its inner edge, sharply. What lies between was alike in all patients (Docs/models/cmr_walls.md)
MARGIN_MM = 1.0


@dataclass(frozen=True)
class RealFrame:
    """One frame (y, x) and its expert cavity mask; ``patient`` groups the frames of one person."""

    name: str
    patient: str
    image: NDArray[np.float32]
    cavity: NDArray[np.bool_]


def read_frames(folder: Path) -> list[RealFrame]:
    """All frames below ``folder``, by name. Raises BadInputError where pictures or masks are missing."""
    from skimage.io import imread

    frames = []
    for path in sorted((folder / "image").glob("*.png")):
        mask = folder / "lv_cavity" / path.name
        if not mask.exists():
            raise BadInputError(f"{path.name} has no mask of the same name in {folder.name}/lv_cavity; add it.")
        image, cavity = (p[..., 0] if p.ndim == 3 else p for p in (imread(path), imread(mask)))
        frames.append(RealFrame(path.stem, path.stem.split("-IM-")[0], image.astype(np.float32), cavity > 0))
    if not frames:
        raise BadInputError(f"{folder} holds no image/*.png; see the folder layout in Docs/models/cmr_walls.md.")
    return frames


class CmrRealTask(CmrWallsTask):
    """Synthetic slices with all labels, and real frames of which only the cavity is known."""

    name = "cmr_frames"
    validation_cases = 16
    learning_rate = FINE_TUNE_RATE
    validate_every_s = 1e9  # once, at the end

    def __init__(self, frames: Sequence[RealFrame] = ()) -> None:
        self.frames = list(frames)
        names = sorted({f.patient for f in self.frames})
        self.patients = [[f for f in self.frames if f.patient == name] for name in names]  # all count alike

    def sample(self, seed: int) -> dict[str, NDArray[Any]]:
        """As the synthetic task's, and ``real`` (1,) int64: 1 where ``labels`` tell the cavity only."""
        rng = np.random.default_rng((seed, 2))
        if rng.random() >= REAL_SHARE or not self.frames:
            return {**super().sample(seed), "real": np.zeros(1, np.int64)}
        of_patient = self.patients[int(rng.integers(len(self.patients)))]
        frame = of_patient[int(rng.integers(len(of_patient)))]
        image, cavity = frame.image, frame.cavity
        if rng.random() < BENT_SHARE:
            image, cavity = drawn_together(image, cavity, PIXEL_MM, rng)
        if rng.random() < DIMMED_SHARE:
            image = dimmed(image, cavity, PIXEL_MM, rng)
        centre = np.array(ndimage.center_of_mass(cavity))[::-1] if cavity.any() else None
        images, labels = turned_window(
            image[None], cavity.astype(np.uint8), PIXEL_MM, rng, wide=rng.random() < 0.4, centre_xy=centre
        )
        if rng.random() < SHADED_SHARE:
            images = shaded(images, WINDOW_MM, rng)
        images = np.repeat(vary(images, rng), CHANNELS, axis=0)
        return {"image": even_out(images), "labels": labels[None].astype(np.int64), "real": np.ones(1, np.int64)}

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Dice + cross-entropy; of cavity against everything else for real frames."""
        real = batch["real"][:, 0] > 0
        scores = network(batch["image"])
        total = scores.new_zeros(())
        if bool((~real).any()):
            total = total + self.synthetic_loss(scores[~real], batch["labels"][~real])
        if bool(real.any()):
            total = total + cavity_loss(scores[real], batch["labels"][real] == 1)
        return total, {}

    def facts(self) -> dict[str, Any]:
        """For the manifest: which real frames were seen, and how far outside the network's edge their reader drew."""
        patients = len({f.patient for f in self.frames})
        facts = super().facts()
        if not self.frames:
            return facts
        return facts | {
            "version": "1",
            "input": facts["input"] | {"frame_margin_mm": MARGIN_MM},
            "data": "digital twin, CMR slices (synthetic); then fine-tuned with real cine frames with expert LV-cavity "
            f"masks: Sunnybrook Cardiac Data (CC0), {len(self.frames)} frames of {patients} patients",
        }


def cavity_loss(scores: Tensor, cavity: Tensor) -> Tensor:
    """Cross-entropy and Dice of class scores (n, class, y, x) against a cavity mask (n, 1, y, x).

    The split of 'not cavity' into wall, RV and background is left open, but for a thin ring about the cavity, which is
    muscle in nearly every short-axis slice. Dice is taken picture by picture, so that a small cavity counts as much as
    a large one.
    """
    logs = torch.log_softmax(scores, dim=1)
    inside = logs[:, Label.LV_CAVITY]
    others = [k for k in range(scores.shape[1]) if k != Label.LV_CAVITY]
    outside = torch.logsumexp(logs[:, others], dim=1)
    truth = cavity[:, 0].to(scores.dtype)
    entropy = -(truth * inside + (1 - truth) * outside).mean()
    found = inside.exp()
    dice = (2 * (found * truth).sum((1, 2)) + 1) / (found.sum((1, 2)) + truth.sum((1, 2)) + 1)
    size = 2 * RING_PIXELS + 1
    ring = nn.functional.max_pool2d(truth[:, None], size, stride=1, padding=RING_PIXELS)[:, 0] - truth
    muscle = -(logs[:, Label.MYOCARDIUM] * ring).sum() / ring.sum().clamp(min=1.0)
    return entropy + (1 - dice).mean() + RING_WEIGHT * muscle


def fine_tune(frames: Sequence[RealFrame], start: Path, out: Path, steps: int = STEPS, seed: int = SEED) -> nn.Module:
    """Averaged network after ``steps`` steps on these frames and synthetic slices, from the weights at ``start`` (see
    ``harness.train``); the run in ``out`` can be exported like any other."""
    return harness.train(CmrRealTask(frames), out, steps=steps, seed=seed, start=start, workers=1, threads=1).network
