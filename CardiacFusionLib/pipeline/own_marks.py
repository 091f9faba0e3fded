"""What the reader brought along takes the place of the automatic result: a correction like any other, and undoable."""

from __future__ import annotations

from typing import Any

from CardiacFusionLib.mrml import own_marks
from CardiacFusionLib.mrml.segmentations import set_walls
from CardiacFusionLib.pipeline.at_work import Changed, Correction


def take_outline(correction: Correction, segmentation: Any) -> Changed | None:
    """Use the LV wall and cavity of a segmentation in the CT; all that depends on them follows.

    Raises BadInputError where the segmentation has no such segments; then nothing has changed.
    """
    walls = correction.session.results.ct_walls
    assert walls is not None  # a case in the scene has been through all stages
    outline = own_marks.outline_of(segmentation, walls.labels)
    correction.unwatch()  # both segments are one act, not two
    try:
        set_walls(correction.scene, correction.case.walls, own_marks.merged(walls.labels, outline))
        return correction.apply_walls()
    finally:
        correction.watch()


def take_centres(correction: Correction, points: Any) -> Changed | None:
    """Use a point list as the LV's centre in the stress slices; all that depends on them follows.

    Raises BadInputError where a point belongs to no slice; then nothing has changed.
    """
    stress = correction.session.results.stress
    assert stress is not None
    nodes = correction.case.nodes.slice_centres
    for number, point in own_marks.centres_of(points, stress.series.poses).items():
        if number in nodes:
            own_marks.put_centre(nodes[number], point)
    return correction.apply()
