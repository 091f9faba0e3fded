"""A branch pulled straight: a transform from the straightened picture to the patient, so that anything can follow it.

The straightened frame: z is the arc length along the branch (mm), x and y lie across it (mm), turning as little as
possible; the branch runs along the z axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from CardiacFusionLib.coronaries.centreline import frames, resampled, smoothed
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.tree import Branch
from CardiacFusionLib.spatial.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

HALF_WIDTH_MM = 12.0
STEP_MM = 0.5
MIN_LENGTH_MM = 3.0


def straightened_grid(branch: Branch, half_width_mm: float = HALF_WIDTH_MM, spacing_mm: float = STEP_MM) -> Volume:
    """The empty grid of the straightened picture: (z along the branch, y, x), origin at the branch's first point."""
    if branch.length_mm < MIN_LENGTH_MM:
        raise BadInputError(f"The {branch.name} is only {branch.length_mm:.0f} mm long; too short to be straightened.")
    across = 2 * round(half_width_mm / spacing_mm) + 1
    along = int(branch.length_mm / spacing_mm) + 1
    corner = -(across - 1) / 2 * spacing_mm
    return Volume(np.zeros((along, across, across), np.uint8), (spacing_mm,) * 3, (corner, corner, 0.0), np.eye(3))


def straightening(
    branch: Branch, half_width_mm: float = HALF_WIDTH_MM, spacing_mm: float = STEP_MM
) -> sitk.DisplacementFieldTransform:
    """Displacement field on ``straightened_grid``: a point of the straightened picture to patient LPS (mm).

    Resampling the CT with it gives the curved-planar picture. Where the branch bends sharply the outermost parts of
    neighbouring cross-sections meet, as in every curved-planar picture.
    """
    import SimpleITK as sitk

    grid = straightened_grid(branch, half_width_mm, spacing_mm)
    along, across, _ = grid.array.shape
    line = smoothed(resampled(branch.points_mm, spacing_mm), 1.0, spacing_mm)
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.arange(along) * spacing_mm * arc[-1] / branch.length_mm
    points = np.stack([np.interp(wanted, arc, line[:, k]) for k in range(3)], axis=1)
    _, first, second = frames(points)
    offset = (np.arange(across) - (across - 1) / 2) * spacing_mm
    place = (
        points[:, None, None]
        + offset[None, None, :, None] * first[:, None, None]
        + offset[None, :, None, None] * second[:, None, None]
    )
    image = sitk.GetImageFromArray(place - grid.grid_lps(), isVector=True)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def straightened_image(ct: Volume, branch: Branch, half_width_mm: float = HALF_WIDTH_MM) -> Volume:
    """The CT (HU, float32) around a branch in LPS, pulled straight; -1024 outside the CT."""
    import SimpleITK as sitk

    grid = straightened_grid(branch, half_width_mm)
    transform = straightening(branch, half_width_mm)
    picture = sitk.Resample(ct.to_sitk(), grid.to_sitk(), transform, sitk.sitkLinear, -1024.0, sitk.sitkFloat32)
    return Volume.from_sitk(picture)
