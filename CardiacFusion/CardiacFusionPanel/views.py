"""What needs Slicer's window: layouts, placing points, the Segment Editor. Each does nothing without a window."""

from __future__ import annotations

from typing import Any

import slicer


def show_layout(review: Any, case: Any, key: str) -> bool:
    """Switch to one of the library's layouts and point its views at the case; False where there is no window."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return False
    ids = review.register_layout(manager.layoutLogic().GetLayoutNode())
    manager.setLayout(ids[key])
    review.show_case(case)
    return True


def start_placing(node: Any, index: int) -> None:
    """Let the next click in a view place one point of a list."""
    node.UnsetNthControlPointPosition(index)
    node.SetControlPointPlacementStartIndex(index)
    logic = slicer.modules.markups.logic()
    logic.SetActiveList(node)
    logic.StartPlaceMode(False)


def edit_segmentation(segmentation: Any, volume: Any) -> bool:
    """Open the Segment Editor on a segmentation over its image; False where there is no window."""
    if slicer.util.mainWindow() is None:
        return False
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.SegmentEditorWidget.editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    return True
