"""What the reader chooses to see: the map, its opacity and threshold, the borders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from CardiacFusionLib.mrml import bullseye, map_choice
from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.colours import add_legend, remove_legend
from CardiacFusionLib.mrml.layout import PLANES
from CardiacFusionLib.mrml.models import show_values
from CardiacFusionLib.spatial.errors import BadInputError

HIGHEST = 1e6


def set_map(scene: Any, nodes: CaseNodes, key: str, draw: Callable[[], object] | None = None) -> None:
    """Show one of the case's maps in slices, 3D and bullseye; ``draw()`` is asked for one that is not in the scene.

    Raises BadInputError for a map that the case does not hold.
    """
    scale = nodes.scales.get(key)
    if scale is None:
        raise BadInputError(f"This case holds no map '{key}'; it has {', '.join(nodes.scales)}.")
    mine, before = {n.GetID() for n in nodes.wall_maps}, nodes.shown
    views = [scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode") for plane in PLANES]
    showing = [view for view in views if view is not None and view.GetForegroundVolumeID() in mine]
    if before != key and nodes.wall_map_of(before) is not None:
        remove_legend(nodes.wall_map_of(before))
    nodes.shelf.set_facts(shown=key)
    if nodes.wall_map_of(key) is None and draw is not None:
        try:
            draw()
        except BaseException:
            nodes.shelf.set_facts(shown=before)
            raise
    now = nodes.wall_map_of(key)
    if now is None:
        nodes.shelf.set_facts(shown=before)
        raise BadInputError(f"The map '{key}' of this case lies on no wall; choose another.")
    for view in showing:
        view.SetForegroundVolumeID(now.GetID())
    show_values(nodes.surface[0], map_choice.surface_key(key, nodes.scale.quantity), scale, nodes.colour)
    bullseye.recolour(nodes.shelf, map_choice.segment_values(nodes, key), scale, nodes.colour)
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
    high = min(float(high), HIGHEST) if float(high) > low else HIGHEST
    quantity = nodes.shown
    slices = [
        n for prefix in (f"on_wall.{quantity}.", f"measured.stress.{quantity}.") for n in nodes.shelf.under(prefix)
    ]
    for node in (*slices, nodes.wall_map_of(quantity)):
        node.GetDisplayNode().SetThreshold(low, high)
    surface = nodes.surface[0].GetDisplayNode()
    surface.SetThresholdRange(low, high)
    surface.SetThresholdEnabled(True)
    nodes.shelf.set_facts(threshold=[low, high])


def set_borders(nodes: CaseNodes, visible: bool) -> None:
    """Show or hide the borders of segments and territories."""
    for node in nodes.borders:
        node.GetDisplayNode().SetVisibility(bool(visible))
