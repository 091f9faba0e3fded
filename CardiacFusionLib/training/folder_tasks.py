"""The networks' tasks with the user's own images in the place of the twin's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.models.cubes import coarse_image
from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import heart_grid, resample_to
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training import cmr_walls, ct_chambers, ct_pose, ct_walls
from CardiacFusionLib.training.folder import (
    CT,
    FRAMES,
    KEPT,
    SERIES,
    VIEWS,
    FolderData,
    Pair,
    read_pair,
    read_series_pair,
)
from CardiacFusionLib.training.folder_long_axis import FolderLongAxis
from CardiacFusionLib.training.harness import TrainingTask
from CardiacFusionLib.training.mistakes import marred
from CardiacFusionLib.walls.cmr_input import CHANNELS, even_out
from CardiacFusionLib.walls.phases_cmr import phase_images

COARSE_MM = 2.0  # grid on which a labelled heart's pose is read
SHIFT_SD_MM, TILT_SD_DEG = 15.0, 3.0  # as the twin's training cubes lie about the heart
POSE_ERROR_DEG, POSE_ERROR_MM = 7.0, 8.0


def _facts(facts: dict[str, Any], data: FolderData) -> dict[str, Any]:
    patients = len({p.patient for p in data.pairs})
    return {**facts, "data": f"the user's own images: {len(data.pairs)} of {patients} patients", "version": "user"}


def _labels_on(labels: Volume, grid: Volume) -> NDArray[np.uint8]:
    return np.asarray(resample_to(labels, grid, order=0).array, np.uint8)


def _about_heart(labels: Volume, cube: int, spacing_mm: float, rng: np.random.Generator) -> Volume:
    """An empty cube along the patient's axes with the labelled heart somewhere in it."""
    middle = np.append(np.argwhere(labels.array != 0).mean(axis=0)[::-1], 1.0)
    centre = (labels.index_to_lps @ middle)[:3] + rng.normal(0, SHIFT_SD_MM, 3)
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0, TILT_SD_DEG, 3))).as_matrix()
    origin = centre - tilt @ np.full(3, (cube - 1) / 2 * spacing_mm)
    return Volume(np.zeros((cube,) * 3, np.uint8), (spacing_mm,) * 3, tuple(origin), tilt)


def _pose_of(labels: Volume) -> HeartPose:
    """The frame of a labelled heart, read on a coarse grid."""
    spacing = np.asarray(labels.spacing_mm)
    size = np.maximum(np.floor(np.array(labels.size) * spacing / COARSE_MM).astype(int), 1)
    grid = Volume(np.zeros(tuple(size[::-1]), np.uint8), (COARSE_MM,) * 3, labels.origin_mm, labels.direction)
    return geometric_pose(labels.with_array(labels.array) if max(spacing) > COARSE_MM else resample_to(labels, grid, 0))


class FolderChambers(ct_chambers.CtChambers):
    """Cubes of the user's CTs about the labelled heart."""

    def __init__(self, data: FolderData) -> None:
        super().__init__()
        self.data = data

    def draw(self, seed: int) -> ct_chambers.DrawnHeart:
        """See :class:`ct_chambers.CtLabelTask`."""
        image, labels = read_pair(self.data.pick(seed), CT)
        grid = _about_heart(labels, ct_chambers.CUBE, ct_chambers.SPACING_MM, np.random.default_rng((seed, 8)))
        return ct_chambers.DrawnHeart(np.asarray(coarse_image(image, grid).array, np.float32), _labels_on(labels, grid))

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return _facts(super().facts(), self.data)


class FolderCtWalls(ct_walls.CtWallsTask):
    """Upright cubes of the user's CTs about the frame read from the labels, a few degrees wrong."""

    def __init__(self, data: FolderData) -> None:
        super().__init__()
        self.data = data

    def draw(self, seed: int) -> ct_chambers.DrawnHeart:
        """See :class:`ct_chambers.CtLabelTask`."""
        image, labels = read_pair(self.data.pick(seed), CT)
        rng = np.random.default_rng((seed, 8))
        error = np.eye(4)
        error[:3, :3] = Rotation.from_rotvec(np.deg2rad(rng.normal(0, POSE_ERROR_DEG, 3))).as_matrix()
        error[:3, 3] = rng.normal(0, POSE_ERROR_MM, 3)
        grid = heart_grid(HeartPose(error @ _pose_of(labels).lps_to_heart), (ct_walls.CUBE,) * 3, ct_walls.SPACING_MM)
        kept = _labels_on(labels, grid)
        hu = np.asarray(coarse_image(image, grid).array, np.float32)
        return ct_chambers.DrawnHeart(hu, kept, ct_walls.marred_prior(kept, rng))

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return _facts(super().facts(), self.data)


class FolderPose(ct_pose.CtPose):
    """Labels of the user's CTs with errors, in frames that are wrong by as much as a first guess is."""

    def __init__(self, data: FolderData) -> None:
        super().__init__()
        self.data = data

    def _heart(self, seed: int) -> ct_pose._Heart:
        _, labels = read_pair(self.data.pick(seed), CT)
        rng = np.random.default_rng((seed, 6))
        grid = _about_heart(labels, ct_pose.CHAMBER_CUBE, ct_pose.CHAMBER_MM, rng)
        return ct_pose._Heart(marred(_labels_on(labels, grid), rng), grid.lps_to_index, _pose_of(labels))

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return _facts(super().facts(), self.data)


class FolderCmrWalls(cmr_walls.CmrWallsTask):
    """Short-axis frames (``sax*``) and first-pass series (``perfusion*``) of the user."""

    def __init__(self, frames: FolderData, series: FolderData) -> None:
        super().__init__()
        self.frames, self.series = frames, series

    def _sample(self, seed: int, rng: np.random.Generator, kind: str) -> dict[str, NDArray[Any]]:
        use_series = bool(self.series.pairs) and (kind == "series" or not self.frames.pairs)
        channels, labels, spacing = self._series_slice(seed, rng) if use_series else self._frame(seed, rng)
        square, seen = _square(channels, spacing), _square(labels[None], spacing, order=0)
        images, cropped = cmr_walls.turned_window(square, seen[0].astype(np.uint8), min(spacing), rng, wide=False)
        images = cmr_walls.vary(images, rng)
        if len(images) == 1:
            images = np.repeat(images, CHANNELS, axis=0)
        return {"image": even_out(images), "labels": cropped[None].astype(np.int64)}

    def _frame(self, seed: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float]]:
        image, labels = read_pair(self.frames.pick(seed), FRAMES)
        k = int(rng.integers(len(image.array)))
        picture = np.asarray(image.array[k], np.float32)
        return (picture - min(float(picture.min()), 0.0))[None], labels.array[k], image.spacing_mm[:2]

    def _series_slice(
        self, seed: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float]]:
        series, labels = read_series_pair(self.series.pick(seed))
        k = int(rng.integers(series.slice_count))
        return _phases(self.series.pick(seed))[k], labels[k], series.poses[k].spacing_mm

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return _facts(super().facts(), self.frames if self.frames.pairs else self.series)


@lru_cache(maxsize=KEPT)
def _phases(pair: Pair) -> NDArray[np.float32]:
    """The phases of a first pass (slice, channel, y, x), free of breathing."""
    return np.maximum(phase_images(correct_motion(read_series_pair(pair)[0])[0]), 0.0)


def _square(images: NDArray[Any], spacing: tuple[float, float], order: int = 1) -> NDArray[Any]:
    """Images (c, y, x) on square pixels of the finer spacing, padded to a square about their middle."""
    step = min(spacing)
    even = ndimage.zoom(images, (1, spacing[1] / step, spacing[0] / step), order=order, mode="nearest", grid_mode=True)
    side = max(even.shape[1:])
    pads = [(0, 0), *(((side - n) // 2, side - n - (side - n) // 2) for n in even.shape[1:])]
    return np.pad(even, pads)


def _cmr(folder: Path) -> FolderCmrWalls:
    frames, series = FolderData(folder, FRAMES), FolderData(folder, SERIES)
    if not frames.pairs and not series.pairs:
        raise BadInputError(f"{folder} holds no PATIENT/{FRAMES}*.nii.gz and no PATIENT/{SERIES}*.nii.gz with labels.")
    for data in (frames, series):
        if data.pairs:
            data.check()
    return FolderCmrWalls(frames, series)


def _ct(make: Callable[[FolderData], TrainingTask]) -> Callable[[Path], TrainingTask]:
    def task(folder: Path) -> TrainingTask:
        data = FolderData(folder, CT)
        data.check()
        return make(data)

    return task


def _long_axis(folder: Path) -> TrainingTask:
    data = FolderData(folder, VIEWS)
    data.check()
    return FolderLongAxis(data)


FOLDER_TASKS: Mapping[str, Callable[[Path], TrainingTask]] = {
    "ct_chambers": _ct(FolderChambers),
    "ct_walls": _ct(FolderCtWalls),
    "ct_pose": _ct(FolderPose),
    "cmr_walls": _cmr,
    "cmr_long_axis": _long_axis,
}


def folder_task(name: str, folder: Path) -> TrainingTask:
    """The task of network ``name`` on the user's folder; every pair is read once and checked.

    Raises BadInputError where the network cannot learn from such a folder, or a pair cannot be used.
    """
    if name not in FOLDER_TASKS:
        raise BadInputError(
            f"'{name}' learns from the twin only (--data twin); a folder can train {', '.join(FOLDER_TASKS)}."
        )
    return FOLDER_TASKS[name](folder)
