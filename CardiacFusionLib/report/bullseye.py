"""The 17-segment bullseye with values, colour bar and coronary branches, as a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from CardiacFusionLib.report import narrowings
from CardiacFusionLib.report.colours import Scale, colours_of, perfusion_table, text_on, vessel_rgb
from CardiacFusionLib.report.polar import OUTSIDE_LIMIT, PolarMap, segment_centre, segment_outline
from CardiacFusionLib.spatial.tree import CoronaryTree, vessel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES = (("Anterior", 0.0, 1.28), ("Inferior", 0.0, -1.28), ("Septal", -1.28, 0.0), ("Lateral", 1.28, 0.0))


def draw_bullseye(
    axes: Axes,
    values: Mapping[int, float],
    scale: Scale,
    tree_heart: CoronaryTree | None = None,
    polar: PolarMap | None = None,
    marked: tuple[int, ...] = (),
    colour_bar: bool = True,
) -> None:
    """Draw segment -> value on ``axes``. ``marked`` segments get a heavy outline; NaN is grey with a dash.

    With ``tree_heart`` and ``polar`` the branches lie over the segments, width following the lumen, stenoses marked.
    """
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.patches import Polygon
    from matplotlib.patheffects import withStroke

    for segment, value in values.items():
        rgb = colours_of(np.array([float(value)]), scale.low, scale.high)[0]
        axes.add_patch(Polygon(segment_outline(segment), facecolor=rgb, edgecolor="white", linewidth=1.4, zorder=1))
        words = f"{value:.1f}" if np.isfinite(value) else "–"
        colour = text_on((float(rgb[0]), float(rgb[1]), float(rgb[2])))
        x, y = segment_centre(segment)
        label = axes.text(float(x), float(y), words, color=colour, fontsize=10.5, ha="center", va="center", zorder=7)
        label.set_path_effects([withStroke(linewidth=2.5, foreground=rgb)])  # readable where a branch runs below it
    for segment in marked:
        if segment in values:
            axes.add_patch(
                Polygon(segment_outline(segment), fill=False, edgecolor="#d7263d", linewidth=2.4, zorder=2.5)
            )
    if tree_heart is not None and polar is not None:
        _draw_tree(axes, tree_heart, polar)
    for words, x, y in _SIDES:
        axes.text(x, y, words, ha="center", va="center", fontsize=9.5, color="#5b6470", rotation=90 if x else 0)
    axes.set_xlim(-1.34, 1.34)
    axes.set_ylim(-1.34, 1.34)
    axes.set_aspect("equal")
    axes.set_axis_off()
    if colour_bar:
        from matplotlib.cm import ScalarMappable

        table = ScalarMappable(Normalize(scale.low, scale.high), ListedColormap(perfusion_table()))
        bar = axes.figure.colorbar(table, ax=axes, shrink=0.72, pad=0.03, extend="max")
        bar.set_label(scale.legend, fontsize=9.5)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=9, length=0)


def _draw_tree(axes: Axes, tree: CoronaryTree, polar: PolarMap) -> None:
    """Branches over the disc, with a white halo so that they stand off every colour."""
    from matplotlib.collections import LineCollection

    placed: list[tuple[float, float]] = []
    for branch in tree.branches:
        if not narrowings.is_named(branch.name):
            continue  # they would hide the others; the 3D picture has them
        path = polar.plane(branch.points_mm)
        colour = vessel_rgb(vessel_of(tree, branch.name))
        widths = 2.2 * np.clip(np.asarray(branch.radius_mm, dtype=float), 0.5, 2.0)
        steps = np.stack([path[:-1], path[1:]], axis=1)
        # a branch that crosses the apex or leaves the disc jumps in the plane: no line is drawn across
        near = np.linalg.norm(path[1:] - path[:-1], axis=1) <= 0.5
        for tone, extra, layer in (("white", 1.6, 2.8), (colour, 0.0, 3.0)):
            lines = LineCollection(
                list(steps[near]), colors=[tone], linewidths=widths[:-1][near] + extra, capstyle="round", zorder=layer
            )
            axes.add_collection(lines)
        if branch.length_mm > 15:
            place = _free_place(path, placed)
            placed.append(place)
            axes.text(
                *place, branch.name, color=colour, fontsize=9, fontweight="bold", ha="center", va="center", zorder=5
            )
    for stenosis in narrowings.clear(tree.stenoses):
        x, y = polar.plane(stenosis.point_mm[None])[0]
        axes.plot(x, y, marker="D", markersize=8, color="#ffe14d", markeredgecolor="black", zorder=6)
        axes.annotate(
            f"{stenosis.diameter_percent:.0f} %", (x, y), xytext=(8, 6), textcoords="offset points", fontsize=9,
            fontweight="bold", zorder=6,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
        )  # fmt: skip


def _free_place(path: np.ndarray, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """A place for a branch's name: outside the disc by its first points, further on where another name stands."""
    for point in path:
        direction = point / max(float(np.hypot(*point)), 1e-6)
        place = direction * min(OUTSIDE_LIMIT, 1.13)
        if all(np.hypot(place[0] - x, place[1] - y) > 0.24 for x, y in taken):
            return float(place[0]), float(place[1])
    return float(path[-1][0]), float(path[-1][1])
