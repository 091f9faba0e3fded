"""A smooth random displacement that makes no two hearts alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SmoothWarp:
    """Sum of plane sine waves: ``material = space + u(space)``, u (mm) with wavelengths well above the bodies' detail.

    ``waves`` (k, 3) rad/mm, ``phases`` (k,), ``amplitudes`` (k, 3) mm. The sum of amplitude x wave number is kept
    below 0.35, so the map never folds.
    """

    waves: NDArray[np.float32]
    phases: NDArray[np.float32]
    amplitudes: NDArray[np.float32]

    @staticmethod
    def draw(rng: np.random.Generator, count: int = 5, rms_mm: float = 2.5) -> SmoothWarp:
        """Wavelengths 70-220 mm, displacement about ``rms_mm`` root mean square."""
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        waves = direction * (2 * np.pi / rng.uniform(70, 220, (count, 1)))
        amplitudes = rng.normal(size=(count, 3)) * rms_mm * np.sqrt(2 / (3 * count))
        steepness = float((np.linalg.norm(amplitudes, axis=1) * np.linalg.norm(waves, axis=1)).sum())
        amplitudes *= min(1.0, 0.35 / max(steepness, 1e-9))
        return SmoothWarp(
            waves.astype(np.float32), rng.uniform(0, 2 * np.pi, count).astype(np.float32), amplitudes.astype(np.float32)
        )

    def displacement(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """u at points (n, 3)."""
        return np.sin(np.asarray(points, np.float32) @ self.waves.T + self.phases) @ self.amplitudes

    def to_material(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Space -> material coordinates (n, 3)."""
        return np.asarray(points, np.float32) + self.displacement(points)

    def to_space(self, material: NDArray[np.floating]) -> NDArray[np.float64]:
        """Material -> space by fixed-point iteration (a contraction, see class)."""
        target = np.asarray(material, float)
        points = target.copy()
        for _ in range(25):
            points = target - self.displacement(points)
        return points
