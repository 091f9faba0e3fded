"""Apex and base of a short-axis stack, also where no slice reaches them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.result import CmrWalls, Located
from CardiacFusionLib.walls.stack_input import stack_view

MODEL = "cmr_landmarks"
NAMES = ("apex", "base", "lv_cavity_tip")
MIN_LENGTH_MM = 40.0  # no adult cavity is shorter
MAX_SPREAD_MM = 12.0  # about half of what lies between the middles of two thirds of the ventricle


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
    spread = spread * np.sqrt(2.0)  # the network tells the scale of a Laplace density
    return {
        name: Located(view.to_lps(place[k]), float(spread[k, 2]), float(np.hypot(*spread[k, :2])))
        for k, name in enumerate(NAMES)
    }


def levels_of_stack(walls: CmrWalls, poses: tuple[SlicePose, ...]) -> NDArray[np.float64] | None:
    """Level (slice,) of each slice, 0 at the tip of the LV cavity and 1 at the base, from ``walls.ends``; None where
    they are not known, or not well enough to tell basal from apical."""
    if not {"base", "lv_cavity_tip"} <= set(walls.ends):
        return None
    tip, base = walls.ends["lv_cavity_tip"], walls.ends["base"]
    axes = canonical_axes(poses[0].normal)
    height = np.array([np.asarray(p.origin_mm) for p in poses]) @ axes[:, 2]
    low, high = (float(one.place_lps @ axes[:, 2]) for one in (tip, base))
    if high - low < MIN_LENGTH_MM or max(tip.along_sd_mm, base.along_sd_mm) > MAX_SPREAD_MM:
        return None
    return np.asarray((height - low) / (high - low))
