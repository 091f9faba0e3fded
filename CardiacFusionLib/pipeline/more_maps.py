"""Any map of a study on the CT's wall: what fusion does for flow and reserve, done when the reader asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from CardiacFusionLib.fusion.perfusion_on_wall import on_wall, rings_of
from CardiacFusionLib.fusion.surface import wall_lattice
from CardiacFusionLib.pipeline.stages import Results
from CardiacFusionLib.spatial.errors import BadInputError


def with_map(results: Results, name: str) -> Results:
    """``results`` whose fused surface holds the map ``name`` of the stress study as a point value too.

    BadInputError where the study holds no such map.
    """
    assert results.stress is not None and results.fusion is not None and results.registration is not None
    assert results.ct_walls is not None and results.pose is not None
    surface = results.fusion.surface
    if name in surface.values:
        return results
    if name not in results.stress.maps.maps:
        raise BadInputError(f"This case holds no map '{name}'; it has {', '.join(results.stress.maps.maps)}.")
    lattice = wall_lattice(results.ct_walls.labels, results.pose)
    values, _ = on_wall(rings_of(name, results.stress, results.registration, lattice), lattice, surface.points_mm)
    held = {**surface.values, name: values.astype(np.float32)}
    return replace(results, fusion=replace(results.fusion, surface=replace(surface, values=held)))
