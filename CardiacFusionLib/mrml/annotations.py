"""What Slicer's corner annotation draws in Qt, drawn here: directions, titles, scale, and the notices."""

from __future__ import annotations

from CardiacFusionLib.mrml.view_windows import CENTRE_X, SliceView, _View

NOT_CLINICAL = "Not for clinical use"
SYNTHETIC = "SYNTHETIC"


def text(
    view: _View,
    words: str,
    at: tuple[float, float],
    size: int = 18,
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0),
    align: str = "center",
    bold: bool = False,
) -> None:
    """Words at a place of the window (0..1 from the lower left corner), shadowed so that they stay readable."""
    import vtk

    actor = vtk.vtkTextActor()
    actor.SetInput(words)
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedDisplay()
    actor.SetPosition(*at)
    style = actor.GetTextProperty()
    style.SetFontFamilyToArial()
    style.SetFontSize(size)
    style.SetColor(*colour)
    style.SetBold(bold)
    style.SetShadow(True)
    style.SetShadowOffset(1, -1)
    if align == "left":
        style.SetJustificationToLeft()
    elif align == "right":
        style.SetJustificationToRight()
    else:
        style.SetJustificationToCentered()
    style.SetVerticalJustificationToCentered()
    view.add_overlay(actor)


def line(
    view: _View, start: tuple[float, float], end: tuple[float, float], colour: tuple[float, float, float], width: float
) -> None:
    """A straight line between two window pixels (x right, y up)."""
    import vtk

    source = vtk.vtkLineSource()
    source.SetPoint1(*start, 0.0)
    source.SetPoint2(*end, 0.0)
    mapper = vtk.vtkPolyDataMapper2D()
    mapper.SetInputConnection(source.GetOutputPort())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(*colour)
    actor.GetProperty().SetLineWidth(width)
    view.add_overlay(actor)


def directions(view: _View, left: str, right: str, top: str, bottom: str) -> None:
    """The four sides of the picture in the heart's own words."""
    for words, at, align in (
        (left, (0.02, 0.5), "left"),
        (right, (2 * CENTRE_X - 0.02, 0.5), "right"),
        (top, (CENTRE_X, 0.925), "center"),
        (bottom, (CENTRE_X, 0.075), "center"),
    ):
        text(view, words, at, 19, (1.0, 0.86, 0.45), align)


def notices(view: _View, title: str, synthetic: bool, note: str = "") -> None:
    """Title above, 'not for clinical use' below, SYNTHETIC where the data are."""
    text(view, title, (0.02, 0.965), 22, align="left", bold=True)
    text(view, NOT_CLINICAL, (0.98, 0.03), 16, (0.85, 0.85, 0.88), "right")
    if synthetic:
        text(view, SYNTHETIC, (0.98, 0.965), 22, (1.0, 0.55, 0.25), "right", True)
    if note:
        text(view, note, (0.02, 0.03), 16, (0.85, 0.85, 0.88), "left")


def scale_bar(view: SliceView, length_mm: float = 20.0) -> None:
    """A bar of known length in the lower left part of a slice."""
    columns, rows = view.window.GetSize()
    field = view.node.GetFieldOfView()[0]
    pixels = length_mm / field * columns
    left, height = 0.03 * columns, 0.09 * rows
    line(view, (left, height), (left + pixels, height), (1.0, 1.0, 1.0), 4)
    for end in (left, left + pixels):
        line(view, (end, height - 6), (end, height + 6), (1.0, 1.0, 1.0), 3)
    text(view, f"{length_mm:.0f} mm", ((left + pixels / 2) / columns, 0.115), 16)


def plane_mark(view: SliceView, start: tuple[float, float, float], end: tuple[float, float, float], words: str) -> None:
    """Where another plane cuts this slice: a thin line between two heart-frame points, with its name."""
    a, b = view.pixel_of(start), view.pixel_of(end)
    line(view, a, b, (0.75, 0.9, 1.0), 1.0)
    columns, rows = view.window.GetSize()
    text(view, words, ((a[0] - 8) / columns, a[1] / rows), 14, (0.75, 0.9, 1.0), "right")
