"""Which blood is whose: LV and RV pools of a slice from its whole first pass, by a network.

RV blood brightens seconds before LV blood. Nothing else tells the pools apart where a picture is too coarse for
anatomy, as arterial-input images of dual-sequence acquisitions are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.loading import load
from CardiacFusionLib.perfusion.pool_input import from_grid, onto_grid, pool_channels
from CardiacFusionLib.perfusion.result import Aif
from CardiacFusionLib.spatial.quality import Flag, Level
from CardiacFusionLib.spatial.series import Series

MODEL = "aif"
SURE = 0.5  # mean probability of RV blood in the input's pixels from which on they are called so
Floats = NDArray[np.float64]


def blood_pools(
    slices: list[tuple[NDArray[np.floating], Floats]], spacing_mm: tuple[float, float]
) -> list[NDArray[np.float32]]:
    """Probability (2, y, x) of LV and of RV blood in every slice.

    ``slices``: frames (t, y, x), motion-corrected or not, and their times (t,) in seconds; pixels of ``spacing_mm``
    (x, y). The heart is looked for within 128 mm of the picture's middle.
    """
    import torch

    network = load(MODEL)
    device = next(network.parameters()).device
    seen = np.stack([pool_channels(onto_grid(frames, spacing_mm), times) for frames, times in slices])
    with torch.inference_mode():
        scores = network(torch.from_numpy(seen).to(device))
        share = torch.softmax(scores.float(), dim=1)[:, 1:].cpu().numpy()
    return [
        from_grid(one, (frames.shape[1], frames.shape[2]), spacing_mm).astype(np.float32)
        for one, (frames, _) in zip(share, slices)
    ]


def pool_flags(aif: Aif, series: Series) -> list[Flag]:
    """An input that was read from the frames where the blood is the RV's: a wrong outline would go unseen else.

    Nothing is said of a curve that the user gave, or that came from arterial-input images.
    """
    if not aif.mask.any():
        return []
    s = int(np.argmax(aif.mask.sum(axis=(1, 2))))
    left, right = blood_pools([(series.array[:, s], series.times_s[:, s])], series.poses[s].spacing_mm)[0]
    share = float(right[aif.mask[s]].mean())
    if share < SURE or share <= float(left[aif.mask[s]].mean()):
        return []
    reason = (
        f"The arterial input was read in slice {s + 1} where blood brightens as in the right ventricle: all flow would "
        "be wrong. Correct the outline of the LV cavity, or draw a region for the input."
    )
    return [Flag("perfusion", "input_not_lv", Level.DOUBTFUL, reason)]
