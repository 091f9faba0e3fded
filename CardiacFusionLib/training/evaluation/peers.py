"""Peers of the reorientation, run on the same CT: axes of the blood pool, and rigid registration to an atlas heart."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.models.cubes import coarse_image
from CardiacFusionLib.reorientation.chambers import lps_grid
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.sections import MEAN_LONG_AXIS_LPS as USUAL_AXIS
from CardiacFusionLib.spatial.sections import canonical_axes
from CardiacFusionLib.spatial.volume import Volume

GRID_MM = 3.0
CONTRAST_HU = 150.0  # blood with contrast agent is brighter, muscle darker
BONE_HU = 900.0
ATLAS_SEED = 910_000_001  # a heart that no bench evaluates
ATLAS_CUBE, ATLAS_MM = 56, 3.0
MIDDLE_OF_HEART_MM = np.array([-12.0, 2.0, 16.0])  # where the chambers' middle lies in the heart frame
BINS, ITERATIONS, SAMPLED_SHARE = 40, 150, 0.25


def mean_pose(ct: Volume) -> HeartPose:
    """The usual lie of the heart in the middle of the scan: what one knows before looking."""
    rotation = canonical_axes(USUAL_AXIS).T
    nx, ny, nz = ct.size
    centre = apply(ct.index_to_lps, (np.array([nx, ny, nz], dtype=float) - 1) / 2)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = MIDDLE_OF_HEART_MM - rotation @ centre
    return HeartPose(matrix)


def blood_pool_pose(ct: Volume) -> HeartPose:
    """Principal axes of the thresholded blood pool.

    Bright voxels near the middle of the scan, opened so that vessels and ribs fall away, the compactest part of them
    taken for the left ventricle's cavity: its longest axis is the long axis, towards the usual side; the roll is the
    usual one, for a round cavity does not tell it.
    """
    image = coarse_image(ct, lps_grid(ct, GRID_MM))
    hu = np.asarray(image.array, np.float32)
    bright = (hu > CONTRAST_HU) & (hu < BONE_HU)
    opened = ndimage.binary_opening(bright, iterations=2)
    depth = ndimage.distance_transform_edt(opened)
    middle = (np.array(opened.shape) - 1) / 2
    zyx = np.indices(opened.shape, dtype=np.float32)
    far = np.sqrt(sum((axis - m) ** 2 for axis, m in zip(zyx, middle))) * GRID_MM
    score = depth * np.exp(-0.5 * (far / 60.0) ** 2)
    start = np.unravel_index(int(np.argmax(score)), score.shape)
    if not opened[start]:
        return mean_pose(ct)
    # parts of the blood pool are told apart at their necks
    core = depth > 0.5 * depth[start]
    parts, _ = ndimage.label(core)
    pool = ndimage.binary_dilation(parts == parts[start], iterations=int(0.5 * depth[start]), mask=opened)
    points = apply(image.index_to_lps, np.argwhere(pool)[:, ::-1].astype(float))
    centre = points.mean(axis=0)
    _, _, rows = np.linalg.svd(points - centre, full_matrices=False)
    axis = rows[0] * (np.sign(rows[0] @ USUAL_AXIS) or 1.0)
    rotation = canonical_axes(axis).T
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ centre
    return HeartPose(matrix)


@lru_cache(maxsize=1)
def _atlas() -> NDArray[np.float32]:
    """An upright heart in its chest (z, y, x), HU, that stands for all others."""
    from CardiacFusionLib.twin.ct.render import render_ct
    from CardiacFusionLib.twin.heart.anatomy import Heart
    from CardiacFusionLib.twin.heart.placement import draw_ct_pose

    rng = np.random.default_rng(ATLAS_SEED)
    heart = Heart.draw(rng)
    pose = draw_ct_pose(rng, heart)
    ct, _ = render_ct(heart, pose, heart_grid(pose, (ATLAS_CUBE,) * 3, ATLAS_MM), rng, circle=False, metal=False)
    return np.asarray(ct.array, np.float32)


def rigid_mi_pose(ct: Volume) -> HeartPose:
    """SimpleITK rigid registration with Mattes mutual information from the mean pose, to an atlas heart.

    Two resolution levels, regular-step gradient descent with scales from physical shift, a quarter of the voxels.
    """
    import SimpleITK as sitk

    start = mean_pose(ct)
    atlas = heart_grid(HeartPose(np.eye(4)), (ATLAS_CUBE,) * 3, ATLAS_MM).with_array(_atlas())
    fixed = sitk.Cast(sitk.Clamp(atlas.to_sitk(), lowerBound=-300.0, upperBound=700.0), sitk.sitkFloat32)
    coarse = coarse_image(ct, lps_grid(ct, GRID_MM))
    moving = sitk.Clamp(sitk.Cast(coarse.to_sitk(), sitk.sitkFloat32), lowerBound=-300.0, upperBound=700.0)
    transform = sitk.VersorRigid3DTransform()
    transform.SetMatrix(start.heart_to_lps[:3, :3].ravel().tolist())
    transform.SetTranslation(start.heart_to_lps[:3, 3].tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SAMPLED_SHARE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, ITERATIONS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 1.0])
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # no overlap left: the registration has lost the heart, its starting point is its answer
        return start
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_matrix(np.array(transform.GetMatrix()).reshape(3, 3)).as_matrix()
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return HeartPose(np.asarray(np.linalg.inv(matrix)))


POSE_PEERS = {"blood_pool_axes": blood_pool_pose, "rigid_mutual_information": rigid_mi_pose, "mean_pose": mean_pose}
__all__ = ["POSE_PEERS", "blood_pool_pose", "mean_pose", "rigid_mi_pose"]
