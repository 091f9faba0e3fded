"""Chamber labels of a whole CT at low resolution: find the heart, turn it as hearts usually lie, then label it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from CardiacFusionLib.models.cubes import AIR_HU, coarse_image, normalised_hu, probabilities, sliding_probabilities
from CardiacFusionLib.models.loading import entry_of, load
from CardiacFusionLib.models.muscle import beyond_muscle
from CardiacFusionLib.reorientation.refine import CoarseHeart
from CardiacFusionLib.spatial.errors import StageError
from CardiacFusionLib.spatial.finer import finer_labels
from CardiacFusionLib.spatial.label_pose import geometric_pose
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume

if TYPE_CHECKING:
    from torch import nn

Grid = NDArray[np.float32]

MARGIN_VOXELS = 1
LV_FOUND_ML = 25.0  # cavity and wall together; the smallest adult left ventricles are above 80 ml
HEART_REACH_MM = 110.0
# looks at the heart, each turned (degrees) and shifted (voxels) a little: their mean is steadier than any, and how far
# they are apart tells how sure the labels are
Look = tuple[tuple[float, float, float], tuple[float, float, float]]
LOOKS: tuple[Look, ...] = (
    ((0, 0, 0), (0, 0, 0)),
    ((9, -6, 5), (2, -2, 2)),
    ((-7, 8, 6), (-2, 2, 2)),
    ((5, 7, -9), (2, 2, -2)),
)
FIRST_LOOKS = LOOKS[:1]  # enough to place the grid
MAX_OWN_DEG = 35.0  # the chamber network learnt patients turned by 16 degrees SD about each axis
SURE = 0.8  # probability
STRIDE = 60  # percent of a cube between neighbouring cubes of the first look
FINE_MM = 4 / 3  # grid on which the smooth probabilities are turned into labels
COARSE_MM = 2.0  # the same, only to place the grid
# what a look sees is read this many times finer, smoothed and averaged: the network answers steadily only where the
# picture does not depend on where its coarse voxels fall
FINER = 2
SMOOTH_MM = 1.6
AZIMUTH_DEG, ELEVATION_DEG = 45.0, 34.0  # how the long axis of a usual heart lies: to the left, and down


def usual_orientation() -> NDArray[np.float64]:
    """Rotation patient LPS -> heart frame of a heart as most lie: rows are the heart's x, y, z axes in LPS."""
    azimuth, elevation = np.deg2rad(AZIMUTH_DEG), np.deg2rad(ELEVATION_DEG)
    z = np.array([
        -np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)
    ])  # fmt: skip
    down = np.array([0.0, 0.0, -1.0])
    y = down - (down @ z) * z
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def lps_grid(ct: Volume, spacing_mm: float) -> Volume:
    """An empty grid with axes along patient LPS that covers the whole CT, however its own axes run."""
    nx, ny, nz = ct.size
    corners = np.array([[x, y, z] for x in (0, nx - 1) for y in (0, ny - 1) for z in (0, nz - 1)], dtype=float)
    points = corners @ ct.index_to_lps[:3, :3].T + ct.index_to_lps[:3, 3]
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.ceil((high - low) / spacing_mm).astype(int) + MARGIN_VOXELS
    return Volume(np.zeros(tuple(size[::-1]), np.uint8), (spacing_mm,) * 3, tuple(low), np.eye(3))


def own_grid(ct: Volume, spacing_mm: float) -> Volume:
    """An empty grid that covers the whole CT along the CT's own axes, each taken for the patient axis it is nearest to.

    However the axes are ordered and whichever way they run in memory, the grid is the same; and a CT that is turned
    together with its patient (a transform in the scene) is read at the very same points of the body.
    """
    direction = np.asarray(ct.direction)
    rows, columns = linear_sum_assignment(-np.abs(direction))
    axes = np.stack([direction[:, c] * np.sign(direction[r, c]) for r, c in zip(rows, columns)], axis=1)
    nx, ny, nz = ct.size
    corners = np.array([[x, y, z] for x in (0, nx - 1) for y in (0, ny - 1) for z in (0, nz - 1)], dtype=float)
    points = (corners @ ct.index_to_lps[:3, :3].T + ct.index_to_lps[:3, 3]) @ axes
    low, high = points.min(axis=0), points.max(axis=0)
    # rounding must not add a voxel to a turned grid
    size = np.ceil((high - low) / spacing_mm - 1e-6).astype(int) + MARGIN_VOXELS
    return Volume(np.zeros(tuple(size[::-1]), np.uint8), (spacing_mm,) * 3, tuple(axes @ low), axes)


def first_grids(ct: Volume, spacing_mm: float) -> list[Volume]:
    """Grids for the first look: the CT's own axes; where these lie farther than ``MAX_OWN_DEG`` from the patient's, the
    patient's too. The CT may have been turned with its patient, and then its own axes are those in which hearts lie as
    the network knows them; or it was reformatted (a double-oblique stack), and then the patient's are."""
    own = own_grid(ct, spacing_mm)
    if np.trace(own.direction) >= 1 + 2 * np.cos(np.deg2rad(MAX_OWN_DEG)):
        return [own]
    return [own, lps_grid(ct, spacing_mm)]


def sure_ml(found: Grid, voxel_ml: float) -> float:
    """Volume of left heart and right ventricle of which the network is sure (``SURE``): more where the heart lies as
    it was learnt."""
    heart = found[[Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY, Label.LEFT_ATRIUM]]
    return float((heart.max(axis=0) > SURE).sum()) * voxel_ml


def label_heart(ct: Volume, progress: Callable[[float, str], None] | None = None) -> CoarseHeart:
    """Chamber probabilities about the heart (4 mm) and labels (2 mm), on grids turned so that the heart lies in them as
    hearts usually lie in the patient: a patient on the side looks the same to what follows.

    ``ct`` is a contrast-enhanced CT in HU with any axes. Raises StageError where no heart is found.
    """
    network, entry = load("ct_chambers"), entry_of("ct_chambers")
    cube, spacing = int(entry.input["cube"]), float(entry.input["spacing_mm"])
    images = [coarse_image(ct, grid) for grid in first_grids(ct, spacing)]
    if progress:
        progress(0.2, "looking for the heart")
    outside = float(normalised_hu(np.array([AIR_HU]))[0])
    seen = [
        (sliding_probabilities(network, normalised_hu(image.array), cube, STRIDE * cube // 100, outside), image)
        for image in images
    ]
    found, image = max(seen, key=lambda one: sure_ml(one[0], one[1].voxel_volume_ml))
    centre, axes = _heart_centre(found, image), _turned_home(found, image)
    if progress:
        progress(0.5, "labelling the chambers")
    # twice: the first time the coarse look decides where the voxels fall on the heart, the second time the heart itself
    grid = cube_about(centre, axes, cube, spacing)
    grid = _grid_on_heart(np.mean(_looks(network, ct, grid, FIRST_LOOKS), axis=0), grid)
    looks = _looks(network, ct, grid, LOOKS)
    mean = np.mean(looks, axis=0)
    labels = finer_labels(mean, grid, round(spacing / FINE_MM))
    beyond = beyond_muscle(ct, labels)
    labels = labels.with_array(keep_largest(np.asarray(beyond.taken_from(labels).array, np.uint8)))
    heart = CoarseHeart(mean, grid, labels, looks, beyond.fluid_put_back(labels))
    return within_muscle(heart, beyond.either)


def _grid_on_heart(found: Grid, grid: Volume) -> Volume:
    """A grid like ``grid``, placed by what was found on it: its middle in the heart's, its axes by the heart's pose."""
    try:
        pose = geometric_pose(fine_labels(found, grid, COARSE_MM))
    except StageError:
        return grid
    axes = np.asarray(pose.lps_to_heart[:3, :3].T @ usual_orientation())
    return cube_about(_heart_centre(found, grid), axes, grid.size[0], grid.spacing_mm[0])


def _heart_centre(found: Grid, image: Volume) -> NDArray[np.float64]:
    """LPS mm of the middle of the heart: the largest connected left ventricle, drawn towards the chambers."""
    spacing = image.spacing_mm[0]
    left = found[Label.LV_CAVITY] + found[Label.MYOCARDIUM] > 0.5
    parts, count = ndimage.label(left)
    sizes = ndimage.sum_labels(left, parts, np.arange(1, count + 1)) if count else np.zeros(1)
    if float(np.max(sizes)) * image.voxel_volume_ml < LV_FOUND_ML:
        raise StageError(
            "reorient",
            "no heart was found in this CT; give a contrast-enhanced chest CT that holds the whole left ventricle.",
        )
    middle = np.array(ndimage.center_of_mass(parts == int(np.argmax(sizes)) + 1))
    # chambers near this ventricle only: stray labels elsewhere must not pull the cube away
    z, y, x = np.ogrid[tuple(slice(n) for n in left.shape)]
    near = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 < (HEART_REACH_MM / spacing) ** 2
    weight = (1.0 - found[Label.BACKGROUND]) * near
    index = 0.5 * middle + 0.5 * np.array(ndimage.center_of_mass(weight))
    return np.asarray(image.index_to_lps[:3, :3] @ index[::-1] + image.index_to_lps[:3, 3])


def _turned_home(found: Grid, image: Volume) -> NDArray[np.float64]:
    """Axes (columns, LPS) of a grid in which this heart lies as hearts usually do; LPS itself where the first look
    gives no pose."""
    labels = image.with_array(keep_largest(found.argmax(axis=0).astype(np.uint8)))
    try:
        rough = geometric_pose(labels)
    except StageError:
        return np.eye(3)
    return np.asarray(rough.lps_to_heart[:3, :3].T @ usual_orientation())


def cube_about(centre_mm: NDArray[np.float64], axes: NDArray[np.float64], cube: int, spacing_mm: float) -> Volume:
    """An empty cube about an LPS point with the given axes (columns)."""
    origin = centre_mm - axes @ np.full(3, (cube - 1) / 2 * spacing_mm)
    return Volume(np.zeros((cube,) * 3, np.uint8), (spacing_mm,) * 3, tuple(origin), axes)


def _looks(network: nn.Module, ct: Volume, grid: Volume, looks: tuple[Look, ...]) -> Grid:
    """Probabilities (look, label, z, y, x) of each of ``looks``, all read on ``grid``."""
    spacing = grid.spacing_mm[0]
    grids = []
    for turn, shift in looks:
        axes = grid.direction @ Rotation.from_rotvec(np.deg2rad(turn)).as_matrix()
        grids.append(cube_about(grid.centre_mm + axes @ np.asarray(shift) * spacing, axes, grid.size[0], spacing))
    images = np.stack([normalised_hu(_seen(ct, g)) for g in grids])
    found = probabilities(network, images[:, None])
    read = np.stack([found[0], *(_read_on(one, g, grid) for one, g in zip(found[1:], grids[1:]))])
    # where a look does not reach, the first one's word stands
    seen = read.sum(axis=1, keepdims=True)
    return np.asarray(read + np.maximum(1 - seen, 0) * read[:1], dtype=np.float32)


def _seen(ct: Volume, grid: Volume) -> NDArray[np.float32]:
    """The CT (HU) on a coarse ``grid`` without the noise of where its voxels fall (z, y, x)."""
    n, fine = grid.size[0], grid.spacing_mm[0] / FINER
    finer = cube_about(grid.centre_mm, grid.direction, n * FINER, fine)
    image = np.asarray(resample_to(ct, finer, outside=AIR_HU).array, dtype=np.float32)
    image = ndimage.gaussian_filter(image, SMOOTH_MM / fine, mode="nearest")
    return np.asarray(image.reshape(n, FINER, n, FINER, n, FINER).mean(axis=(1, 3, 5)))


def _read_on(found: Grid, there: Volume, here: Volume) -> Grid:
    """Probabilities (label, z, y, x) on the grid ``there`` read on the grid ``here``; 0 beyond."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(np.moveaxis(found, 0, -1)), isVector=True)
    frame = there.to_sitk()
    image.CopyInformation(frame)
    read = sitk.Resample(image, here.to_sitk(), sitk.Transform(), sitk.sitkLinear, 0.0)
    return np.moveaxis(sitk.GetArrayFromImage(read), -1, 0)


def fine_labels(probabilities: NDArray[np.float32], grid: Volume, spacing_mm: float = FINE_MM) -> Volume:
    """Probabilities (label, z, y, x) interpolated to a finer grid of the same axes, the likeliest label taken, small
    islands of each label dropped."""
    labels = finer_labels(probabilities, grid, round(grid.spacing_mm[0] / spacing_mm))
    return labels.with_array(keep_largest(np.asarray(labels.array, np.uint8)))


def within_muscle(heart: CoarseHeart, beyond: NDArray[np.bool_]) -> CoarseHeart:
    """``heart`` whose probabilities give up the wall by the share of each voxel that lies ``beyond`` it (z, y, x, a
    whole number of times as fine as they are)."""
    n = heart.probabilities.shape[1]
    factor = beyond.shape[0] // n
    blocks = beyond.reshape(n, factor, -1, factor, beyond.shape[2] // factor, factor)
    share = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    looks = None if heart.looks is None else _given_up(heart.looks, share)
    return replace(heart, probabilities=_given_up(heart.probabilities, share), looks=looks)


def _given_up(found: Grid, share: Grid) -> Grid:
    """Probabilities (..., label, z, y, x) with up to ``share`` of the wall's handed to the background."""
    result = found.copy()
    taken = np.minimum(found[..., Label.MYOCARDIUM, :, :, :], share)
    result[..., Label.MYOCARDIUM, :, :, :] -= taken
    result[..., Label.BACKGROUND, :, :, :] += taken
    return result


def keep_largest(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each label's largest connected part; for the aorta (root and descending) and the wall with its cavity the parts
    above a tenth of the largest."""
    result = np.zeros_like(labels)
    for value, here in enumerate(ndimage.find_objects(labels), start=1):
        if here is None:
            continue
        parts, count = ndimage.label(labels[here] == value)
        sizes = np.bincount(parts.ravel())[1:]
        share = 0.1 if value in (Label.AORTA, Label.MYOCARDIUM) else 1.0
        kept = np.concatenate([[False], sizes >= share * sizes.max()])
        result[here][kept[parts]] = value
    return result
