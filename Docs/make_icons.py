"""The module's icon, and the thumbnail of its synthetic sample: ``python Docs/make_icons.py``.

A bullseye with one dark territory and three arteries over it.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Wedge

from CardiacFusionLib.report.colours import VESSEL_RGB, colours_of

ICONS = Path(__file__).resolve().parents[1] / "CardiacFusion" / "Resources" / "Icons"
_DARK = (1, 2, 7, 8, 13)  # segments of an LAD territory
_RINGS = ((0.72, 1.0, 6, 60.0), (0.46, 0.72, 6, 60.0), (0.2, 0.46, 4, 45.0))  # inner, outer radius, segments, start


def _bullseye(size_px: int, path: Path) -> None:
    figure = plt.figure(figsize=(1, 1), dpi=size_px)
    axes = figure.add_axes((0, 0, 1, 1))
    number = 1
    for inner, outer, count, start in _RINGS:
        width = 360 / count
        for k in range(count):
            flow = 0.7 if number in _DARK else 2.3
            colour = colours_of(np.array([flow]), 0.0, 3.0)[0]
            axes.add_patch(
                Wedge(
                    (0, 0),
                    outer,
                    start + k * width,
                    start + (k + 1) * width,
                    width=outer - inner,
                    fc=colour,
                    ec="white",
                    lw=size_px / 110,
                )
            )
            number += 1
    axes.add_patch(
        Wedge((0, 0), 0.2, 0, 360, fc=colours_of(np.array([1.2]), 0.0, 3.0)[0], ec="white", lw=size_px / 110)
    )
    t = np.linspace(0, 1, 40)
    for vessel, first, last in (("LAD", 112, 92), ("LCx", 60, -20), ("RCA", 200, 268)):
        angle, radius = np.radians(first + (last - first) * t), 1.02 - 0.72 * t
        axes.plot(
            radius * np.cos(angle),
            radius * np.sin(angle),
            color=VESSEL_RGB[vessel],
            lw=size_px / 22,
            solid_capstyle="round",
        )
    axes.set_xlim(-1.08, 1.08)
    axes.set_ylim(-1.08, 1.08)
    axes.axis("off")
    figure.savefig(path, transparent=True, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    ICONS.mkdir(parents=True, exist_ok=True)
    _bullseye(128, ICONS / "CardiacFusion.png")
    _bullseye(256, ICONS / "SampleTwin.png")
