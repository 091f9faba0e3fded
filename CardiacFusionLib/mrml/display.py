"""What the reader chooses to see: the map, its opacity and threshold, the borders."""

from __future__ import annotations

from typing import Any

from CardiacFusionLib.mrml import bullseye
from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.colours import add_legend, remove_legend
from CardiacFusionLib.mrml.layout import PLANES
from CardiacFusionLib.mrml.models import show_values
from CardiacFusionLib.mrml.tables import frame_of
from CardiacFusionLib.spatial.errors import BadInputError

HIGHEST = 1e6


def surface_key(quantity: str) -> str:
    """The name under which the surface holds a quantity."""
    return "mpr" if quantity == "mpr" else "mbf"


def set_map(scene: Any, nodes: CaseNodes, key: str) -> None:
    """Show one of the case's maps in slices, 3D and bullseye.

    Raises BadInputError for a map that the case does not hold.
    """
    scale = nodes.scales.get(key)
    if scale is None or nodes.wall_map_of(key) is None:
        raise BadInputError(f"This case holds no map '{key}'; it has {', '.join(nodes.scales)}.")
    before = nodes.wall_map_of(nodes.shown)
    nodes.shelf.set_facts(shown=key)
    now = nodes.wall_map_of(key)
    for plane in PLANES:
        composite = scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode")
        if composite is not None and composite.GetForegroundVolumeID() == before.GetID():
            composite.SetForegroundVolumeID(now.GetID())
    if before is not now:
        remove_legend(before)
    wall = nodes.surface[0]
    show_values(wall, surface_key(key), scale, nodes.colour)
    column = "mpr" if key == "mpr" else "mbf_ml_min_g"
    values = bullseye.segment_values(frame_of(nodes.tables[0]), column)
    bullseye.recolour(nodes.shelf, values, scale, nodes.colour)
    add_legends(nodes)


def add_legends(nodes: CaseNodes) -> None:
    """The colour legends of the map that is shown: over the slices, the surface and the bullseye."""
    scale = nodes.scales[nodes.shown]
    for node in (nodes.wall_map_of(nodes.shown), nodes.surface[0], nodes.shelf.get("bullseye.disc")):
        if node is not None:
            add_legend(node, scale)


def set_opacity(scene: Any, nodes: CaseNodes, opacity: float) -> None:
    """Opacity (0..1) of the map over the CT."""
    value = min(max(float(opacity), 0.0), 1.0)
    nodes.shelf.set_facts(opacity=value)
    mine = {n.GetID() for n in nodes.wall_maps}
    for plane in PLANES:
        composite = scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode")
        if composite is not None and composite.GetForegroundVolumeID() in mine:
            composite.SetForegroundOpacity(value)


def set_threshold(nodes: CaseNodes, low: float, high: float) -> None:
    """Draw only values from ``low`` to ``high`` of the map that is shown, in slices and on the surface.

    What holds no data stays hidden whatever ``low`` is: it is stored below zero.
    """
    low = max(float(low), 0.0)
    high = float(high) if float(high) > low else HIGHEST
    quantity = nodes.shown
    prefixes = (f"on_wall.{quantity}.", f"measured.stress.{quantity}.", f"wall_map.{quantity}")
    for name in [name for prefix in prefixes for name in nodes.shelf.roles(prefix)]:
        nodes.shelf.get(name).GetDisplayNode().SetThreshold(low, high)
    surface = nodes.surface[0].GetDisplayNode()
    surface.SetThresholdRange(low, high)
    surface.SetThresholdEnabled(True)
    nodes.shelf.set_facts(threshold=[low, high])


def set_borders(nodes: CaseNodes, visible: bool) -> None:
    """Show or hide the borders of segments and territories."""
    for node in nodes.borders:
        node.GetDisplayNode().SetVisibility(bool(visible))
