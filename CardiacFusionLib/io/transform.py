"""A rigid transform as an ITK ``.tfm`` file that puts the CT upright in Slicer.

Direction, since it is the classic trap: an ITK transform file holds the *resampling* transform, which maps points of
the target space to the image. Slicer reads it as a transform node's "from parent" matrix and shows the inverse as
"to parent". ``write_tfm(lps_to_heart)`` therefore stores **heart -> LPS**: the CT, placed under the loaded node
``ct_to_heart``, stands upright in Slicer, and the same file handed to ``SimpleITK.Resample`` with a grid in the heart
frame resamples the CT upright. ``read_tfm`` gives ``lps_to_heart`` back. All numbers are LPS millimetres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError


def write_tfm(lps_to_heart: NDArray[np.float64], path: Path | str) -> None:
    """Write a 4x4 LPS -> heart transform; the file holds its inverse (see the module's text)."""
    inverse = np.linalg.inv(np.asarray(lps_to_heart, dtype=np.float64))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(inverse[:3, :3].ravel().tolist())
    transform.SetTranslation(inverse[:3, 3].tolist())
    try:
        sitk.WriteTransform(transform, str(path))
    except RuntimeError as error:
        raise OSError(f"{path} could not be written ({str(error).strip().splitlines()[-1]})") from error


def read_tfm(path: Path | str) -> NDArray[np.float64]:
    """The 4x4 LPS -> heart transform of a linear ITK transform file; BadInputError where it is none."""
    path = Path(path)
    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise BadInputError(f"{path.name} is not a readable ITK transform file; save it again from Slicer.") from error
    if not transform.IsLinear() or transform.GetDimension() != 3:
        raise BadInputError(f"{path.name} is not a linear 3D transform; harden or remove its warp and save it again.")
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    for axis in range(3):
        unit = np.zeros(3)
        unit[axis] = 1.0
        matrix[:3, axis] = np.asarray(transform.TransformPoint(unit.tolist())) - origin
    matrix[:3, 3] = origin
    if abs(float(np.linalg.det(matrix[:3, :3]))) < 1e-6:
        raise BadInputError(f"The transform in {path.name} flattens space; save it again from Slicer.")
    return np.asarray(np.linalg.inv(matrix))
