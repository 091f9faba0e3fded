"""Register: bend every CMR slice onto the CT's cross-section at its height (nonrigid SDN)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.loading import load
from CardiacFusionLib.registration.deformation import (
    folded_share,
    from_maps,
    grid_xy_mm,
    one_hot,
    wall_dice,
    warp_maps,
)
from CardiacFusionLib.registration.in_plane import in_plane_offset
from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM, Pairing, Registration
from CardiacFusionLib.registration.sections import class_maps
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.sections import plane_landmarks
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CmrWalls, CtWalls

STAGE = "registration"
MODEL = "sdn"
MIN_DICE = 0.70  # wall overlap after registration below which the slice is doubtful
MAX_FOLDED = 0.0005
MAX_INSERTION_MM = 10.0
MAX_LOSS = 0.02  # a deformation that lowers the wall overlap by more is not used
MAX_OFFSET_MM = 10.0  # a slice farther off than this in its plane is doubtful
MIN_WALL_MM2 = 100.0


def register(ct: Volume, ct_walls: CtWalls, series: Series, walls: CmrWalls, pairing: Pairing) -> Registration:
    """Match every CMR slice to the CT on the common short-axis grid; fixed is the CT, moving the CMR.

    The match rests on both walls' labels, so neither scanner's contrast matters; ``ct`` and ``series`` give geometry.
    Each slice is first shifted in its plane onto the CT's section (breath-holds), then bent. Where CT or CMR shows no
    wall at a height, the slice keeps its rigid place and is flagged.
    """
    fixed = np.stack([_ct_section(ct_walls, z) for z in pairing.z_mm])
    moving = np.stack([_cmr_section(w, p, pairing) for w, p in zip(walls.labels, series.poses)])
    pixel = GRID_SPACING_MM**2
    usable = np.array(
        [min((f == Label.MYOCARDIUM).sum(), (m == Label.MYOCARDIUM).sum()) * pixel >= MIN_WALL_MM2
         for f, m in zip(fixed, moving)]
    )  # fmt: skip
    offsets, laid = lay_upon(fixed, moving)
    forward = offsets[:, :, None, None] * np.ones(GRID_SHAPE, np.float32)
    inverse = -forward
    if usable.any():
        bent, back = deform(fixed[usable], laid[usable])
        # the fixed point p shows the slice at p + bent(p) + offset; a point q of it comes to q - offset + back(there)
        forward[usable] += bent
        inverse[usable] += [warp_maps(v, u) for v, u in zip(back, inverse[usable])]
    flags: list[Flag] = []
    before = np.array([wall_dice(f, m) for f, m in zip(fixed, laid)])
    warped = np.stack([from_maps(warp_maps(one_hot(m), u)) for m, u in zip(moving, forward)])
    after = np.array([wall_dice(f, w) for f, w in zip(fixed, warped)])
    for i in range(len(fixed)):
        if not usable[i]:
            side = "CT" if (fixed[i] == Label.MYOCARDIUM).sum() * pixel < MIN_WALL_MM2 else "CMR"
            flags.append(_doubt("no_wall", f"the {side} shows no wall for CMR slice {i + 1}: it is placed rigidly"))
        elif after[i] < before[i] - MAX_LOSS:
            forward[i], inverse[i] = offsets[i][:, None, None], -offsets[i][:, None, None]
            warped[i], after[i] = laid[i], before[i]
            flags.append(_doubt("not_better", f"bending CMR slice {i + 1} gave no better match: it is placed rigidly"))
    flags += far_offsets(np.where(usable[:, None], offsets, 0.0))
    folded = np.array([folded_share(u) for u in forward])
    insertions = np.array([_insertion_distance(f, w) for f, w in zip(fixed, warped)])
    for i in np.flatnonzero(usable).tolist():
        if after[i] < MIN_DICE:
            flags.append(
                _doubt("wall_overlap", f"the walls of CMR slice {i + 1} and CT overlap poorly ({after[i]:.2f})")
            )
        if folded[i] > MAX_FOLDED:
            flags.append(_doubt("folding", f"the deformation of CMR slice {i + 1} folds ({folded[i]:.2%} of pixels)"))
        if insertions[i] > MAX_INSERTION_MM:
            reason = f"the RV insertions of CMR slice {i + 1} end {insertions[i]:.0f} mm from those of the CT"
            flags.append(_doubt("insertions", reason))
    if not usable.any():
        reason = "no CMR slice meets a wall in the CT: CT and CMR could not be registered"
        flags.append(Flag(STAGE, "nothing_registered", Level.UNUSABLE, reason))
    return Registration(
        pairing, forward, inverse, fixed, moving, warped, before, after, folded, insertions, Quality.of(flags), offsets
    )


def far_offsets(offsets_mm: NDArray[np.floating]) -> list[Flag]:
    """A doubt for each slice that lies far beside the CT in its plane; ``offsets_mm`` (slice, 2)."""
    away = np.hypot(*np.asarray(offsets_mm).T)
    return [
        _doubt("slice_offset", f"CMR slice {i + 1} lies {away[i]:.0f} mm beside its neighbours: check its breath-hold")
        for i in np.flatnonzero(away > MAX_OFFSET_MM).tolist()
    ]


def lay_upon(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """In-plane offsets (slice, 2) in mm of labels ``moving`` (slice, y, x) against ``fixed``, and ``moving`` without
    them."""
    offsets = np.array([in_plane_offset(f, m) for f, m in zip(fixed, moving)], np.float32)
    still = np.ones((2, *GRID_SHAPE), np.float32)
    laid = [from_maps(warp_maps(one_hot(m), o[:, None, None] * still)) for m, o in zip(moving, offsets)]
    return offsets, np.stack(laid)


def deform(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement and inverse (n, 2, y, x) in mm between labels (n, y, x) on the common grid."""
    import torch

    network = load(MODEL)
    device = next(network.parameters()).device
    with torch.inference_mode():
        pair = [torch.from_numpy(np.stack([one_hot(x) for x in side])).to(device) for side in (fixed, moving)]
        there, back = network(*pair)
    return tuple(np.asarray(u.float().cpu().numpy() * GRID_SPACING_MM, np.float32) for u in (there, back))  # type: ignore[return-value]


def _doubt(name: str, reason: str) -> Flag:
    return Flag(STAGE, name, Level.DOUBTFUL, reason)


def _ct_section(walls: CtWalls, z_mm: float) -> NDArray[np.uint8]:
    """Labels of the CT at a height on the common grid."""
    xy = grid_xy_mm()
    points = np.concatenate([xy, np.full((*xy.shape[:2], 1), z_mm)], axis=-1)
    return np.asarray(class_maps(walls.labels, walls.pose, points).argmax(axis=0).astype(np.uint8))


def _cmr_section(labels: NDArray[np.uint8], pose: SlicePose, pairing: Pairing) -> NDArray[np.uint8]:
    """Labels of a CMR slice, rigidly placed on the common grid."""
    from scipy import ndimage

    heart = pairing.cmr_pose
    height = float(heart.to_heart(np.asarray(pose.origin_mm))[2])
    xy = grid_xy_mm()
    xy_pixels = pose.pixels(heart.to_lps(np.concatenate([xy, np.full((*xy.shape[:2], 1), height)], axis=-1)))
    at = [xy_pixels[..., 1], xy_pixels[..., 0]]
    return from_maps(np.stack([ndimage.map_coordinates(m, at, order=1, mode="constant") for m in one_hot(labels)]))


def _insertion_distance(fixed: NDArray[np.uint8], moved: NDArray[np.uint8]) -> float:
    """Mean distance in mm of the two RV insertions of two label pictures; NaN where one does not show them."""
    xy = grid_xy_mm()
    marks = [plane_landmarks(xy[x == 1], xy[x == 2], xy[x == 3], GRID_SPACING_MM**2) for x in (fixed, moved)]
    names = ("rv_insertion_anterior", "rv_insertion_inferior")
    if not all(name in m for name in names for m in marks):
        return float("nan")
    return float(np.mean([np.linalg.norm(marks[0][name] - marks[1][name]) for name in names]))
