"""LV cavity, myocardium and RV in short-axis CMR: first-pass series and single frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import convex_hull_image

from CardiacFusionLib.models.loading import load
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT, Label
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.sections import (
    MEAN_INFERIOR_LPS,
    MEAN_LONG_AXIS_LPS,
    canonical_axes,
    ring_facts,
    slice_landmarks,
)
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.walls.cmr_input import CHANNELS, CROP, PIXEL_MM, even_out, plane_grid, read_plane, write_back
from CardiacFusionLib.walls.phases_cmr import phase_images
from CardiacFusionLib.walls.result import CmrWalls

MODEL = "cmr_walls"
STAGE = "CMR walls"
MAX_COARSE = 256  # pixels a side of the first pass (384 mm)
CENTRED_MM = 70.0  # the heart is planned into the middle of the field: SD of its distance
CANDIDATES, APART_MM = 3, 35.0  # places looked at closely, and how far they lie apart
USUAL_LV_MM2 = 700.0  # cavity and wall of a small adult LV between apex and middle
TURNS_DEG = (-15.0, 0.0, 15.0)  # the fine pass is the mean over these views
RV_REACH_MM = 6.0  # RV blood farther from the LV wall is another vessel
MIN_LV_MM2 = 150.0  # less than this, cavity and wall together, is no LV cross-section
THICKNESS_MM = (3.0, 22.0)  # wall thickness outside this range is not seen in adults
MIN_CLOSED = 0.85  # share of the cavity's outline that the wall must cover
MIN_CERTAINTY = 0.75  # mean probability of the winning class within the LV


def _run(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities (n, class, y, x) of evened images (n, channel, y, x)."""
    import torch

    network = load(MODEL)
    device = next(network.parameters()).device
    with torch.inference_mode():
        scores = network(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device))
        return np.asarray(torch.softmax(scores.float(), dim=1).cpu().numpy(), dtype=np.float32)


def _find_lv(
    images: Sequence[NDArray[np.float32]], poses: Sequence[SlicePose], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Standard in-plane coordinates (u, v) mm of the LV, one for all slices: they are parallel, the LV runs through.

    The whole field is searched once; its best places are then looked at as the fine pass will see them, and the one
    that shows the most plausible ring of muscle about blood wins.
    """
    corners = [
        pose.points_lps(np.array([[0, 0], [0, i.shape[1] - 1], [i.shape[2] - 1, 0], [i.shape[2] - 1, i.shape[1] - 1]]))
        for i, pose in zip(images, poses)
    ]
    flat = np.concatenate(corners) @ axes[:, :2]
    centre = (flat.min(axis=0) + flat.max(axis=0)) / 2
    size = int(np.clip(16 * np.ceil(float(np.ptp(flat, axis=0).max()) / PIXEL_MM / 16), CROP, MAX_COARSE))
    uv = plane_grid(centre, size)
    score = np.zeros((size, size))
    for image, pose in zip(images, poses):
        seen = _run(even_out(read_plane(image, pose, axes, uv))[None])[0]
        score += ndimage.gaussian_filter(seen[Label.LV_CAVITY] + seen[Label.MYOCARDIUM], 10.0 / PIXEL_MM)
    away = np.hypot(uv[..., 0] - centre[0], uv[..., 1] - centre[1])
    score *= np.exp(-0.5 * (away / CENTRED_MM) ** 2)
    best, place = -1.0, centre
    for _ in range(CANDIDATES):
        row, column = np.unravel_index(int(np.argmax(score)), score.shape)
        if score[row, column] <= 0:
            break
        here = uv[row, column]
        crops = [even_out(read_plane(i, p, axes, plane_grid(here, CROP))) for i, p in zip(images, poses)]
        value = float(np.mean([_plausible(seen) for seen in _run(np.stack(crops))]))
        value *= float(np.exp(-0.5 * (away[row, column] / CENTRED_MM) ** 2))
        if value > best:
            best, place = value, here
        score[np.hypot(uv[..., 0] - here[0], uv[..., 1] - here[1]) < APART_MM] = 0
    return np.asarray(place)


def _plausible(seen: NDArray[np.float32]) -> float:
    """How much class probabilities (4, size, size) look like one short-axis LV: 0 no ring .. 1 a sure, round, closed
    ring of adult size."""
    labels = _tidy(seen.argmax(axis=0).astype(np.uint8), (PIXEL_MM, PIXEL_MM))
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    if not lv.any():
        return 0.0
    facts = ring_facts(labels, (PIXEL_MM, PIXEL_MM))
    solid = float(regionprops(lv.astype(np.uint8))[0].solidity)
    size = min((facts["cavity_mm2"] + facts["wall_mm2"]) / USUAL_LV_MM2, 1.0)
    sure = float(seen.max(axis=0)[lv].mean())
    return sure * facts["closed"] * solid**2 * size if facts["cavity_mm2"] > 0 else 0.2 * sure * solid**2 * size


def _tidy(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """One LV, its holes filled, and the one RV beside it; small separate islands are removed."""
    result = np.zeros_like(labels)
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    parts, count = ndimage.label(lv, np.ones((3, 3)))
    pixel = spacing_mm[0] * spacing_mm[1]
    if count == 0:
        return result
    sizes = ndimage.sum_labels(lv, parts, np.arange(1, count + 1))
    lv = parts == 1 + int(np.argmax(sizes))
    if lv.sum() * pixel < MIN_LV_MM2:
        return result
    filled = ndimage.binary_fill_holes(lv)
    result[lv] = labels[lv]
    result[filled & ~lv] = Label.LV_CAVITY
    cavities, count = ndimage.label(result == Label.LV_CAVITY)
    if count > 1:  # the cavity is one room: islands belong to the wall around them
        sizes = ndimage.sum_labels(cavities > 0, cavities, np.arange(1, count + 1))
        result[(cavities > 0) & (cavities != 1 + int(np.argmax(sizes)))] = Label.MYOCARDIUM
    cavity = result == Label.LV_CAVITY
    if cavity.any():  # papillary muscles and trabeculae count as blood pool: the endocardial contour runs around them
        # (Schulz-Menger 2020, J Cardiovasc Magn Reson 22:19), so it has no bays
        result[convex_hull_image(cavity) & (result == Label.MYOCARDIUM)] = Label.LV_CAVITY
    rv, count = ndimage.label((labels == Label.RV_CAVITY) & ~filled, np.ones((3, 3)))
    if count:
        away = ndimage.distance_transform_edt(~filled, sampling=spacing_mm[::-1])
        index = np.arange(1, count + 1)
        near = ndimage.minimum(away, rv, index) <= RV_REACH_MM
        sizes = ndimage.sum_labels(rv > 0, rv, index) * near
        if sizes.max() > 0:
            result[rv == 1 + int(np.argmax(sizes))] = Label.RV_CAVITY
    return result


def _segment(
    images: Sequence[NDArray[np.float32]], poses: Sequence[SlicePose]
) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Labels and certainty (mean probability of the winner within the LV) of parallel slices (channel, y, x)."""
    axes = canonical_axes(poses[0].normal)
    centre = _find_lv(images, poses, axes)
    labels, certainty = [], []
    for image, pose in zip(images, poses):
        shape = (image.shape[1], image.shape[2])
        views = [even_out(read_plane(image, pose, axes, plane_grid(centre, CROP, turn))) for turn in TURNS_DEG]
        seen = _run(np.stack(views))
        mean = np.mean([write_back(p, shape, pose, axes, centre, a) for p, a in zip(seen, TURNS_DEG)], axis=0)
        mean[0] += 1.0 - mean.sum(axis=0)  # beyond the crop there is background
        plain = mean.argmax(axis=0).astype(np.uint8)
        tidy = _tidy(plain, pose.spacing_mm)
        lv = np.isin(tidy, (Label.LV_CAVITY, Label.MYOCARDIUM))
        labels.append(tidy)
        certainty.append(float(mean.max(axis=0)[lv].mean()) if lv.any() else 0.0)
    return labels, certainty


def _flags(
    labels: Sequence[NDArray[np.uint8]],
    poses: Sequence[SlicePose],
    certainty: Sequence[float],
    landmarks: Sequence[Mapping[str, NDArray[np.float64]]],
) -> list[Flag]:
    flags: list[Flag] = []

    def doubt(name: str, reason: str, level: Level = Level.DOUBTFUL) -> None:
        flags.append(Flag(STAGE, name, level, reason))

    empty = [i for i, picture in enumerate(labels) if not (picture == Label.MYOCARDIUM).any()]
    if len(empty) == len(labels):
        doubt("no_lv", "no left ventricle was found in the CMR slices", Level.UNUSABLE)
        return flags
    for i in empty:
        doubt("slice_without_lv", f"no left ventricle was found in CMR slice {i + 1}")
    for i in sorted(set(range(len(labels))) - set(empty)):
        facts = ring_facts(labels[i], poses[i].spacing_mm)
        if certainty[i] < MIN_CERTAINTY:
            doubt("uncertain_wall", f"the wall of CMR slice {i + 1} is uncertain ({certainty[i]:.0%} mean probability)")
        if facts["closed"] < MIN_CLOSED:
            doubt("open_ring", f"the wall of CMR slice {i + 1} covers only {facts['closed']:.0%} of the cavity's edge")
        if not THICKNESS_MM[0] <= facts["thickness_mm"] <= THICKNESS_MM[1]:
            doubt("thickness", f"the wall of CMR slice {i + 1} measures {facts['thickness_mm']:.0f} mm on average")
        if "rv_insertion_anterior" not in landmarks[i]:
            doubt("no_insertions", f"the RV insertions were not found in CMR slice {i + 1}")
        else:
            across = landmarks[i]["rv_insertion_inferior"] - landmarks[i]["rv_insertion_anterior"]
            if float(across @ MEAN_INFERIOR_LPS) < 0:
                doubt(
                    "unusual_roll",
                    f"in CMR slice {i + 1} the anterior RV insertion lies below the inferior one: check the slice's "
                    "orientation or the RV",
                )
    return flags


def segment_cmr(series: Series) -> CmrWalls:
    """Label every slice of a **motion-corrected** first-pass series and find its landmarks.

    Labels lie on the image's own pixels; landmarks are LPS mm. The image may be stored flipped, turned or permuted:
    only the slice pose decides what is anterior. Raises StageError where no bolus is seen.
    """
    images = np.maximum(phase_images(series), 0.0)
    labels, certainty = _segment(list(images), series.poses)
    landmarks = tuple(slice_landmarks(one, pose) for one, pose in zip(labels, series.poses))
    return CmrWalls(np.stack(labels), landmarks, Quality.of(_flags(labels, series.poses, certainty, landmarks)))


def walls_from_labels(labels: NDArray[np.uint8], poses: Sequence[SlicePose]) -> CmrWalls:
    """Walls from a user's own (or corrected) labels (slice, y, x) 0..3 on the slices' pixels."""
    if labels.ndim != 3 or len(labels) != len(poses) or labels.max(initial=0) >= CMR_LABEL_COUNT:
        raise BadInputError(
            f"A CMR segmentation needs one picture a slice ({len(poses)}) with labels 0 background, 1 LV cavity, "
            f"2 myocardium, 3 RV; this one has shape {labels.shape} and labels up to {int(labels.max(initial=0))}."
        )
    landmarks = tuple(slice_landmarks(one, pose) for one, pose in zip(labels, poses))
    flags = _flags(list(labels), poses, [1.0] * len(poses), landmarks)
    return CmrWalls(labels.astype(np.uint8), landmarks, Quality.of(flags))


def segment_frame(image: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """Labels (y, x) of one short-axis frame in the usual display (anterior wall up, RV on the viewer's left).

    ``spacing_mm`` (x, y). For cine frames, and for single perfusion frames; no time course is used.
    """
    if image.ndim != 2 or not np.all(np.isfinite(image)):
        raise BadInputError(f"A CMR frame is one 2D picture of finite values; this one has shape {image.shape}.")
    pose = SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), spacing_mm, 8.0)
    channels = np.repeat((image - min(float(image.min()), 0.0))[None].astype(np.float32), CHANNELS, axis=0)
    return _segment([channels], [pose])[0][0]
