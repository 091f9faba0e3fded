"""A tube on the ascending aorta above its sinuses is told as a possible bypass graft; veins and arteries are not."""

from __future__ import annotations

import numpy as np
import pytest
from coronary_phantom import BLOOD_HU, FAT_HU, WALL_HU, curve, labels_at
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.grafts import possible_grafts
from CardiacFusionLib.coronaries.lumen import Blood, SearchRegion
from CardiacFusionLib.coronaries.ostia import AorticRoot
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.volume import Volume

SPACING = 0.8
ROOT = AorticRoot(np.array([-12.0, -18.0, 40.0]), np.array([-12.0, -18.0, 52.0]), np.zeros((2, 2, 2), bool))
# from the aorta's front 36 mm above the valve down to the anterior wall
GRAFT = [[-12.0, -27.0, 76.0], [-9.0, -34.0, 75.0], [0.0, -42.0, 68.0], [6.0, -44.0, 56.0], [8.0, -40.0, 44.0]]


def region_with(points: np.ndarray | None, radius: float = 2.2) -> SearchRegion:
    """The phantom's upper half about its aorta (heart frame as LPS), with one bright tube."""
    low, size = np.array([-45.0, -60.0, 20.0]), (110, 110, 110)
    z, y, x = (np.arange(n) * SPACING for n in size[::-1])
    grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).transpose(2, 1, 0, 3) + low
    labels = labels_at(grid)
    hu = np.full(labels.shape, FAT_HU, np.float32)
    hu[labels > 0] = BLOOD_HU
    hu[labels == Label.MYOCARDIUM] = WALL_HU
    if points is not None:
        near = cKDTree(points).query(grid.reshape(-1, 3), distance_upper_bound=radius)[0].reshape(labels.shape)
        hu[np.isfinite(near)] = BLOOD_HU
    ct = Volume(hu, (SPACING,) * 3, tuple(low), np.eye(3))
    return SearchRegion(ct, labels, np.zeros((2, 2, 2), bool), Blood(BLOOD_HU, 10.0, 99, WALL_HU))


def test_a_graft_is_told() -> None:
    assert possible_grafts(region_with(curve(GRAFT)), ROOT, np.zeros((0, 3))) == 1


def test_no_tube_no_graft() -> None:
    assert possible_grafts(region_with(None), ROOT, np.zeros((0, 3))) == 0


@pytest.mark.parametrize("radius", [0.3, 6.0])
def test_what_is_no_artery_s_width_is_no_graft(radius: float) -> None:
    assert possible_grafts(region_with(curve(GRAFT), radius), ROOT, np.zeros((0, 3))) == 0


def test_an_artery_that_was_found_there_is_no_graft() -> None:
    assert possible_grafts(region_with(curve(GRAFT)), ROOT, curve(GRAFT)) == 0


def test_a_tube_beside_the_aorta_that_does_not_touch_it_is_no_graft() -> None:
    apart = curve(np.add(GRAFT, [0.0, -9.0, 0.0]))
    assert possible_grafts(region_with(apart), ROOT, np.zeros((0, 3))) == 0


def test_an_artery_that_leaves_the_sinuses_is_no_graft() -> None:
    low = curve([[-5.0, -27.0, 54.0], [0.0, -36.0, 55.0], [8.0, -42.0, 50.0], [12.0, -44.0, 40.0]])
    assert possible_grafts(region_with(low), ROOT, np.zeros((0, 3))) == 0
