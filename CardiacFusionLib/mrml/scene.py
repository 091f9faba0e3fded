"""One fused case as a scene: every result at its place, in one folder of the subject hierarchy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from CardiacFusionLib.mrml import borders, bullseye, charts, map_choice, markups, models, perfusion_places, sequences
from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.colours import add_perfusion_table, add_vessel_table
from CardiacFusionLib.mrml.display import add_legends
from CardiacFusionLib.mrml.hierarchy import remove_case, remove_folder
from CardiacFusionLib.mrml.layout import BORDER_VIEWS
from CardiacFusionLib.mrml.segmentations import add_walls, set_walls
from CardiacFusionLib.mrml.shelf import Shelf, role
from CardiacFusionLib.mrml.tables import add_table, fill_table, findings_frame, quality_frame, stenoses_frame
from CardiacFusionLib.mrml.transforms import add_transform, set_transform
from CardiacFusionLib.mrml.volumes import add_ct, add_map, set_map
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import Scale, vessel_rgb
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import PolarMap, polar_map
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, vessel_of

__all__ = ["CaseNodes", "Drawing", "build_scene", "remove_case"]

_BORDER_RGB = (0.05, 0.05, 0.08)


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
    node, what belongs to the CMR under one transform node a slice; the bullseye stands in the world. Whatever goes
    wrong, nothing of the case stays behind.
    """
    return draw_new(content, scene).nodes


def draw_new(content: CaseContent, scene: Any) -> Drawing:
    """As :func:`build_scene`, with the drawing itself: it draws the same case again faster than a new one would."""
    shelf = Shelf.new(scene, content.title)
    drawing = Drawing(shelf)
    try:
        drawing.draw(content)
    except BaseException:
        remove_folder(scene, shelf.folder.item)
        raise
    return drawing


@contextmanager
def _one_step(scene: Any) -> Iterator[None]:
    """Views and widgets hear of all changes at once."""
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    finally:
        scene.EndState(scene.BatchProcessState)


class Drawing:
    """Draws a case, and draws it again after a correction; keeps what a second drawing need not compute anew."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.nodes = CaseNodes(shelf)
        self._wall: perfusion_places.WallGrid | None = None
        self._last: CaseContent | None = None

    def draw(self, content: CaseContent) -> None:
        """Bring the scene to ``content``: nodes are made, renewed or removed. The CT is drawn the first time only."""
        shelf = self.shelf
        first = shelf.get("ct_to_heart") is None
        if first:
            with _one_step(shelf.scene):
                self._all(content)
        else:
            self._all(content)
        if first:  # proxies of sequences come into being outside the one step
            for study in (content.stress, content.rest):
                if study is not None:
                    sequences.draw_frames(shelf, study, shelf.under(role("place", study.series.state)))
            add_legends(self.nodes)
        self._last = content

    def _all(self, content: CaseContent) -> None:
        shelf, scene = self.shelf, self.shelf.scene
        shelf.begin()
        every = map_choice.scales_of(content.stress.maps)
        scales = map_choice.always_drawn(every)
        # another map is drawn while it is shown, if the surface was given it
        scales += [s for s in every if s not in scales and s.quantity in content.fusion.surface.values]
        polar = polar_map(content)
        shelf.set_facts(
            centre_mm=list(polar.centre_mm),
            span_mm=[polar.apex_z_mm, polar.base_z_mm],
            scales=[asdict(s) for s in every],
            synthetic=content.synthetic,
            z_mm=[float(z) for z in content.registration.pairing.z_mm],
        )
        shelf.put("colour.perfusion", lambda: add_perfusion_table(scene), folder="Colours")
        shelf.put("colour.vessels", lambda: add_vessel_table(scene), folder="Colours")
        to_heart = content.pose.lps_to_heart
        shelf.put(
            "ct_to_heart", lambda: add_transform(scene, to_heart, "CT to heart"), lambda n: set_transform(n, to_heart)
        )
        self._ct("ct", lambda: add_ct(scene, content.ct, "CT coronary angiogram"))
        labels = content.ct_walls.labels
        changed = self._last is not None and self._last.ct_walls.labels is not labels
        self._ct(
            "walls",
            lambda: add_walls(scene, labels, "CT walls"),
            lambda n: set_walls(scene, n, labels) if changed else None,
        )
        marks = content.pose.landmarks
        self._ct(
            "landmarks",
            lambda: markups.add_landmarks(scene, marks, "Landmarks"),
            lambda n: markups.set_landmarks(n, marks),
        )
        self._perfusion(content, content.stress, scales)
        if content.rest is not None:
            self._perfusion(content, content.rest, scales[:1])
        self._surface(content, scales)
        self._tree(content)
        shelf.keep("bullseye.chosen")
        chosen = next((s for s in scales if s.quantity == self.nodes.shown), scales[0])
        self.bullseye(content, chosen, polar)
        if self._last is not None and self._last.stress.curves is content.stress.curves:
            shelf.keep("chart.perfusion")
        else:
            charts.draw_perfusion_chart(shelf, content.stress)
        if self._last is not None and self._last.tree is content.tree:
            shelf.keep("chart.diameter")
        else:
            charts.draw_diameter_charts(shelf, content.tree)
        self._tables(content)
        shelf.sweep("place.", "measured.", "on_wall.", "slice_centre.", "wall_map.", "borders.", "tube.", "centreline.")
        shelf.sweep("stenoses.", "bullseye.", "chart.", "surface.")

    def bullseye(self, content: CaseContent, scale: Scale, polar: PolarMap) -> None:
        """The bullseye in one quantity."""
        column = map_choice.table_column(scale.quantity, self.nodes.scale.quantity)
        if column is not None:
            values = bullseye.segment_values(content.fusion.segments, column)
        else:
            means = map_choice.surface_means(self.nodes.surface[0], scale.quantity)
            values = {int(s): means.get(int(s), np.nan) for s in content.fusion.segments["segment"]}
        tree = _clean(content.tree_heart)
        bullseye.draw_bullseye(self.shelf, values, scale, self.nodes.colour, tree, polar)

    def _ct(self, name: str, make: Any, renew: Any = None, folder: str | None = None) -> Any:
        """A node that stands under the CT's transform."""
        return self.shelf.put(name, make, renew, folder=folder, under=self.nodes.ct_to_heart)

    def _perfusion(self, content: CaseContent, study: Perfusion, scales: list[Scale]) -> None:
        """Measured slices at their place; the stress maps carried onto the CT wall by the registration.

        The registration was made for the stress slices; the rest maps are therefore shown as measured only (the reserve
        already stands on the stress slices).
        """
        shelf, scene = self.shelf, self.shelf.scene
        state = study.series.state
        for index in range(study.series.slice_count):
            number = index + 1
            to_heart = perfusion_places.slice_to_heart(content.registration, content.stress.series, study.series, index)
            place = shelf.put(
                role("place", state, number),
                lambda m=to_heart, n=number: add_transform(scene, m, f"{state.capitalize()} slice {n} to heart"),
                lambda node, m=to_heart: set_transform(node, m),
                folder="Measured perfusion",
            )
            centre = study.walls.landmarks[index].get("lv_centre") if state == "stress" else None
            if centre is not None:
                shelf.put(
                    role("slice_centre", number),
                    lambda p=centre, n=number: markups.add_slice_centre(scene, p, n),
                    lambda node, p=centre, n=number: markups.set_landmarks(node, {f"lv_centre_{n}": p}),
                    folder="Measured perfusion",
                    under=place,
                )
            for scale in scales:
                if scale.quantity not in study.maps.maps:
                    continue
                values = study.maps.maps[scale.quantity]
                title = f"{state.capitalize()} {scale.quantity.upper()} slice {number}"
                name = role("measured", state, scale.quantity, number)
                # a map whose pixels are the same stays: its place is the transform's affair
                if shelf.get(name) is not None and self._values_drawn(state, scale.quantity) is values:
                    shelf.keep(name)
                else:
                    volume = perfusion_places.measured_slice(study.series, values, index)
                    self._map(name, volume, title, scale, "Measured perfusion", place)
                if state != "stress":
                    continue
                on_wall = perfusion_places.slice_on_wall(
                    content.registration, study.series, values, index, content.pose
                )
                if on_wall is not None:
                    name = role("on_wall", scale.quantity, number)
                    under = self.nodes.ct_to_heart
                    self._map(name, on_wall, f"{title} on CT wall", scale, "Perfusion on CT wall", under)

    def _values_drawn(self, state: str, quantity: str) -> Any:
        """The map that the last drawing showed, or None."""
        last = self._last and (self._last.stress if state == "stress" else self._last.rest)
        return last.maps.maps.get(quantity) if last else None

    def _map(self, name: str, volume: Any, title: str, scale: Scale, folder: str, under: Any) -> None:
        self.shelf.put(
            name,
            lambda: add_map(self.shelf.scene, volume, title, scale, self.nodes.colour),
            lambda node: set_map(node, volume),
            folder=folder,
            under=under,
        )

    def _surface(self, content: CaseContent, scales: list[Scale]) -> None:
        """The wall's surface with its values, the borders on it, and the whole wall filled from it."""
        scene, surface = self.shelf.scene, content.fusion.surface
        points = content.pose.to_lps(surface.points_mm)
        shown = self.nodes.shown
        on_surface = {map_choice.surface_key(s.quantity, scales[0].quantity): s for s in scales}
        key = map_choice.surface_key(shown, scales[0].quantity)
        key = key if key in surface.values else "mbf"
        data = models.wall_data(points, surface.triangles, surface.values)
        self._ct(
            "surface.wall",
            lambda: models.add_wall(scene, data, "mbf", scales[0], self.nodes.colour),
            lambda n: n.SetAndObservePolyData(data),
            "Surface",
        )
        plain = models.plain_data(points, surface.triangles, surface.values[key])
        self._ct(
            "surface.plain",
            lambda: models.add_plain_wall(scene, plain),
            lambda n: n.SetAndObservePolyData(plain),
            "Surface",
        )
        if "territory_patient" in surface.values:
            self._territories(content, points)
        for kind, found in borders.segment_borders(surface).items():
            self._segment_borders(kind, models.polydata(content.pose.to_lps(found.points_mm), found.triangles))
        labels = content.ct_walls.labels
        if self._wall is None or self._wall.labels is not labels:
            self._wall = perfusion_places.wall_grid(labels)
        quantities = tuple(q for q in on_surface if q in surface.values)
        for quantity, volume in perfusion_places.whole_wall(surface, self._wall, content.pose, quantities).items():
            scale = on_surface[quantity]
            title = f"Stress {scale.quantity.upper()}, whole wall"
            self._map(role("wall_map", scale.quantity), volume, title, scale, "Surface", self.nodes.ct_to_heart)

    def _segment_borders(self, kind: str, drawn: Any) -> None:
        scene = self.shelf.scene
        self._ct(
            role("borders", kind),
            lambda: models.add_borders(scene, drawn, BORDER_VIEWS[kind]),
            lambda n: n.SetAndObservePolyData(drawn),
            "Surface",
        )

    def _territories(self, content: CaseContent, points: Any) -> None:
        scene, surface = self.shelf.scene, content.fusion.surface
        data = models.polydata(points, surface.triangles)
        models.set_values(data, {"territory": np.asarray(surface.values["territory_patient"])})

        def make() -> Any:
            node = models.add_model(scene, data, "Territories (patient)")
            display = node.GetDisplayNode()
            display.SetScalarVisibility(True)
            display.SetActiveScalar("territory", 0)
            display.SetAndObserveColorNodeID(self.shelf.get("colour.vessels").GetID())
            display.SetScalarRangeFlag(display.UseManualScalarRange)
            display.SetScalarRange(0.0, 3.0)
            display.SetVisibility(False)
            return node

        self._ct("surface.territories", make, lambda n: n.SetAndObservePolyData(data), "Surface")
        pieces = borders.territory_lines(surface)
        if len(pieces):
            lines = models.line_data(content.pose.to_lps(pieces))
            self._ct(
                "borders.territories",
                lambda: models.add_lines(scene, lines, "Territory borders", _BORDER_RGB, 3.0),
                lambda n: n.SetAndObservePolyData(lines),
                "Surface",
            )

    def _tree(self, content: CaseContent) -> None:
        """Tubes, centrelines and markers; all stay as they are where the tree did."""
        shelf, scene = self.shelf, self.shelf.scene
        if self._last is not None and self._last.tree is content.tree:
            for prefix in ("tube.", "centreline.", "stenoses."):
                shelf.keep(prefix)
            return
        tree = _clean(content.tree_lps)
        for branch in tree.branches:
            colour = vessel_rgb(vessel_of(tree, branch.name))
            self._ct(
                role("tube", branch.name),
                lambda b=branch, c=colour: models.add_tube(scene, b, b.name, c),
                lambda n, b=branch: n.SetAndObservePolyData(models.tube(b)),
                "Coronaries",
            )
            self._ct(
                role("centreline", branch.name),
                lambda b=branch, c=colour: markups.add_centreline(scene, b, f"{b.name} centreline", c),
                lambda n, b=branch: markups.set_centreline(n, b),
                "Coronaries",
            )
        clear, mild = narrowings.clear(tree.stenoses), narrowings.others(tree.stenoses)
        self._ct(
            "stenoses.clear",
            lambda: markups.add_stenoses(scene, clear, "Stenoses"),
            lambda n: markups.set_stenoses(n, clear),
            "Coronaries",
        )
        if mild:
            self._ct(
                "stenoses.other",
                lambda: markups.add_stenoses(scene, mild, "Other stenoses", labelled=False),
                lambda n: markups.set_stenoses(n, mild),
                "Coronaries",
            )

    def _tables(self, content: CaseContent) -> None:
        for name, frame, title in (
            ("segments", content.fusion.segments, "Segments"),
            ("findings", findings_frame(content.fusion.findings), "Findings"),
            ("stenoses", stenoses_frame(content.tree_lps.stenoses), "Stenosis table"),
            ("quality", quality_frame(content.quality), "Quality"),
        ):
            self.shelf.put(
                role("table", name),
                lambda f=frame, t=title: add_table(self.shelf.scene, f, t),
                lambda node, f=frame: fill_table(node, f),
                folder="Tables",
            )
