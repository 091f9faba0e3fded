"""The pose network: from chamber probabilities in a wrong frame to the correction of that frame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from CardiacFusionLib.models.cubes import normalised_hu, probabilities
from CardiacFusionLib.models.loading import load
from CardiacFusionLib.networks.pose_resnet import PoseResNet
from CardiacFusionLib.reorientation.refine import SEEN_LABELS, pose_cube
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.training.augment import cut_field, vary_ct
from CardiacFusionLib.training.ct_chambers import CUBE as CHAMBER_CUBE
from CardiacFusionLib.training.ct_chambers import SPACING_MM as CHAMBER_MM
from CardiacFusionLib.training.harness import VALIDATION_SEED, Batch, Metrics
from CardiacFusionLib.training.losses import rotation_angle
from CardiacFusionLib.training.mistakes import marred

CUBE = 28
SPACING_MM = 6.0
WIDTH = 16
REUSE = 32  # a heart costs far more than another look at it, so each is seen from as many wrong frames
WINDOW = 64  # hearts in turn before the first is seen again, so that a batch holds different hearts
VALIDATION_CASES = 48
# spread of the wrong frames; a first pass starts from the geometric pose (about 2 degrees, 2 mm), later ones nearer
TILT_SD_DEG, ROLL_SD_DEG, SHIFT_SD_MM = 6.0, 8.0, 5.0
MM_PER_RADIAN = 50.0  # a radian at the heart's surface: weighs angles against millimetres in the loss


@dataclass(frozen=True)
class _Heart:
    """Chamber probabilities (label, z, y, x), where they lie, and the true pose."""

    probabilities: NDArray[np.float32]
    lps_to_index: NDArray[np.float64]
    pose: HeartPose


class CtPose:
    """Cubes of 28 x 6 mm of label probabilities: half real outputs of the chamber network, half marred truth."""

    name = "ct_pose"
    version = "0.3.0"
    batch_size = 8
    learning_rate = 2e-3
    validate_every_s = 180.0

    def __init__(self) -> None:
        self._hearts: OrderedDict[int, _Heart] = OrderedDict()
        self._validation: Mapping[str, Tensor] = {}

    def build(self) -> nn.Module:
        """A fresh ResNet18 that answers 'no correction'."""
        return PoseResNet(len(SEEN_LABELS), WIDTH)

    def sample(self, seed: int) -> Mapping[str, NDArray[Any]]:
        """``seen`` (4, z, y, x), ``rotation`` (3, 3) and ``translation`` (3,) mm that lead to the true frame."""
        block, place = divmod(seed, WINDOW * REUSE)
        heart = self._heart(block * WINDOW * REUSE + place % WINDOW)
        rng = np.random.default_rng([seed, 5])
        start = wrong_pose(heart.pose, rng)
        seen = pose_cube(heart.probabilities, heart.lps_to_index, start, CUBE, SPACING_MM)
        step = heart.pose.lps_to_heart @ start.heart_to_lps
        return {
            "seen": seen,
            "rotation": step[:3, :3].astype(np.float32),
            "translation": step[:3, 3].astype(np.float32),
        }

    def _heart(self, seed: int) -> _Heart:
        if seed not in self._hearts:
            self._hearts[seed] = _draw_heart(seed)
            if len(self._hearts) > WINDOW:
                self._hearts.popitem(last=False)
        self._hearts.move_to_end(seed)
        return self._hearts[seed]

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Metrics]:
        """Angle of the whole rotation and of the long axis, and the shift's L1, all in millimetres at the surface."""
        rotation, translation = network(batch["seen"])
        angle = rotation_angle(rotation, batch["rotation"])
        # the heart's z axis seen from the guess is the last row
        axis = (rotation[:, 2] - batch["rotation"][:, 2]).norm(dim=1)
        shift = (translation - batch["translation"]).abs().sum(1)
        value = (MM_PER_RADIAN * (angle + axis) + shift).mean() / 10
        degrees = 180 / np.pi
        return value, {
            "angle_deg": float(angle.detach().mean()) * degrees,
            "axis_deg": float(axis.detach().mean()) * degrees,
            "shift_mm": float(shift.detach().mean()),
        }

    def validate(self, network: nn.Module) -> Metrics:
        """One pass from a wrong frame on unseen hearts; ``score`` is minus the mean error (degrees and mm)."""
        if not self._validation:
            # one look each at different hearts: seeds one window apart
            cases = [self.sample(VALIDATION_SEED + k) for k in range(VALIDATION_CASES)]
            self._validation = {k: torch.from_numpy(np.stack([c[k] for c in cases])) for k in cases[0]}
        device = next(network.parameters()).device
        batch = {k: v.to(device) for k, v in self._validation.items()}
        _, figures = self.loss(network, batch)
        return {"score": -(figures["angle_deg"] + figures["axis_deg"] + figures["shift_mm"]), **figures}

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "version": self.version,
            "architecture": {
                "network": "pose_resnet:PoseResNet",
                "kwargs": {"channels": len(SEEN_LABELS), "width": WIDTH},
            },
            "data": "synthetic hearts of the digital twin, as labelled by ct_chambers and as known",
            "input": {"cube": CUBE, "spacing_mm": SPACING_MM, "axes": "guessed heart frame", "unit": "probability"},
        }


def wrong_pose(pose: HeartPose, rng: np.random.Generator) -> HeartPose:
    """A frame as a first guess might give it; one in two is small, as later passes meet it."""
    scale = 1.0 if rng.random() < 0.5 else rng.uniform(0.1, 0.6)
    vector = np.deg2rad(rng.normal(0, 1, 3) * [TILT_SD_DEG, TILT_SD_DEG, ROLL_SD_DEG]) * scale
    step = np.eye(4)
    step[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    step[:3, 3] = rng.normal(0, SHIFT_SD_MM * scale, 3)
    return HeartPose(step @ pose.lps_to_heart)


def _draw_heart(seed: int) -> _Heart:
    from CardiacFusionLib.twin.ct.sampling import ct_training_sample

    # the chamber network's cube is turned so that the heart lies in it as usual: near the patient's own axes
    drawn = ct_training_sample(seed, (CHAMBER_CUBE,) * 3, CHAMBER_MM, varied=True)
    rng = np.random.default_rng([seed, 6])
    image, labels = cut_field(vary_ct(drawn.image, rng), drawn.labels, rng)
    if rng.random() < 0.6:
        found = probabilities(load("ct_chambers", "cpu"), normalised_hu(image)[None, None])[0]
    else:
        found = marred(labels, rng)
    return _Heart(found, drawn.volume.lps_to_index, drawn.pose)
