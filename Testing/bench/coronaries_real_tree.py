"""A patient's own coronary tree drawn into a CT background at 0.4 mm, and found again.

    python Testing/bench/coronaries_real_tree.py [--json figures.json]

Centrelines and radii are real (``coronary_tree`` in the data folder, see its licence there); no image belongs to them,
so the picture is drawn: lumen, wall, fat, muscle inside the hull of the arteries, aorta, blur and noise. What is judged
are overlap and radius of a tree whose courses nobody here invented; names are not (the right artery is anomalous).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import Delaunay, cKDTree

from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.fine_coronaries import figures_of
from CardiacFusionLib.walls.result import CtWalls

Array = NDArray[np.float64]
BLOOD_HU, MUSCLE_HU, WALL_HU, FAT_HU = 400.0, 110.0, 60.0, -85.0
SPACING_MM, BLUR_MM, NOISE_HU = 0.4, 0.5, 20.0
AORTA_MM = 5.0  # a stretch with larger radius lies inside the aorta
MIN_RADIUS_MM = 0.5  # thinner is not drawn: a CT does not show it


def data_folder() -> Path:
    """Where the real data lies."""
    return Path(os.environ.get("CARDIACFUSION_DATA", Path(__file__).parents[3] / "shared" / "data"))


def lines_of(path: Path) -> list[tuple[Array, Array]]:
    """Points (n, 3) and radius (n,) of every centreline of a VMTK file."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    data = reader.GetOutput()
    points = vtk_to_numpy(data.GetPoints().GetData()).astype(float)
    radius = vtk_to_numpy(data.GetPointData().GetArray("MaximumInscribedSphereRadius")).astype(float)
    result = []
    for k in range(data.GetNumberOfCells()):
        ids = data.GetCell(k).GetPointIds()
        mine = np.array([ids.GetId(i) for i in range(ids.GetNumberOfIds())])
        result.append((points[mine], radius[mine]))
    return result


def real_tree(folder: Path) -> CoronaryTree:
    """The arteries as branches without their stretch inside the aorta, each where it leaves those before it."""
    branches: list[Branch] = []
    for side in ("lca", "rca"):
        drawn: list[Array] = []
        for k, (points, radius) in enumerate(lines_of(folder / f"{side}_cl.vtp")):
            keep = np.arange(len(points)) > np.flatnonzero(radius > AORTA_MM).max(initial=-1)
            if drawn:
                keep &= cKDTree(np.concatenate(drawn)).query(points)[0] > 0.3
            start = max(int(np.argmax(keep)) - 1, 0)
            line, wide = points[start:], np.maximum(radius[start:], MIN_RADIUS_MM)
            if keep.any() and len(line) > 10:
                branches.append(Branch(f"{side} {k}", line, wide))
                drawn.append(line)
    return CoronaryTree(tuple(branches))


def drawn_ct(tree: CoronaryTree, aorta: tuple[Array, Array]) -> tuple[Volume, CtWalls]:
    """The picture (HU) and the labels and pose that the coronary stage asks for."""
    points = np.concatenate([b.points_mm for b in tree.branches])
    radius = np.concatenate([b.radius_mm for b in tree.branches])
    low, high = points.min(axis=0) - 12, points.max(axis=0) + 12
    size = np.ceil((high - low) / SPACING_MM).astype(int)
    ct = Volume(np.zeros(size[::-1], np.float32), (SPACING_MM,) * 3, tuple(low), np.eye(3))
    coarse = Volume(
        np.zeros(np.ceil(size[::-1] * SPACING_MM / 1.2).astype(int), np.uint8), (1.2,) * 3, tuple(low), np.eye(3)
    )
    grid = coarse.grid_lps().reshape(-1, 3)
    near, _ = cKDTree(points).query(grid)
    in_aorta = cKDTree(aorta[0]).query(grid)
    labels = np.zeros(len(grid), np.uint8)
    root = aorta[0][-1]
    apex = points[int(np.argmax(np.linalg.norm(points - root, axis=1)))]
    hull = Delaunay(points).find_simplex(grid) >= 0
    away = ndimage.distance_transform_edt(hull.reshape(coarse.array.shape), sampling=1.2).ravel()
    labels[hull & (near > 3.5) & (away > 2.0)] = Label.MYOCARDIUM
    labels[hull & (near > 12.0) & (away > 12.0)] = Label.LV_CAVITY
    labels[in_aorta[0] < aorta[1][in_aorta[1]]] = Label.AORTA
    pose = _pose(apex, root, tree)
    volume = coarse.with_array(labels.reshape(coarse.array.shape))
    ct = ct.with_array(_painted(ct, volume, points, radius))
    return ct, CtWalls(volume, pose)


def _pose(apex: Array, root: Array, tree: CoronaryTree) -> HeartPose:
    """A heart frame good enough for the search: apex to root, the insertions towards the ends of both arteries."""
    middle = (apex + root) / 2
    left = np.concatenate([b.points_mm for b in tree.branches if b.name.startswith("lca")]).mean(axis=0)
    right = np.concatenate([b.points_mm for b in tree.branches if b.name.startswith("rca")]).mean(axis=0)
    across = np.cross(root - apex, right - left)
    across = 25.0 * across / np.linalg.norm(across)
    return HeartPose.from_landmarks({
        "apex": apex, "base": root, "rv_insertion_anterior": middle + across, "rv_insertion_inferior": middle - across,
    })  # fmt: skip


def _painted(ct: Volume, labels: Volume, points: Array, radius: Array) -> NDArray[np.float32]:
    from CardiacFusionLib.coronaries.lumen import labels_on

    value = np.full(len(Label), FAT_HU, np.float32)
    value[Label.MYOCARDIUM], value[Label.LV_CAVITY], value[Label.AORTA] = MUSCLE_HU, BLOOD_HU, BLOOD_HU
    hu = value[labels_on(ct, labels)]
    # stamp the arteries only where they are
    flat = hu.reshape(-1)
    seen = np.zeros(hu.shape, bool)
    index = np.rint((points - np.asarray(ct.origin_mm)) / SPACING_MM).astype(int)
    seen[tuple(np.clip(index[:, ::-1], 0, np.asarray(hu.shape) - 1).T)] = True
    where = np.flatnonzero(ndimage.maximum_filter(seen, 17))
    place = np.stack(np.unravel_index(where, hu.shape), axis=1)[:, ::-1] * SPACING_MM + np.asarray(ct.origin_mm)
    distance, k = cKDTree(points).query(place, distance_upper_bound=4.5)
    hit = np.isfinite(distance)
    where, edge = where[hit], distance[hit] - radius[k[hit]]
    for shift, hu_value in ((0.6, WALL_HU), (0.0, BLOOD_HU)):
        cover = np.clip(0.5 - (edge - shift) / SPACING_MM, 0, 1).astype(np.float32)
        inside_aorta = flat[where] >= BLOOD_HU
        flat[where] += np.where(inside_aorta, 0, cover) * (hu_value - flat[where])
    ndimage.gaussian_filter(hu, BLUR_MM / SPACING_MM, output=hu, truncate=3.0)
    hu += np.random.default_rng(0).normal(0, NOISE_HU, hu.shape).astype(np.float32)
    return hu


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = data_folder() / "coronary_tree"
    if not folder.is_dir():
        sys.exit(f"no coronary tree at {folder}; set CARDIACFUSION_DATA to the folder that holds it")
    tree = real_tree(folder)
    ct, walls = drawn_ct(tree, lines_of(folder / "ao_cl.vtp")[0])
    found = extract(ct, walls, walls.pose)
    figures = figures_of(found, tree)
    kept = ("overlap", "overlap_radius", "seen", "extra", "distance_mm", "diameter_mm", "diameter_bias_mm")
    result = {name: figures[name] for name in kept if name in figures}
    result["radius_mm"] = result.get("diameter_mm", float("nan")) / 2
    print(json.dumps(result, indent=1), [f.name for f in found.quality.flags])
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
