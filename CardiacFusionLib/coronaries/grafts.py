"""Is there a bypass graft? A bright tube of artery calibre on the ascending aorta above its sinuses.

No graft is followed or named. What is bright and too narrow for a ball of ``BALL_MM`` is sought about the ascending
aorta, ``ABOVE_MM`` above its valve and higher, where no coronary artery leaves. A graft touches the aorta there and
goes at least ``AWAY_MM`` from it; veins hang on something wide that is no aorta.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.aorta import ascending
from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.coronaries.lumen import SearchRegion
from CardiacFusionLib.coronaries.ostia import AorticRoot
from CardiacFusionLib.spatial.pose import apply

STEP_MM = 0.8
ABOVE_MM = 30.0  # the sinutubular junction lies 20 mm above the annulus (Cavalcanti 2003); grafts begin above it
BALL_MM = 3.6  # a vein graft is 3-6 mm wide; what holds this ball is a great vessel or a chamber
RIM_MM = 1.2
TOUCH_MM = 2.2
REACH_MM = 45.0
AWAY_MM = 12.0
MIN_LENGTH_MM = 20.0
AREA_MM2 = (1.5, 36.0)  # mean cross-section
OTHERS_SHARE = 0.3  # of its voxels that may touch another wide vessel or chamber
BRIGHT = 0.5  # between muscle and blood
ARTERY_MM = 3.5  # this near the middle of an artery that was found everything is its own


def possible_grafts(region: SearchRegion, root: AorticRoot, arteries_mm: NDArray[np.float64]) -> int:
    """How many tubes leave the ascending aorta above the sinuses and are none of the arteries that were found.

    ``arteries_mm`` (n, 3) LPS: points on their centrelines, no farther apart than ``ARTERY_MM``.
    """
    step = [max(1, round(STEP_MM / s)) for s in region.ct.spacing_mm[::-1]]
    sampling = [s * k for s, k in zip(region.ct.spacing_mm[::-1], step)]
    labels = region.labels[:: step[0], :: step[1], :: step[2]]
    aorta = ascending(labels, sampling)
    axis = root.centre_mm - root.annulus_mm
    if aorta is None or np.linalg.norm(axis) < 1.0:
        return 0
    to_lps = np.asarray(region.ct.index_to_lps @ np.diag([*step[::-1], 1.0]), float)
    up = axis / np.linalg.norm(axis)
    rows = up @ to_lps[:3]  # height of a voxel (x, y, z, 1) above the annulus
    z, y, x = np.ogrid[tuple(slice(0, n) for n in labels.shape)]
    height = rows[0] * x + rows[1] * y + rows[2] * z + rows[3] - float(up @ root.annulus_mm)
    high = aorta & (height >= ABOVE_MM)
    if not high.any():
        return 0
    box = _box(high, [int(np.ceil(REACH_MM / s)) for s in sampling])
    blood = region.blood
    hu = ndimage.uniform_filter(
        np.asarray(region.ct.array[:: step[0], :: step[1], :: step[2]][box], np.float32), 2, mode="nearest"
    )
    bright = hu > BRIGHT * (blood.hu + blood.muscle_hu)
    wide = distance_mm(distance_mm(bright, sampling) <= -BALL_MM, sampling) <= BALL_MM + RIM_MM
    wide |= labels[box] > 0
    bodies, _ = ndimage.label(wide & bright & ~aorta[box])
    near_aorta = distance_mm(aorta[box], sampling)
    near_other = distance_mm((bodies > 0) & (near_aorta > BALL_MM), sampling)
    taken = np.zeros(wide.shape, bool)
    if len(arteries_mm):
        at = np.rint(apply(np.asarray(np.linalg.inv(to_lps), float), arteries_mm)).astype(int)[:, ::-1] - [
            b.start for b in box
        ]
        taken[tuple(at[np.all((at >= 0) & (at < taken.shape), axis=1)].T)] = True
        taken = distance_mm(taken, sampling) <= ARTERY_MM
    thin, _ = ndimage.label(bright & ~wide & ~taken, structure=np.ones((3, 3, 3)))
    found = 0
    for k, here in enumerate(ndimage.find_objects(thin), start=1):
        part = thin[here] == k
        away = near_aorta[here][part]
        if len(away) * float(np.prod(sampling)) < MIN_LENGTH_MM * AREA_MM2[0] or away.max() < AWAY_MM:
            continue
        index = np.argwhere(part) + [s.start for s in here]
        touching = (away <= TOUCH_MM + RIM_MM) & (height[box][tuple(index.T)] >= ABOVE_MM)
        if not touching.any() or np.mean(near_other[tuple(index.T)] <= TOUCH_MM) > OTHERS_SHARE:
            continue
        points = apply(to_lps, (index + [b.start for b in box])[:, ::-1].astype(float))
        door = points[touching].mean(axis=0)
        length = _length(points, door)
        area = len(points) * float(np.prod(sampling)) / max(length, 1.0)
        found += int(length >= MIN_LENGTH_MM and AREA_MM2[0] <= area <= AREA_MM2[1])
    return found


def _length(points: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """How far (mm) one can go inside a set of voxels from the one nearest to ``start``, in steps of two voxels."""
    tree = cKDTree(points)
    reached = np.full(len(points), np.inf)
    front = [int(tree.query(start)[1])]
    reached[front[0]] = 0.0
    while front:
        following: list[int] = []
        for at, around in zip(front, tree.query_ball_point(points[front], 2.0 * STEP_MM + 0.2)):
            for other in around:
                length = reached[at] + float(np.linalg.norm(points[other] - points[at]))
                if length + 1e-6 < reached[other]:
                    reached[other] = length
                    following.append(other)
        front = sorted(set(following))
    return float(reached[np.isfinite(reached)].max())


def _box(mask: NDArray[np.bool_], margin: list[int]) -> tuple[slice, slice, slice]:
    """Slices (z, y, x) that hold the mask and a margin."""
    hit = [np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis))) for axis in range(3)]
    z, y, x = (slice(max(0, int(h[0]) - m), int(h[-1]) + 1 + m) for h, m in zip(hit, margin))
    return z, y, x
