"""Chambers and wall of the reoriented CT at about 1 mm, and a check of the heart's pose on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.models.cubes import coarse_image, normalised_hu, probabilities
from CardiacFusionLib.models.loading import entry_of, load
from CardiacFusionLib.models.muscle import beyond_muscle
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.finer import finer_labels
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.labels import CT_LABEL_COUNT, Label
from CardiacFusionLib.spatial.pose import HeartPose, apply, axis_angle_deg, roll_angle_deg, rolled
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.resample import heart_grid, resample_to
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.plausibility import judge
from CardiacFusionLib.walls.result import CtWalls

if TYPE_CHECKING:
    from torch import nn

STAGE = "segment"
# the part of the heart frame that is labelled, mm: (x, y, z) from the RV's far side to the lateral wall, from the
# pulmonary trunk to behind the left atrium, from below the apex to the ascending aorta 5 cm above its valve
LOW_MM = np.array([-104.0, -88.0, -76.0])
HIGH_MM = np.array([72.0, 80.0, 108.0])
FINE_MM = 1.0
# the part the wall network labels by itself; beyond it only the chamber network's labels are to be had
NET_LOW_MM = np.array([-84.0, -68.0, -76.0])
NET_HIGH_MM = np.array([60.0, 68.0, 76.0])
BLEND_MM = 12.0  # over this depth the wall network's labels take over from the coarse ones
AXIS_LIMIT_DEG, ROLL_LIMIT_DEG = 10.0, 12.0
# how far the pose is turned to the roll of the labels: less where the RV is hardly brighter than muscle (HU), where
# its border shows less (44 development twins: 2.2 degrees off before, 1.6 after; 13 with washed-out RVs: 1.7 and 1.2)
ROLL_SHARES, ROLL_CONTRAST_HU = (0.6, 0.8), (40.0, 100.0)
CONTRAST_STEP = 3  # every third voxel tells it
# ... and less where it lies far from the pose's own: then the labels err more often than the pose (a twin whose RV was
# half unmixed: the pose 6 degrees off, the labels 18), until at the limit they contradict it
FADING_DEG = 6.0
# how far the base is moved, square to the axis, to the middle of the mitral annulus on these labels (34 development
# twins: axis 1.05 -> 0.99 degrees off; the real CT against the frame marked by eye 1.6 -> 0.8, base 1.9 -> 0.4 mm; ten
# hearts of plain ellipsoids, made unlike the twin: 4.0 -> 3.6). Its height and the apex are no better here
BASE_SHARE = 0.5
ANNULUS_SEEN = 0.6  # confidence of landmarks read from labels without an annulus: at most this


def segment_ct(
    ct: Volume, reorientation: Reorientation, progress: Callable[[float, str], None] | None = None
) -> CtWalls:
    """Labels of a CT (HU) on an upright 1 mm grid about the heart, and the pose with landmarks read from them.

    The wall network works on 2 mm; its probabilities are interpolated before the likeliest label is taken, so that
    borders fall between voxels. The pose is the one given, its base and its roll drawn towards what these labels tell,
    for they are finer than those it was read from. Where landmarks read from the labels stray beyond the limits a flag
    says so and the pose stays.
    """
    network, entry = load("ct_walls"), entry_of("ct_walls")
    spacing = float(entry.input["spacing_mm"])
    pose = reorientation.pose
    found = _upright_labels(network, ct, reorientation.labels, pose, spacing)
    if progress:
        progress(0.6, "drawing the wall at 1 mm")
    labels = finer_labels(*found, round(spacing / FINE_MM))
    beyond = beyond_muscle(ct, labels)
    labels = _cleaned(beyond.taken_from(labels))
    drawn = beyond.fluid_put_back(labels)
    judged = judge(ct, labels, pose, reorientation)
    contrast_hu = _right_contrast_hu(ct, labels)
    pose, doubts = _read_again(labels, pose, contrast_hu, drawn)
    quality = Quality.of(doubts + _dark_right_heart(labels, contrast_hu)) + _plausible(labels) + judged.quality
    if progress:
        progress(1.0, "CT wall segmented")
    return CtWalls(labels, pose, quality, score=judged.score)


def _grid(pose: HeartPose, low: NDArray[np.float64], high: NDArray[np.float64], spacing_mm: float) -> Volume:
    shape = np.rint((high - low) / spacing_mm).astype(int)
    middle = (low + high) / 2
    return heart_grid(pose, (int(shape[2]), int(shape[1]), int(shape[0])), spacing_mm, tuple(middle))


def _upright_labels(
    network: nn.Module, ct: Volume, coarse: Volume, pose: HeartPose, spacing_mm: float
) -> tuple[NDArray[np.float32], Volume]:
    """Probabilities (label, z, y, x) on the network's spacing over the whole region, and their grid."""
    grid = _grid(pose, LOW_MM, HIGH_MM, spacing_mm)
    found = np.empty((CT_LABEL_COUNT, *grid.array.shape), np.float32)
    for label in Label:
        mask = coarse.with_array((coarse.array == label).astype(np.float32))
        found[label] = resample_to(mask, grid, outside=1.0 if label is Label.BACKGROUND else 0.0).array
    image = normalised_hu(coarse_image(ct, grid).array)
    first = np.rint((NET_LOW_MM - LOW_MM) / spacing_mm).astype(int)[::-1]
    last = np.rint((NET_HIGH_MM - LOW_MM) / spacing_mm).astype(int)[::-1]
    here = tuple(slice(int(a), int(b)) for a, b in zip(first, last))
    region = (slice(None), *here)
    # the whole region at once: hardly larger than a training cube, and without seams
    sharp = probabilities(network, np.concatenate([image[here][None], found[region][1:]])[None])[0]
    weight = _blend(sharp.shape[1:], spacing_mm)
    found[region] = found[region] * (1 - weight) + sharp * weight
    return found, grid


def _blend(shape: tuple[int, ...], spacing_mm: float) -> NDArray[np.float32]:
    """1 inside, falling to 0 at the faces over ``BLEND_MM``."""
    distances = []
    for n in shape:
        steps = np.arange(n, dtype=np.float32)
        distances.append(np.minimum(steps + 0.5, n - 0.5 - steps) * spacing_mm / BLEND_MM)
    z, y, x = np.ix_(*distances)
    return np.clip(np.minimum(np.minimum(z, y), x), 0.0, 1.0).astype(np.float32)


def _right_contrast_hu(ct: Volume, labels: Volume) -> float:
    """How much brighter the RV's blood is than muscle (medians, HU); 0 where either is missing."""
    means = []
    for label in (Label.RV_CAVITY, Label.MYOCARDIUM):
        at = np.argwhere(labels.array[::CONTRAST_STEP, ::CONTRAST_STEP, ::CONTRAST_STEP] == label) * CONTRAST_STEP
        index = apply(ct.lps_to_index @ labels.index_to_lps, at[:, ::-1].astype(float))[:, ::-1]
        place = np.rint(index).astype(np.intp)
        place = place[np.all((place >= 0) & (place < ct.array.shape), axis=1)]
        if len(place) == 0:
            return 0.0
        means.append(float(np.median(ct.array[tuple(place.T)])))
    return means[0] - means[1]


def _read_again(
    labels: Volume, pose: HeartPose, contrast_hu: float, drawn: Volume | None = None
) -> tuple[HeartPose, list[Flag]]:
    """``pose`` with its base drawn towards the annulus of ``labels`` and its roll towards theirs by what the RV's
    contrast allows, or as it was and a flag where their landmarks contradict it or cannot be read."""
    try:
        seen = geometric_pose(labels, drawn)
    except StageError as error:
        reason = f"The landmarks could not be checked on the wall labels ({error}). Check the axes."
        return pose, [Flag(STAGE, "landmarks_kept", Level.DOUBTFUL, reason)]
    axis, roll = axis_angle_deg(pose, seen), roll_angle_deg(pose, seen)
    if axis <= AXIS_LIMIT_DEG and abs(roll) <= ROLL_LIMIT_DEG:
        if seen.confidence > ANNULUS_SEEN:
            pose = _with_base(pose, seen.landmarks["base"])
        roll = roll_angle_deg(pose, seen)
        share = float(np.interp(contrast_hu, ROLL_CONTRAST_HU, ROLL_SHARES))
        share *= float(np.interp(abs(roll), (FADING_DEG, ROLL_LIMIT_DEG), (1.0, 0.0)))
        return rolled(pose, share * roll), []
    reason = (
        f"Landmarks on the wall labels differ from the heart's pose by {axis:.0f} degrees of the long axis and "
        f"{abs(roll):.0f} degrees of roll. Check the axes."
    )
    return pose, [Flag(STAGE, "landmarks_kept", Level.DOUBTFUL, reason)]


def _dark_right_heart(labels: Volume, contrast_hu: float) -> list[Flag]:
    """A remark where the RV's blood hardly shows: twelve hearts made of the real CT had the roll 0.7 degrees off with
    contrast in the right heart (worst 1.5) and 4.2 with it washed out (worst 7.2)."""
    if contrast_hu >= ROLL_CONTRAST_HU[0] or not (labels.array == Label.RV_CAVITY).any():
        return []
    reason = (
        f"The right ventricle's blood is only {contrast_hu:.0f} HU brighter than muscle"
        if contrast_hu >= 1
        else "The right ventricle's blood is no brighter than muscle"
    )
    reason += "; the roll may be some degrees off. Check the RV insertions."
    return [Flag(STAGE, "right_heart_dark", Level.GOOD, reason)]


def _with_base(pose: HeartPose, seen: NDArray[np.float64]) -> HeartPose:
    """``pose`` with its base drawn sideways towards the one ``seen`` (LPS mm), at its own height."""
    base = pose.to_heart(pose.landmarks["base"])
    aside = (pose.to_heart(seen) - base) * [1.0, 1.0, 0.0]
    landmarks = {**pose.landmarks, "base": pose.to_lps(base + BASE_SHARE * aside)}
    return HeartPose.from_landmarks(landmarks, pose.confidence)


def _cleaned(labels: Volume) -> Volume:
    """Islands dropped: the ventricle's parts not joined to the largest, and specks of every other label.

    Holes inside the ventricle that no label claimed become wall.
    """
    array = labels.array.astype(np.uint8)
    ventricle = np.isin(array, (Label.LV_CAVITY, Label.MYOCARDIUM))
    kept = _largest(ventricle)
    array[ventricle & ~kept] = Label.BACKGROUND
    cavity = array == Label.LV_CAVITY
    array[cavity & ~_largest(cavity)] = Label.MYOCARDIUM
    holes = ndimage.binary_fill_holes(kept) & (array == Label.BACKGROUND)
    array[holes] = Label.MYOCARDIUM
    for label in (Label.RV_CAVITY, Label.LEFT_ATRIUM, Label.RIGHT_ATRIUM, Label.AORTA, Label.PULMONARY_TRUNK):
        mask = array == label
        array[mask & ~_largest(mask, 0.15)] = Label.BACKGROUND
    return labels.with_array(array)


def _largest(mask: NDArray[np.bool_], share: float = 1.0) -> NDArray[np.bool_]:
    """Connected parts of at least ``share`` of the largest part's size."""
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= share * sizes.max())[parts] & mask)


def _plausible(labels: Volume) -> Quality:
    """Flags on the volumes of the final labels (adult ranges as in the reorientation)."""
    flags = []
    for label, (low, high) in {
        Label.LV_CAVITY: (40, 350),
        Label.MYOCARDIUM: (50, 320),
        Label.RV_CAVITY: (40, 400),
    }.items():
        value = float((labels.array == label).sum()) * labels.voxel_volume_ml
        if not low <= value <= high:
            name = label.name.lower().replace("_", " ")
            reason = f"The CT's {name} measures {value:.0f} ml, outside {low}-{high} ml."
            flags.append(Flag(STAGE, f"{label.name.lower()}_volume", Level.DOUBTFUL, reason))
    return Quality.of(flags)
