"""A CT volume from a DICOM folder, a single file of it, or one enhanced multi-frame file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.dicom_frames import Frame, dicom_files, frames_of, pixels, read_frames
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Volume, check_direction

_log = logging.getLogger(__name__)
_SAME_PLACE_MM = 0.01
_GAP_TOLERANCE = 0.1  # share of the slice distance that a gap may differ by
_TILT_TOLERANCE = 2e-3  # tangent of the angle between the stacking direction and the slice normal


def _stacks(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one series, orientation, size and pixel spacing together: each list is one stack of images."""
    groups: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        axes = tuple(np.round(np.concatenate([frame.row_axis, frame.column_axis]), 3) + 0.0)
        groups.setdefault((frame.series_uid, axes, frame.shape, np.round(frame.spacing_mm, 4).tobytes()), []).append(
            frame
        )
    return sorted(groups.values(), key=len, reverse=True)


def _heights(frames: Sequence[Frame]) -> NDArray[np.float64]:
    return np.array([np.asarray(f.origin_mm) @ frames[0].normal for f in frames])


def _one_phase(frames: list[Frame]) -> list[Frame]:
    """Images of one cardiac phase or acquisition, where a series holds several images of one place."""
    heights = np.sort(_heights(frames))
    if len(frames) < 2 or np.diff(heights).min() > _SAME_PLACE_MM:
        return frames
    for tag in sorted({tag for frame in frames for tag in frame.phases}):
        parts: dict[float | None, list[Frame]] = {}
        for frame in frames:
            parts.setdefault(frame.phases.get(tag), []).append(frame)
        if len(parts) > 1 and all(
            len(p) < 2 or np.diff(np.sort(_heights(p))).min() > _SAME_PLACE_MM for p in parts.values()
        ):
            value, chosen = max(parts.items(), key=lambda item: len(item[1]))
            _log.info("The CT series holds %d phases; taken: %s = %s", len(parts), tag, value)
            return chosen
    raise BadInputError(
        "The CT series holds several images of the same place (several heart phases); export one phase, best at "
        "mid-diastole."
    )


def _volume(frames: list[Frame]) -> Volume:
    order = np.argsort(_heights(frames), kind="stable")
    frames = [frames[i] for i in order]
    first = frames[0]
    what = f"CT series '{first.description}'" if first.description else "CT series"
    if len(frames) < 2:
        raise BadInputError(f"The {what} holds one image only; give the folder with all images of the series.")
    origins = np.array([f.origin_mm for f in frames])
    steps = np.diff(origins, axis=0)
    gaps = steps @ first.normal
    gap = float(np.median(gaps))
    if np.abs(gaps - gap).max() > _GAP_TOLERANCE * gap:
        missing = int(np.round(gaps / gap - 1).clip(0).sum())
        raise BadInputError(
            f"The {what} has uneven slice distances ({gaps.min():.2f} to {gaps.max():.2f} mm; about {missing} images "
            "missing); export the whole series again."
        )
    span = origins[-1] - origins[0]
    sideways = np.linalg.norm(span - (span @ first.normal) * first.normal)
    if sideways > max(_TILT_TOLERANCE * float(span @ first.normal), 0.01):
        raise BadInputError(
            f"The images of the {what} are stacked at a slant (sheared; gantry tilt); correct the tilt on the scanner "
            "or resample it to a regular grid first."
        )
    direction = np.column_stack([first.row_axis, first.column_axis, first.normal])
    check_direction(direction, what)
    spacing = (*first.spacing_mm, float(gaps.mean()))
    return Volume(pixels(frames, whole=True), spacing, first.origin_mm, direction)


def read_dicom_ct(path: Path) -> Volume:
    """The largest CT series under ``path``; of a single file, the series that it belongs to.

    Slices are sorted along row x column; HU after rescale (int16 where whole, else float32). Of several phases the one
    with most images is taken. Raises BadInputError for no CT, missing slices, gantry tilt, damaged files.
    """
    wanted: str | None = None
    if path.is_file():
        own = frames_of(path)
        if len(own) > 1:
            return _volume(_one_phase(_only_ct(own, path)))
        wanted = own[0].series_uid if own else None
        path = path.parent
    frames = _only_ct(read_frames(dicom_files(path)), path)
    stacks = _stacks([f for f in frames if wanted is None or f.series_uid == wanted])
    if len(stacks) > 1:
        _log.info(
            "%d CT image stacks found; taken: '%s' with %d images",
            len(stacks),
            stacks[0][0].description,
            len(stacks[0]),
        )
    return _volume(_one_phase(stacks[0]))


def _only_ct(frames: Sequence[Frame], path: Path) -> list[Frame]:
    chosen = [f for f in frames if f.modality == "CT"]
    if not chosen:
        seen = ", ".join(sorted({f.modality or "unknown" for f in frames})) or "no images"
        raise BadInputError(f"{path} holds no CT images (found: {seen}); give the folder of the CT series.")
    return chosen
