"""Curves as Slicer's own plots: first pass of every segment with the arterial input, lumen along each branch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from CardiacFusionLib.mrml.shelf import Shelf, role
from CardiacFusionLib.mrml.tables import add_table, fill_table
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import VESSEL_RGB, vessel_rgb
from CardiacFusionLib.spatial.aha import AHA_TERRITORY, SEGMENT_NAMES
from CardiacFusionLib.spatial.tree import CoronaryTree, vessel_of

AIF_RGB = (0.15, 0.15, 0.15)
_WIDTH, _WIDE = 1.6, 3.5
FOLDER = "Curves"
# seventeen lines in a legend would cover the end of the curves; their colours have three meanings only
CURVE_COLOURS = "LAD red, LCx orange, RCA blue"
HIGHEST_MM = 6.0  # of the diameter chart: wider than any adult coronary artery but an ectatic one


def draw_perfusion_chart(shelf: Shelf, study: Perfusion) -> None:
    """Table, series and chart of the segments' mean curves; nothing where the study holds no curves."""
    if study.curves is None:
        return
    frame = study.curves
    names = [str(c) for c in frame.columns if str(c) not in ("time_s", "aif")]
    # blood holds several times the contrast agent of the wall: its curve is drawn at a whole fraction of its height
    factor = max(1, round(float(frame["aif"].max()) / (1.3 * max(float(frame[names].max().max()), 1e-6))))
    frame = frame.assign(aif_drawn=frame["aif"] / factor)
    table = shelf.put(
        "chart.perfusion.table",
        lambda: add_table(shelf.scene, frame, "First-pass curves"),
        lambda node: fill_table(node, frame),
        folder=FOLDER,
    )
    unit = study.maps.units.get("peak", "")
    blood = f"Arterial input ÷ {factor}" if factor > 1 else "Arterial input"
    series = [_series(shelf, "chart.perfusion.aif", table, "aif_drawn", blood, AIF_RGB, _WIDE)]
    for name in names:
        segment = int(name)
        title = f"{segment} {SEGMENT_NAMES.get(segment, '')}"
        shade = VESSEL_RGB[AHA_TERRITORY[segment]]
        series.append(_series(shelf, role("chart.perfusion.segment", name), table, name, title, shade, _WIDTH))
    chart = _chart(shelf, "chart.perfusion", "First pass by segment", "time (s)", f"contrast agent ({unit})")
    chart.SetTitle(f"First pass: {CURVE_COLOURS}, {blood[0].lower()}{blood[1:]} black")
    _show(chart, series)


def mark_segments(shelf: Shelf, segments: tuple[int, ...]) -> None:
    """Draw the curves of some segments wide (none: all alike)."""
    for name in shelf.roles("chart.perfusion.segment"):
        chosen = int(name.rsplit(".", 1)[1]) in segments
        shelf.get(name).SetLineWidth(_WIDE if chosen else _WIDTH)


def draw_diameter_charts(shelf: Shelf, tree: CoronaryTree) -> None:
    """A table a named branch: diameter along it, and the narrowings as points."""
    for branch in tree.branches:
        if not narrowings.is_named(branch.name):
            continue
        frame = pd.DataFrame({"position_mm": branch.arc_mm, "diameter_mm": 2.0 * np.asarray(branch.radius_mm, float)})
        marks = sorted((s for s in tree.stenoses if s.branch == branch.name), key=lambda s: s.position_mm)
        spots = pd.DataFrame(
            {
                "position_mm": [float(s.position_mm) for s in marks],
                "minimal_diameter_mm": [float(s.minimal_diameter_mm) for s in marks],
                "narrowing": [f"{s.diameter_percent:.0f} %" for s in marks],
            }
        )
        shade = vessel_rgb(vessel_of(tree, branch.name))
        for key, data, title in (("table", frame, "diameter"), ("spots", spots, "narrowings")):
            name = role("chart.diameter", key, branch.name)
            table = shelf.put(
                name,
                lambda data=data, title=title, branch=branch: add_table(shelf.scene, data, f"{branch.name} {title}"),
                lambda node, data=data: fill_table(node, data),
                folder=FOLDER,
            )
            if key == "table":
                _series(
                    shelf, role("chart.diameter.line", branch.name), table, "diameter_mm", branch.name, shade, _WIDE,
                    "position_mm",
                )  # fmt: skip
            elif len(marks):
                points = _series(
                    shelf, role("chart.diameter.spot", branch.name), table, "minimal_diameter_mm", "narrowing",
                    (0.85, 0.65, 0.05), 0.0, "position_mm",
                )  # fmt: skip
                points.SetLabelColumnName("narrowing")
                points.SetMarkerStyle(points.MarkerStyleDiamond)
                points.SetMarkerSize(12)
                points.SetLineStyle(points.LineStyleNone)
    chart = _chart(
        shelf, "chart.diameter", "Diameter along the branch", "from its start (mm)", "diameter (mm)", HIGHEST_MM
    )
    chosen = shelf.fact("branch")
    names = [b.name for b in tree.branches if narrowings.is_named(b.name)]
    if names:
        worst = [s.branch for s in sorted(tree.stenoses, key=lambda s: -s.diameter_percent) if s.branch in names]
        first = next(iter([*worst, *(n for n in ("LAD", "RCA", "LCx") if n in names), *names]))
        select_branch(shelf, chosen if chosen in names else first)
    else:
        _show(chart, [])


def select_branch(shelf: Shelf, name: str) -> bool:
    """Show one branch in the diameter chart; False where it has no curve."""
    chart, line = shelf.get("chart.diameter"), shelf.get(role("chart.diameter.line", name))
    if chart is None or line is None:
        return False
    spot = shelf.get(role("chart.diameter.spot", name))
    _show(chart, [line] if spot is None else [line, spot])
    chart.SetTitle(f"Diameter along the {name}" + (", narrowings as diamonds" if spot is not None else ""))
    shelf.set_facts(branch=name)
    return True


def _chart(shelf: Shelf, name: str, title: str, x: str, y: str, highest: float | None = None) -> Any:
    def make() -> Any:
        node = shelf.scene.AddNewNodeByClass("vtkMRMLPlotChartNode", title)
        node.SetTitle(title)
        node.SetXAxisTitle(x)
        node.SetYAxisTitle(y)
        node.SetTitleFontSize(16)
        node.SetAxisTitleFontSize(14)
        node.SetAxisLabelFontSize(12)
        node.SetLegendVisibility(False)
        node.SetGridVisibility(True)
        node.SetYAxisRangeAuto(highest is None)
        if highest is not None:
            node.SetYAxisRange(0.0, highest)
        return node

    return shelf.put(name, make, folder=FOLDER)


def _series(
    shelf: Shelf,
    name: str,
    table: Any,
    column: str,
    title: str,
    rgb: tuple[float, float, float],
    width: float,
    x_column: str = "time_s",
) -> Any:
    def make() -> Any:
        node = shelf.scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", title)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetPlotType(node.PlotTypeScatter)
        node.SetXColumnName(x_column)
        node.SetYColumnName(column)
        node.SetMarkerStyle(node.MarkerStyleNone)
        node.SetLineWidth(width)
        node.SetColor(*rgb)
        return node

    return shelf.put(name, make, folder=FOLDER)


def _show(chart: Any, series: list[Any]) -> None:
    """The chart with exactly these series."""
    was = chart.StartModify()
    chart.RemoveAllPlotSeriesNodeIDs()
    for node in series:
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
    chart.EndModify(was)
