"""What is drawn while a landmark is dragged, light enough for ten pictures a second of every view.

Outlines and vessels are drawn from one model of few triangles in place of some twenty nodes, each of which would be
cut anew for every view and step; the CT is not interpolated meanwhile, and no map covers it: a reader places a landmark
by what the CT shows, and the colours stay on the wall in 3D. The borders of the segments are those of the
frame as it would be with the landmark there, over the slices and on the wall in 3D, where the three planes and the long
axis of that frame are drawn too. The nodes for it live as long as the drag and are never saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.fusion.result import Surface
from CardiacFusionLib.mrml import models
from CardiacFusionLib.mrml.ahead import SegmentsAhead
from CardiacFusionLib.mrml.borders import RADIAL, BorderFields, segment_borders
from CardiacFusionLib.mrml.case import CaseInScene
from CardiacFusionLib.mrml.frames import points_lps
from CardiacFusionLib.mrml.hierarchy import remove_node
from CardiacFusionLib.mrml.layout import BORDER_VIEWS, HORIZONTAL, SHORT_AXIS, VERTICAL
from CardiacFusionLib.mrml.shelf import role
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.spatial.pose import HeartPose, apply

Array = NDArray[np.float64]
Rgb = tuple[float, ...]  # 0..1
Part = tuple[Any, Rgb]  # vtkPolyData, its colour

OUTLINE_MM, VESSEL_MM = 3.0, 1.0  # corners so far apart: 95 % of an outline within 0.1 mm, all of it within 0.7 mm
PLANE_HALF_MM = 42.0  # the drawn planes reach this far from the long axis
AXIS_BEYOND_MM = 12.0
_LINE_RGB, _AXIS_RGB, _SHEET_RGB = (0.05, 0.05, 0.08), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)
_COLOUR = "colour"  # point values: which colour of a model's own table


def surface_of(node: Any, to_heart: Array) -> Surface:
    """The wall's surface of a model node (patient RAS), with its point values, in the heart frame."""
    from vtk.util import numpy_support

    data = node.GetPolyData()
    points = points_lps(numpy_support.vtk_to_numpy(data.GetPoints().GetData()).astype(float))
    triangles = numpy_support.vtk_to_numpy(data.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    held = data.GetPointData()
    names = [held.GetArrayName(index) for index in range(held.GetNumberOfArrays())]
    values = {name: numpy_support.vtk_to_numpy(held.GetArray(name)) for name in names}
    return Surface(apply(to_heart, points), triangles.astype(np.int32), values)


class Bodies:
    """Outlines and vessels of a case as two light models; kept until one of them changes."""

    def __init__(self) -> None:
        self._stamp: tuple[Any, ...] = ()
        self._data: list[Any] = []

    def of(self, case: CaseInScene) -> list[tuple[Any, list[Rgb]]]:
        """``vtkPolyData`` (patient RAS) with the number of a colour per point, and the colours: outlines, vessels."""
        kinds = [_outlines(case), _vessels(case)]
        stamp = tuple((id(data), data.GetMTime()) for parts in kinds for data, _ in parts)
        if stamp != self._stamp:
            self._data = [_joined(parts, mm) for parts, mm in zip(kinds, (OUTLINE_MM, VESSEL_MM))]
            self._stamp = stamp
        return [(data, [rgb for _, rgb in parts]) for data, parts in zip(self._data, kinds)]


def _outlines(case: CaseInScene) -> list[Part]:
    """Surface and colour of each chamber whose outline the slices show."""
    display, segmentation = case.walls.GetDisplayNode(), case.walls.GetSegmentation()
    parts = []
    for index in range(segmentation.GetNumberOfSegments()):
        name, segment = segmentation.GetNthSegmentID(index), segmentation.GetNthSegment(index)
        data = segment.GetRepresentation("Closed surface")
        shown = display.GetVisibility() and display.GetVisibility2D() and display.GetSegmentVisibility(name)
        if shown and data is not None and data.GetNumberOfPoints():
            parts.append((data, segment.GetColor()))
    return parts


def _vessels(case: CaseInScene) -> list[Part]:
    """Tube and colour of each branch that is shown."""
    shown = [(n, n.GetDisplayNode()) for n in case.nodes.tubes]
    return [(n.GetPolyData(), d.GetColor()) for n, d in shown if d is not None and d.GetVisibility()]


def _joined(parts: list[Part], corner_mm: float) -> Any:
    """Surfaces as one with fewer triangles, its corners about so far apart; each part has the colour of its number."""
    import vtk

    joined = vtk.vtkAppendPolyData()
    for number, (data, _) in enumerate(parts):
        fewer = vtk.vtkQuadricClustering()
        fewer.SetInputData(data)
        fewer.SetAutoAdjustNumberOfDivisions(False)
        fewer.SetDivisionSpacing(corner_mm, corner_mm, corner_mm)
        fewer.SetDivisionOrigin(*(low - corner_mm for low in data.GetBounds()[::2]))
        fewer.Update()
        light = vtk.vtkPolyData()
        light.CopyStructure(fewer.GetOutput())
        joined.AddInputData(_coloured(light, [light.GetNumberOfPoints()], number))
    if parts:
        joined.Update()
    return joined.GetOutput()


def _coloured(data: Any, runs: list[int], first: int = 0) -> Any:
    """Number the colours of so many points after one another, from ``first`` on."""
    numbers = np.repeat(np.arange(first, first + len(runs), dtype=np.float32), runs)
    models.set_values(data, {_COLOUR: numbers})
    data.GetPointData().SetActiveScalars(_COLOUR)
    return data


def _frame(pose: HeartPose, to_world: Array) -> list[tuple[Array, Rgb]]:
    """Long axis and edges of the three planes of ``pose``: pieces (k, 2, 3), moved by ``to_world``, with colours."""
    low, high = (float(pose.to_heart(pose.landmarks[name])[2]) for name in ("apex", "base"))
    low, high, wide = low - AXIS_BEYOND_MM, high + AXIS_BEYOND_MM, PLANE_HALF_MM
    x, y, z = np.eye(3)
    spans = {SHORT_AXIS: (x, y, -wide, wide), HORIZONTAL: (x, z, low, high), VERTICAL: (y, z, low, high)}
    found: list[tuple[Array, Rgb]] = [(apply(to_world, np.array([[low * z, high * z]])), _AXIS_RGB)]
    for plane, (across, along, start, end) in spans.items():
        corners = np.array([s * wide * across + t * along for s, t in ((-1, start), (1, start), (1, end), (-1, end))])
        edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
        rgb = tuple(byte / 255 for byte in bytes.fromhex(plane.colour.removeprefix("#")))
        found.append((apply(to_world, edges), rgb))
    return found


class DragDrawing:
    """The light drawing of one drag: made at its start, ``follow`` at each step, ``end`` puts everything back."""

    def __init__(self, case: CaseInScene, landmarks: Mapping[str, Array], bodies: Bodies) -> None:
        """``landmarks`` (LPS mm): the four of the pose before the drag."""
        self._case = case
        self._to_heart = matrix_of(case.nodes.ct_to_heart)
        self._shown: list[Callable[[], object]] = []
        self._added: list[Any] = []
        surface, pose = surface_of(case.nodes.surface[0], self._to_heart), HeartPose(self._to_heart, dict(landmarks))
        self._ahead = None
        borders = case.shelf.get(role("borders", RADIAL))
        display = borders.GetDisplayNode() if borders is not None else None
        if display is not None and display.GetVisibility() and {"aha_phi_deg", "aha_level"} <= set(surface.values):
            self._ahead = SegmentsAhead(surface, pose)
            self._fields = BorderFields.of(surface)
        for (data, colours), solid in zip(bodies.of(case), (False, True)):
            body = self._add(data, colours, slices=True, solid=solid, width=2)
            body.SetAndObserveTransformNodeID(case.nodes.ct_to_heart.GetID())
        nothing = models.polydata(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
        self._sheets = {}
        for kind, views in BORDER_VIEWS.items():
            self._sheets[kind] = self._add(nothing, [_SHEET_RGB], slices=True, solid=False, width=1)
            for view in views:
                self._sheets[kind].GetDisplayNode().AddViewNodeID(view)
        self._lines = self._add(*self._frame_of(pose), slices=False, solid=True, width=3)
        self._hide()

    def _new(self, class_name: str) -> Any:
        """A node of this drag only: in no list, in no file."""
        node = self._case.scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetName("Drawn while dragging")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._added.append(self._case.scene.AddNode(node))
        return node

    def _add(self, data: Any, colours: list[Rgb], *, slices: bool, solid: bool, width: int) -> Any:
        """A model that is cut by slices, or drawn in 3D, or both."""
        node = self._new("vtkMRMLModelNode")
        node.SetAndObservePolyData(data)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility2D(slices)
        display.SetVisibility3D(solid)
        display.SetSliceIntersectionThickness(width)
        display.SetLineWidth(width)
        display.SetLighting(slices)
        display.SetInterpolation(display.FlatInterpolation)  # few triangles have no normals worth smoothing
        if len(colours) == 1:
            display.SetColor(*colours[0])
        elif colours:
            self._by_table(display, colours)
        return node

    def _by_table(self, display: Any, colours: list[Rgb]) -> None:
        """Colour a model by the numbers of its points."""
        table = self._new("vtkMRMLColorTableNode")
        table.SetTypeToUser()
        table.SetNumberOfColors(len(colours))
        for index, rgb in enumerate(colours):
            table.SetColor(index, f"{index}", *rgb, 1.0)
        display.SetAndObserveColorNodeID(table.GetID())
        display.SetActiveScalar(_COLOUR, 0)
        display.SetScalarRangeFlag(display.UseManualScalarRange)
        display.SetScalarRange(0.0, len(colours) - 1.0)
        display.SetScalarVisibility(True)

    def _hide(self) -> None:
        """What the light models stand for, until :meth:`end`."""
        case = self._case
        outlines, sheets = [case.walls], case.nodes.borders if self._ahead is not None else []
        for node in (*outlines, *sheets):
            display = node.GetDisplayNode()
            if display is not None and display.GetVisibility2D():
                display.SetVisibility2D(False)
                self._shown.append(partial(display.SetVisibility2D, True))
        for node in case.nodes.tubes:
            display = node.GetDisplayNode()
            if display is not None and display.GetVisibility():
                display.SetVisibility(False)
                self._shown.append(partial(display.SetVisibility, True))
        # the centres of the CMR slices are other points than the one in hand, and every label is laid out anew for
        # every picture: together a fifth of the time
        for node in case.nodes.slice_centres.values():
            display = node.GetDisplayNode()
            if display is not None and display.GetVisibility2D():
                display.SetVisibility2D(False)
                self._shown.append(partial(display.SetVisibility2D, True))
        for node in (case.nodes.landmarks, *case.nodes.stenoses):
            display = node.GetDisplayNode()
            if display is not None and display.GetPointLabelsVisibility():
                display.SetPointLabelsVisibility(False)
                self._shown.append(partial(display.SetPointLabelsVisibility, True))
        for plane in (SHORT_AXIS, HORIZONTAL, VERTICAL):
            view = case.scene.GetSingletonNode(plane.layout, "vtkMRMLSliceCompositeNode")
            if view is not None and view.GetForegroundVolumeID():
                self._shown.append(partial(view.SetForegroundVolumeID, view.GetForegroundVolumeID()))
                view.SetForegroundVolumeID(None)
        image = case.ct.GetDisplayNode()
        if image is not None and image.GetInterpolate():
            image.SetInterpolate(False)
            self._shown.append(partial(image.SetInterpolate, True))

    def follow(self, pose: HeartPose, *, planes_turn: bool = False) -> None:
        """Draw the segments and planes of the frame as it would be.

        ``planes_turn``: every slice view is about to turn, and will cut what is drawn here then; to tell them now would
        have them cut it twice.
        """
        for sheets in self._sheets.values():
            sheets.SetDisableModifiedEvent(planes_turn)
        self._lines.SetAndObservePolyData(self._frame_of(pose)[0])
        for sheets in self._sheets.values():
            sheets.SetDisableModifiedEvent(False)

    def _frame_of(self, pose: HeartPose) -> tuple[Any, list[Rgb]]:
        """Lines of a frame in 3D with the numbers of their colours, and the colours; draws its sheets on the way."""
        drawn = _frame(pose, self._to_heart @ pose.heart_to_lps)
        if self._ahead is not None:
            found = segment_borders(self._ahead.of(pose), self._fields)
            for kind, sheets in self._sheets.items():
                sheets.SetAndObservePolyData(models.polydata(found[kind].points_mm, found[kind].triangles))
            drawn.append((np.concatenate([kind.lines_mm for kind in found.values()]), _LINE_RGB))
        data = models.line_data(np.concatenate([pieces for pieces, _ in drawn]))
        return _coloured(data, [2 * len(pieces) for pieces, _ in drawn]), [rgb for _, rgb in drawn]

    def end(self) -> None:
        """Everything as before the drag; what was drawn for it goes."""
        if self._case.alive:
            for show in self._shown:
                show()
        self._shown = []
        for node in self._added:
            if node.GetScene() is not None:
                remove_node(node.GetScene(), node)
        self._added = []
