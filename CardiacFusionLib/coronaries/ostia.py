"""The aortic root: where the coronary arteries may leave the aorta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.lumen import distance_mm
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume

CONTACT_MM = 6.0  # aorta voxels this near the LV are its annulus
# ostia lie 10-25 mm above the annulus (Cavalcanti 2003, sinus height 20 +- 4 mm); with slack for coarse labels
ZONE_MM = 38.0
MIN_ROOT_ML = 1.0


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
    aorta = coarse == Label.AORTA
    ventricle = np.isin(coarse, (int(Label.LV_CAVITY), int(Label.MYOCARDIUM)))
    if not aorta.any() or not ventricle.any():
        return None
    near = distance_mm(ventricle, sampling)
    parts, count = ndimage.label(aorta)
    # the ascending aorta is the part that comes nearest the LV; the descending one passes behind the atrium
    inside, owner = near[aorta], parts[aorta]
    nearest = [float(inside[owner == k].min()) for k in range(1, count + 1)]
    sizes = np.bincount(owner, minlength=count + 1)[1:] * float(np.prod(sampling)) / 1000.0
    fitting = [i for i in range(count) if sizes[i] >= MIN_ROOT_ML]
    if not fitting:
        return None
    best = min(fitting, key=lambda i: float(nearest[i]))
    if nearest[best] > 2.5 * CONTACT_MM:
        return None
    aorta = parts == best + 1
    contact = aorta & (near <= max(CONTACT_MM, float(nearest[best]) + 3.0))
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
