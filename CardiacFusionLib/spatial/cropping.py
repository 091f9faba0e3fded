"""Parts of a volume that stay at their own place in the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

Box = tuple[slice, slice, slice]


def cropped(volume: Volume, box: Box) -> Volume:
    """The part of a volume inside ``box`` (z, y, x), at its own place."""
    start = np.asarray([box[2].start, box[1].start, box[0].start], dtype=float)
    origin = apply(volume.index_to_lps, start)
    return Volume(volume.array[box], volume.spacing_mm, tuple(origin), volume.direction)


def box_around(mask: NDArray[np.bool_], margin: Sequence[int]) -> Box | None:
    """The box (z, y, x) about what is in ``mask``, so many voxels (z, y, x) wider where there are any; None without."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return None
    z, y, x = (slice(max(part.start - m, 0), part.stop + m) for part, m in zip(found[0], margin))
    return z, y, x
