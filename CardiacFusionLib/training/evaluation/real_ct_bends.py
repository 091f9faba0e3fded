"""Other hearts made of the real CT: its patient stretched and bent, contrast and dose changed. Do the answers go along?

The tissue, its noise and its neighbours are real; only form and brightness are ours. What the networks find in the CT
as it is, carried along by the known bend, is the yardstick, so the figures say how much an answer hangs on one form
and one contrast, not whether it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.resample import resample_to, sample
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.training.evaluation.real_ct import real_scan
from CardiacFusionLib.training.evaluation.real_ct_looks import contrast, washed_out
from CardiacFusionLib.twin.heart.warp import SmoothWarp
from CardiacFusionLib.walls.ct import segment_ct

BENDS = 12  # in every other one the right heart's contrast is flushed away
STRETCH = 0.13  # of each of the patient's axes, at most
BEND_RMS_MM = (1.5, 4.0)
FLUSHED_HU = (40.0, 150.0)
CONTRAST_SHARE = (0.55, 1.2)  # of what is left of the contrast
NOISE_HU = 20.0
JUDGED = (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY)


@dataclass(frozen=True)
class Bend:
    """A map of the patient's space (LPS mm) about ``middle``: stretched along the axes, then bent smoothly."""

    middle: NDArray[np.float64]
    stretch: NDArray[np.float64]
    warp: SmoothWarp

    @staticmethod
    def draw(rng: np.random.Generator, middle: NDArray[np.float64]) -> Bend:
        """Up to 13 % wider or narrower along each axis, bent by 1.5 to 4 mm (root mean square)."""
        stretch = rng.uniform(1 - STRETCH, 1 + STRETCH, 3)
        return Bend(middle, stretch, SmoothWarp.draw(rng, rms_mm=float(rng.uniform(*BEND_RMS_MM))))

    def forth(self, points_lps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where points (n, 3) of the unbent patient lie in the bent one."""
        return self.warp.to_space((points_lps - self.middle) * self.stretch) + self.middle

    def back(self, points_lps: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where points (..., 3) of the bent patient lay in the unbent one."""
        near = (np.asarray(points_lps, float) - self.middle).reshape(-1, 3)
        old = self.warp.to_material(near) / self.stretch + self.middle
        return np.asarray(old, np.float64).reshape(np.shape(points_lps))

    def of_volume(self, volume: Volume, order: int) -> Volume:
        """The bent patient on the same grid; beyond the scan it goes on as at its edge."""
        low, high = np.zeros(3), np.asarray(volume.size, float) - 1
        index = self.back(volume.grid_lps()) @ volume.lps_to_index[:3, :3].T + volume.lps_to_index[:3, 3]
        inside = np.clip(index, low, high) @ volume.index_to_lps[:3, :3].T + volume.index_to_lps[:3, 3]
        return volume.with_array(sample(volume, inside, order=order))

    def of_pose(self, pose: HeartPose) -> HeartPose:
        """The frame of the bent patient's landmarks."""
        return HeartPose.from_landmarks({k: self.forth(np.asarray(p)[None])[0] for k, p in pose.landmarks.items()})


def evaluate_bends(data_folder: Path, n: int = BENDS) -> dict[str, Any]:
    """Figures over ``n`` other hearts, those with contrast in the right heart and those without apart: mean and worst
    angle of long axis and roll, mean distance of the landmarks (mm) and Dice of the labels; rows one by one.

    Raises BadInputError where there is no real CT.
    """
    ct = real_scan(data_folder)
    walls = segment_ct(ct, reorient(ct))
    there = resample_to(walls.labels, ct, order=0)
    hu, kinds = np.asarray(ct.array, np.float32), there.array.astype(np.uint8)
    rows = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        flushed = seed % 2 == 1
        look = washed_out(float(rng.uniform(*FLUSHED_HU)))(hu, kinds) if flushed else hu
        look = contrast(float(rng.uniform(*CONTRAST_SHARE)))(look, kinds)
        bend = Bend.draw(rng, walls.pose.to_lps(np.zeros(3)))
        bent = np.asarray(bend.of_volume(ct.with_array(look), order=1).array, np.float32)
        noise = rng.normal(0, rng.uniform(0, NOISE_HU), look.shape).astype(np.float32)
        figures = _judged(ct.with_array(bent + noise), walls.pose, there, bend)
        rows.append({"seed": seed, "flushed": flushed, **figures})
    full, flushed_rows = rows[0::2], rows[1::2]
    return {"n": n, "contrast": _summary(full), "flushed": _summary(flushed_rows), "rows": rows}


def _judged(seen: Volume, pose: HeartPose, labels: Volume, bend: Bend) -> dict[str, Any]:
    true = bend.of_pose(pose)
    try:
        found = segment_ct(seen, reorient(seen))
    except CardiacFusionError as error:
        return {"failed": str(error)}
    apart = [float(np.linalg.norm(found.pose.landmarks[k] - true.landmarks[k])) for k in true.landmarks]
    grid = found.labels.grid_lps()
    carried = sample(labels, bend.back(grid), order=0).astype(np.uint8)
    overlap = {f"{label.name.lower()}_dice": dice(found.labels.array == label, carried == label) for label in JUDGED}
    return {
        "axis_deg": axis_angle_deg(true, found.pose), "roll_deg": abs(roll_angle_deg(true, found.pose)),
        "landmark_mm": float(np.mean(apart)), **overlap,
    }  # fmt: skip


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    good = [r for r in rows if "failed" not in r]
    figures: dict[str, Any] = {"n": len(rows), "failed": len(rows) - len(good)}
    for key in (k for k in (good[0] if good else {}) if k not in ("seed", "flushed")):
        values = [r[key] for r in good]
        figures[key] = float(np.mean(values))
        if key.endswith("_deg"):
            figures[f"{key}_worst"] = float(np.max(values))
    return figures
