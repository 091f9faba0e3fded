"""A quantity as a DICOM Parametric Map (PS3.3 A.75) with a Real World Value Mapping, through highdicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CardiacFusionLib.io.dicom_object import digest
from CardiacFusionLib.io.dicom_quantity import LARGEST, NO_VALUE, Quantity
from CardiacFusionLib.io.dicom_result import common, finish
from CardiacFusionLib.io.dicom_source import Origin


def write_parametric_map(quantity: Quantity, origin: Origin, path: Path, number: int = 901) -> None:
    """One object with a frame a slice. ``number`` of the series. The same map and source give the same bytes."""
    import highdicom

    name, state = quantity.name, origin.state
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label=name[:16],
        lut_explanation=f"{state} {name}{' (relative)' if quantity.relative else ''} [{quantity.unit}]"[:64],
        unit=quantity.unit_code,
        value_range=(NO_VALUE, LARGEST),
        slope=quantity.slope,
        intercept=0.0,
        quantity_definition=quantity.code,
    )
    centre, width = quantity.window
    # values below one need the exact linear function: the plain one takes one from the width
    window = highdicom.VOILUTTransformation(window_center=centre, window_width=width, voi_lut_function="LINEAR_EXACT")
    obj = highdicom.pm.ParametricMap(
        pixel_array=quantity.stored,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="PERFUSION",
        content_description=f"{state} {name}"[:64],
        image_flavor="VOLUME",
        derived_pixel_contrast="QUANTITY",
        **common(origin, digest([quantity.stored, np.array([quantity.slope])]) + name + state, number),
    )
    finish(obj, origin, name, path)
