"""The aortic root: where the coronary arteries may leave the aorta."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.aorta import ascending
from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.coronaries.lumen import SURROUNDINGS_HU, Blood
from CardiacFusionLib.coronaries.paths import SearchGrid
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

CONTACT_MM = 6.0  # aorta voxels this near the LV are its annulus
# ostia lie 10-25 mm above the annulus (Cavalcanti 2003, sinus height 20 +- 4 mm); with slack for coarse labels
ZONE_MM = 38.0
WALL_MM = 3.0  # an outline of the root may be off by so much
WALL_SEEN_MM = 0.85  # a wall of 1 mm is not seen in larger voxels
WALL_LIGHT = 0.8  # of blood's contrast; blood itself varies by less, a wall of 1 mm under the scanner's blur is darker
VESSEL_NEAR_MM = 3.0  # the artery that an ostium leads to is seen so near
DIMMEST = 0.5  # an artery's light by the same measure; what is darker is no artery to compare a wall with


@dataclass(frozen=True)
class AorticRoot:
    """The root found in the chamber labels; all LPS mm."""

    annulus_mm: NDArray[np.float64]  # (3,) middle of the contact of aorta and LV
    centre_mm: NDArray[np.float64]  # (3,) middle of the root's voxels
    surface: NDArray[np.bool_]  # on the grid that was given: voxels of the root's skin, arteries start here


def find_root(volume: Volume, labels: NDArray[np.uint8]) -> AorticRoot | None:
    """The aortic root in ``labels`` (z, y, x) on the grid of ``volume``; None where no aorta touches the LV."""
    spacing = volume.spacing_mm[::-1]
    step = tuple(max(1, round(1.0 / s)) for s in spacing)
    coarse = labels[:: step[0], :: step[1], :: step[2]]
    sampling = [s * k for s, k in zip(spacing, step)]
    aorta = ascending(coarse, sampling)
    ventricle = np.isin(coarse, (int(Label.LV_CAVITY), int(Label.MYOCARDIUM)))
    if aorta is None or not ventricle.any():
        return None
    near = distance_mm(ventricle, sampling)
    nearest = float(near[aorta].min())
    if nearest > 2.5 * CONTACT_MM:
        return None
    contact = aorta & (near <= max(CONTACT_MM, nearest + 3.0))
    scale = np.asarray(step, dtype=float)

    def to_lps(index_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply(volume.index_to_lps, (index_zyx * scale)[..., ::-1])

    contact_mm = to_lps(np.argwhere(contact).astype(float))
    annulus = contact_mm.mean(axis=0)
    points = to_lps(np.argwhere(aorta).astype(float))
    # no farther than one zone from the annulus; a long contact (aorta lying on the wall) may pull it up a little
    in_zone = np.linalg.norm(points - annulus, axis=1) <= ZONE_MM
    root = np.zeros_like(aorta)
    root[tuple(np.argwhere(aorta)[in_zone].T)] = True
    skin = root & (distance_mm(aorta, sampling) >= -0.6 * max(sampling))
    full = np.zeros(labels.shape, bool)
    full[:: step[0], :: step[1], :: step[2]] = skin
    return AorticRoot(annulus, points[in_zone].mean(axis=0), full)


def doors_on(volume: Volume, surface: NDArray[np.bool_], points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The one voxel of ``surface`` (z, y, x) nearest to each of the LPS points (n, 3): a way leaves by one door."""
    where = np.argwhere(surface)
    lps = apply(volume.index_to_lps, where[:, ::-1].astype(float))
    kept = np.zeros_like(surface)
    kept[tuple(where[cKDTree(lps).query(points_mm)[1]].T)] = True
    return kept


def walled(grid: SearchGrid, surface: NDArray[np.bool_], blood: Blood) -> SearchGrid:
    """The search grid with the aorta's wall on it: what is darker than blood within ``WALL_MM`` of the root's skin.

    An artery that passes by the root is parted from it by a wall of a millimetre, which a way would cross for less than
    the artery's own course costs; at an ostium blood goes on into the artery without a dark place. No way begins in it.
    """
    begin = grid.of(surface)
    if not begin.any() or max(grid.volume.spacing_mm) > WALL_SEEN_MM:
        return grid
    away = distance_mm(begin, grid.sampling)
    light = _light(grid, away <= WALL_MM + VESSEL_NEAR_MM, blood)
    # a thin or blurred artery is less bright than the aorta, at its ostium too: walls are dark against the artery's own
    # light. Beside the aorta that light would be the aorta's.
    vessel = np.where((grid.support >= 1.0) & (away >= 1.0), light, 0.0)
    reach = [2 * round(VESSEL_NEAR_MM / s) + 1 for s in grid.sampling]
    brightest = ndimage.maximum_filter(vessel, reach)
    own = np.where(brightest >= DIMMEST, np.minimum(brightest, 1.0), 1.0)
    wall = (away <= WALL_MM) & (light < WALL_LIGHT * own)
    return replace(grid, wall=wall) if (begin & ~wall).any() else grid


def _light(grid: SearchGrid, where: NDArray[np.bool_], blood: Blood) -> NDArray[np.float64]:
    """Mean brightness of the CT's voxels in each of the grid's, as a share of blood's contrast; 0 elsewhere."""
    flat = np.flatnonzero(where.ravel())
    index = np.stack(np.unravel_index(flat, grid.field.shape), axis=1) + grid.start
    low = index * np.asarray(grid.factors)
    last = np.asarray(grid.volume.array.shape) - 1
    total = np.zeros(len(flat))
    for step in np.ndindex(*grid.factors):
        at = np.minimum(low + np.asarray(step), last)
        total += grid.volume.array[tuple(at.T)]
    light = np.zeros(where.shape)
    light.ravel()[flat] = (total / float(np.prod(grid.factors)) - SURROUNDINGS_HU) / blood.contrast_hu
    return light
