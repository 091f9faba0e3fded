"""Looks at the real cine stack change the picture and leave the patient where they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from CardiacFusionLib.spatial.series import SlicePose
from CardiacFusionLib.training.evaluation.real_cmr_looks import LOOKS

SHAPE = (3, 66, 84)
PLACE = np.array([50.0, 30.0])  # of the blob, (x, y) pixels


def stack() -> tuple[np.ndarray, list[SlicePose]]:
    y, x = np.indices(SHAPE[1:])
    blob = 200 * np.exp(-((x - PLACE[0]) ** 2 + (y - PLACE[1]) ** 2) / (2 * 4.0**2)) + 10
    turn, _ = np.linalg.qr(np.array([[0.8, 0.1, 0.5], [-0.4, 0.9, 0.3], [-0.4, -0.3, 0.8]]))
    turn[:, 2] = np.cross(turn[:, 0], turn[:, 1])
    poses = [SlicePose(tuple(np.array([5.0, -20, 8]) + 9.0 * k * turn[:, 2]), turn, (1.2, 1.5), 8.0) for k in range(3)]
    images = np.stack([blob * (k + 4) for k in range(3)])  # each slice brighter than the last: known after a reversal
    return images.astype(np.float32), poses


def middle(image: np.ndarray, pose: SlicePose) -> np.ndarray:
    """Where the blob lies, LPS mm."""
    image = ndimage.gaussian_filter(image, 2.0)  # noise is no matter of place
    weight = np.clip(image - (image.min() + 0.5 * np.ptp(image)), 0, None)
    y, x = np.indices(image.shape)
    return np.asarray(pose.points_lps(np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()))


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_a_look_leaves_the_patient_in_place(name: str) -> None:
    images, poses = stack()
    seen, where = LOOKS[name](images.copy(), poses)
    assert len(seen) == len(where) == 3 and seen.dtype == np.float32
    order = np.argsort([np.percentile(image, 98) for image in seen])
    for k, image, pose in zip(range(3), seen[order], [where[i] for i in order]):
        np.testing.assert_allclose(middle(image, pose), poses[k].points_lps(PLACE), atol=1.2)
        assert np.cross(pose.direction[:, 0], pose.direction[:, 1]) @ pose.normal > 0.99


@pytest.mark.parametrize("name", sorted(set(LOOKS) - {"as_it_is"}))
def test_a_look_changes_what_is_seen(name: str) -> None:
    images, poses = stack()
    seen, _ = LOOKS[name](images.copy(), poses)
    assert seen.shape != images.shape or float(np.abs(seen - images).max()) > 1.0
