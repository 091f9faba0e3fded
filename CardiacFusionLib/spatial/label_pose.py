"""The heart pose read from chamber labels alone: axis from the left ventricle, roll from where the RV is attached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from CardiacFusionLib.spatial.cropping import box_around, cropped
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.volume import Volume

MIN_VENTRICLE_ML = 40.0  # cavity and wall; below this the labels hold no adult left ventricle
CONTACT_MM = 5.0  # mitral annulus: cavity within this of the left atrium
TIP_SHARE = 0.004  # share of the ventricle's volume that is called its tip
LEVELS = (0.4, 0.6)  # heights (0 apex, 1 base) of mid heart: higher up the outflow tract widens the RV's arc
LEVEL_COUNT = 30
ANGLES = 360
RAY_STEP_MM = 0.5
TRIMMED = 0.2  # share of the levels left out at either end of the order: a median jumps from voxel to voxel
RAY_MM = 75.0
RV_REACH_MM = 5.0  # an angle belongs to the septum where the RV begins within this of the epicardium
# blood of the RV that no contrast reached is as dark as muscle and labelled as wall: beside the RV, what is thicker
# than so many times the usual wall and so much more is RV
USUAL_WALLS, THICKER_MM = 1.25, 2.0
THICK_GAP_DEG = 3  # ... also where that stops for so many rays


@dataclass(frozen=True)
class _Parts:
    """LPS points (n, 3) of what the axis is read from."""

    ventricle: NDArray[np.float64]
    annulus: NDArray[np.float64]  # cavity surface towards the left atrium; may be empty
    atrium: NDArray[np.float64]
    right: NDArray[np.float64]
    up: NDArray[np.float64]  # from the middle of the wall to that of the cavity: the wall closes the apex


def geometric_pose(labels: Volume, drawn: Volume | None = None) -> HeartPose:
    """The heart frame of a label volume (uint8 ``Label``; any grid of about 1 to 4 mm).

    Apex: the epicardial tip, farthest from the annulus. Base: the middle of the cavity's contact with the left atrium
    (without an atrium, of the cavity's far end). RV insertions: ends of the arc over which the RV lies on the wall, the
    trimmed mean over the levels ``LEVELS``; from ``drawn`` where it is given, labels in which dark tissue outside the
    muscle is still wall (beside the RV it may be the RV's blood without contrast). Confidence falls where parts were
    missing. Raises StageError where there is no ventricle, or no RV to tell the roll from.
    """
    labels = _cropped(labels)
    parts = _parts(labels)
    apex, base = _axis(parts)
    landmarks, roll_trust = _insertions(labels if drawn is None else _cropped(drawn), apex, base, parts)
    confidence = roll_trust * (1.0 if len(parts.annulus) else 0.6)
    pose = HeartPose.from_landmarks({"apex": apex, "base": base, **landmarks}, confidence)
    return pose


def _cropped(labels: Volume) -> Volume:
    """The part of the grid that holds both ventricles and the left atrium."""
    kinds = (Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY, Label.LEFT_ATRIUM)
    box = box_around(np.isin(labels.array, kinds), (1, 1, 1))
    return labels if box is None else cropped(labels, box)


def _points(labels: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return apply(labels.index_to_lps, np.argwhere(mask)[:, ::-1].astype(float))


def _parts(labels: Volume) -> _Parts:
    array = labels.array
    ventricle = (array == Label.LV_CAVITY) | (array == Label.MYOCARDIUM)
    components, count = ndimage.label(ventricle)
    if count:
        sizes = np.bincount(components.ravel())[1:]
        ventricle = components == int(np.argmax(sizes)) + 1
    if ventricle.sum() * labels.voxel_volume_ml < MIN_VENTRICLE_ML:
        raise StageError("reorient", "the labels hold no whole left ventricle; check the CT's field of view.")
    atrium = array == Label.LEFT_ATRIUM
    right = array == Label.RV_CAVITY
    if right.sum() * labels.voxel_volume_ml < 10:
        raise StageError("reorient", "the right ventricle was not found, so the roll of the heart cannot be told.")
    cavity = (array == Label.LV_CAVITY) & ventricle
    annulus = _annulus(labels, cavity, atrium)
    points = _points(labels, ventricle)
    up = _points(labels, cavity).mean(axis=0) - points.mean(axis=0) if cavity.any() else np.zeros(3)
    return _Parts(points, annulus, _points(labels, atrium), _points(labels, right), up)


def _annulus(labels: Volume, cavity: NDArray[np.bool_], atrium: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LPS points (n, 3) of cavity and left atrium near each other, moved so that both sides weigh the same."""
    spacing = labels.spacing_mm[::-1]
    margin = [int(np.ceil(CONTACT_MM / s)) + 1 for s in spacing]
    around = [box_around(mask, margin) for mask in (cavity, atrium)]
    if around[0] is None or around[1] is None:
        return np.zeros((0, 3))
    # where both may be near each other
    box = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(around[0], around[1]))
    if not cavity[box].any() or not atrium[box].any():
        return np.zeros((0, 3))
    inside, above = cavity[box], atrium[box]
    corner = [start.start for start in box][::-1]
    sides = []
    for mine, other in ((inside, above), (above, inside)):
        near = mine & (ndimage.distance_transform_edt(~other, sampling=spacing) <= CONTACT_MM)
        sides.append(apply(labels.index_to_lps, np.argwhere(near)[:, ::-1].astype(float) + corner))
    found = np.concatenate(sides)
    # the mean of both sides lies on the valve's plane only if both weigh the same
    if len(sides[0]) and len(sides[1]):
        found = found + ((sides[0].mean(0) + sides[1].mean(0)) / 2 - found.mean(0))
    return found


def _axis(parts: _Parts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apex and base in LPS mm."""
    centre = parts.ventricle.mean(axis=0)
    if len(parts.annulus) >= 4:
        base = parts.annulus.mean(axis=0)
        axis = base - centre
    else:
        _, _, rows = np.linalg.svd(parts.ventricle - centre, full_matrices=False)
        axis = rows[0]
        towards = parts.atrium.mean(axis=0) - centre if len(parts.atrium) else parts.up
        axis = axis * np.sign(axis @ towards or 1.0)
        heights = (parts.ventricle - centre) @ axis
        far = parts.ventricle[heights >= np.quantile(heights, 0.97)]
        base = far.mean(axis=0)
    tip_count = max(int(TIP_SHARE * len(parts.ventricle)), 3)
    apex = centre
    for _ in range(4):  # the tip is farthest along an axis that itself runs through the tip
        axis = axis / np.linalg.norm(axis)
        heights = (parts.ventricle - base) @ axis
        lowest = np.argpartition(heights, tip_count)[:tip_count]
        apex = parts.ventricle[lowest].mean(axis=0)
        apex = apex + axis * (float(heights[lowest].min()) - float(heights[lowest].mean()))
        axis = base - apex
    return apex, base


def _insertions(
    labels: Volume, apex: NDArray[np.float64], base: NDArray[np.float64], parts: _Parts
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Both RV insertions in LPS mm and a trust 0..1 (share of levels at which the RV lay on the wall)."""
    length = float(np.linalg.norm(base - apex))
    z = (base - apex) / length
    septal = parts.right.mean(axis=0) - (apex + base) / 2
    septal = septal - (septal @ z) * z
    septal = septal / np.linalg.norm(septal)
    inferior = np.cross(z, -septal)  # +y of the heart frame for x = -septal
    angles = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)  # 0 towards the RV, growing towards inferior
    rays = np.cos(angles)[:, None] * septal + np.sin(angles)[:, None] * inferior
    radii = np.arange(0.0, RAY_MM, RAY_STEP_MM)
    offsets = ((rays[:, None, :] * radii[None, :, None]) @ labels.lps_to_index[:3, :3].T)[..., ::-1]
    offsets = np.ascontiguousarray(np.moveaxis(offsets, -1, 0))
    framed = np.pad(labels.array, 1)  # what lies beyond the grid is background
    flat = framed.ravel()
    centres = _Centres(parts.ventricle, apex, z)
    ends: list[tuple[float, float, float, float, float]] = []
    for level in np.linspace(*LEVELS, LEVEL_COUNT):
        index = apply(labels.lps_to_index, centres.at(level * length))[::-1] + 1.0
        place = [np.rint(offsets[k] + index[k]).astype(np.int32) for k in range(3)]
        z_row = np.clip(place[0], 0, framed.shape[0] - 1) * framed.shape[1] + np.clip(place[1], 0, framed.shape[1] - 1)
        found = flat[z_row * framed.shape[2] + np.clip(place[2], 0, framed.shape[2] - 1)]
        arc = _septal_arc(found)
        if arc is not None:
            ends.append((level, *arc))
    if len(ends) < 2:
        raise StageError("reorient", "the right ventricle does not touch the left, so the roll cannot be told.")
    table = np.array(ends)
    height = float(np.median(table[:, 0])) * length
    middle = centres.at(height)
    landmarks = {}
    for name, angle, radius in (("rv_insertion_anterior", 1, 2), ("rv_insertion_inferior", 3, 4)):
        a, r = (float(stats.trim_mean(table[:, k], TRIMMED)) for k in (angle, radius))
        landmarks[name] = middle + r * (np.cos(a) * septal + np.sin(a) * inferior)
    return landmarks, len(ends) / LEVEL_COUNT


class _Centres:
    """Middles of the ventricle (cavity and wall) at heights above the apex."""

    SLAB_MM = 4.0  # to either side

    def __init__(self, ventricle: NDArray[np.float64], apex: NDArray[np.float64], z: NDArray[np.float64]) -> None:
        heights = (ventricle - apex) @ z
        order = np.argsort(heights)
        self._heights, self._apex, self._z = heights[order], apex, z
        self._sums = np.concatenate([np.zeros((1, 3)), np.cumsum(ventricle[order] - apex, axis=0)])

    def at(self, height: float) -> NDArray[np.float64]:
        """The middle of the slab about ``height``, at that height; LPS mm. On the axis where the slab is empty."""
        low, high = np.searchsorted(self._heights, [height - self.SLAB_MM, height + self.SLAB_MM])
        away = (self._sums[high] - self._sums[low]) / max(high - low, 1)
        return np.asarray(self._apex + away + (height - away @ self._z) * self._z)


def _usual_wall(found: NDArray[np.generic], edge: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The last voxel of the ventricle along each ray (``edge``), no farther out than a wall of usual thickness reaches,
    and where that changed it."""
    cavity = found == Label.LV_CAVITY
    inner = np.where(cavity.any(axis=1), found.shape[1] - 1 - cavity[:, ::-1].argmax(axis=1), -1)
    there = inner > 0
    if not there.any():
        return edge, np.zeros(len(edge), bool)
    usual = np.median((edge - inner)[there])
    limit = inner + int(USUAL_WALLS * usual + THICKER_MM / RAY_STEP_MM)
    thick = there & (edge > limit)
    return np.where(thick, limit, edge), thick


def _grown(touching: NDArray[np.bool_], thick: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rays that touch the RV, and the ``thick`` ones that follow on them either way round."""
    run = touching
    while True:
        near = np.any([np.roll(run, k) for k in range(-THICK_GAP_DEG, THICK_GAP_DEG + 1)], axis=0)
        grown = run | (thick & near)
        if np.array_equal(grown, run):
            return run
        run = grown


def _septal_arc(found: NDArray[np.generic]) -> tuple[float, float, float, float] | None:
    """Ends of the arc where the RV lies on the wall, from labels along rays (angle, radius).

    Returns (anterior angle, radius, inferior angle, radius) in radians and mm, the anterior end first (negative
    angles), or None where the RV does not touch the wall here.
    """
    wall = (found == Label.LV_CAVITY) | (found == Label.MYOCARDIUM)
    count = found.shape[1]
    edge = np.where(wall.any(axis=1), count - 1 - wall[:, ::-1].argmax(axis=1), -1)  # last of the ventricle on each ray
    right = np.cumsum(found == Label.RV_CAVITY, axis=1, dtype=np.int16)
    reach = np.minimum(edge + int(RV_REACH_MM / RAY_STEP_MM), count - 1)
    rays = np.arange(len(found))
    touching = (right[rays, reach] > right[rays, np.maximum(edge, 0)]) & (edge > 0)
    edge, thick = _usual_wall(found, edge)
    touching = _grown(touching, thick)
    if touching.sum() < ANGLES // 20:
        return None
    doubled = np.concatenate([touching, touching])
    closed = ndimage.binary_closing(doubled, iterations=ANGLES // 30)  # bridges gaps of about 20 degrees
    parts, run_count = ndimage.label(closed)
    runs = [np.flatnonzero(parts == k) for k in range(1, run_count + 1)]
    run = max(runs, key=len)
    if len(run) > 0.7 * ANGLES:
        return None
    first, last = int(run[0]), int(run[-1])
    step = 2 * np.pi / ANGLES
    anterior, inferior = -np.pi + first * step, -np.pi + last * step
    turn = 2 * np.pi * np.round((anterior + inferior) / 2 / (2 * np.pi))
    radius = (edge + 1) * RAY_STEP_MM
    return anterior - turn, float(radius[first % ANGLES]), inferior - turn, float(radius[last % ANGLES])
