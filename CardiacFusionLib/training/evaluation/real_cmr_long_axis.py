"""Mitral points and apex in the real long-axis views of the cine, and what they add to the short axis.

The given points come from another pipeline, not from an expert; the apex was marked in the 4-chamber view alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.long_axis import read_long_axis
from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.walls.long_axis import see_long_axis
from CardiacFusionLib.walls.result import CmrWalls, LongAxisMarks

Points = dict[str, dict[str, NDArray[np.float64]]]  # kind -> series -> (n, 3) LPS mm
MITRAL = ("mitral_1", "mitral_2")
IN_PLANE_MM = 1.5  # given points lie in the plane in which they were marked, but for rounding


def long_axis_figures(
    folder: Path, phase: str, walls: CmrWalls, poses: list[SlicePose], points: Points
) -> dict[str, Any]:
    """Distances (mm) of what the views of a phase show from the given points, and of apex and mitral centre.

    For each view ``mitral_1``, ``mitral_2`` (of the two ways to pair them the nearer) and ``apex``, within its plane.
    ``apex`` and ``base``: from the views alone, and ``with_short_axis``, as a case that has both tells them.
    """
    files = sorted(folder.glob(f"lax_*_{phase}.nii.gz"))
    views = read_long_axis(files)
    seen = [see_long_axis(view) for view in views]
    result: dict[str, Any] = {m.view: _of_view(m, v.pose, points) for m, v in zip(seen, views)}
    alone, _ = with_long_axis(CmrWalls(walls.labels, walls.landmarks), seen, poses)
    together, _ = with_long_axis(walls, seen, poses)
    given = given_ends(points)
    for name, ends in (("views_alone", alone.ends), ("with_short_axis", together.ends)):
        result[name] = {k: float(np.linalg.norm(ends[k].place_lps - p)) for k, p in given.items() if k in ends}
    return result


def given_ends(points: Points) -> dict[str, NDArray[np.float64]]:
    """The given ``apex`` and ``base`` (mean of the leaflets' ends in all views), LPS mm."""
    return {
        "apex": np.concatenate(list(points["APEX_POINT"].values())).mean(axis=0),
        "base": np.mean([view.mean(axis=0) for view in points["MITRAL_VALVE"].values()], axis=0),
    }


def _of_view(seen: LongAxisMarks, pose: SlicePose, points: Points) -> dict[str, float]:
    """Distances within the view's plane; the mitral points against those marked in it, if any were."""
    found = {}
    apex = given_ends(points)["apex"]
    if "apex" in seen.places:
        found["apex"] = _within(seen.places["apex"] - apex, pose)
    for marked in points["MITRAL_VALVE"].values():
        if np.abs((marked - np.asarray(pose.origin_mm)) @ pose.normal).max() > IN_PLANE_MM:
            continue
        if set(MITRAL) <= set(seen.places) and len(marked) == 2:
            own = [seen.places[name] for name in MITRAL]
            ways = [[float(np.linalg.norm(a - b)) for a, b in zip(own, order)] for order in (marked, marked[::-1])]
            found |= dict(zip(MITRAL, min(ways, key=sum)))
            found["mitral_centre"] = float(np.linalg.norm(np.mean(own, axis=0) - marked.mean(axis=0)))
    return found


def _within(away: NDArray[np.float64], pose: SlicePose) -> float:
    return float(np.linalg.norm(away - (away @ pose.normal) * pose.normal))
