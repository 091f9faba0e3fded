"""A first-pass perfusion series from DICOM: one series a slice, one series for all, or enhanced multi-frame."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.dicom_frames import TIME_SOURCES, Frame, dicom_files, frames_of, pixels, read_frames
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose

_DYNAMIC_FRAMES = 3  # a place with fewer images is a still picture (localiser, stack), not part of a first pass
_HALF_DAY_S = 43200.0
# beyond these a header's value is not the echo spacing / saturation delay that the signal model needs
_MAX_TR_MS = 20.0
_MAX_TI_MS = 600.0


def places_of(frames: Seq[Frame]) -> list[list[Frame]]:
    """Frames that show the same plane with the same size, in order of first appearance."""
    groups: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        key = (
            tuple(np.round(frame.origin_mm, 1) + 0.0),
            tuple(np.round(np.concatenate([frame.row_axis, frame.column_axis]), 3) + 0.0),
            frame.shape,
        )
        groups.setdefault(key, []).append(frame)
    return list(groups.values())


def _is_aif(frame: Frame) -> bool:
    return "aif" in frame.description.lower().replace("_", " ").split()


def _candidates(frames: Seq[Frame], state: str, path: Path) -> list[Frame]:
    """Frames of the dynamic series of the wanted state."""
    series: dict[str, list[Frame]] = {}
    for frame in frames:
        series.setdefault(frame.series_uid, []).append(frame)
    dynamic = {
        uid: members
        for uid, members in series.items()
        if max(len(place) for place in places_of(members)) >= _DYNAMIC_FRAMES
    }
    if not dynamic:
        raise BadInputError(
            f"{path} holds no perfusion series (no place was imaged repeatedly); give the folder of the first-pass "
            "images."
        )
    other = "rest" if state == "stress" else "stress"
    named = {u: m for u, m in dynamic.items() if state in m[0].description.lower()}
    unnamed = {u: m for u, m in dynamic.items() if other not in m[0].description.lower()}
    chosen = named or unnamed
    if not chosen:
        raise BadInputError(f"{path} holds a {other} series only; give the {state} series here.")
    return [frame for members in chosen.values() for frame in members]


def frame_times(slices: Seq[Seq[Frame]], what: str) -> list[NDArray[np.float64]]:
    """Acquisition times in seconds of every frame of every slice, from the first source that tells frames apart."""
    for source in TIME_SOURCES:
        if not all(source in frame.times_s for frames in slices for frame in frames):
            continue
        times = [np.array([frame.times_s[source] for frame in frames]) for frames in slices]
        span = max(t.max() for t in times) - min(t.min() for t in times)
        if span > _HALF_DAY_S and max(t.max() for t in times) < 2 * _HALF_DAY_S:  # time of day, over midnight
            times = [np.where(t < _HALF_DAY_S, t + 2 * _HALF_DAY_S, t) for t in times]
        if all(len(np.unique(t)) == len(t) for t in times):
            return times
    raise BadInputError(
        f"The frames of {what} carry no distinct acquisition times (tags missing or all the same); export the series "
        "again with its full headers, or convert it to NIfTI with a times sidecar."
    )


def pose_of(frame: Frame) -> SlicePose:
    """Where a frame lies; 8 mm thick where its file does not say."""
    direction = np.column_stack([frame.row_axis, frame.column_axis, frame.normal])
    return SlicePose(frame.origin_mm, direction, frame.spacing_mm, frame.thickness_mm or 8.0)


def _parameters(frames: Seq[Frame], dual: bool) -> Sequence:
    """Sequence parameters where header values are plausible for a saturation-recovery readout, else None.

    Vendors write the duration of a whole image into RepetitionTime; such values would quietly spoil the flow.
    """
    found = frames[0].parameters
    ti, tr = found.get("ti_ms"), found.get("tr_ms")
    return Sequence(
        ti_ms=ti if ti is not None and 0 < ti <= _MAX_TI_MS else None,
        tr_ms=tr if tr is not None and 0 < tr <= _MAX_TR_MS else None,
        flip_deg=found.get("flip_deg"),
        dual_sequence_aif=dual,
    )


def _stacked(slices: list[list[Frame]]) -> NDArray[np.float32]:
    """(t, slice, y, x); slices of different size are filled up with zeros at their far edges, which moves nothing."""
    rows = max(frames[0].shape[0] for frames in slices)
    columns = max(frames[0].shape[1] for frames in slices)
    array = np.zeros((len(slices[0]), len(slices), rows, columns), np.float32)
    for number, frames in enumerate(slices):
        y, x = frames[0].shape
        array[:, number, :y, :x] = pixels(frames)
    return array


def read_dicom_perfusion(path: Path, state: str) -> Series:
    """The first-pass series of ``state`` ("stress" or "rest") under ``path``.

    A folder that holds both states is told apart by the words in the series descriptions. Times are seconds since
    the first image; slices are ordered along their normal. Raises BadInputError for missing frames, two series of
    the same slice, times that do not tell frames apart, and what ``Series`` refuses.
    """
    frames = frames_of(path) if path.is_file() else read_frames(dicom_files(path))
    if path.is_file() and len(frames) == 1:
        frames = [f for f in read_frames(dicom_files(path.parent)) if f.series_uid == frames[0].series_uid]
    if not frames:
        raise BadInputError(f"{path} holds no images with a place in the patient; give the first-pass series.")
    chosen = _candidates(frames, state, path)
    aif = [f for f in chosen if _is_aif(f)]
    slices = [p for p in places_of([f for f in chosen if not _is_aif(f)]) if len(p) >= _DYNAMIC_FRAMES]
    if not slices:
        raise BadInputError(f"{path} holds only arterial-input images; give the first-pass series of the muscle too.")
    normal = slices[0][0].normal
    slices.sort(key=lambda place: float(np.asarray(place[0].origin_mm) @ normal))
    _check_complete(slices, path)
    everything = [*slices, *([aif] if aif else [])]
    times = frame_times(everything, path.name)
    start = min(float(t.min()) for t in times[: len(slices)])
    ordered, rising = [], []
    for place, moments in zip(everything, times, strict=True):
        order = np.argsort(moments, kind="stable")
        ordered.append([place[i] for i in order])
        rising.append(moments[order] - start)
    array = _stacked(ordered[: len(slices)])
    poses = tuple(pose_of(place[0]) for place in slices)
    sequence = _parameters(slices[0], bool(aif))
    stamps = np.stack(rising[: len(slices)], axis=1)
    if not aif:
        return Series(array, poses, stamps, state, sequence)
    if len(aif) != len(array):
        raise BadInputError(f"{path} holds {len(aif)} arterial-input images for {len(array)} frames; export it again.")
    low = pixels(ordered[-1]).astype(np.float32)
    return Series(array, poses, stamps, state, sequence, low, pose_of(aif[0]), _parameters(aif, True))


def _check_complete(slices: list[list[Frame]], path: Path) -> None:
    counts = [len(place) for place in slices]
    heights = [float(np.asarray(place[0].origin_mm) @ slices[0][0].normal) for place in slices]
    for number in range(1, len(slices)):
        same_axis = float(slices[number][0].normal @ slices[0][0].normal) > 0.999
        if same_axis and heights[number] - heights[number - 1] < 0.5:
            names = sorted({f.description or f.series_uid for f in slices[number] + slices[number - 1]})
            raise BadInputError(
                f"{path} holds two perfusion series of the same slice ({', '.join(names)}); give a folder with one of "
                "them (stress or rest)."
            )
    uids = [{f.series_uid for f in place} for place in slices]
    if len(set(counts)) > 1:
        least = int(np.argmin(counts))
        raise BadInputError(
            f"Frames are missing: slice {least + 1} of {path.name} has {counts[least]}, another has {max(counts)}; "
            "export the whole series again."
        )
    if any(len(u) > 1 for u in uids):
        names = sorted({f.description or f.series_uid for place in slices for f in place})
        raise BadInputError(
            f"{path} holds several perfusion series of the same slices ({', '.join(names)}); give a folder with one "
            "of them, or write 'stress' and 'rest' into the series descriptions."
        )
