"""What Slicer shows when the scene is opened: CT with the flow map over it in the three cardiac planes."""

from __future__ import annotations

from typing import Any

import numpy as np

from CardiacFusionLib.mrml.frames import points_ras
from CardiacFusionLib.mrml.scene import CaseNodes

# Slicer's own slice views: layout name -> preset. In the heart frame these are short, vertical and horizontal long axis
_PLANES = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
_FIELD_MM = 180.0
_MAP_OPACITY = 0.9


def arrange(scene: Any, nodes: CaseNodes) -> None:
    """Point the Red, Yellow and Green views at a case: made where missing (headless), changed where they exist.

    Slicer takes these nodes over when it loads the scene, since they carry its own singleton tags.
    """
    for layout, preset in _PLANES.items():
        view = _singleton(scene, "vtkMRMLSliceNode", layout)
        view.SetOrientation(preset)
        view.SetFieldOfView(_FIELD_MM, _FIELD_MM, 1.0)
        matrix = view.GetSliceToRAS()
        for axis, value in enumerate(points_ras(np.zeros(3))):
            matrix.SetElement(axis, 3, float(value))
        view.UpdateMatrices()
        composite = _singleton(scene, "vtkMRMLSliceCompositeNode", layout)
        composite.SetBackgroundVolumeID(nodes.ct.GetID())
        composite.SetForegroundVolumeID(nodes.wall_map.GetID())
        composite.SetForegroundOpacity(_MAP_OPACITY)
        composite.SetLinkedControl(False)  # linked, one view's orientation would turn the others


def _singleton(scene: Any, class_name: str, layout: str) -> Any:
    """The node of a class that serves a layout's view, added where there is none."""
    found = scene.GetSingletonNode(layout, class_name)
    if found is not None:
        return found
    node = scene.CreateNodeByClass(class_name)
    node.UnRegister(None)
    node.SetSingletonTag(layout)
    node.SetLayoutName(layout)
    node.SetName(layout)
    return scene.AddNode(node)
