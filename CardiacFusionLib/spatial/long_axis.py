"""Long-axis views: their frames, the standard way to look at them, and the names of the landmarks that they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS, canonical_axes
from CardiacFusionLib.spatial.series import SlicePose

NAMES = ("mitral_1", "mitral_2", "apex")
# from the anterior septum to the inferolateral wall, as an angle from +x to +y of the heart frame: the planes of the
# usual views (2-, 3- and 4-chamber lie at 90, about 40 and about -25 degrees) are all seen from their usual side so,
# and none of them is near the plane that is square to it, where the side changes
RIGHTWARDS_DEG = 32.0
_MEAN = canonical_axes(MEAN_LONG_AXIS_LPS)
RIGHTWARDS_LPS = np.cos(np.deg2rad(RIGHTWARDS_DEG)) * _MEAN[:, 0] + np.sin(np.deg2rad(RIGHTWARDS_DEG)) * _MEAN[:, 1]


@dataclass(frozen=True)
class LongAxisView:
    """One plane along the ventricle: ``frames`` (t, y, x) of a film or a single one, cine or perfusion, at one pose."""

    name: str
    frames: NDArray[np.float32]
    pose: SlicePose

    def __post_init__(self) -> None:
        if self.frames.ndim != 3 or not len(self.frames) or not np.all(np.isfinite(self.frames)):
            raise BadInputError(f"The long-axis view {self.name} must be one or more 2D frames of finite values.")


def long_axis_axes(normal_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard axes of a long-axis plane in LPS, shape (3, 3), columns x, y, z: right, down (to the apex by the heart's
    usual lie) and the normal away from the viewer. The septum or the anterior wall is on the viewer's left.

    Only the plane counts, not the image's rows and columns, nor which way its normal points.
    """
    n = np.asarray(normal_lps, dtype=float)
    n = n / np.linalg.norm(n)
    down = -MEAN_LONG_AXIS_LPS + (MEAN_LONG_AXIS_LPS @ n) * n
    if np.linalg.norm(down) < 0.2:  # a short-axis plane: an answer must exist
        down = RIGHTWARDS_LPS - (RIGHTWARDS_LPS @ n) * n
    y = down / np.linalg.norm(down)
    x = np.cross(y, n)
    if float(x @ RIGHTWARDS_LPS) < 0:
        x, n = -x, -n
    return np.stack([x, y, n], axis=1)
