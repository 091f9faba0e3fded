"""The one place where LPS (DICOM, SimpleITK, this library) meets RAS (Slicer's scene).

The scene's world is the heart frame, its axes read like L, P, S: an 'axial' slice is the short axis with the septum on
the viewer's left and the anterior wall up; 'coronal' and 'sagittal' slices are the long axes with the apex down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.volume import Volume

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def points_ras(points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """LPS mm (..., 3) -> RAS mm (..., 3), for points and vectors."""
    return np.asarray(points_lps, dtype=float) * np.array([-1.0, -1.0, 1.0])


def points_lps(points_ras_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """RAS mm (..., 3) -> LPS mm (..., 3), for points and vectors."""
    return np.asarray(points_ras_mm, dtype=float) * np.array([-1.0, -1.0, 1.0])


def transform_ras(lps_to_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A 4x4 between two LPS-like frames as the same 4x4 between the RAS-like ones."""
    return _FLIP @ np.asarray(lps_to_lps, dtype=float) @ _FLIP


def transform_lps(ras_to_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """The reverse of :func:`transform_ras`."""
    return _FLIP @ np.asarray(ras_to_ras, dtype=float) @ _FLIP


def ijk_to_ras(volume: Volume) -> NDArray[np.float64]:
    """4x4 from voxel index (i, j, k) to RAS mm of a volume."""
    return _FLIP @ volume.index_to_lps


def volume_from_ijk_to_ras(array: NDArray[np.generic], matrix: NDArray[np.float64]) -> Volume:
    """A volume (array (z, y, x)) from the 4x4 index -> RAS of a scene node."""
    lps = _FLIP @ np.asarray(matrix, dtype=float)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return Volume(array, tuple(spacing), tuple(lps[:3, 3]), lps[:3, :3] / spacing)


def vtk_matrix(matrix: NDArray[np.float64]) -> Any:
    """A 4x4 array as ``vtkMatrix4x4``."""
    import vtk

    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=float).ravel())
    return result


def array_of(matrix: Any) -> NDArray[np.float64]:
    """A ``vtkMatrix4x4`` as a 4x4 array."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
