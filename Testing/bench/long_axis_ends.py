"""Apex and base of twins' CMR from three short-axis slices alone, and with the long-axis views beside them.

``python Testing/bench/long_axis_ends.py [FIRST [COUNT]]``. The short axis has its true outlines, so that the figures
tell of the landmarks; the views are cine frames of the same heart at the same phase, planned with errors. Synthetic.
"""

from __future__ import annotations

import sys

import numpy as np

from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.spatial.long_axis import LongAxisView
from CardiacFusionLib.twin.case import draw_twin
from CardiacFusionLib.twin.cmr.long_axis import planned_views
from CardiacFusionLib.walls.cmr import walls_from_labels
from CardiacFusionLib.walls.long_axis import see_long_axis

CINE = 4
VIEWS = ("2ch", "3ch", "4ch")
GIVEN = {"2- and 4-chamber": (0, 2), "all three": (0, 1, 2), "4-chamber": (2,)}


def errors(seed: int) -> dict[str, dict[str, float]]:
    """Distance (mm) of apex and base from the truth: of the short axis alone, and with some of the views."""
    cmr = draw_twin(seed).cmr(rest=False)
    heart, pose = cmr.heart, cmr.pose
    slices = cmr.stress.series.poses
    walls = walls_from_labels(cmr.labels, slices)
    shift = pose.to_lps(np.zeros(3))  # the views' LPS has its origin in the heart's
    marks = []
    for name, drawn in zip(VIEWS, planned_views(seed, of=(heart, pose.lps_to_heart[:3, :3]))):
        seen = see_long_axis(LongAxisView(name, drawn.channels[CINE][None], drawn.pose))
        places = {k: p + shift for k, p in seen.places.items()}
        marks.append(type(seen)(name, places, seen.beliefs, seen.normal))
    ends = {"short axis alone": walls.ends}
    for given, which in GIVEN.items():
        ends[f"with {given}"] = with_long_axis(walls, [marks[k] for k in which], slices)[0].ends
    true = {name: pose.to_lps(heart.landmarks[name]) for name in ("apex", "base")}
    return {
        way: {name: float(np.linalg.norm(found[name].place_lps - place)) for name, place in true.items()}
        for way, found in ends.items()
    }


def main() -> None:
    """Print the mean and the worst over the seeds."""
    first, count = (int(a) for a in (sys.argv[1:] + ["2000", "24"][len(sys.argv) - 1 :]))
    cases = [errors(seed) for seed in range(first, first + count)]
    for way in cases[0]:
        told = []
        for name in ("apex", "base"):
            away = np.array([case[way][name] for case in cases])
            told.append(f"{name} {away.mean():.1f} mm (worst {away.max():.1f}, within 10 mm {np.mean(away < 10):.0%})")
        print(f"{way:24} n {count}: {'; '.join(told)}")


if __name__ == "__main__":
    main()
