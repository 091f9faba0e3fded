"""The report's figures: first-pass curves by segment with the AIF, and lumen diameter along a branch."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import VESSEL_RGB, vessel_rgb
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import PolarMap
from CardiacFusionLib.spatial.aha import AHA_TERRITORY, insertion_angle_deg, segments
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis, vessel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from CardiacFusionLib.perfusion.result import Perfusion

DPI = 130
_INK, _GREY, _LIGHT = "#1d2530", "#5b6470", "#d9dee5"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure without a window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as PNG, the same bytes each time (no date inside)."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _tidy(axes: Axes) -> None:
    """Thin axes, no frame."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LIGHT)
    axes.tick_params(colors=_GREY, labelsize=9)
    axes.grid(True, color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)


def segment_curves(perfusion: Perfusion, content: CaseContent, polar: PolarMap) -> dict[int, NDArray[np.float64]]:
    """Mean signal over time (t,) of every AHA segment that the slices reach, baseline taken off.

    Pixels are placed in the heart frame by the pairing: angle from the rigid pose, height from the slice's place.
    """
    series, registration = perfusion.series, content.registration
    numbers = np.zeros(perfusion.walls.labels.shape, np.int8)
    for index, pose in enumerate(series.poses):
        points = registration.pairing.cmr_pose.to_heart(pose.grid_lps(perfusion.walls.labels.shape[1:]))
        points = points.copy()
        cavity = perfusion.walls.labels[index] == Label.LV_CAVITY
        if cavity.any():  # angles turn about this slice's own LV centre
            points[..., :2] -= points[cavity][:, :2].mean(axis=0)
        points[..., 2] = float(registration.pairing.z_mm[index])
        numbers[index] = segments(
            insertion_angle_deg(points), polar.level(points), polar.insertion_deg, polar.septum_deg
        )
    wall = perfusion.walls.labels == Label.MYOCARDIUM
    before = max(1, perfusion.aif.foot)
    curves = {}
    for segment in range(1, 18):
        mask = wall & (numbers == segment)
        if mask.sum() >= 4:
            curve = series.array[:, mask].mean(axis=1).astype(float)
            curves[segment] = curve - curve[:before].mean()
    return curves


def curves_figure(content: CaseContent, polar: PolarMap) -> bytes | None:
    """Segment curves at stress coloured by vessel, with the AIF above; None where no curve could be read."""
    curves = segment_curves(content.stress, content, polar)
    if not curves:
        return None
    aif, times = content.stress.aif, content.stress.series.times_s.mean(axis=1)
    figure = new_figure(7.4, 4.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.7])
    upper.plot(aif.times_s, aif.curve, color=_INK, linewidth=1.8)
    for frame, words in ((aif.foot, "foot"), (aif.peak, "peak"), (aif.end, "end")):
        if 0 <= frame < len(aif.times_s):
            upper.axvline(aif.times_s[frame], color="#c4ccd6", linewidth=1)
            upper.text(aif.times_s[frame], float(np.max(aif.curve)) * 1.02, words, fontsize=8, color=_GREY, ha="center")
    upper.set_ylabel("LV blood" + (" (saturated)" if aif.saturated else ""), fontsize=9, color=_INK)
    for vessel, colour in VESSEL_RGB.items():
        mine = [c for s, c in curves.items() if AHA_TERRITORY[s] == vessel]
        for curve in mine:
            lower.plot(times, curve, color=colour, linewidth=0.8, alpha=0.45)
        if mine:
            lower.plot(times, np.mean(mine, axis=0), color=colour, linewidth=2.2, label=vessel)
    lower.set_ylabel("Wall signal − baseline", fontsize=9, color=_INK)
    lower.set_xlabel("Time (s)", fontsize=9, color=_INK)
    lower.legend(frameon=False, fontsize=9, ncols=3, loc="upper right")
    for axes in (upper, lower):
        _tidy(axes)
    return png(figure)


def diameter_figure(tree: CoronaryTree) -> bytes | None:
    """Lumen diameter along the branches with clear stenoses (along the main ones where there is none), or None."""
    ill = {s.branch for s in narrowings.clear(tree.stenoses)}
    shown = [b for b in tree.branches if b.name in ill] or [b for b in tree.branches if b.name in ("LAD", "LCx", "RCA")]
    if not shown:
        return None
    shown = shown[:6]
    figure = new_figure(7.4, 1.55 * len(shown) + 0.5)
    rows = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, branch in zip(rows, shown):
        _diameter(axes, branch, vessel_of(tree, branch.name), [s for s in tree.stenoses if s.branch == branch.name])
    rows[-1].set_xlabel("Distance along the branch (mm)", fontsize=9, color=_INK)
    return png(figure)


def _diameter(axes: Axes, branch: Branch, vessel: str | None, stenoses: list[Stenosis]) -> None:
    """One branch: diameter filled, each stenosis shaded and labelled, its reference dashed."""
    colour = vessel_rgb(vessel)
    arc, diameter = branch.arc_mm, 2.0 * np.asarray(branch.radius_mm, dtype=float)
    axes.fill_between(arc, 0, diameter, color=colour, alpha=0.22, linewidth=0)
    axes.plot(arc, diameter, color=colour, linewidth=1.6)
    top = float(np.nanmax(diameter)) * 1.45 if len(diameter) else 1.0
    for stenosis in stenoses:
        half = max(stenosis.length_mm / 2, 0.5)
        first, last = stenosis.position_mm - half, stenosis.position_mm + half
        axes.axvspan(first, last, color="#ffe14d", alpha=0.45, linewidth=0)
        axes.plot([first, last], [stenosis.reference_diameter_mm] * 2, color=_GREY, linestyle="--", linewidth=1)
        words = f"{stenosis.diameter_percent:.0f} %" + (" calcified" if stenosis.calcified else "")
        axes.text(
            stenosis.position_mm, top * 0.97, words, fontsize=9, fontweight="bold", color=_INK, ha="center", va="top"
        )
    axes.set_ylim(0, top)
    axes.set_xlim(0, max(branch.length_mm, 1.0))
    axes.set_ylabel(f"{branch.name}\n∅ (mm)", fontsize=9, color=_INK)
    _tidy(axes)
