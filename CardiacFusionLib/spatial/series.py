"""A first-pass perfusion series: frames over time in a few parallel slices, each with its own pose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.volume import Vector3, Volume, check_direction, check_spacing

MIN_FRAMES = 20  # below this a bolus passage cannot be followed (about one frame a heart beat)
MAX_SLICE_ANGLE_DEG = 1.0


@dataclass(frozen=True)
class SlicePose:
    """Where one 2D image (rows, columns) lies: origin is the centre of pixel (0, 0), LPS mm.

    The columns of ``direction`` are the unit vectors along x (columns), y (rows) and the slice normal.
    """

    origin_mm: Vector3
    direction: NDArray[np.float64]
    spacing_mm: tuple[float, float]  # (x, y)
    thickness_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin_mm", tuple(float(o) for o in self.origin_mm))
        object.__setattr__(self, "spacing_mm", tuple(float(s) for s in self.spacing_mm))
        object.__setattr__(self, "direction", np.asarray(self.direction, dtype=np.float64).reshape(3, 3))
        check_direction(self.direction, "slice")
        check_spacing((*self.spacing_mm, self.thickness_mm), "slice")

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal of the slice, LPS, shape (3,)."""
        return self.direction[:, 2]

    @property
    def pixel_to_lps(self) -> NDArray[np.float64]:
        """4x4 from (x, y, offset along the normal in mm, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * np.asarray([*self.spacing_mm, 1.0])
        matrix[:3, 3] = self.origin_mm
        return matrix

    def points_lps(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixel coordinates (..., 2) as (x, y) -> LPS mm (..., 3)."""
        m = self.pixel_to_lps
        return xy @ m[:3, :2].T + m[:3, 3]

    def pixels(self, points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm (..., 3) -> pixel coordinates (..., 2) as (x, y), projected along the normal."""
        inverse = np.linalg.inv(self.pixel_to_lps)
        return (points_lps @ inverse[:3, :3].T + inverse[:3, 3])[..., :2]

    def grid_lps(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """LPS mm of every pixel centre of an image (y, x): shape (y, x, 3)."""
        y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
        return self.points_lps(np.stack([x, y], axis=-1))


@dataclass(frozen=True)
class Sequence:
    """What is known of the acquisition (saturation-recovery FLASH); None where unknown."""

    ti_ms: float | None = None
    tr_ms: float | None = None
    flip_deg: float | None = None
    baseline_t1_blood_ms: float | None = None
    baseline_t1_myocardium_ms: float | None = None
    relaxivity_per_mmol_s: float | None = None
    dual_sequence_aif: bool = False


@dataclass(frozen=True)
class Series:
    """First-pass perfusion: array (t, slice, y, x), one pose per slice, times (t, slice) in seconds.

    ``aif_frames`` (t, y, x) is the low-resolution arterial-input image of a dual-sequence acquisition, if any, at
    ``aif_pose``; ``aif_sequence`` is how it was acquired: its saturation time is far shorter than that of ``array``.
    Slices are parallel and ordered as acquired; no order along the heart is assumed here.
    """

    array: NDArray[np.float32]
    poses: tuple[SlicePose, ...]
    times_s: NDArray[np.float64]
    state: str = "stress"  # "stress" or "rest"
    sequence: Sequence = field(default_factory=Sequence)
    aif_frames: NDArray[np.float32] | None = None
    aif_pose: SlicePose | None = None
    aif_sequence: Sequence | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 4:
            raise BadInputError(f"A perfusion series needs (time, slice, y, x), this array has {self.array.shape}.")
        t, slices = self.array.shape[:2]
        times = np.asarray(self.times_s, dtype=np.float64)
        if times.ndim == 1:
            times = np.repeat(times[:, None], slices, axis=1)
        object.__setattr__(self, "times_s", times)
        object.__setattr__(self, "poses", tuple(self.poses))
        if times.shape != (t, slices) or len(self.poses) != slices:
            raise BadInputError(
                f"The perfusion series has {t} frames of {slices} slices but {len(self.poses)} slice positions and "
                f"times of shape {times.shape}; give one position a slice and one time a frame and slice."
            )
        if t < MIN_FRAMES:
            raise BadInputError(
                f"The perfusion series has only {t} frames; a first pass needs at least {MIN_FRAMES}. Check that the "
                "whole dynamic series was exported."
            )
        if not np.all(np.isfinite(self.array)):
            raise BadInputError("The perfusion series holds values that are not numbers (NaN); export it again.")
        if not np.all(np.isfinite(times)) or np.any(np.diff(times, axis=0) <= 0):
            raise BadInputError(
                "The frame times of the perfusion series do not rise from frame to frame (unsorted or repeated); "
                "sort the frames by acquisition time or correct the times sidecar."
            )
        normals = np.stack([p.normal for p in self.poses])
        if np.any(normals @ normals[0] < np.cos(np.deg2rad(MAX_SLICE_ANGLE_DEG))):
            raise BadInputError(
                "The slices of the perfusion series are not parallel; give the short-axis slices only, without "
                "long-axis views."
            )
        if (self.aif_frames is None) != (self.aif_pose is None) or (
            self.aif_frames is not None and (self.aif_frames.ndim != 3 or len(self.aif_frames) != t)
        ):
            raise BadInputError(
                f"The arterial-input images must be (time, y, x) with {t} frames and come with their position; leave "
                "them out or export them again."
            )
        if self.state not in ("stress", "rest"):
            raise BadInputError(f"The state of a perfusion series is 'stress' or 'rest', not '{self.state}'.")

    @property
    def frame_count(self) -> int:
        """Number of frames over time."""
        return int(self.array.shape[0])

    @property
    def slice_count(self) -> int:
        """Number of slices."""
        return int(self.array.shape[1])

    def with_array(self, array: NDArray[np.float32]) -> Series:
        """The same series with other pixel values."""
        return replace(self, array=array)

    def slice_volume(self, frame: NDArray[np.generic], slice_index: int) -> Volume:
        """One 2D image (y, x) of slice ``slice_index`` as a one-slice volume at its place."""
        pose = self.poses[slice_index]
        return Volume(frame[None], (*pose.spacing_mm, pose.thickness_mm), pose.origin_mm, pose.direction)
