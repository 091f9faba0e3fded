"""The maps a case can show: how each is coloured, under which name the surface holds it, its mean in each segment.

Flow and reserve are always drawn; any other map of the study is drawn while it is chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.tables import frame_of
from CardiacFusionLib.perfusion.result import PerfusionMaps
from CardiacFusionLib.report.colours import Scale, flow_quantity, scale_of

RESERVE = "mpr"
TABLE_COLUMNS = {"flow": "mbf_ml_min_g", RESERVE: "mpr"}  # of the segment table


def scales_of(maps: PerfusionMaps) -> list[Scale]:
    """How every map of a study is coloured: flow first, then the reserve, then the others as they come."""
    flow = flow_quantity(maps)
    order = [flow, RESERVE, *(q for q in maps.maps if q not in (flow, RESERVE))]
    return [scale_of(maps, q) for q in order if q in maps.maps]


def always_drawn(scales: list[Scale]) -> list[Scale]:
    """Flow and reserve."""
    return [s for k, s in enumerate(scales) if k == 0 or s.quantity == RESERVE]


def surface_key(quantity: str, flow: str) -> str:
    """The name under which the surface holds a quantity: fusion calls whatever stands for flow "mbf"."""
    return "mbf" if quantity == flow else quantity


def table_column(quantity: str, flow: str) -> str | None:
    """The column of the segment table that holds a quantity; None where it stands on the surface only."""
    return TABLE_COLUMNS["flow"] if quantity == flow else TABLE_COLUMNS.get(quantity)


def segment_values(nodes: CaseNodes, quantity: str) -> dict[int, float]:
    """Segment -> mean of a quantity, NaN where nothing was measured: from the segment table, or from the surface."""
    frame = frame_of(nodes.tables[0])
    column = table_column(quantity, nodes.scale.quantity)
    if column is None:
        means = surface_means(nodes.surface[0], quantity)
        return {int(s): means.get(int(s), float("nan")) for s in frame["segment"]}
    values = frame[column] if column in frame else np.full(len(frame), np.nan)
    return {int(s): float(v) for s, v in zip(frame["segment"], values) if int(s) in range(1, 18)}


def surface_means(model: Any, quantity: str) -> dict[int, float]:
    """Segment -> mean of a quantity over the wall's surface, weighted by mass; segments without data are left out."""
    from vtk.util import numpy_support

    data = model.GetPolyData().GetPointData()
    held = [data.GetArray(name) for name in ("segment", quantity, "mass_g")]
    if held[0] is None or held[1] is None:
        return {}
    segment, value = (numpy_support.vtk_to_numpy(a).astype(float) for a in held[:2])
    mass = numpy_support.vtk_to_numpy(held[2]).astype(float) if held[2] is not None else np.ones(len(value))
    known = (value >= 0) & (mass > 0)  # no data is stored below zero
    numbers = segment[known].astype(int)
    total = np.bincount(numbers, mass[known], minlength=18)
    mean = np.bincount(numbers, mass[known] * value[known], minlength=18) / np.maximum(total, 1e-12)
    return {s: float(mean[s]) for s in range(1, 18) if total[s] > 0}
