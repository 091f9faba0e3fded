"""The outside baseline: the short-axis network inside PyPI's ``myopari`` (MIT), run as its authors prepare pictures.

Wanted: ``pip install onnxruntime`` and ``pip install --no-deps myopari``. It was trained on ACDC cine MR and is not a
truth, only another opinion: on Sunnybrook it meets the experts' masks like ours, on the CT our own cavity.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.overlap import dice

FILE = Path("Resources") / "tiramisu_acdc_fp32.onnx"
SIDE = 256  # pixels a side of what it is shown
PERCENTILES = (0.05, 99.05)  # of the non-zero pixels, onto 0..1
LABELS = {1: Label.RV_CAVITY, 2: Label.MYOCARDIUM, 3: Label.LV_CAVITY}
CT_PIXEL_MM, CT_SIDE = 1.4, 150  # ACDC's pixels are about 1.4 mm
MIDDLE = (1 / 3, 2 / 3)  # mid-ventricular: the middle third of the cavity
CT_STEP_MM = 3.0
CT_WINDOW_HU = (-150.0, 600.0)


def why_absent() -> str | None:
    """Why the baseline cannot be run here, or None."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed (pip install 'cardiacfusion[onnx]')"
    return None if _file() is not None else "myopari is not installed (pip install --no-deps myopari)"


def _file() -> Path | None:
    package = importlib.util.find_spec("myopari")
    path = Path(package.origin).parent / FILE if package is not None and package.origin else None
    return path if path is not None and path.is_file() else None


@lru_cache(maxsize=1)
def _session() -> Any:
    reason, path = why_absent(), _file()
    if reason or path is None:
        raise BadInputError(f"The outside baseline cannot be run: {reason}.")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def baseline_labels(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Our labels (y, x) of one short-axis picture (y, x), by the baseline: centre square, 256 x 256, percentiles."""
    side = min(image.shape)
    top, left = ((n - side) // 2 for n in image.shape)
    square = ndimage.zoom(
        image[top : top + side, left : left + side].astype(np.float32), SIDE / side, order=1, grid_mode=True,
        mode="nearest",
    )  # fmt: skip
    seen = square[square != 0]
    low, high = np.percentile(seen, PERCENTILES) if seen.size else (0.0, 1.0)
    scaled = ((np.clip(square, low, high) - low) / max(float(high - low), 1e-6)).astype(np.float32)
    session = _session()
    scores = session.run(None, {session.get_inputs()[0].name: scaled[None, None]})[0][0]
    theirs = ndimage.zoom(scores, (1, side / SIDE, side / SIDE), order=1, grid_mode=True, mode="nearest").argmax(axis=0)
    result = np.zeros(image.shape, np.uint8)
    for label, ours in LABELS.items():
        result[top : top + side, left : left + side][theirs == label] = ours
    return result


def short_axis_slices(
    volume: Volume, pose: HeartPose, z_mm: NDArray[np.float64], order: int, outside: float
) -> NDArray[np.float32]:
    """Pictures (k, y, x) across the heart frame at heights ``z_mm``."""
    step = (np.arange(CT_SIDE) - (CT_SIDE - 1) / 2) * CT_PIXEL_MM
    y, x = np.meshgrid(step, step, indexing="ij")
    points = np.stack([np.stack([x, y, np.full_like(x, z)], axis=-1) for z in z_mm])
    return sample(volume, pose.to_lps(points), order=order, outside=outside)


def compare_on_ct(ct: Volume, labels: Volume, pose: HeartPose) -> dict[str, float]:
    """Cavity Dice of our labels against the baseline's on the mid-ventricular short-axis slices of a CT."""
    index = np.argwhere(labels.array == Label.LV_CAVITY)[:, ::-1].astype(float)
    heights = pose.to_heart(apply(labels.index_to_lps, index))[:, 2]
    low, high = np.percentile(heights, [0.5, 99.5])
    z = np.arange(low + MIDDLE[0] * (high - low), low + MIDDLE[1] * (high - low), CT_STEP_MM)
    pictures = np.clip(short_axis_slices(ct, pose, z, 1, CT_WINDOW_HU[0]), *CT_WINDOW_HU) - CT_WINDOW_HU[0]
    ours = short_axis_slices(labels, pose, z, 0, 0.0).astype(np.uint8)
    found = [dice(baseline_labels(p) == Label.LV_CAVITY, mine == Label.LV_CAVITY) for p, mine in zip(pictures, ours)]
    return {"cavity_dice": float(np.mean(found)), "cavity_dice_worst": float(np.min(found)), "slices": len(found)}
