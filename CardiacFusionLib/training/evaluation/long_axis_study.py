"""Long-axis landmarks on unseen twins: 2-, 3- and 4-chamber view of each heart, cine or perfusion, some cropped.

Every view is stored turned by quarters and mirrored at random. Distances are told where a landmark is shown and found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.ends import with_long_axis
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.long_axis import NAMES, LongAxisView, long_axis_axes
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.evaluation.summary import describe
from CardiacFusionLib.twin.cmr.long_axis import LongAxisSample, planned_views
from CardiacFusionLib.walls.long_axis import see_long_axis
from CardiacFusionLib.walls.result import CmrWalls

CONTRASTS = {"cine": 4, "perfusion": 2}  # of ``twin.cmr.training.CHANNELS``; a frame with the contrast in the LV
VIEWS = ("2ch", "3ch", "4ch")
CINE_SHARE, CROPPED_SHARE = 0.6, 0.3
CUT_OFF_MM = (3.0, 25.0)  # so far inside of the landmark that it leaves out the field of view ends
NEAR_MM = 10.0


def long_axis_case(seed: int) -> dict[str, Any]:
    """What is seen in the three views of one heart. ``views``: for each the contrast, whether it was cropped, and of
    each landmark the distance, whether it was shown and found, and its true place about the middle of the picture in
    the standard orientation (mm). ``figures``: distance of the apex and the mitral centre put together from the views.
    """
    rng = np.random.default_rng((seed, 45))
    views, seen = [], []
    drawn_views = planned_views(seed)
    for name, drawn in zip(VIEWS, drawn_views):
        contrast = "cine" if rng.random() < CINE_SHARE else "perfusion"
        view, shown = _picture(name, drawn, CONTRASTS[contrast], rng)
        marks = see_long_axis(view)
        seen.append(marks)
        views.append({"view": name, "contrast": contrast, "marks": _compared(marks.places, shown, view.pose, drawn)})
    heart, patient = drawn_views[0].heart, drawn_views[0].patient
    axis = patient.T @ np.array([0.0, 0.0, 1.0])
    short = SlicePose((0.0, 0.0, 0.0), canonical_axes(axis), (1.0, 1.0), 8.0)
    _, told = with_long_axis(CmrWalls(np.zeros((1, 2, 2), np.uint8) + Label.BACKGROUND, ({},)), seen, [short])
    figures = {
        f"{name}_mm": float(np.linalg.norm(one.place_lps - patient.T @ heart.landmarks[name]))
        for name, one in told.ends.items()
    }
    return {"kind": "three views", "views": views, "figures": figures}


def _picture(
    name: str, drawn: LongAxisSample, channel: int, rng: np.random.Generator
) -> tuple[LongAxisView, dict[str, NDArray[np.float64]]]:
    """The view as a file might hold it, and the landmarks (LPS mm) that it shows."""
    image, pose = np.array(drawn.channels[channel]), drawn.pose
    low, high = np.zeros(2, int), np.array(image.shape[::-1])
    if rng.random() < CROPPED_SHARE and drawn.landmarks:  # a small field of view that ends before a landmark
        place = drawn.landmarks[str(rng.choice(sorted(drawn.landmarks)))]
        away = place - (drawn.ends["apex"] + drawn.ends["base"]) / 2
        side = int(np.argmax(np.abs(away)))
        edge = int(place[side] - np.sign(away[side]) * rng.uniform(*CUT_OFF_MM) / drawn.spacing_mm)
        if away[side] < 0:
            low[side] = max(edge, 0)
        else:
            high[side] = min(edge, high[side])
    image = image[low[1] : high[1], low[0] : high[0]]
    size = np.array(image.shape[::-1])
    shown = {
        k: np.asarray(pose.points_lps(p))
        for k, p in drawn.landmarks.items()
        if np.all(p - low > 0) and np.all(p - low < size - 1)
    }
    x, y, n = pose.direction.T
    step, origin = pose.spacing_mm[0], pose.points_lps(low.astype(float))
    for _ in range(int(rng.integers(4))):  # a quarter turn: the last column becomes the first row
        origin = origin + (image.shape[1] - 1) * step * x
        image, x, y = np.rot90(image), y, -x
    if rng.random() < 0.5:
        origin = origin + (image.shape[1] - 1) * step * x
        image, x, n = image[:, ::-1], -x, -n
    stored = SlicePose(tuple(origin), np.column_stack([x, y, n]), pose.spacing_mm, pose.thickness_mm)
    return LongAxisView(name, np.ascontiguousarray(image[None], dtype=np.float32), stored), shown


def _compared(
    found: Mapping[str, NDArray[np.float64]],
    shown: Mapping[str, NDArray[np.float64]],
    pose: SlicePose,
    drawn: LongAxisSample,
) -> dict[str, dict[str, Any]]:
    axes = long_axis_axes(pose.normal)
    middle = drawn.pose.points_lps(np.array(drawn.channels.shape[:0:-1]) / 2)
    result: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        one: dict[str, Any] = {"shown": name in shown, "found": name in found}
        if one["shown"]:
            one["place"] = ((shown[name] - middle) @ axes[:, :2]).tolist()
            if one["found"]:
                one["mm"] = float(np.linalg.norm(found[name] - shown[name]))
        result[name] = one
    return result


def summarise_long_axis(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of all views, of each contrast, and of apex and base put together; beside 'predict the mean', which takes
    the mean place of the landmark in the same kind of view of the other hearts."""
    views = [view for case in cases for view in case["views"]]
    result: dict[str, Any] = {"all": _figures(views)}
    for contrast in CONTRASTS:
        result[contrast] = _figures([v for v in views if v["contrast"] == contrast])
    together: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case["figures"].items():
            together.setdefault(name, []).append(value)
    result["from_three_views"] = {name: describe(name, values) for name, values in together.items()}
    result["predict_the_mean"] = _mean_places(views)
    return result


def _figures(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Distance and share within 10 mm where shown and found, share found of those shown, share left out of those not
    shown."""
    result: dict[str, Any] = {}
    for name in NAMES:
        marks = [view["marks"][name] for view in views]
        away = [m["mm"] for m in marks if "mm" in m]
        shown = [m["found"] for m in marks if m["shown"]]
        hidden = [not m["found"] for m in marks if not m["shown"]]
        if away:
            result[f"{name}_mm"] = describe(f"{name}_mm", away) | {"median": float(np.median(away))}
            result[f"{name}_within_10mm"] = {
                "mean": float(np.mean(np.array(away) < NEAR_MM)),
                "n": len(away),
            }
        for key, told in ((f"{name}_found", shown), (f"{name}_absent_right", hidden)):
            if told:
                result[key] = {"mean": float(np.mean(told)), "n": len(told)}
    return result


def _mean_places(views: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in NAMES:
        away: list[float] = []
        for kind in VIEWS:
            marks = [view["marks"][name] for view in views if view["view"] == kind]
            places = np.array([m["place"] for m in marks if "place" in m])
            if len(places) > 1:
                others = (places.sum(axis=0) - places) / (len(places) - 1)
                away += np.linalg.norm(places - others, axis=1).tolist()
        if away:
            result[f"{name}_mm"] = describe(f"{name}_mm", away)
    return result
