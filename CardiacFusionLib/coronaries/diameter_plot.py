"""Diameter against distance along a branch, with its healthy taper and its narrowings: a matplotlib picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from CardiacFusionLib.spatial.grading import cad_rads
from CardiacFusionLib.spatial.tree import CoronaryTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LUMEN_COLOUR, REFERENCE_COLOUR, STENOSIS_COLOUR = "#b03a2e", "#7f8c8d", "#f5b7b1"


def draw_diameter(axes: Axes, tree: CoronaryTree, branch_name: str) -> None:
    """Draw one branch of ``tree`` into ``axes``; nothing but a note where the tree has no such branch.

    To call: ``figure, axes = plt.subplots(figsize=(6, 2.4)); draw_diameter(axes, tree, "LAD")``.
    """
    branch = tree.branch(branch_name)
    if branch is None:
        axes.text(0.5, 0.5, f"{branch_name} was not found", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    arc, diameter = branch.arc_mm, 2.0 * branch.radius_mm
    axes.fill_between(arc, 0.0, diameter, color=LUMEN_COLOUR, alpha=0.25, linewidth=0)
    axes.plot(arc, diameter, color=LUMEN_COLOUR, linewidth=1.2, label="lumen")
    if branch.reference_mm is not None and len(branch.reference_mm) == len(arc):
        axes.plot(arc, branch.reference_mm, color=REFERENCE_COLOUR, linestyle="--", linewidth=1.0, label="reference")
    for s in (s for s in tree.stenoses if s.branch == branch_name):
        half = max(0.5 * s.length_mm, 1.0)
        axes.axvspan(s.position_mm - half, s.position_mm + half, color=STENOSIS_COLOUR, alpha=0.6, linewidth=0)
        kind = ", calcified" if s.calcified else ""
        axes.annotate(
            f"{s.diameter_percent:.0f} % (CAD-RADS {cad_rads(s.diameter_percent)}{kind})",
            (s.position_mm, s.minimal_diameter_mm), xytext=(0, 12), textcoords="offset points", ha="center", fontsize=7,
        )  # fmt: skip
    axes.set_xlim(0.0, branch.length_mm)
    axes.set_ylim(0.0, max(5.0, 1.15 * float(diameter.max())))
    axes.set_xlabel("distance from the start (mm)")
    axes.set_ylabel("diameter (mm)")
    axes.set_title(branch_name, fontsize=9)
