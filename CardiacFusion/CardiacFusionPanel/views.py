"""What needs Slicer's window: layouts, placing points, the Segment Editor. Each does nothing without a window."""

from __future__ import annotations

from typing import Any

import slicer

# slice views of the library's layouts, by the names that the report gives their pictures
_SLICES = {"short_axis": "Red", "long_axis_horizontal": "Green", "long_axis_vertical": "Yellow"}


def show_layout(review: Any, case: Any, key: str) -> bool:
    """Switch to one of the library's layouts and point its views at the case; False where there is no window."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return False
    ids = review.register_layout(manager.layoutLogic().GetLayoutNode())
    manager.setLayout(ids[key])
    review.show_case(case)
    return True


def windows(bullseye: str) -> dict[str, Any]:
    """The VTK render windows of the views on the screen, by the report's names; ``bullseye`` is its view's name."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return {}
    found = {}
    for name, layout in _SLICES.items():
        widget = manager.sliceWidget(layout)
        if widget is not None and widget.visible:
            found[name] = widget.sliceView().renderWindow()
    bodies = {"1": "surface_3d", bullseye: "bullseye"}
    for index in range(manager.threeDViewCount):
        widget = manager.threeDWidget(index)
        layout = widget.threeDView().mrmlViewNode().GetLayoutName()
        if widget.visible and layout in bodies:
            found[bodies[layout]] = widget.threeDView().renderWindow()
    return found


def interactor_of(layout: str) -> Any:
    """The VTK interactor of the 3D view with a layout name; None where it is not shown."""
    manager = slicer.app.layoutManager()
    for index in range(manager.threeDViewCount if manager is not None else 0):
        view = manager.threeDWidget(index).threeDView()
        if view.mrmlViewNode().GetLayoutName() == layout:
            return view.interactor()
    return None


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
