"""Pictures of a perfusion study: curves of every segment with the input, and the maps of every slice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CardiacFusionLib.perfusion.gamma import first_pass
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.spatial.aha import SEGMENT_NAMES
from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RINGS = (("basal", range(1, 7)), ("mid", range(7, 13)), ("apical", range(13, 18)))


def curves_figure(perfusion: Perfusion, note: str = "") -> Figure:
    """Input and segment curves, one panel a ring (basal, mid, apical); ``note`` stands below, e.g. 'digital twin'."""
    from matplotlib.figure import Figure

    if perfusion.curves is None:
        raise BadInputError("This perfusion result holds no curves to draw; quantify it again.")
    table, aif = perfusion.curves, perfusion.aif
    unit = "relative" if perfusion.maps.relative else "mmol/L"
    figure = Figure(figsize=(13, 4.6), dpi=110)
    first, *rings = figure.subplots(1, 4, gridspec_kw={"left": 0.05, "right": 0.99, "bottom": 0.12, "top": 0.86})
    times = table["time_s"].to_numpy()
    first.plot(times, table["aif"], color="black")
    bolus = first_pass(aif)
    if bolus is not None:
        fine = np.linspace(float(aif.times_s[0]), float(aif.times_s[-1]), 400)
        label = f"gamma variate (peak {bolus.height:.1f}, misfit {100 * bolus.residual:.0f} %)"
        first.plot(fine, bolus(fine), color="tab:blue", linestyle="--", linewidth=0.9, label=label)
        first.legend(fontsize=6, loc="center right")
    for index, name in ((aif.foot, "foot"), (aif.peak, "peak"), (aif.end, "end of first pass")):
        first.axvline(aif.times_s[index], color="0.6", linewidth=0.8)
        first.annotate(
            name,
            (aif.times_s[index], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -3),
            textcoords="offset points",
            rotation=90,
            fontsize=7,
            va="top",
        )
    first.set_title("arterial input" + (" (saturated)" if aif.saturated else ""))
    first.set_ylabel(f"contrast agent [{unit}]")
    columns = [c for c in table.columns if c not in ("time_s", "aif")]
    top = max((float(np.nanmax(table[c])) for c in columns), default=1.0)
    flow = perfusion.segments.set_index("segment")["mbf_ml_min_g"]
    for axis, (ring, numbers) in zip(rings, _RINGS):
        for number in numbers:
            if str(number) in table and number in flow.index:
                label = f"{number} {SEGMENT_NAMES[number].removeprefix(ring).strip()}: {flow[number]:.2f}"
                axis.plot(times, table[str(number)], linewidth=1.2, label=label)
        axis.set_title(f"{ring} (flow {'relative' if perfusion.maps.relative else 'mL/min/g'})")
        axis.set_ylim(min(-0.05 * top, 0.0), 1.1 * top)
        if axis.lines:
            axis.legend(fontsize=7, loc="lower right")
    for axis in (first, *rings):
        axis.set_xlabel("time [s]")
    footer = "not for clinical use" + (f" - {note}" if note else "")
    figure.suptitle(f"{perfusion.series.state}: first pass by segment ({footer})", fontsize=10)
    return figure


def maps_figure(
    perfusion: Perfusion, names: tuple[str, ...] = ("mbf", "upslope", "time_to_peak"), note: str = ""
) -> Figure:
    """Maps over the mean frame, one row a map and one column a slice; maps that are not there are left out."""
    from matplotlib.figure import Figure

    shown = [n for n in names if n in perfusion.maps.maps]
    count = perfusion.series.slice_count
    figure = Figure(figsize=(3.2 * count + 1.2, 3.0 * len(shown)), dpi=100)
    axes = figure.subplots(
        len(shown),
        count,
        squeeze=False,
        gridspec_kw={"left": 0.01, "right": 0.97, "bottom": 0.02, "top": 0.93, "wspace": 0.02, "hspace": 0.1},
    )
    background = perfusion.series.array.mean(axis=0)
    for row, name in zip(axes, shown):
        values = perfusion.maps.maps[name]
        top = float(np.nanpercentile(values, 97))
        for s, axis in enumerate(row):
            axis.imshow(background[s], cmap="gray")
            drawn = axis.imshow(values[s], cmap="inferno", vmin=0.0, vmax=max(top, 1e-6))
            y, x = np.nonzero(np.isfinite(values[s]))
            if x.size:
                axis.set_xlim(x.min() - 8, x.max() + 8)
                axis.set_ylim(y.max() + 8, y.min() - 8)
            axis.set_axis_off()
            axis.set_title(f"{name} slice {s + 1}", fontsize=8)
        figure.colorbar(drawn, ax=list(row), label=perfusion.maps.units[name], shrink=0.8)
    figure.suptitle(
        f"{perfusion.series.state} (not for clinical use{' - ' + note if note else ''})", fontsize=9, y=0.99
    )
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG without time or program version in it, so that equal results are equal files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
