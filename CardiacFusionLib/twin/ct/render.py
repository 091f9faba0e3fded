"""The CT examination of a twin on any grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.ct.appearance import Appearance, draw_fields
from CardiacFusionLib.twin.ct.arteries import paint_arteries
from CardiacFusionLib.twin.ct.painting import CoarseScene, heart_points, paint
from CardiacFusionLib.twin.ct.scanner import degrade, field_of_view
from CardiacFusionLib.twin.heart.anatomy import Heart

COARSE_MM = 2.0


def clinical_grid(
    pose: HeartPose,
    rng: np.random.Generator,
    spacing_mm: tuple[float, float, float] | float = (0.4, 0.4, 0.5),
    fov_mm: float | None = None,
    length_mm: float | None = None,
) -> Volume:
    """An empty axial grid as a scanner gives it: square field of view 180-230 mm, 120-170 mm long, the heart inside.

    The heart's centre (the frame's origin lies in the LV, the chambers' middle right of it) is up to 12 mm off.
    """
    spacing = (spacing_mm,) * 3 if isinstance(spacing_mm, int | float) else spacing_mm
    fov = float(fov_mm if fov_mm is not None else rng.uniform(180, 230))
    length = float(length_mm if length_mm is not None else rng.uniform(130, 170))
    nx = max(round(fov / spacing[0]), 2)
    ny = max(round(fov / spacing[1]), 2)
    nz = max(round(length / spacing[2]), 2)
    middle = heart_middle(pose) + rng.uniform(-12, 12, 3)
    half = (np.array([nx, ny, nz]) - 1) / 2 * spacing
    return Volume(np.zeros((nz, ny, nx), np.uint8), spacing, tuple(middle - half), np.eye(3))


def heart_middle(pose: HeartPose) -> NDArray[np.float64]:
    """LPS mm of about the middle of all four chambers."""
    return pose.to_lps(np.array([-12.0, 2.0, 16.0]))


def render_ct(
    heart: Heart,
    pose: HeartPose,
    grid: Volume,
    rng: np.random.Generator,
    tree: CoronaryTree | None = None,
    *,
    look: Appearance | None = None,
    noise_hu: float | None = None,
    blur_mm: float | None = None,
    motion_mm: float | None = None,
    circle: bool | None = None,
    metal: bool | None = None,
) -> tuple[Volume, Volume]:
    """HU (int16) and labels (uint8) of ``heart`` at ``pose`` on the geometry of ``grid``.

    Options left None are drawn: noise 8-40 HU, kernel blur 0-1 mm SD, motion blur 0-1.5 mm, circular field of view
    (voxels outside it -1024), metal (sternal wires). ``tree``: coronary tree in LPS. Labels are cut off where the field
    of view is.
    """
    spacing = np.asarray(grid.spacing_mm, float)[::-1]
    look = look or Appearance.draw(rng)
    heart_from_index = pose.lps_to_heart @ grid.index_to_lps
    edge = float(spacing.mean())
    if spacing.min() >= 1.8:
        fields = draw_fields(rng, grid.array.shape, spacing)
        points = heart_points(heart_from_index, grid.array.shape)
        hu, labels = paint(heart.layers(points), grid.array.shape, look, fields, edge)
        hu += fields["shading"] * np.float32(look.shading)
    else:
        scene = CoarseScene(heart, heart_from_index, grid, COARSE_MM)
        fields = draw_fields(rng, scene.coarse_shape, scene.step)
        hu = np.empty(grid.array.shape, np.float32)
        labels = np.empty(grid.array.shape, np.uint8)
        for z in range(grid.array.shape[0]):
            hu[z], labels[z] = scene.paint_slice(z, look, fields, edge)
            hu[z] += scene.slice_field(fields["shading"], z) * np.float32(look.shading)
    if tree is not None:
        paint_arteries(hu, grid, tree, look, rng)
    degrade(
        hu, heart, heart_from_index, spacing, look, rng, noise_hu=noise_hu, blur_mm=blur_mm, motion_mm=motion_mm,
        metal=metal,
    )  # fmt: skip
    if rng.random() < 0.5 if circle is None else circle:
        outside = field_of_view(grid.array.shape)
        hu[:, outside] = -1024
        labels[:, outside] = 0
    np.clip(hu, -1024, 3071, out=hu)
    return grid.with_array(np.rint(hu).astype(np.int16)), grid.with_array(labels)
