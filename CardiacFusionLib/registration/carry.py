"""The registration after a correction by the reader, without a network.

A corrected heart frame changes the coordinates of a match, not the match: the same CT point keeps the same CMR pixel.
So the displacement is carried over exactly. Only where an outline was edited (or the carried match overlaps worse than
before) are the two walls drawn together again, by demons on the class maps (Thirion 1998, Med Image Anal 2:243) that
start from the carried field.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.registration.deformation import folded_share, from_maps, grid_xy_mm, one_hot, wall_dice, warp_maps
from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM, Pairing, Registration
from CardiacFusionLib.registration.sections import class_maps
from CardiacFusionLib.registration.stage import (
    MAX_FOLDED,
    MAX_INSERTION_MM,
    MIN_DICE,
    _cmr_section,
    _doubt,
    _insertion_distance,
    far_offsets,
    lay_upon,
)
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Quality
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.walls.result import CmrWalls, CtWalls

WORSE_DICE = 0.02  # a carried match that lost more overlap than this is drawn together again
SOFT_MM = 1.5  # blur of the class maps: what the demons' forces reach
FLUID_MM, ELASTIC_MM = 3.0, 1.2  # smoothing of each step and of the field
ROUNDS = 24
MAX_STEP_MM = 1.5
COARSE = 2  # pixels of the common grid (128 x 128) are taken together by so many each way
INVERSE_ROUNDS = 7  # the field's slope is below 0.5: what is left is under 0.1 mm
Floats = NDArray[np.float64]


def carried(
    old: Registration,
    old_pose: HeartPose,
    ct_walls: CtWalls,
    series: Series,
    walls: CmrWalls,
    pairing: Pairing,
) -> Registration:
    """``old``, made in the CT frame ``old_pose``, for corrected CT walls (with the corrected pose), CMR walls and
    pairing. Slices whose outlines did not change and whose overlap holds keep their match exactly.
    """
    fixed = _ct_sections(ct_walls, pairing.z_mm)
    moving = np.stack([_cmr_section(w, p, pairing) for w, p in zip(walls.labels, series.poses)])
    forward = np.stack([_moved(old, old_pose, ct_walls.pose, pairing, series, s) for s in range(len(fixed))])
    inverse = np.stack([_moved_inverse(old, old_pose, ct_walls.pose, pairing, series, s) for s in range(len(fixed))])
    offsets, laid = lay_upon(fixed, moving)
    before = np.array([wall_dice(f, m) for f, m in zip(fixed, laid)])
    warped = np.stack([from_maps(warp_maps(one_hot(m), u)) for m, u in zip(moving, forward)])
    after = np.array([wall_dice(f, w) for f, w in zip(fixed, warped)])
    for s in np.flatnonzero(np.nan_to_num(after, nan=1.0) < np.nan_to_num(old.wall_dice_after) - WORSE_DICE):
        drawn = _drawn_together(fixed[s], moving[s], forward[s])
        labels = from_maps(warp_maps(one_hot(moving[s]), drawn))
        overlap = wall_dice(fixed[s], labels)
        if overlap > after[s]:
            forward[s], warped[s], after[s] = drawn, labels, overlap
            inverse[s] = inverted(drawn)
    folded = np.array([folded_share(u) for u in forward])
    insertions = np.array([_insertion_distance(f, w) for f, w in zip(fixed, warped)])
    return Registration(
        *(pairing, forward.astype(np.float32), inverse.astype(np.float32), fixed, moving, warped),
        *(before, after, folded, insertions, _judged(old, offsets, after, folded, insertions), offsets),
    )


def _ct_sections(walls: CtWalls, z_mm: Floats) -> NDArray[np.uint8]:
    """Labels (slice, y, x) of the CT at several heights on the common grid."""
    xy = grid_xy_mm()
    points = np.stack([np.concatenate([xy, np.full((*xy.shape[:2], 1), z)], axis=-1) for z in z_mm])
    return np.asarray(class_maps(walls.labels, walls.pose, points).argmax(axis=0).astype(np.uint8))


def _moved(
    old: Registration, old_pose: HeartPose, pose: HeartPose, pairing: Pairing, series: Series, s: int
) -> NDArray[np.float32]:
    """The displacement (2, y, x) of slice ``s`` in the corrected frames: the same CT points show the same pixels."""
    xy = grid_xy_mm()
    z = np.full((*xy.shape[:2], 1), float(pairing.z_mm[s]))
    was = old_pose.to_heart(pose.to_lps(np.concatenate([xy, z], axis=-1)))[..., :2]
    shown = was + np.stack([_read(old.displacement_mm[s][k], was) for k in (0, 1)], axis=-1)
    cmr = old.pairing.cmr_pose
    height = float(cmr.to_heart(np.asarray(series.poses[s].origin_mm))[2])
    lps = cmr.to_lps(np.concatenate([shown, np.full_like(z, height)], axis=-1))
    now = pairing.cmr_pose.to_heart(lps)[..., :2]
    return np.moveaxis(now - xy, -1, 0).astype(np.float32)


def _moved_inverse(
    old: Registration, old_pose: HeartPose, pose: HeartPose, pairing: Pairing, series: Series, s: int
) -> NDArray[np.float32]:
    """The inverse (2, y, x) of slice ``s`` in the corrected frames: the same pixels come to the same CT points."""
    xy = grid_xy_mm()
    now, was = pairing.cmr_pose, old.pairing.cmr_pose
    height = float(now.to_heart(np.asarray(series.poses[s].origin_mm))[2])
    plane = np.concatenate([xy, np.full((*xy.shape[:2], 1), height)], axis=-1)
    shown = was.to_heart(now.to_lps(plane))[..., :2]
    point = shown + np.stack([_read(old.inverse_mm[s][k], shown) for k in (0, 1)], axis=-1)
    z = np.full((*xy.shape[:2], 1), float(old.pairing.z_mm[s]))
    there = pose.to_heart(old_pose.to_lps(np.concatenate([point, z], axis=-1)))[..., :2]
    return np.moveaxis(there - xy, -1, 0).astype(np.float32)


def _read(component: NDArray[np.float32], xy_mm: Floats) -> Floats:
    """A field's component (y, x) of the common grid at heart-frame points (..., 2); constant beyond the grid."""
    rows, columns = GRID_SHAPE
    at = [xy_mm[..., 1] / GRID_SPACING_MM + (rows - 1) / 2, xy_mm[..., 0] / GRID_SPACING_MM + (columns - 1) / 2]
    return np.asarray(ndimage.map_coordinates(component.astype(float), at, order=1, mode="nearest"))


def _drawn_together(fixed: NDArray[np.uint8], moving: NDArray[np.uint8], start: NDArray[np.float32]) -> Floats:
    """Demons from ``start`` (2, y, x): the moving labels' class maps are drawn onto the fixed ones.

    On pixels of ``COARSE`` times the size, where the forces reach farther at a quarter of the cost; the change of the
    field is smooth enough to be read between them.
    """
    wide = COARSE * GRID_SPACING_MM
    target, source = (
        np.stack([ndimage.gaussian_filter(_pooled(m), SOFT_MM / wide) for m in one_hot(labels)])
        for labels in (fixed, moving)
    )
    begun = np.stack([_pooled(c) for c in start])
    field: NDArray[np.floating] = begun
    for _ in range(ROUNDS):
        seen = warp_maps(source, field / COARSE)
        rest = target - seen
        slope_y, slope_x = np.gradient(seen, COARSE, axis=(1, 2))
        size = (slope_x**2 + slope_y**2).sum(axis=0) + (rest**2).sum(axis=0) + 1e-6
        step = np.stack([(rest * slope_x).sum(axis=0), (rest * slope_y).sum(axis=0)]) / size
        step = np.stack([ndimage.gaussian_filter(c, FLUID_MM / wide) for c in step]) * 3.0
        longest = float(np.abs(step).max())
        if longest < 0.02:
            break
        field = field + step * min(1.0, MAX_STEP_MM / longest)
        field = np.stack([ndimage.gaussian_filter(c, ELASTIC_MM / wide) for c in field])
    at = np.meshgrid(*((np.arange(n) - (COARSE - 1) / 2) / COARSE for n in start.shape[1:]), indexing="ij")
    return start + np.stack([ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in field - begun])


def _pooled(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over squares of ``COARSE`` pixels."""
    rows, columns = (n // COARSE for n in picture.shape)
    return np.asarray(picture.reshape(rows, COARSE, columns, COARSE).mean(axis=(1, 3)), np.float32)


def inverted(forward: NDArray[np.floating]) -> NDArray[np.float32]:
    """The inverse (2, y, x) of p -> p + forward(p) by fixed-point iteration (Chen 2008, Med Phys 35:81)."""
    xy = grid_xy_mm()
    inverse = -np.moveaxis(np.asarray(forward, float), 0, -1)
    for _ in range(INVERSE_ROUNDS):
        inverse = -np.stack([_read(forward[k], xy + inverse) for k in (0, 1)], axis=-1)
    return np.moveaxis(inverse, -1, 0).astype(np.float32)


def _judged(
    old: Registration, offsets: NDArray[np.float32], after: Floats, folded: Floats, insertions: Floats
) -> Quality:
    """Flags as the registration gives them, on the corrected match; what does not depend on it is kept."""
    kept = ("no_wall", "not_better", "nothing_registered")
    flags: list[Flag] = [f for f in old.quality.flags if f.name in kept] + far_offsets(offsets)
    for s in range(len(after)):
        if after[s] < MIN_DICE:
            flags.append(
                _doubt("wall_overlap", f"the walls of CMR slice {s + 1} and CT overlap poorly ({after[s]:.2f})")
            )
        if folded[s] > MAX_FOLDED:
            flags.append(_doubt("folding", f"the deformation of CMR slice {s + 1} folds ({folded[s]:.2%} of pixels)"))
        if insertions[s] > MAX_INSERTION_MM:
            reason = f"the RV insertions of CMR slice {s + 1} end {insertions[s]:.0f} mm from those of the CT"
            flags.append(_doubt("insertions", reason))
    return Quality.of(flags)
