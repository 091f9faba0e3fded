"""Motion correction against a SimpleITK B-spline group registration of the same frames.

``python Testing/bench/perfusion_motion.py [--seed 2001] [--frames 24]``: one slice of a free-breathing twin. The peer
registers every frame to the mean of the group (B-spline, mutual information, two rounds), the usual groupwise scheme.
Both are judged by the Dice of the true wall over time. CPU seconds of one thread. Synthetic heart.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.perfusion.result import Motion
from CardiacFusionLib.perfusion.stage import noise_of
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.training.evaluation.motion_figures import motion_figures
from CardiacFusionLib.training.evaluation.perfusion_study import study_twin
from CardiacFusionLib.twin.cmr.plan import THREE_LEVELS
from CardiacFusionLib.twin.truth import Truth

GRID_MM, ROUNDS, ITERATIONS = 40.0, 2, 30
FIGURES = ("dice_before", "dice_after", "variation_share", "shift_before_mm", "shift_after_mm")


def groupwise(frames: np.ndarray, spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Corrected frames (t, y, x) and the displacement (t, 2, y, x) in pixels that reads them."""
    images = [sitk.GetImageFromArray(f.astype(np.float32)) for f in frames]
    for image in images:
        image.SetSpacing(spacing)
    moved, fields = list(images), np.zeros((len(frames), 2, *frames.shape[1:]))
    for _ in range(ROUNDS):
        mean = sitk.GetImageFromArray(np.mean([sitk.GetArrayFromImage(m) for m in moved], axis=0).astype(np.float32))
        mean.SetSpacing(spacing)
        mesh = [max(1, round(n * s / GRID_MM)) for n, s in zip(mean.GetSize(), spacing)]
        for t, image in enumerate(images):
            method = sitk.ImageRegistrationMethod()
            method.SetMetricAsMattesMutualInformation(32)
            method.SetOptimizerAsLBFGSB(numberOfIterations=ITERATIONS)
            method.SetInterpolator(sitk.sitkLinear)
            method.SetShrinkFactorsPerLevel([2, 1])
            method.SetSmoothingSigmasPerLevel([1.0, 0.0])
            method.SetInitialTransform(sitk.BSplineTransformInitializer(mean, mesh), inPlace=False)
            found = method.Execute(mean, image)
            moved[t] = sitk.Resample(image, mean, found, sitk.sitkLinear, 0.0)
            displacement = sitk.TransformToDisplacementField(found, sitk.sitkVectorFloat64, *_grid(mean))
            fields[t] = np.moveaxis(sitk.GetArrayFromImage(displacement), -1, 0) / np.reshape(spacing, (2, 1, 1))
    return np.stack([sitk.GetArrayFromImage(m) for m in moved]), fields


def _grid(image: sitk.Image) -> tuple[object, ...]:
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()


def main() -> None:
    """Run both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2001)
    parser.add_argument("--frames", type=int, default=24)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    twin = study_twin(given.seed)
    one, truth = middle(twin.stress, twin.truth, given.frames)
    start = time.process_time()
    corrected, motion = correct_motion(one)
    ours_s = time.process_time() - start
    ours = figures(one, corrected, motion, truth)
    pose = one.poses[0]
    start = time.process_time()
    frames, field = groupwise(one.array[:, 0], pose.spacing_mm)
    peer_s = time.process_time() - start
    spacing = np.reshape(pose.spacing_mm, (1, 1, 2, 1, 1))
    theirs_motion = replace(
        motion,
        shift_mm=np.zeros_like(motion.shift_mm),
        displacement_mm=(field[:, None] * spacing).astype(np.float32),
        noise_sd=noise_of(one, None),
    )
    theirs = figures(one, one.with_array(frames[:, None].astype(np.float32)), theirs_motion, truth)
    print(
        json.dumps(
            {
                "seed": given.seed,
                "frames": given.frames,
                "ours": {**ours, "cpu_s": round(ours_s, 2)},
                "b_spline": {**theirs, "cpu_s": round(peer_s, 2)},
                "times_faster": round(peer_s / ours_s, 1),
            },
            indent=1,
        )
    )


def middle(series: Series, truth: Truth, frames: int) -> tuple[Series, Truth]:
    """The middle slice and ``frames`` frames about the bolus."""
    assert truth.motion_mm is not None
    part = slice(8, 8 + frames)
    one = replace(series, array=series.array[part, 1:2], poses=series.poses[1:2], times_s=series.times_s[part, 1:2])
    return one, replace(truth, cmr_labels=truth.cmr_labels[1:2], motion_mm=truth.motion_mm[part, 1:2])


def figures(before: Series, after: Series, motion: Motion, truth: Truth) -> dict[str, float]:
    """The study's figures of motion, rounded."""
    found = motion_figures(before, after, motion, truth, truth.cmr_labels, levels=THREE_LEVELS[1:2])
    return {name: round(found[name], 3) for name in FIGURES}


if __name__ == "__main__":
    main()
