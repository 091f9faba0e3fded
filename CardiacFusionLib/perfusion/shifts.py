"""In-plane shifts between frames whose brightness changes: windowed correlation by FFT, and all pairs made one.

The normalised correlation under a fixed window (Padfield 2012, IEEE Trans Image Process 21:2706) compares the heart in
one frame with every shifted position of another; the window is not moved along, so that static surroundings do not pull
the answer to zero. Frames far apart in time look different, neighbours look alike: shifts are therefore measured
between many pairs and brought into agreement by robust least squares over the graph of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.floating]
_LOW_SIMILARITY = 0.3  # correlation below which a pair says nothing


@dataclass(frozen=True)
class Window:
    """Weights (y, x) of the region that is compared, and the largest shift looked for in pixels (y, x)."""

    weights: Floats
    reach: tuple[int, int]


class Correlator:
    """Windowed normalised correlation of fixed images with moving ones of the same shape (n, y, x)."""

    def __init__(self, moving: Floats, window: Window) -> None:
        self._window = window
        self._shape = tuple(fft.next_fast_len(n + 2 * r, real=True) for n, r in zip(moving.shape[1:], window.reach))
        self._sum = float(window.weights.sum())
        self._moving = self._forward(moving)
        weights = np.conj(self._forward(window.weights[None]))
        mean = self._backward(self._moving * weights) / self._sum
        square = self._backward(self._forward(moving**2) * weights) / self._sum
        self._spread = np.sqrt(np.maximum(square - mean**2, 1e-12))

    def _forward(self, images: Floats) -> NDArray[np.complexfloating]:
        return np.asarray(fft.rfft2(images, s=self._shape))

    def _backward(self, spectrum: NDArray[np.complexfloating]) -> Floats:
        """Correlation for shifts -reach..reach only, (n, 2 ry + 1, 2 rx + 1)."""
        ry, rx = self._window.reach
        full = fft.irfft2(spectrum, s=self._shape)
        return np.asarray(np.roll(full, (ry, rx), axis=(1, 2))[:, : 2 * ry + 1, : 2 * rx + 1])

    def best(self, fixed: Floats, moving: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Shift (n, 2) in pixels (x, y) at which moving frames look most like ``fixed`` (n, y, x), and correlation
        (n,).

        moving(p + shift) ~ fixed(p); subpixel by a parabola through the maximum.
        """
        weights = self._window.weights
        mean = (fixed * weights).sum(axis=(1, 2), keepdims=True) / self._sum
        centred = fixed - mean
        spread = np.sqrt(np.maximum((weights * centred**2).sum(axis=(1, 2)) / self._sum, 1e-12))
        product = self._backward(self._moving[moving] * np.conj(self._forward(centred * weights))) / self._sum
        score = product / (self._spread[moving] * spread[:, None, None])
        return _maxima(score, self._window.reach)


def _maxima(score: Floats, reach: tuple[int, int]) -> tuple[Floats, Floats]:
    """Subpixel place of the maximum of each (n, 2 ry + 1, 2 rx + 1) score, as shift (x, y), and its value."""
    n, height, width = score.shape
    # the maximum is sought inside, so that it has neighbours on all sides
    inner = score[:, 1:-1, 1:-1].reshape(n, -1)
    flat = np.argmax(inner, axis=1)
    y, x = flat // (width - 2) + 1, flat % (width - 2) + 1
    row = np.arange(n)
    at = score[row, y, x]
    shift = np.empty((n, 2))
    for axis, (before, after, place, middle) in enumerate(
        (
            (score[row, y, x - 1], score[row, y, x + 1], x, reach[1]),
            (score[row, y - 1, x], score[row, y + 1, x], y, reach[0]),
        )
    ):
        bend = before - 2 * at + after
        part = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
        shift[:, axis] = place - middle + np.clip(part, -0.5, 0.5)
    return shift, at


def edges(frames: Floats, weights: Floats, blur: float = 1.5) -> Floats:
    """Where borders are, whatever the brightness on either side: gradient magnitude over itself plus its mean.

    A frame before the bolus and one after it share hardly any brightness but most borders (heart against lung and fat);
    dividing by the mean of each frame keeps the one bright ventricle from being the only border.
    """
    smooth = ndimage.gaussian_filter(frames, (0, blur, blur))
    steepness = np.hypot(np.gradient(smooth, axis=1), np.gradient(smooth, axis=2))
    usual = (steepness * weights).sum(axis=(1, 2), keepdims=True) / weights.sum()
    return np.asarray(steepness / (steepness + usual + 1e-12))


def shifts_from_pairs(frames: Floats, window: Window, span: int = 8) -> Floats:
    """Position (n, 2) in pixels (x, y) of the heart in each frame (n, y, x), from pairs 1, 2, 3, 5, ``span`` frames
    apart and twice and three times that."""
    n = len(frames)
    correlator = Correlator(frames, window)
    pairs, measured, trust = [], [], []
    # neighbours, and a few far steps that stop the chain from drifting
    for gap in [1, 2, 3, 5, span, 2 * span, 3 * span]:
        if gap >= n:
            break
        fixed = np.arange(0, n - gap)
        shift, similarity = correlator.best(frames[fixed], fixed + gap)
        pairs.append(np.stack([fixed, fixed + gap], axis=1))
        measured.append(shift)
        trust.append(np.maximum(similarity - _LOW_SIMILARITY, 0.0) ** 2)
    return agree(n, np.concatenate(pairs), np.concatenate(measured), np.concatenate(trust))


def agree(n: int, pairs: NDArray[np.int64], measured: Floats, trust: Floats, rounds: int = 15) -> Floats:
    """Positions (n, 2) whose differences agree best with measured ones: position[j] - position[i] for pairs (i, j).

    Robust (iteratively reweighted) least squares; the median position is zero.
    """
    i, j = pairs.T
    position: NDArray[np.floating] = np.zeros((n, 2))
    weight = trust + 1e-6
    for _ in range(rounds):
        laplacian = np.zeros((n, n))
        np.add.at(laplacian, (i, i), weight)
        np.add.at(laplacian, (j, j), weight)
        np.add.at(laplacian, (i, j), -weight)
        np.add.at(laplacian, (j, i), -weight)
        right = np.zeros((n, 2))
        np.add.at(right, j, weight[:, None] * measured)
        np.add.at(right, i, -weight[:, None] * measured)
        position = np.linalg.solve(laplacian + 1e-9 * np.eye(n), right)
        rest = np.linalg.norm(measured - (position[j] - position[i]), axis=1)
        weight = (trust + 1e-6) / (rest + 0.3)  # 0.3 pixel: the error of a good pair
    return np.asarray(position - np.median(position, axis=0))
