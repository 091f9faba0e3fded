"""The bullseye: every point of the heart lands in the segment it belongs to, low flow looks low."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from CardiacFusionLib.perfusion.result import MAP_UNITS, PerfusionMaps
from CardiacFusionLib.report import colours
from CardiacFusionLib.report.figures import new_figure, png
from CardiacFusionLib.report.polar import APEX_RADIUS, SEGMENT_BOX, PolarMap, polar_map, segment_centre, segment_outline
from CardiacFusionLib.spatial import aha

sys.path.insert(0, str(Path(__file__).parents[1] / "mrml"))
from bullet_case import INSERTION_DEG, SEPTUM_DEG, bullet_case


def box_of(point: np.ndarray) -> int:
    """Segment whose box holds a bullseye point."""
    radius, angle = float(np.hypot(*point)), float(np.degrees(np.arctan2(point[1], point[0])))
    for segment, (inner, outer, first, last) in SEGMENT_BOX.items():
        if inner <= radius < outer and (angle - first) % 360.0 < last - first:
            return segment
    return 0


@given(
    angle=st.floats(-180, 180),
    level=st.floats(0.001, 0.999),
    insertion=st.floats(60, 170),
    septum=st.floats(70, 170),
)
@settings(max_examples=150, deadline=None)
def test_a_point_of_the_wall_lands_in_its_own_segment(angle, level, insertion, septum) -> None:
    polar = PolarMap(-35.0, 45.0, (1.0, -2.0), insertion, septum, -45.0)
    a = np.radians(angle)
    point = np.array([1.0 + 25 * np.cos(a), -2.0 - 25 * np.sin(a), -35.0 + 80.0 * level])
    expected = int(aha.segments(angle, level, insertion, septum))
    edge = any(abs((level * 3) - k) < 1e-3 for k in (1, 2))
    drawn = polar.plane(point[None])[0]
    turned = min(abs(box_of(rotate(drawn, d)) - expected) for d in (0.0, 0.01, -0.01))
    assert edge or turned == 0


def rotate(point: np.ndarray, degrees: float) -> np.ndarray:
    """A bullseye point turned a little, for points that lie on a border."""
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ point


def test_anterior_is_up_the_septum_left_and_the_apex_in_the_middle() -> None:
    assert segment_centre(1)[1] > 0.8 and abs(segment_centre(1)[0]) < 1e-9
    assert segment_centre(14)[0] < -0.3 and segment_centre(16)[0] > 0.3
    assert segment_centre(4)[1] < -0.8
    np.testing.assert_array_equal(segment_centre(17), [0, 0])


def test_outlines_close_and_cover_the_disc() -> None:
    total = 0.0
    for segment in SEGMENT_BOX:
        x, y = segment_outline(segment, 0.5).T
        np.testing.assert_allclose([x[0], y[0]], [x[-1], y[-1]], atol=1e-9)
        total += abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
    assert total == pytest.approx(np.pi, rel=1e-3)


def test_the_lad_runs_down_the_anterior_groove_to_the_apex() -> None:
    content = bullet_case(24, 6.4, rest=False)
    polar = polar_map(content)
    assert polar.insertion_deg == pytest.approx(INSERTION_DEG, abs=2)
    assert polar.septum_deg == pytest.approx(SEPTUM_DEG, abs=2)
    path = polar.plane(content.tree_heart.branch("LAD").points_mm)
    radius = np.hypot(*path.T)
    assert radius[0] > 0.9 and radius[-1] < APEX_RADIUS + 0.05
    assert np.all(path[:, 1] > 0)  # it never leaves the anterior half
    rca = polar.plane(content.tree_heart.branch("RCA").points_mm)
    assert rca[-1][1] < 0 and rca[-1][0] < 0.1


def test_low_flow_is_the_darkest_colour_and_lightness_rises_all_the_way() -> None:
    from skimage.color import rgb2lab

    lightness = rgb2lab(colours.perfusion_table()[None])[0, :, 0]
    assert np.all(np.diff(lightness) > 0)
    assert lightness[0] < 20 and lightness[-1] > 90


def test_a_missing_value_is_grey_and_never_looks_like_low_flow() -> None:
    rgb = colours.colours_of(np.array([np.nan, 0.0]), 0.0, 3.0)
    np.testing.assert_allclose(rgb[0], colours.NO_DATA_RGB)
    assert np.abs(rgb[0] - rgb[1]).max() > 0.3


def test_absolute_flow_has_one_fixed_scale_and_relative_flow_says_so() -> None:
    maps = {"mbf": np.full((1, 4, 4), 7.0, np.float32)}
    absolute = colours.scale_of(PerfusionMaps(maps, MAP_UNITS, False), "mbf")
    assert (absolute.low, absolute.high, absolute.unit) == (*colours.MBF_RANGE, "mL/min/g")
    relative = colours.scale_of(PerfusionMaps(maps, MAP_UNITS, True), "mbf")
    assert relative.high == pytest.approx(7.0) and "elative" in relative.legend and "mL" not in relative.legend


def test_the_drawn_bullseye_is_dark_where_flow_is_low() -> None:
    from matplotlib.image import imread

    from CardiacFusionLib.report.bullseye import draw_bullseye

    values = dict.fromkeys(range(1, 17), 2.4) | {7: 0.6, 8: float("nan")}
    figure = new_figure(4, 4)
    axes = figure.subplots()
    scale = colours.Scale("mbf", 0.0, 3.0, "mL/min/g", "Myocardial blood flow")
    draw_bullseye(axes, values, scale, colour_bar=False)
    data = png(figure)
    import io

    pixels = imread(io.BytesIO(data))[..., :3]
    rows, columns, _ = pixels.shape

    def colour_at(segment: int) -> np.ndarray:
        x, y = segment_centre(segment) * 1.09  # beside the number
        px, py = axes.transData.transform((x, y))
        return pixels[round(rows - py) - 1, round(px)]

    np.testing.assert_allclose(colour_at(7), colours.colours_of(np.array([0.6]), 0, 3)[0], atol=0.02)
    np.testing.assert_allclose(colour_at(8), colours.NO_DATA_RGB, atol=0.02)
    assert figure.canvas is not None and data == png(figure)


def test_the_colour_table_for_slicer_is_the_one_of_every_picture() -> None:
    file = Path(__file__).parents[2] / "Resources" / "ColorTables" / "CardiacFusion-perfusion.ctbl"
    rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    table = np.array([[int(v) for v in row[2:5]] for row in rows]) / 255
    np.testing.assert_allclose(table, colours.perfusion_table(), atol=0.5 / 255 + 1e-9)
