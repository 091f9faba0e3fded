"""Slicer's plot nodes drawn offscreen: in Slicer a Qt view shows them, here VTK's charts do, from the same nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from CardiacFusionLib.mrml.snapshot import save_window

SIZE = (1060, 900)
_TEXT = (0.12, 0.12, 0.14)


def _values(table: Any, name: str) -> Any:
    return table.GetColumnByName(name)


def chart_of(node: Any) -> Any:
    """``vtkChartXY`` of a ``vtkMRMLPlotChartNode`` and its series."""
    import vtk

    chart = vtk.vtkChartXY()
    chart.SetTitle(node.GetTitle() or "")
    chart.GetTitleProperties().SetFontSize(22)
    chart.GetTitleProperties().SetColor(*_TEXT)
    chart.SetShowLegend(bool(node.GetLegendVisibility()))
    legend = chart.GetLegend()
    legend.GetLabelProperties().SetFontSize(13)
    legend.SetHorizontalAlignment(vtk.vtkChartLegend.RIGHT)
    legend.SetVerticalAlignment(vtk.vtkChartLegend.TOP)
    for axis, title in ((vtk.vtkAxis.BOTTOM, node.GetXAxisTitle()), (vtk.vtkAxis.LEFT, node.GetYAxisTitle())):
        drawn = chart.GetAxis(axis)
        drawn.SetTitle(title or "")
        drawn.GetTitleProperties().SetFontSize(17)
        drawn.GetLabelProperties().SetFontSize(15)
        drawn.GetGridPen().SetColorF(0.9, 0.9, 0.92)
    if not node.GetYAxisRangeAuto():
        low, high = node.GetYAxisRange()
        chart.GetAxis(vtk.vtkAxis.LEFT).SetBehavior(vtk.vtkAxis.FIXED)
        chart.GetAxis(vtk.vtkAxis.LEFT).SetRange(low, high)
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        _add_series(chart, node.GetNthPlotSeriesNode(index))
    return chart


def _add_series(chart: Any, series: Any) -> None:
    import vtk

    table = series.GetTableNode().GetTable()
    drawn = vtk.vtkTable()
    for name in (series.GetXColumnName(), series.GetYColumnName()):
        column = _values(table, name)
        if column is None or column.GetNumberOfValues() == 0:
            return
        drawn.AddColumn(column)
    lined = series.GetLineStyle() != series.LineStyleNone
    plot = chart.AddPlot(vtk.vtkChart.LINE if lined else vtk.vtkChart.POINTS)
    plot.SetInputData(drawn, 0, 1)
    plot.SetLabel(series.GetName())
    red, green, blue = series.GetColor()
    plot.SetColorF(red, green, blue)
    plot.SetWidth(float(series.GetLineWidth()) if lined else 1.0)
    if not lined:
        plot.SetMarkerStyle(vtk.vtkPlotPoints.DIAMOND)
        plot.SetMarkerSize(float(series.GetMarkerSize()))


def draw_charts(nodes: list[Any], path: Path, synthetic: bool, size: tuple[int, int] = SIZE) -> None:
    """Draw chart nodes below one another into a PNG; StageError where the driver draws nothing."""
    import vtk

    view = vtk.vtkContextView()
    window = view.GetRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    matrix = vtk.vtkChartMatrix()
    matrix.SetSize(vtk.vtkVector2i(1, max(len(nodes), 1)))
    matrix.SetBorders(70, 55, 25, 40)
    matrix.SetGutter(vtk.vtkVector2f(20.0, 85.0))
    for row, node in enumerate(reversed(nodes)):  # rows are counted from below
        matrix.SetChart(vtk.vtkVector2i(0, row), chart_of(node))
    view.GetScene().AddItem(matrix)
    notes = "Not for clinical use" + ("   SYNTHETIC" if synthetic else "")
    words = vtk.vtkTextActor()
    words.SetInput(notes)
    words.GetPositionCoordinate().SetCoordinateSystemToNormalizedDisplay()
    words.SetPosition(0.98, 0.012)
    words.GetTextProperty().SetJustificationToRight()
    words.GetTextProperty().SetFontSize(15)
    words.GetTextProperty().SetColor(*((0.75, 0.35, 0.1) if synthetic else (0.4, 0.4, 0.44)))
    view.GetRenderer().AddViewProp(words)
    save_window(window, path)
    window.Finalize()
