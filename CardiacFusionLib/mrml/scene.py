"""One fused case as a scene: every result at its place, in one folder of the subject hierarchy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from CardiacFusionLib.mrml import bullseye, markups, models, perfusion_places
from CardiacFusionLib.mrml.colours import add_legend, add_perfusion_table, add_vessel_table
from CardiacFusionLib.mrml.hierarchy import CaseFolder, remove_case
from CardiacFusionLib.mrml.segmentations import add_walls
from CardiacFusionLib.mrml.tables import add_table, findings_frame, stenoses_frame
from CardiacFusionLib.mrml.transforms import add_transform, place_under
from CardiacFusionLib.mrml.volumes import add_ct, add_map
from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import Scale, flow_quantity, scale_of, vessel_rgb
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import polar_map
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, vessel_of

__all__ = ["CaseNodes", "build_scene", "remove_case"]


@dataclass
class CaseNodes:
    """The nodes of one case that its views and the panel need. Everything hangs in the folder named ``title``."""

    title: str
    scale: Scale
    ct_to_heart: Any = None
    ct: Any = None
    walls: Any = None
    slice_maps: dict[int, Any] = field(default_factory=dict)  # stress flow on the CT wall, by slice
    measured: list[Any] = field(default_factory=list)
    wall_map: Any = None  # stress flow, whole wall
    surface: list[Any] = field(default_factory=list)
    tubes: list[Any] = field(default_factory=list)
    curves: list[Any] = field(default_factory=list)
    landmarks: Any = None
    stenoses: list[Any] = field(default_factory=list)  # the clear ones, then the others
    bullseye: list[Any] = field(default_factory=list)
    tables: list[Any] = field(default_factory=list)
    colour: Any = None


def clean_branch(branch: Branch) -> Branch:
    """The branch without repeated or undefined points, which tubes and curves cannot take."""
    keep = np.isfinite(branch.points_mm).all(axis=1) & np.isfinite(branch.radius_mm)
    points = branch.points_mm[keep]
    moved = np.concatenate([[True], np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-3])[: len(points)]
    return Branch(branch.name, points[moved], np.asarray(branch.radius_mm)[keep][moved], branch.parent)


def _clean(tree: CoronaryTree) -> CoronaryTree:
    branches = tuple(b for b in map(clean_branch, tree.branches) if len(b.points_mm) >= 2)
    return CoronaryTree(branches, tree.stenoses, tree.dominance, tree.frame, tree.quality)


def build_scene(content: CaseContent, scene: Any) -> CaseNodes:
    """Put a case into ``scene`` (``SceneApp().scene``, or Slicer's own) and return its nodes.

    The scene's world is the heart frame. What belongs to the CT lies in CT patient coordinates under one transform
    node, what belongs to the CMR under one transform node a slice; the bullseye stands in the world.
    """
    folder = CaseFolder(scene, content.title)
    flow = flow_quantity(content.stress.maps)
    scale = scale_of(content.stress.maps, flow)
    nodes = CaseNodes(content.title, scale)
    nodes.colour = folder.put(add_perfusion_table(scene), "Colours")
    vessels = folder.put(add_vessel_table(scene), "Colours")
    nodes.ct_to_heart = folder.put(add_transform(scene, content.pose.lps_to_heart, "CT to heart"))

    def put(node: Any, subfolder: str | None = None) -> Any:
        """Into the folder, under the CT's transform."""
        return folder.put(place_under(node, nodes.ct_to_heart), subfolder)

    nodes.ct = put(add_ct(scene, content.ct, "CT coronary angiogram"))
    nodes.walls = put(add_walls(scene, content.ct_walls.labels, "CT walls"))
    nodes.landmarks = put(markups.add_landmarks(scene, content.pose.landmarks, "Landmarks"))
    _add_perfusion(content, scene, folder, nodes)
    _add_surface(content, nodes, put, scene, vessels)
    tree = _clean(content.tree_lps)
    for branch in tree.branches:
        colour = vessel_rgb(vessel_of(tree, branch.name))
        nodes.tubes.append(put(models.add_tube(scene, branch, branch.name, colour), "Coronaries"))
        nodes.curves.append(
            put(markups.add_centreline(scene, branch, f"{branch.name} centreline", colour), "Coronaries")
        )
    clear, mild = narrowings.clear(tree.stenoses), narrowings.others(tree.stenoses)
    nodes.stenoses = [put(markups.add_stenoses(scene, clear, "Stenoses"), "Coronaries")]
    if mild:
        node = markups.add_stenoses(scene, mild, "Other stenoses", labelled=False)
        nodes.stenoses.append(put(node, "Coronaries"))
    values = bullseye.segment_values(content.fusion.segments, "mbf_ml_min_g")
    nodes.bullseye = [
        folder.put(node, "Bullseye")
        for node in bullseye.add_bullseye(
            scene, values, scale, nodes.colour, _clean(content.tree_heart), polar_map(content)
        )
    ]
    for frame, name in (
        (content.fusion.segments, "Segments"),
        (findings_frame(content.fusion.findings), "Findings"),
        (stenoses_frame(content.tree.stenoses), "Stenosis table"),
    ):
        nodes.tables.append(folder.put(add_table(scene, frame, name), "Tables"))
    return nodes


def _add_perfusion(content: CaseContent, scene: Any, folder: CaseFolder, nodes: CaseNodes) -> None:
    """Measured slices of both states at their place; the stress maps carried onto the CT wall by the registration.

    The registration was made for the stress slices; the rest maps are therefore shown as measured only (the reserve
    already stands on the stress slices).
    """
    paired = content.stress.series
    for state, perfusion in (("Stress", content.stress), ("Rest", content.rest)):
        if perfusion is None:
            continue
        for index in range(perfusion.series.slice_count):
            to_heart = perfusion_places.slice_to_heart(content.registration, paired, perfusion.series, index)
            place = add_transform(scene, to_heart, f"{state} slice {index + 1} to heart")
            folder.put(place, "Measured perfusion")
            for quantity in (nodes.scale.quantity, "mpr"):
                if quantity not in perfusion.maps.maps:
                    continue
                values = perfusion.maps.maps[quantity]
                scale = nodes.scale if quantity == nodes.scale.quantity else scale_of(perfusion.maps, quantity)
                where = f"{state} {quantity.upper()} slice {index + 1}"
                measured = perfusion_places.measured_slice(perfusion.series, values, index)
                node = add_map(scene, measured, where, scale, nodes.colour)
                nodes.measured.append(folder.put(place_under(node, place), "Measured perfusion"))
                if state == "Stress":
                    _on_wall(content, scene, folder, nodes, quantity, scale, index)


def _on_wall(
    content: CaseContent, scene: Any, folder: CaseFolder, nodes: CaseNodes, quantity: str, scale: Scale, index: int
) -> None:
    """One stress map slice on the CT wall."""
    values = content.stress.maps.maps[quantity]
    volume = perfusion_places.slice_on_wall(content.registration, content.stress.series, values, index, content.pose)
    if volume is None:
        return
    node = add_map(scene, volume, f"Stress {quantity.upper()} slice {index + 1} on CT wall", scale, nodes.colour)
    folder.put(place_under(node, nodes.ct_to_heart), "Perfusion on CT wall")
    if quantity == nodes.scale.quantity:
        nodes.slice_maps[index] = node


def _add_surface(content: CaseContent, nodes: CaseNodes, put: Any, scene: Any, vessels: Any) -> None:
    """The wall's surface with its values, and the whole wall filled from it."""
    surface = content.fusion.surface
    points = content.pose.to_lps(surface.points_mm)
    wall, plain = models.add_wall(scene, points, surface.triangles, surface.values, "mbf", nodes.scale, nodes.colour)
    nodes.surface = [put(wall, "Surface"), put(plain, "Surface")]
    if "territory_patient" in surface.values:
        data = models.polydata(points, surface.triangles)
        models.set_values(data, {"territory": np.asarray(surface.values["territory_patient"])})
        territories = models.add_model(scene, data, "Territories (patient)")
        display = territories.GetDisplayNode()
        display.SetScalarVisibility(True)
        display.SetActiveScalar("territory", 0)
        display.SetAndObserveColorNodeID(vessels.GetID())
        display.SetScalarRangeFlag(display.UseManualScalarRange)
        display.SetScalarRange(0.0, 3.0)
        display.SetVisibility(False)
        put(territories, "Surface")
    filled = perfusion_places.whole_wall(surface, content.ct_walls.labels, content.pose, "mbf")
    nodes.wall_map = put(
        add_map(scene, filled, f"Stress {nodes.scale.quantity.upper()}, whole wall", nodes.scale, nodes.colour),
        "Surface",
    )
    add_legend(nodes.wall_map, nodes.scale)
