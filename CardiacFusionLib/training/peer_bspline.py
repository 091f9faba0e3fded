"""The peer of the nonrigid SDN: SimpleITK's B-spline registration with mutual information, on the same labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.registration.result import GRID_SHAPE, GRID_SPACING_MM

MESH = (8, 8)  # control cells over the grid: 16 mm each
ITERATIONS = 60
# brightness given to background, cavity, myocardium, RV: mutual information does not ask which is brighter
TONES = np.array([0.0, 3.0, 1.5, 4.0], dtype=np.float32)


def bspline_displacement(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Displacement (2, y, x) in mm, order (x, y), from labels (y, x) on the common grid.

    Same convention as ``Registration.displacement_mm``. Two resolution levels, L-BFGS-B, Mattes mutual information.
    """
    import SimpleITK as sitk

    images = []
    for labels in (fixed, moving):
        image = sitk.GetImageFromArray(TONES[labels])
        image.SetSpacing((GRID_SPACING_MM,) * 2)
        images.append(sitk.SmoothingRecursiveGaussian(image, 1.0))
    start = sitk.BSplineTransformInitializer(images[0], list(MESH), order=3)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetOptimizerAsLBFGSB(numberOfIterations=ITERATIONS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1.0, 0.0])
    method.SetInitialTransform(start, inPlace=True)
    found = method.Execute(images[0], images[1])
    to_field = sitk.TransformToDisplacementFieldFilter()
    to_field.SetReferenceImage(images[0])
    field = sitk.GetArrayFromImage(to_field.Execute(found))
    assert field.shape == (*GRID_SHAPE, 2)
    return np.moveaxis(field, -1, 0).astype(np.float32)
