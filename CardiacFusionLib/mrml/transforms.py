"""Heart poses as linear transform nodes: nothing is resampled, a corrected pose moves everything below it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.mrml.frames import array_of, transform_lps, transform_ras, vtk_matrix


def add_transform(scene: Any, to_heart: NDArray[np.float64], name: str) -> Any:
    """A linear transform node from a 4x4 (patient LPS -> heart frame)."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    set_transform(node, to_heart)
    return node


def set_transform(node: Any, to_heart: NDArray[np.float64]) -> None:
    """Move a transform node to another 4x4 (patient LPS -> heart frame)."""
    node.SetMatrixTransformToParent(vtk_matrix(transform_ras(to_heart)))


def matrix_of(node: Any) -> NDArray[np.float64]:
    """The 4x4 (patient LPS -> heart frame) of a linear transform node."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(matrix)
    return transform_lps(array_of(matrix))


def place_under(node: Any, transform: Any) -> Any:
    """Put a node under a transform node; the node is returned."""
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node
