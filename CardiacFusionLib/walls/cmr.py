"""LV cavity, myocardium and RV in short-axis CMR: first-pass series and single frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.models.heatmaps import Seen
from CardiacFusionLib.models.loading import entry_of, load
from CardiacFusionLib.models.manifest import read_manifest
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
from CardiacFusionLib.walls.cmr_find import find_lv
from CardiacFusionLib.walls.cmr_input import CHANNELS, even_out, read_plane, write_back
from CardiacFusionLib.walls.cmr_insertions import with_insertions
from CardiacFusionLib.walls.cmr_series import MODEL as SERIES_MODEL
from CardiacFusionLib.walls.cmr_series import see_series
from CardiacFusionLib.walls.cmr_series_input import course_images
from CardiacFusionLib.walls.cmr_stack import axis_line, near_axis, sight
from CardiacFusionLib.walls.cmr_tidy import tidy, widened
from CardiacFusionLib.walls.phases_cmr import find_phases, phase_images
from CardiacFusionLib.walls.result import CmrWalls, Located
from CardiacFusionLib.walls.stack_landmarks import locate_ends

MODEL = "cmr_walls"
# a second network for single frames, trained longer on real ones, closed cavities and odd shading among them
FRAME_MODEL = "cmr_frames"
STAGE = "CMR walls"
# the fine pass is the mean over these views: turned by degrees, zoomed, mirrored; a single frame, whose scale and place
# no other slice confirms, is seen a little wider (each set was the better one on its kind of real images)
LOOKS = ((-15.0, 0.9, False), (0.0, 1.1, False), (15.0, 0.95, False), (0.0, 0.8, True))
# a first pass is shown to a second network as well, frame after frame: two views of the four phases are then enough
LOOKS_BESIDE = LOOKS[0], LOOKS[2]
FRAME_LOOKS = ((-15.0, 1.0, False), (0.0, 1.15, False), (15.0, 1.0, False), (0.0, 0.9, True))
SERIES_SHARE = 0.7  # of the probabilities of a first pass come from its whole course: alone it is nearer to the truth
THICKNESS_MM = (3.0, 22.0)  # wall thickness outside this range is not seen in adults
MIN_CLOSED = 0.85  # share of the cavity's outline that the wall must cover
MIN_CERTAINTY = 0.75  # mean probability of the winning class within the LV


def _asked(single: bool) -> tuple[str, ...]:
    """The networks that are asked together: for single frames two, unless only one is installed or the user's own
    network stands in the place of ours."""
    alone = not single or FRAME_MODEL not in read_manifest() or "backend" in entry_of(MODEL).architecture
    return (MODEL,) if alone else (MODEL, FRAME_MODEL)


def _run(images: NDArray[np.float32], names: Sequence[str] = (MODEL,)) -> NDArray[np.float32]:
    """Class probabilities (n, class, y, x) of evened images (n, channel, y, x).

    Of two networks both tell where the ventricles lie (their mean); what is blood within the left one, the last does.
    """
    import torch

    found = []
    for name in names:
        network = load(name)
        device = next(network.parameters()).device
        with torch.inference_mode():
            scores = network(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device))
            found.append(torch.softmax(scores.float(), dim=1).cpu().numpy())
    mean = np.asarray(np.mean(found, axis=0), dtype=np.float32)
    if len(found) > 1:
        blood, muscle = found[-1][:, Label.LV_CAVITY], found[-1][:, Label.MYOCARDIUM]
        share = blood / np.maximum(blood + muscle, 1e-6)
        ventricle = mean[:, Label.LV_CAVITY] + mean[:, Label.MYOCARDIUM]
        mean[:, Label.LV_CAVITY], mean[:, Label.MYOCARDIUM] = share * ventricle, (1 - share) * ventricle
    return mean


@dataclass(frozen=True)
class _Outline:
    """Class ``probabilities`` (4, y, x) on a slice's own pixels, and the insertions (LPS mm) that its course shows."""

    probabilities: NDArray[np.float32]
    marks: Mapping[str, Seen]


def _outline(
    images: Sequence[NDArray[np.float32]],
    poses: Sequence[SlicePose],
    axes: NDArray[np.float64],
    names: Sequence[str],
    courses: Sequence[NDArray[np.float32]] | None = None,
) -> list[_Outline]:
    """The mean over several views of the same window, and over both networks where ``courses`` (frames as channels) are
    given."""
    window = find_lv(images, poses, axes, partial(_run, names=names))
    looks = LOOKS_BESIDE if courses is not None else LOOKS if len(images) > 1 else FRAME_LOOKS
    views = [replace(window, angle_deg=a, pixel_mm=window.pixel_mm * z, mirrored=m) for a, z, m in looks]
    result = []
    for k, (image, pose) in enumerate(zip(images, poses)):
        shape = (image.shape[1], image.shape[2])
        seen = _run(np.stack([even_out(read_plane(image, pose, axes, v)) for v in views]), names)
        mean = np.mean([write_back(p, shape, pose, axes, v) for p, v in zip(seen, views)], axis=0)
        marks: Mapping[str, Seen] = {}
        if courses is not None:
            course = see_series(courses[k], pose, axes, window)
            share = SERIES_SHARE * course.probabilities.sum(axis=0)  # none where its smaller window does not reach
            mean, marks = (1.0 - share) * mean + SERIES_SHARE * course.probabilities, course.marks
        mean[0] += 1.0 - mean.sum(axis=0)  # beyond the windows there is background
        result.append(_Outline(mean.astype(np.float32), marks))
    return result


def _certainty(labels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    """Mean probability of the winner within the LV; 0 without one."""
    lv = np.isin(labels, (Label.LV_CAVITY, Label.MYOCARDIUM))
    return float(probabilities.max(axis=0)[lv].mean()) if lv.any() else 0.0


@dataclass(frozen=True)
class _Found:
    """What parallel slices show: their ``labels``, the ``certainty`` of each (mean probability of the winner within the
    LV), and the insertions that the course of each shows, if one was given."""

    labels: list[NDArray[np.uint8]]
    certainty: list[float]
    marks: list[Mapping[str, Seen]]


def _segment(
    images: Sequence[NDArray[np.float32]],
    poses: Sequence[SlicePose],
    single: bool = False,
    courses: Sequence[NDArray[np.float32]] | None = None,
) -> _Found:
    """Parallel slices (channel, y, x) outlined; ``courses``: the same slices' whole first passes.

    ``single``: the channels of each slice are one frame four times over. How far outside its edge the cavity of such a
    frame is outlined is a fact of the weights, as trained.
    """
    axes = canonical_axes(poses[0].normal)
    names = _asked(single)
    outlines = _outline(images, poses, axes, names, courses)
    seen = [one.probabilities for one in outlines]
    labels = [tidy(p.argmax(axis=0).astype(np.uint8), pose.spacing_mm) for p, pose in zip(seen, poses)]
    if len(labels) > 1:
        sightings = [
            sight(one, _certainty(one, p), ring_facts(one, pose.spacing_mm)["closed"], pose, axes)
            for one, p, pose in zip(labels, seen, poses)
        ]
        line = axis_line(sightings, [float(np.asarray(pose.origin_mm) @ axes[:, 2]) for pose in poses])
        if line is not None:
            centres, radius = line
            seen = [near_axis(p, pose, axes, c, radius) for p, pose, c in zip(seen, poses, centres)]
            labels = [tidy(p.argmax(axis=0).astype(np.uint8), pose.spacing_mm) for p, pose in zip(seen, poses)]
    certainty = [_certainty(one, p) for one, p in zip(labels, seen)]
    margin_mm = float(entry_of(names[-1]).input.get("frame_margin_mm", 0.0)) if single else 0.0
    labels = [widened(one, pose.spacing_mm, margin_mm) for one, pose in zip(labels, poses)]
    return _Found(labels, certainty, [one.marks for one in outlines])


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
        anterior, inferior = (landmarks[i].get(name) for name in ("rv_insertion_anterior", "rv_insertion_inferior"))
        if anterior is None or inferior is None:  # the picture may show one where the outlines show none
            doubt("no_insertions", f"the RV insertions were not found in CMR slice {i + 1}")
        else:
            across = inferior - anterior
            if float(across @ MEAN_INFERIOR_LPS) < 0:
                doubt(
                    "unusual_roll",
                    f"in CMR slice {i + 1} the anterior RV insertion lies below the inferior one: check the slice's "
                    "orientation or the RV",
                )
    return flags


def _landmarks(
    images: Sequence[NDArray[np.float32]], found: _Found, poses: Sequence[SlicePose]
) -> tuple[dict[str, NDArray[np.float64]], ...]:
    """Landmarks (LPS mm) of every slice: those the outlines show, the insertions as the pictures show them."""
    outlined = [slice_landmarks(one, pose) for one, pose in zip(found.labels, poses)]
    return with_insertions(outlined, images, found.labels, poses, found.marks)


def _ends(labels: Sequence[NDArray[np.uint8]], poses: Sequence[SlicePose]) -> dict[str, Located]:
    return locate_ends(np.stack(labels), tuple(poses))


def segment_cmr(series: Series) -> CmrWalls:
    """Label every slice of a **motion-corrected** first-pass series and find its landmarks.

    Labels lie on the image's own pixels; landmarks are LPS mm. The image may be stored flipped, turned or permuted:
    only the slice pose decides what is anterior. Raises StageError where no bolus is seen.
    """
    phases = find_phases(series)
    images = np.maximum(phase_images(series, phases), 0.0)
    courses = list(course_images(series, phases)) if _sees_series() else None
    return _walls(list(images), series.poses, _segment(list(images), series.poses, courses=courses))


def _sees_series() -> bool:
    """Whether whole first passes are looked at: the weights are installed, and no network of the user stands in the
    place of ``cmr_walls``."""
    return SERIES_MODEL in read_manifest() and "backend" not in entry_of(MODEL).architecture


def _walls(images: Sequence[NDArray[np.float32]], poses: Sequence[SlicePose], found: _Found) -> CmrWalls:
    """Outlines with their landmarks, doubts, apex and base."""
    landmarks = _landmarks(images, found, poses)
    flags = _flags(found.labels, poses, found.certainty, landmarks)
    return CmrWalls(np.stack(found.labels), landmarks, Quality.of(flags), _ends(found.labels, poses))


def walls_from_labels(labels: NDArray[np.uint8], poses: Sequence[SlicePose]) -> CmrWalls:
    """Walls from a user's own (or corrected) labels (slice, y, x) 0..3 on the slices' pixels."""
    if labels.ndim != 3 or len(labels) != len(poses) or labels.max(initial=0) >= CMR_LABEL_COUNT:
        raise BadInputError(
            f"A CMR segmentation needs one picture a slice ({len(poses)}) with labels 0 background, 1 LV cavity, "
            f"2 myocardium, 3 RV; this one has shape {labels.shape} and labels up to {int(labels.max(initial=0))}."
        )
    landmarks = tuple(slice_landmarks(one, pose) for one, pose in zip(labels, poses))
    flags = _flags(list(labels), poses, [1.0] * len(poses), landmarks)
    return CmrWalls(labels.astype(np.uint8), landmarks, Quality.of(flags), _ends(list(labels), poses))


def segment_stack(images: NDArray[np.float32], poses: Sequence[SlicePose]) -> CmrWalls:
    """Label a stack of parallel short-axis frames (slice, y, x), such as one phase of a cine; landmarks in LPS mm."""
    if images.ndim != 3 or len(images) != len(poses) or not np.all(np.isfinite(images)):
        raise BadInputError(f"A stack is (slice, y, x) of finite values with one pose a slice; got {images.shape}.")
    channels = [_as_phases(image) for image in images]
    return _walls(channels, poses, _segment(channels, poses, single=True))


def _as_phases(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """One frame (y, x) in the place of all phases; negative values are lifted to zero."""
    return np.repeat((image - min(float(image.min()), 0.0))[None].astype(np.float32), CHANNELS, axis=0)


def segment_frame(image: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """Labels (y, x) of one short-axis frame in the usual display (anterior wall up, RV on the viewer's left).

    ``spacing_mm`` (x, y). For cine frames, and for single perfusion frames; no time course is used.
    """
    if image.ndim != 2 or not np.all(np.isfinite(image)):
        raise BadInputError(f"A CMR frame is one 2D picture of finite values; this one has shape {image.shape}.")
    pose = SlicePose((0.0, 0.0, 0.0), canonical_axes(MEAN_LONG_AXIS_LPS), spacing_mm, 8.0)
    return _segment([_as_phases(image)], [pose], single=True).labels[0]
