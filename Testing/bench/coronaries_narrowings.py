"""How narrowings are read: drawn vessels of known lumen between fat and muscle, painted and scanned as the twin's are.

    python Testing/bench/coronaries_narrowings.py --cases 100 --seed 0 [--json figures.json]

One vessel a case, 0.4 x 0.4 x 0.5 mm: 2.4-4 mm wide, half of the plaques calcified, blur 0-1 mm, motion 0-1.5 mm, noise
as the twin's. The line is given beside the middle; centring, blur, lumen and narrowing are the coronary stage's.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.centreline import resampled, smoothed
from CardiacFusionLib.coronaries.lumen import Blood
from CardiacFusionLib.coronaries.measuring import blooming_of, centred_by_picture, lumen_of
from CardiacFusionLib.coronaries.pruning import Picture
from CardiacFusionLib.coronaries.radius import blur_of, cross_sections
from CardiacFusionLib.coronaries.stenosis import find_stenoses
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.coronary.plaque import narrowed
from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.ct.arteries import paint_arteries
from CardiacFusionLib.twin.ct.scanner import add_noise
from CardiacFusionLib.twin.heart.tissues import Tissue

Array = NDArray[np.float64]
SPACING = np.array([0.4, 0.4, 0.5])
SIZE = np.array([90, 90, 110])
CUSHION_MM, WALL_MM = 0.8, 0.6
SAME_MM = 8.0  # found within half the length plus this, as in the fine study


def vessel(rng: np.random.Generator) -> CoronaryTree:
    """One curved, tapering vessel (LPS mm); three in four carry a narrowing."""
    z = np.arange(1.0, 54.0, 0.5)
    phase = rng.uniform(0, 2 * np.pi, 2)
    middle = (SIZE - 1) / 2 * SPACING
    line = resampled(
        np.stack([middle[0] + 4 * np.sin(z / 14 + phase[0]), middle[1] + 2.5 * np.sin(z / 11 + phase[1]), z], axis=1)
    )
    start = rng.uniform(1.2, 2.0)
    tree = CoronaryTree(
        (Branch("LAD", line, np.linspace(start, start * rng.uniform(0.6, 0.85), len(line))),), dominance="right"
    )
    if rng.random() < 0.25:
        return tree
    percent = float(rng.uniform(15, 93))
    length = float(rng.uniform(7, 16) if percent > 60 else rng.uniform(4, 12))
    place = float(rng.uniform(14, tree.branches[0].length_mm - 18))
    return narrowed(tree, "LAD", place, percent, length, bool(rng.random() < 0.5))


def scanned(tree: CoronaryTree, rng: np.random.Generator) -> tuple[Volume, Blood]:
    """Its CT: fat about the vessel, muscle from a cushion of fat on."""
    look = Appearance.draw(rng)
    branch = tree.branches[0]
    z, y = np.arange(SIZE[2]) * SPACING[2], np.arange(SIZE[1]) * SPACING[1]
    surface = np.interp(z, branch.points_mm[:, 2], branch.points_mm[:, 1]) + branch.radius_mm[0] + CUSHION_MM + WALL_MM
    muscle = np.clip(0.5 + (y[None] - surface[:, None]) / 0.4, 0, 1)[..., None]
    fat = float(look.hu[Tissue.HEART_FAT])
    hu = np.zeros(SIZE[::-1], np.float32) + np.float32(fat)
    hu += (float(look.hu[Tissue.MYOCARDIUM]) - fat) * muscle.astype(np.float32)
    texture = ndimage.gaussian_filter(rng.normal(size=hu.shape).astype(np.float32), list(2.0 / SPACING[::-1]))
    hu += 12.0 * texture / texture.std()
    grid = Volume(np.zeros(SIZE[::-1], np.uint8), (0.4, 0.4, 0.5), (0.0, 0.0, 0.0), np.eye(3))
    paint_arteries(hu, grid, tree, look, rng)
    move = np.abs(rng.normal(size=3)) * rng.uniform(0, 1.5) / np.sqrt(3) / SPACING[::-1]
    for axis, reach in enumerate(move):
        w = 0.25 * min(float(reach), 1.0)
        hu = ndimage.correlate1d(hu, [w, 1 - 2 * w, w], axis=axis)
    hu = ndimage.gaussian_filter(hu, list(rng.uniform(0, 1.0) / SPACING[::-1]), truncate=3.0)
    noise = float(np.clip(rng.lognormal(np.log(18), 0.5), 6, 60))
    add_noise(hu, SPACING[::-1], noise, rng)
    return grid.with_array(np.rint(hu).astype(np.int16)), Blood(float(look.hu[Tissue.AORTA]), noise, 1000)


def case(seed: int) -> dict[str, float]:
    """What was read of one vessel against its truth; % diameter in points, diameters in mm."""
    rng = np.random.default_rng([seed, 31])
    tree = vessel(rng)
    ct, blood = scanned(tree, rng)
    true = tree.branches[0]
    beside = true.points_mm + ndimage.gaussian_filter1d(rng.normal(size=true.points_mm.shape), 6, axis=0)
    branch = Branch("LAD", smoothed(resampled(beside), 0.7), np.ones(len(resampled(beside))))
    picture = Picture(
        ct,
        np.zeros(ct.array.shape, np.float32),
        blood,
        blur_of(cross_sections(branch.points_mm, ct, blood.hu), blood.hu),
    )
    branch, cut = centred_by_picture(branch, picture)
    picture = replace(picture, blur_mm=blur_of(cut, blood.hu))
    bloom = blooming_of([branch], picture)
    if bloom is not None:
        branch, cut = centred_by_picture(branch, picture, bloom)
    profile = lumen_of(cut, branch.arc_mm, blood.hu, picture.blur_mm)
    branch = replace(branch, radius_mm=profile.radius_mm)
    found = find_stenoses(branch, profile, blood.sd_hu / blood.contrast_hu)
    nearest = cKDTree(true.points_mm).query(branch.points_mm)[1]
    error = 2 * (profile.radius_mm - true.radius_mm[nearest])[10:-10]
    out = {"diameter_mm": float(np.abs(error).mean()), "diameter_bias_mm": float(error.mean())}
    near = [
        f
        for f in found
        for s in tree.stenoses
        if np.linalg.norm(f.point_mm - s.point_mm) <= SAME_MM + 0.5 * s.length_mm
    ]
    out["false_50"] = float(sum(f.diameter_percent >= 50 for f in found if all(f is not n for n in near)))
    for s in tree.stenoses:
        read = max((f.diameter_percent for f in near), default=None)
        kind = "calcified" if s.calcified else "soft"
        if s.diameter_percent >= 50:
            out["found_50"] = out[f"found_50_{kind}"] = float(read is not None and read >= 50)
            if read is not None:
                out["points"] = out[f"points_{kind}"] = abs(read - s.diameter_percent)
                out["bias_points"] = out[f"bias_points_{kind}"] = read - s.diameter_percent
        elif s.diameter_percent < 45:
            out["mild_read_as_50"] = float(read is not None and read >= 50)
    return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cases = [case(given.seed + k) for k in range(given.cases)]
    names = dict.fromkeys(name for c in cases for name in c)
    values = {name: [c[name] for c in cases if name in c] for name in names}
    result = {
        name: {"mean": float(np.mean(v)), "worst": float(np.max(np.abs(v))), "n": len(v)} for name, v in values.items()
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
