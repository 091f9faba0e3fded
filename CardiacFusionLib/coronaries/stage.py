"""The coronary stage: from the CT and its walls to a named tree with diameters and stenoses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.coronaries.detours import regrown, settled
from CardiacFusionLib.coronaries.distance import distance_mm
from CardiacFusionLib.coronaries.facing import rehung
from CardiacFusionLib.coronaries.grafts import possible_grafts
from CardiacFusionLib.coronaries.judging import MEASURE_SPACING_MM, judge, nothing
from CardiacFusionLib.coronaries.lumen import SearchRegion, search_region
from CardiacFusionLib.coronaries.measuring import Measured, measure
from CardiacFusionLib.coronaries.naming import name_branches
from CardiacFusionLib.coronaries.ostia import AorticRoot, doors_on, find_root, walled
from CardiacFusionLib.coronaries.paths import PathTree, grow_tree, search_grid, tube_level
from CardiacFusionLib.coronaries.pruning import Picture, blur_of_tree, pruned
from CardiacFusionLib.coronaries.vesselness import vesselness
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose
from CardiacFusionLib.spatial.tree import MAIN_BRANCHES, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CtWalls

MAX_SPACING_MM = 2.0  # a 3 mm artery is then one and a half voxels wide: nothing can be measured
NOISE_CUBE_MM = 32.0  # noise is read in a cube of this side
NOISE_DEPTH_MM = 4.5  # this deep in a chamber its edge casts no vesselness

Progress = Callable[[float, str], None]


def extract(ct: Volume, walls: CtWalls, pose: HeartPose, progress: Progress | None = None) -> CoronaryTree:
    """The coronary tree of a CT in LPS mm, with stenoses, dominance and quality flags.

    ``walls.labels``: chamber labels on any grid; ``pose`` must carry its four landmarks (BadInputError otherwise).
    Where nothing can be found the tree is empty and a flag says why; a branch that lies in no corridor keeps a
    neutral name ("side 1").
    """
    tell = progress or (lambda fraction, message: None)
    if any(name not in pose.landmarks for name in LANDMARK_NAMES):
        raise BadInputError(
            f"Naming the coronary arteries needs the landmarks {', '.join(LANDMARK_NAMES)}; place them and run again."
        )
    tell(0.0, "looking for the aortic root")
    region = search_region(ct, walls.labels, pose)
    if region is None:
        return _nothing("heart_outside", "The outlined heart does not lie in this CT; no coronary artery was sought.")
    if max(ct.spacing_mm) > MAX_SPACING_MM:
        return _nothing("voxels_too_large", f"Voxels of {max(ct.spacing_mm):.1f} mm are too large to see coronaries.")
    root = find_root(region.ct, region.labels)
    if root is None:
        return _nothing("no_aortic_root", "No aortic root was found in the outlines; no coronary artery was sought.")
    if not region.blood.is_enhanced:
        return _nothing(
            "no_contrast",
            f"Blood in the aortic root measures {region.blood.hu:.0f} HU, muscle {region.blood.muscle_hu:.0f} HU; "
            "without contrast no coronary can be seen.",
        )
    tubes = _tubes(region, lambda f: tell(0.05 + 0.45 * f, "looking for vessels"))
    tell(0.5, "joining vessels to a tree")
    level = tube_level(_tubes_of_noise(region))
    return tree_of(ct, region, root, tubes, level, pose, tell)


def tree_of(
    ct: Volume,
    region: SearchRegion,
    root: AorticRoot,
    tubes: NDArray[np.float32],
    level: float,
    pose: HeartPose,
    tell: Progress = lambda fraction, message: None,
) -> CoronaryTree:
    """The second half of ``extract``: from vesselness ``tubes`` (on the grid of ``region.ct``) to the judged tree."""
    grid = search_grid(region.ct, tubes, region.mask, root.surface, level)
    if grid is not None:
        grid = walled(grid, root.surface, region.blood)
    ways = grow_tree(grid, root.surface)
    picture = Picture(region.ct, tubes, region.blood, blur_of_tree(ways, tubes, region.ct, region.blood))
    ways = pruned(ways, picture)
    if grid is not None:
        ways, grid = regrown(ways, grid, picture, lambda g: pruned(grow_tree(g, root.surface), picture))
    # the first tree may leave the root anywhere; the next one only at the two ostia the first one used, so that
    # LAD and LCx meet in the LM
    doors = _ostia(ways, pose, root.centre_mm)
    if grid is not None and len(doors):
        tell(0.65, "following the ostia")
        starts = doors_on(region.ct, root.surface, doors)
        ways = pruned(grow_tree(grid, starts), picture)
        ways, _ = regrown(ways, grid, picture, lambda g: pruned(grow_tree(g, starts), picture))
    ways = rehung(settled(ways, picture), picture)
    tell(0.75, "naming branches")
    named, dominance = name_branches(ways, pose, root.centre_mm)
    found = measure(ways, named, picture)
    if max(ct.spacing_mm) > MEASURE_SPACING_MM or region.blood.is_faint:
        found = _only_main(found)
    tell(0.95, "judging the tree")
    grafts = possible_grafts(region, root, np.concatenate([np.zeros((0, 3)), *(b.points_mm for b in found.branches)]))
    quality = judge(ct, region, root, found, len(ways.points_mm) > 0, dominance, grafts)
    return CoronaryTree(found.branches, found.stenoses, dominance, "lps", quality)


def _tubes(region: SearchRegion, tell: Callable[[float], None]) -> NDArray[np.float32]:
    blood = region.blood
    return vesselness(
        region.ct.array,
        region.ct.spacing_mm[::-1],
        region.mask,
        blood.contrast_hu,
        clip_hu=(-120.0, blood.hu + 100.0),
        progress=tell,
    )


def _ostia(ways: PathTree, pose: HeartPose, root_centre_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the LAD's (else the LCx's) and the RCA's way leave the root: (0..2, 3) LPS mm."""
    named, _ = name_branches(ways, pose, root_centre_mm)
    first = {p.name: ways.points_mm[p.nodes[0]] for p in named if p.parent is None}
    left = next((first[name] for name in ("LM", "LAD", "LCx") if name in first), None)
    return np.array([p for p in (left, first.get("RCA")) if p is not None])


def _tubes_of_noise(region: SearchRegion) -> NDArray[np.float32]:
    """Vesselness (n,) well inside the aorta and the LV cavity, where there is no vessel: what noise alone makes."""
    sampling = region.ct.spacing_mm[::-1]
    step = tuple(max(1, round(1.2 / s)) for s in sampling)
    coarse = region.labels[:: step[0], :: step[1], :: step[2]]
    deep = np.zeros(coarse.shape, bool)
    for chamber in (Label.AORTA, Label.LEFT_ATRIUM):
        deep |= distance_mm(coarse == chamber, [s * k for s, k in zip(sampling, step)]) <= -NOISE_DEPTH_MM
    if not deep.any():
        return np.zeros(0, np.float32)
    middle = np.argwhere(deep)
    middle = middle[int(np.argmin(np.linalg.norm(middle - middle.mean(axis=0), axis=1)))]
    reach = np.maximum(1, np.ceil(NOISE_CUBE_MM / 2 / np.asarray(sampling) / np.asarray(step)).astype(int))
    here = tuple(slice(max(0, int(m - r)), int(m + r) + 1) for m, r in zip(middle, reach))
    box = tuple(slice(h.start * k, h.start * k + deep[here].shape[i] * k) for i, (h, k) in enumerate(zip(here, step)))
    inside = np.repeat(np.repeat(np.repeat(deep[here], step[0], 0), step[1], 1), step[2], 2)
    inside = inside[tuple(slice(0, n) for n in region.labels[box].shape)]
    part = vesselness(
        region.ct.array[box], sampling, inside, region.blood.contrast_hu, clip_hu=(-120.0, region.blood.hu + 100.0)
    )
    return part[inside]


def _nothing(name: str, reason: str) -> CoronaryTree:
    return CoronaryTree((), quality=nothing(name, reason))


def _only_main(found: Measured) -> Measured:
    """What a coarse or faint CT can show: the main branches, unmeasured. Anything finer would be a name on noise."""
    kept = tuple(b for b in found.branches if b.name in MAIN_BRANCHES)
    names = {b.name for b in kept}
    return Measured(kept, (), *(tuple(n for n in marked if n in names) for marked in (found.bridged, found.ringed)))
