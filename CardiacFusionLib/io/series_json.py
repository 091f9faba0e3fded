"""A perfusion series' poses, times and sequence as JSON: sidecar of a NIfTI, key of a ``.seq.nrrd``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose

SCHEMA = "cardiacfusion-series-1"
_KNOWN = {"schema", "state", "times_s", "poses", "sequence", "aif"}


@dataclass(frozen=True)
class SeriesInfo:
    """What stands beside the pixels. ``poses`` is None where the sidecar gives times only."""

    times_s: NDArray[np.float64]  # (t,) or (t, slice)
    poses: tuple[SlicePose, ...] | None = None
    state: str | None = None
    sequence: Sequence = field(default_factory=Sequence)
    aif: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def pose_to_dict(pose: SlicePose) -> dict[str, Any]:
    """A slice's place as JSON types; ``direction`` by rows, its columns are the x, y and normal axes in LPS."""
    return {
        "origin_mm": [float(v) for v in pose.origin_mm],
        "direction": [[float(v) for v in row] for row in pose.direction],
        "spacing_mm": [float(v) for v in pose.spacing_mm],
        "thickness_mm": float(pose.thickness_mm),
    }


def pose_from_dict(data: Mapping[str, Any]) -> SlicePose:
    """The inverse of :func:`pose_to_dict`."""
    x, y = data["spacing_mm"]
    return SlicePose(
        tuple(data["origin_mm"]), np.asarray(data["direction"], dtype=float), (x, y), float(data["thickness_mm"])
    )


def sequence_from_dict(data: Mapping[str, Any] | None) -> Sequence:
    """Acquisition parameters of a sidecar; keys that are not ours are left alone."""
    names = {f.name for f in dataclasses.fields(Sequence)}
    return Sequence(**{k: v for k, v in (data or {}).items() if k in names})


def series_to_dict(series: Series, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything of ``series`` but the pixels, with ``extra`` keys (for example ``"synthetic": true``) beside it."""
    return {
        "schema": SCHEMA,
        "state": series.state,
        "times_s": [[float(v) for v in row] for row in series.times_s],
        "poses": [pose_to_dict(p) for p in series.poses],
        "sequence": dataclasses.asdict(series.sequence),
        **{k: v for k, v in (extra or {}).items() if k not in _KNOWN},
    }


def info_from_dict(data: Any, what: str) -> SeriesInfo:
    """A parsed sidecar; unknown keys land in ``extra``. Raises BadInputError naming the key that is wrong."""
    if not isinstance(data, dict) or "times_s" not in data:
        raise BadInputError(f'{what} gives no frame times; add "times_s", one number a frame in seconds.')
    try:
        times = np.asarray(data["times_s"], dtype=float)
        poses = tuple(pose_from_dict(s) for s in data["poses"]) if data.get("poses") else None
        sequence = sequence_from_dict(data.get("sequence"))
    except (TypeError, ValueError, KeyError) as error:
        raise BadInputError(f'{what} is damaged ({error}); see "times_s", "poses" and "sequence".') from error
    if times.ndim not in (1, 2):
        raise BadInputError(f'"times_s" in {what} must be one number a frame, or one a frame and slice, in seconds.')
    extra = {k: v for k, v in data.items() if k not in _KNOWN}
    return SeriesInfo(times, poses, data.get("state"), sequence, data.get("aif"), extra)


def read_json(path: Path) -> Any:
    """A JSON file; raises BadInputError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(f"{path.name} is missing beside the image; it gives the frame times.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInputError(f"{path.name} is not readable JSON ({error}); mend or remove it.") from error


def write_json(data: Any, path: Path | str) -> None:
    """Indented JSON with a final line end; the same data gives the same bytes. NaN becomes null."""
    Path(path).write_text(json.dumps(_plain(data), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays as Python's own; values JSON cannot hold (NaN, infinity) as None."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
