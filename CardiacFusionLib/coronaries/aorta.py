"""Which part of the labelled aorta is the ascending one: the part that comes out of the LV's cavity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.spatial.labels import Label

MIN_ROOT_ML = 1.0


def ascending(labels: NDArray[np.uint8], sampling_zyx_mm: Sequence[float]) -> NDArray[np.bool_] | None:
    """The connected part (z, y, x) of the aorta's label nearest to the LV's cavity; None without one of 1 mL.

    The cavity, not the wall: the descending aorta passes behind the heart, and a wall outlined too thick touches it.
    Where no cavity is labelled the wall has to do.
    """
    aorta = labels == Label.AORTA
    ventricle = labels == Label.LV_CAVITY
    if not ventricle.any():
        ventricle = labels == Label.MYOCARDIUM
    if not aorta.any() or not ventricle.any():
        return None
    parts, count = ndimage.label(aorta)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * float(np.prod(sampling_zyx_mm)) / 1000.0
    fitting = [k for k in range(1, count + 1) if sizes[k] >= MIN_ROOT_ML]
    if not fitting:
        return None
    near = distance_mm(ventricle, sampling_zyx_mm)
    nearest = ndimage.minimum(near, parts, fitting)
    return np.asarray(parts == fitting[int(np.argmin(nearest))])
