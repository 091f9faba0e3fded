"""Motion correction of a first-pass series, before anything is segmented.

Per slice: (1) the respiratory shift, from windowed correlations of edges between many pairs of frames (``shifts``);
(2) the shift again and (3) a light non-rigid displacement, each frame against its own *guide*: the frame rebuilt from
the first few principal components of the series. Contrast change is slow and shared by large regions, so it is of low
rank and the guide follows it; motion is not, and the guide leaves it out (Melbourne 2007, Phys Med Biol 52:5147,
progressive principal component registration; Xue 2008). Guides are built again after every round. Frames are
interpolated once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.perfusion.noise import noise_sd
from CardiacFusionLib.perfusion.result import Motion
from CardiacFusionLib.perfusion.shifts import Correlator, Window, edges, shifts_from_pairs
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.series import Series

STAGE = "perfusion"
HEART_RADIUS_MM = 55.0  # the window that is compared: both ventricles, little chest wall
MAX_SHIFT_MM = 24.0  # free breathing moves a short-axis view by 15 mm or less
GUIDE_RANKS = (3, 4, 5)
REFINE_PIXELS = 3  # search about the shift found before, against guides
NON_RIGID_ROUNDS = 2
MAX_BEND_PIXELS = 2.0  # of half resolution
RESIDUAL_LIMIT_MM = 1.5  # about one pixel: more smears the subendocardium
LOST_SIMILARITY = 0.7
# correlation of a frame's borders with those common to all: 0.57 and more in twins of contrast-to-noise 6, 0.15-0.45
# where the heart lies elsewhere
LOST_BORDERS = 0.45
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class _SliceMotion:
    shift: Floats  # (t, 2) pixels, (x, y)
    displacement: Floats | None  # (t, 2, y, x) pixels
    residual: float  # pixels
    similarity: Floats  # (t,)


def correct_motion(series: Series, *, non_rigid: bool = True) -> tuple[Series, Motion]:
    """The series with the heart held still, and the motion that was taken out.

    ``non_rigid`` False stops after the shifts. Times, poses and dual-sequence frames stay as they are.
    """
    corrected = np.empty_like(series.array, dtype=np.float32)
    parts, noise = [], []
    for s in range(series.slice_count):
        frames = series.array[:, s].astype(np.float64)
        part = _slice_motion(frames, series.poses[s].spacing_mm, non_rigid)
        corrected[:, s] = _warp(frames, part.shift, part.displacement, order=3)
        parts.append(part)
        noise.append(noise_sd(frames))
    spacing = np.array([p.spacing_mm for p in series.poses])  # (slice, 2)
    shift_mm = np.stack([p.shift for p in parts], axis=1) * spacing[None]
    displacement = None
    if all(p.displacement is not None for p in parts):
        fields = np.stack([p.displacement for p in parts if p.displacement is not None], axis=1)
        displacement = (fields * spacing[None, :, :, None, None]).astype(np.float32)
    residual = np.array([p.residual for p in parts]) * spacing.mean(axis=1)
    similarity = np.stack([p.similarity for p in parts], axis=1).astype(np.float64)
    quality = Quality.of(_flags(residual, similarity))
    return series.with_array(corrected), Motion(
        shift_mm.astype(np.float32), displacement, residual, similarity, np.array(noise), quality
    )


def heart_window(frames: Floats, spacing_mm: tuple[float, float]) -> Window:
    """A soft disc about the place where brightness changes most over time: the blood pools of both ventricles."""
    change = ndimage.gaussian_filter(frames.std(axis=0), 2.0)
    y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in change.shape), indexing="ij")
    weight = np.maximum(change - np.percentile(change, 70), 0.0) ** 2
    # twice: the second time only near the first centre, so that vessels at the edge do not pull
    centre = np.array([y.mean(), x.mean()])
    reach = 4 * HEART_RADIUS_MM
    for _ in range(3):
        near = weight * np.exp(
            -(((y - centre[0]) * spacing_mm[1]) ** 2 + ((x - centre[1]) * spacing_mm[0]) ** 2) / (2 * reach**2)
        )
        total = max(float(near.sum()), 1e-12)
        centre = np.array([(near * y).sum() / total, (near * x).sum() / total])
        reach = 0.8 * HEART_RADIUS_MM
    distance = np.hypot((y - centre[0]) * spacing_mm[1], (x - centre[1]) * spacing_mm[0])
    soft = 0.5 - 0.5 * np.tanh((distance - HEART_RADIUS_MM) / (0.15 * HEART_RADIUS_MM))
    pixels = (int(np.ceil(MAX_SHIFT_MM / spacing_mm[1])), int(np.ceil(MAX_SHIFT_MM / spacing_mm[0])))
    limits = tuple(max(2, min(p, n // 3)) for p, n in zip(pixels, change.shape))
    return Window(soft.astype(np.float32), (limits[0], limits[1]))


def _slice_motion(frames: Floats, spacing_mm: tuple[float, float], non_rigid: bool) -> _SliceMotion:
    scale = max(float(np.percentile(frames, 99)), 1e-9)
    whole = heart_window(frames, spacing_mm)
    box = _box(whole)
    window = Window(whole.weights[box], whole.reach)
    # blunted brightness: a bolus ten times brighter than muscle must not be all that is compared
    # single precision: shifts are read to a hundredth of a pixel, and transforms take half the time
    blunt = np.sqrt(np.maximum(frames[(slice(None), *box)] / scale, 0.0)).astype(np.float32)
    shift = shifts_from_pairs(edges(blunt, window.weights), window)
    blunt = ndimage.gaussian_filter(blunt, (0, 0.7, 0.7))
    near = Window(window.weights, (REFINE_PIXELS, REFINE_PIXELS))
    everyone = np.arange(len(frames))
    for rank in GUIDE_RANKS:
        still = _warp(blunt, shift, None, order=1)
        found, _ = Correlator(still, near).best(_guides(still, window.weights, rank), everyone)
        shift = shift + found - np.median(found, axis=0)
    displacement = _displacement(blunt, shift, window.weights) if non_rigid else None
    still = _warp(blunt, shift, displacement, order=1)
    left, similarity = Correlator(still, near).best(_guides(still, window.weights, GUIDE_RANKS[-1]), everyone)
    # many frames that lie elsewhere make guides of their own; what all frames share tells them
    shared = _shared_borders(still, window.weights)
    similarity = np.where(shared < LOST_BORDERS, np.minimum(similarity, shared), similarity)
    if displacement is not None:
        inside = displacement * window.weights
        displacement = np.zeros((len(frames), 2, *frames.shape[1:]))
        displacement[(slice(None), slice(None), *box)] = inside
    shift = shift - np.median(shift, axis=0)
    return _SliceMotion(shift, displacement, float(np.sqrt(np.mean(np.sum(left**2, axis=1)))), similarity)


def _shared_borders(still: Floats, weights: Floats) -> Floats:
    """Correlation (t,) of the borders in each frame with the median over time of all frames' borders."""
    borders = edges(still, weights)
    share = weights / weights.sum()

    def centred(images: Floats) -> Floats:
        return np.asarray(images - (images * share).sum(axis=(-2, -1), keepdims=True))

    common, each = centred(np.median(borders, axis=0)), centred(borders)
    product = (share * each * common).sum(axis=(1, 2))
    return np.asarray(product / np.sqrt((share * each**2).sum(axis=(1, 2)) * (share * common**2).sum() + 1e-12))


def _box(window: Window) -> tuple[slice, slice]:
    """The part of the picture that the window and its shifted copies can reach."""
    rows = np.nonzero((window.weights > 0.02).any(axis=1))[0]
    columns = np.nonzero((window.weights > 0.02).any(axis=0))[0]
    height, width = window.weights.shape
    return (
        slice(max(int(rows[0]) - window.reach[0], 0), min(int(rows[-1]) + window.reach[0] + 1, height)),
        slice(max(int(columns[0]) - window.reach[1], 0), min(int(columns[-1]) + window.reach[1] + 1, width)),
    )


def _guides(still: Floats, weights: Floats, rank: int) -> Floats:
    """Each frame rebuilt from the mean and the first ``rank`` principal components inside the window."""
    n = len(still)
    flat = still.reshape(n, -1)
    mean = flat.mean(axis=0)
    centred = flat - mean
    weighted = centred * np.sqrt(weights.ravel())
    values, vectors = np.linalg.eigh(weighted @ weighted.T)
    basis = vectors[:, np.argsort(values)[::-1][:rank]]
    return np.asarray((basis @ (basis.T @ centred) + mean).reshape(still.shape))


def _displacement(frames: Floats, shift: Floats, weights: Floats) -> Floats:
    """The non-rigid rest (t, 2, y, x) in pixels beyond the shifts, found at half resolution: it is smooth."""
    small, small_weights = _halved(frames), _halved(weights[None])[0]
    field = np.zeros((len(small), 2, *small.shape[1:]), small.dtype)
    for _ in range(NON_RIGID_ROUNDS):
        still = _warp(small, shift / 2, field, order=1)
        field = _deform(small, _guides(still, small_weights, GUIDE_RANKS[-1]), shift / 2, field, small_weights)
    height, width = frames.shape[1:]
    full = 2.0 * ndimage.zoom(field, (1, 1, 2, 2), order=1, mode="nearest", grid_mode=True)
    return np.asarray(full[:, :, :height, :width])


def _halved(images: Floats) -> Floats:
    """Means over blocks of two by two pixels; an odd edge is repeated."""
    n, height, width = images.shape
    even = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    return np.asarray(even.reshape(n, (height + 1) // 2, 2, (width + 1) // 2, 2).mean(axis=(2, 4)))


def _deform(frames: Floats, guides: Floats, shift: Floats, start: Floats, weights: Floats, steps: int = 4) -> Floats:
    """A smooth displacement (t, 2, y, x) in pixels that brings each frame onto its guide (demons, all frames at once).

    Thirion 1998, Med Image Anal 2:243. Strong smoothing keeps it light: it follows the squeeze and tilt of a heart in
    another phase of breathing, not noise. A frame keeps its displacement only where that made it more like its guide.
    """
    gradient = np.stack([np.gradient(guides, axis=2), np.gradient(guides, axis=1)], axis=1)
    strength = np.sum(gradient**2, axis=1)
    floor = 0.05 * np.percentile(strength[:, weights > 0.5], 90) + 1e-12
    field = start.copy()
    blur = (0, 0, 1.5, 1.5)
    for _ in range(steps):
        difference = guides - _warp(frames, shift, field, order=1)
        force = difference[:, None] * gradient / (strength + difference**2 + floor)[:, None]
        field = ndimage.gaussian_filter(field + 1.5 * ndimage.gaussian_filter(force * weights, blur), (0, 0, 0.5, 0.5))
    field = np.clip(field, -MAX_BEND_PIXELS, MAX_BEND_PIXELS)

    def misfit(displacement: Floats) -> Floats:
        rest = (guides - _warp(frames, shift, displacement, order=1)) ** 2 * weights
        return np.asarray(rest.sum(axis=(1, 2)))

    better = misfit(field) < misfit(start)
    return np.where(better[:, None, None, None], field, start)


def _warp(frames: Floats, shift: Floats, displacement: Floats | None, order: int) -> Floats:
    """Frames (t, y, x) read at p + shift (+ displacement), pixels (x, y); edges are repeated."""
    if displacement is None:
        moved = np.empty_like(frames)
        for i, frame in enumerate(frames):
            moved[i] = ndimage.shift(frame, (-shift[i, 1], -shift[i, 0]), order=order, mode="nearest")
        return moved
    y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in frames.shape[1:]), indexing="ij")
    moved = np.empty_like(frames)
    for i, frame in enumerate(frames):
        where = np.stack([y + shift[i, 1] + displacement[i, 1], x + shift[i, 0] + displacement[i, 0]])
        moved[i] = ndimage.map_coordinates(frame, where, order=order, mode="nearest")
    return moved


def _flags(residual_mm: Floats, similarity: Floats) -> list[Flag]:
    flags = []
    for s, left in enumerate(residual_mm):
        if left > RESIDUAL_LIMIT_MM:
            flags.append(
                Flag(STAGE, "motion_left", Level.DOUBTFUL, f"Slice {s + 1}: {left:.1f} mm of motion are left over.")
            )
        lost = np.nonzero(similarity[:, s] < LOST_SIMILARITY)[0]
        if lost.size > 0.1 * len(similarity):
            flags.append(
                Flag(
                    STAGE,
                    "frames_out_of_plane",
                    Level.DOUBTFUL,
                    f"Slice {s + 1}: {lost.size} frames (first: {lost[0] + 1}) do not look like their neighbours; the "
                    "heart left the plane or the trigger was lost.",
                )
            )
    return flags
