"""The wall network: eight labels on a 2 mm upright cube about the left and right ventricle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.training.ct_chambers import CtLabelTask

CUBE = 64
SPACING_MM = 2.0


class CtWallsTask(CtLabelTask):
    """Cubes of 64 x 2 mm, axes along a heart frame that is a few degrees and millimetres wrong."""

    name = "ct_walls"

    def draw(self, seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """See :class:`CtLabelTask`."""
        from CardiacFusionLib.twin.sampling import ct_heart_frame_sample

        drawn = ct_heart_frame_sample(seed, shape=(CUBE,) * 3, spacing_mm=SPACING_MM)
        return drawn.image, drawn.labels

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {**super().facts(), "input": {"cube": CUBE, "spacing_mm": SPACING_MM, "axes": "heart", "unit": "HU"}}
