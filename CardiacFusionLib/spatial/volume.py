"""A 3D image with its place in the patient: array (z, y, x), geometry in LPS millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    import SimpleITK as sitk

Vector3 = tuple[float, float, float]


def check_direction(direction: NDArray[np.float64], what: str = "image") -> None:
    """Raise BadInputError unless the columns of ``direction`` (3, 3) are orthonormal within 1e-3."""
    if direction.shape != (3, 3) or not np.all(np.isfinite(direction)):
        raise BadInputError(f"The direction of the {what} is not a finite 3x3 matrix; export the image again.")
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise BadInputError(
            f"The axes of the {what} are sheared or not perpendicular; resample it to a regular grid first "
            "(a tilted-gantry CT needs tilt correction)."
        )


def check_spacing(spacing_mm: tuple[float, ...], what: str = "image") -> None:
    """Raise BadInputError unless every spacing is finite and above zero."""
    if not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise BadInputError(
            f"The voxel spacing of the {what} is {tuple(spacing_mm)} mm; it must be above zero. Export it again "
            "with its geometry."
        )


@dataclass(frozen=True)
class Volume:
    """Array (z, y, x) + spacing, origin, direction in LPS mm; CT in HU.

    ``spacing_mm`` and ``origin_mm`` are ordered (x, y, z) = (column, row, slice) as in SimpleITK; the columns of
    ``direction`` (3, 3) are the LPS unit vectors of the x, y and z index axes.
    """

    array: NDArray[np.generic]
    spacing_mm: Vector3
    origin_mm: Vector3
    direction: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or min(self.array.shape) < 1:
            raise BadInputError(f"A volume needs three dimensions, this array has shape {self.array.shape}.")
        object.__setattr__(self, "spacing_mm", tuple(float(s) for s in self.spacing_mm))
        object.__setattr__(self, "origin_mm", tuple(float(o) for o in self.origin_mm))
        object.__setattr__(self, "direction", np.asarray(self.direction, dtype=np.float64).reshape(3, 3))
        check_spacing(self.spacing_mm)
        check_direction(self.direction)
        if not np.all(np.isfinite(self.origin_mm)):
            raise BadInputError("The origin of the image is not finite; export it again with its geometry.")

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along x, y, z (the reverse of ``array.shape``)."""
        z, y, x = self.array.shape
        return x, y, z

    @property
    def index_to_lps(self) -> NDArray[np.float64]:
        """4x4 matrix from continuous index (x, y, z, 1) to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def lps_to_index(self) -> NDArray[np.float64]:
        """4x4 matrix from LPS mm to continuous index (x, y, z, 1)."""
        return np.asarray(np.linalg.inv(self.index_to_lps))

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """LPS mm of the middle of the grid, shape (3,)."""
        middle = (np.asarray(self.size, dtype=float) - 1) / 2
        return self.index_to_lps[:3, :3] @ middle + self.index_to_lps[:3, 3]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def with_array(self, array: NDArray[np.generic]) -> Volume:
        """The same grid with other values; the shape must agree."""
        if array.shape != self.array.shape:
            raise ValueError(f"array {array.shape} does not fit the grid {self.array.shape}")
        return replace(self, array=array)

    def grid_lps(self) -> NDArray[np.float64]:
        """LPS mm of every voxel centre, shape (z, y, x, 3)."""
        z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in self.array.shape), indexing="ij")
        index = np.stack([x, y, z], axis=-1)
        return index @ self.index_to_lps[:3, :3].T + self.index_to_lps[:3, 3]

    def to_sitk(self) -> sitk.Image:
        """The same image as a SimpleITK image (both are LPS)."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.ascontiguousarray(self.array))
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction.ravel().tolist())
        return image

    @staticmethod
    def from_sitk(image: sitk.Image) -> Volume:
        """A volume from a 3D SimpleITK image."""
        import SimpleITK as sitk

        return Volume(
            sitk.GetArrayFromImage(image),
            image.GetSpacing(),
            image.GetOrigin(),
            np.asarray(image.GetDirection()).reshape(3, 3),
        )
