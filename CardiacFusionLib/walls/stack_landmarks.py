"""Apex and base of a short-axis stack, also where no slice reaches them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import Located
from CardiacFusionLib.walls.stack_input import stack_view

MODEL = "cmr_landmarks"
NAMES = ("apex", "base", "lv_cavity_tip")


def locate_ends(labels: NDArray[np.uint8], poses: tuple[SlicePose, ...]) -> dict[str, Located]:
    """``apex`` (epicardial), ``base`` (middle of the mitral annulus) and ``lv_cavity_tip`` of outlined parallel slices
    (slice, y, x).

    From one slice to a whole stack; empty where no slice shows a left ventricle. The base is taken to lie on the side
    where it usually lies in the patient.
    """
    import torch

    view = stack_view(labels, poses)
    if view is None:
        return {}
    network = load(MODEL)
    device = next(network.parameters()).device
    with torch.inference_mode():
        facts, height = (torch.from_numpy(a)[None].to(device) for a in (view.facts, view.height_mm))
        place, spread = (a[0].double().cpu().numpy() for a in network(facts, height, torch.ones_like(height)))
    return {
        name: Located(view.to_lps(place[k]), float(spread[k, 2]), float(np.hypot(*spread[k, :2])))
        for k, name in enumerate(NAMES)
    }
