"""The seventeen segments: known places, and a labelled mesh made by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from CardiacFusionLib.spatial.aha import AHA_TERRITORY, SEGMENT_NAMES, insertion_angle_deg, segments
from CardiacFusionLib.spatial.pose import HeartPose

ANTERIOR = 120.0  # angle of the anterior insertion when the septum lies straight on the negative x side

# direction in the short axis (x to the lateral wall, y down to the inferior wall) -> segment at the base
PLACES = {
    "anterior": ((0, -1), 1, 13),
    "anteroseptal": ((-0.87, -0.5), 2, 14),
    "inferoseptal": ((-0.87, 0.5), 3, 14),
    "inferior": ((0, 1), 4, 15),
    "inferolateral": ((0.87, 0.5), 5, 16),
    "anterolateral": ((0.87, -0.5), 6, 16),
}


@pytest.mark.parametrize("name", PLACES)
def test_each_wall_has_its_name(name: str) -> None:
    (x, y), basal, apical = PLACES[name]
    angle = insertion_angle_deg(np.array([x, y, 0.0]))
    assert segments(angle, np.array(0.9), ANTERIOR) == basal
    assert SEGMENT_NAMES[basal] == f"basal {name}"
    assert segments(angle, np.array(0.5), ANTERIOR) == basal + 6
    assert segments(angle, np.array(0.2), ANTERIOR) == apical


def test_the_tip_is_seventeen_and_above_the_base_is_nothing() -> None:
    angles = np.linspace(-180, 180, 50)
    assert set(segments(angles, np.full(50, -0.1), ANTERIOR)) == {17}
    assert set(segments(angles, np.full(50, 1.01), ANTERIOR)) == {0}


def test_the_segments_share_the_circle_evenly() -> None:
    angles = np.arange(0, 360, 0.1) + 0.05
    counts = np.bincount(segments(angles, np.full(angles.shape, 0.8), 77.0), minlength=18)
    assert counts[1:7].tolist() == [600] * 6
    counts = np.bincount(segments(angles, np.full(angles.shape, 0.1), 77.0), minlength=18)
    assert counts[13:17].tolist() == [900] * 4


@pytest.mark.parametrize("septum", [90.0, 120.0, 150.0])
def test_a_measured_septum_is_halved_between_its_two_segments(septum: float) -> None:
    angles = np.arange(0, 360, 0.1) + 0.05
    counts = np.bincount(segments(angles, np.full(angles.shape, 0.8), 100.0, septum), minlength=18)
    assert counts[2] == pytest.approx(septum * 5, abs=1) and counts[3] == pytest.approx(septum * 5, abs=1)
    assert counts[5] == pytest.approx((360 - septum) * 2.5, abs=1)


def test_turning_the_heart_with_its_insertion_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    angles, levels = rng.uniform(-180, 180, 500), rng.uniform(-0.2, 1.2, 500)
    assert np.array_equal(segments(angles, levels, 30.0), segments(angles + 200, levels, 230.0))


def test_every_segment_has_a_name_and_a_vessel() -> None:
    assert sorted(SEGMENT_NAMES) == sorted(AHA_TERRITORY) == list(range(1, 18))
    assert [sum(v == vessel for v in AHA_TERRITORY.values()) for vessel in ("LAD", "RCA", "LCx")] == [7, 5, 5]


class Mesh:
    """The labelled LV surface: points, segment of each, and the places where two sets of labels meet."""

    def __init__(self, path: Path) -> None:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkIOLegacy import vtkUnstructuredGridReader

        reader = vtkUnstructuredGridReader()
        reader.SetFileName(str(path))
        reader.ReadAllScalarsOn()
        reader.Update()
        grid = reader.GetOutput()
        self.points = vtk_to_numpy(grid.GetPoints().GetData())
        self.labels = vtk_to_numpy(grid.GetPointData().GetArray(0)).astype(int)
        triangles = vtk_to_numpy(grid.GetCells().GetConnectivityArray()).reshape(-1, 3)
        self.edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])

    def border(self, one: range | list[int], other: range | list[int]) -> np.ndarray:
        ends = self.labels[self.edges]
        a, b = np.isin(ends, list(one)), np.isin(ends, list(other))
        meet = (a[:, 0] & b[:, 1]) | (a[:, 1] & b[:, 0])
        return self.points[self.edges[meet]].mean(axis=1)


def _normal(points: np.ndarray) -> np.ndarray:
    normal = np.linalg.svd(points - points.mean(axis=0))[2][2]
    return normal * np.sign(normal[2])  # this mesh stands with its base up


def test_segments_agree_with_a_mesh_labelled_by_others(data_folder: Path) -> None:
    """Frame from the mesh's own borders; off the borders (4 mm) at least 99 % of the points must agree."""
    path = data_folder / "aha_mesh" / "lv_aha_segments.vtk"
    if not path.exists():
        pytest.skip(f"no labelled mesh at {path}")
    mesh = Mesh(path)
    basal, mid, apical = range(1, 7), range(7, 13), range(13, 17)
    rings = [mesh.border(apical, [17]), mesh.border(mid, apical), mesh.border(basal, mid), mesh.border(basal, [0])]
    axis = np.mean([_normal(ring) for ring in rings], axis=0)
    axis /= np.linalg.norm(axis)
    centre = np.mean([ring.mean(axis=0) for ring in rings], axis=0)
    anterior, inferior = mesh.border([1, 7], [2, 8]), mesh.border([3, 9], [4, 10])
    pose = HeartPose.from_landmarks(
        {
            "apex": centre - 40 * axis,
            "base": centre + 40 * axis,
            "rv_insertion_anterior": anterior.mean(axis=0),
            "rv_insertion_inferior": inferior.mean(axis=0),
        }
    )
    wall = mesh.labels > 0
    heart = pose.to_heart(mesh.points)
    heights = np.linspace(heart[wall, 2].min(), heart[wall, 2].max(), 25)
    cuts = [heart[wall & (np.abs(heart[:, 2] - h) < 4), :2] for h in heights]
    middles = np.array([(cut.min(axis=0) + cut.max(axis=0)) / 2 for cut in cuts])

    def about_the_lv_centre(points: np.ndarray) -> np.ndarray:
        x, y = (np.interp(points[..., 2], heights, middles[:, i]) for i in (0, 1))
        return points - np.stack([x, y, np.zeros_like(x)], axis=-1)

    def angle(points: np.ndarray) -> float:
        radians = np.radians(insertion_angle_deg(about_the_lv_centre(pose.to_heart(points))))
        return float(np.degrees(np.angle(np.exp(1j * radians).mean())))

    levels = np.interp(
        heart[:, 2], [-200, *(pose.to_heart(ring)[:, 2].mean() for ring in rings), 200], [-1, 0, 1 / 3, 2 / 3, 1, 2]
    )
    septum = (angle(inferior) - angle(anterior)) % 360
    assert septum == pytest.approx(120, abs=8)  # 115.8 measured: the mesh follows the 60-degree convention
    found = segments(insertion_angle_deg(about_the_lv_centre(heart)), levels, angle(anterior))
    agree = found == mesh.labels
    near = cKDTree(mesh.points).query_ball_point(mesh.points, 4.0)
    inside = np.array([np.all(mesh.labels[n] == mesh.labels[i]) for i, n in enumerate(near)]) & wall
    assert inside.sum() > 1500
    assert agree[wall].mean() > 0.95  # 0.962 measured
    assert agree[inside].mean() > 0.99  # 0.997 measured
    for number in range(1, 18):
        assert agree[inside & (mesh.labels == number)].mean() > 0.95, SEGMENT_NAMES[number]
