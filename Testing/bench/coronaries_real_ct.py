"""The coronary stage on the real CT at 1.5 mm: which main branches it follows, and a picture to judge them by eye.

    python Testing/bench/coronaries_real_ct.py [--out picture.png] [--json figures.json]

No expert drew the arteries of this CT: the picture is the judgement. Above, slices with the centrelines on them and the
outline of the aorta; below, each branch pulled straight in two planes. Needs the data folder (``CARDIACFUSION_DATA``).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import SimpleITK as sitk
from coronaries_real_tree import data_folder

from CardiacFusionLib.coronaries.lumen import labels_on
from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.coronaries.straightened import straightened_image
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.tree import MAIN_BRANCHES, CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.ct import segment_ct
from CardiacFusionLib.walls.result import CtWalls

matplotlib.use("Agg")
COLOURS = {"LM": "gold", "LAD": "red", "LCx": "cyan", "RCA": "lime"}
SLICES, REACH_MM = 8, 55.0


def draw(ct: Volume, walls: CtWalls, tree: CoronaryTree, path: Path) -> None:
    """Write the picture."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 4, figsize=(13, 10))
    aorta = labels_on(ct, walls.labels) == Label.AORTA
    lines = {b.name: apply(ct.lps_to_index, b.points_mm) for b in tree.branches}
    starts = [line[0] for name, line in lines.items() if tree.branch(name).parent is None]
    middle = np.mean(starts, axis=0)
    top = max(line[:, 2].max() for line in lines.values())
    reach = REACH_MM / np.asarray(ct.spacing_mm)
    for k, axis in enumerate(axes.flat[:SLICES]):
        z = int(top) - 2 * k
        axis.imshow(ct.array[z], cmap="gray", vmin=-120, vmax=600)
        axis.contour(aorta[z], [0.5], colors="orange", linewidths=0.7)
        for name, line in lines.items():
            here = np.abs(line[:, 2] - z) < 1.1
            axis.plot(line[here, 0], line[here, 1], ".", markersize=3, color=COLOURS.get(name, "white"), label=name)
        axis.set_xlim(middle[0] - reach[0], middle[0] + reach[0])
        axis.set_ylim(middle[1] + reach[1], middle[1] - reach[1])
        axis.set_title(f"slice {z}", fontsize=8)
    axes.flat[0].legend(fontsize=6, loc="lower left")
    for axis, name in zip(axes.flat[SLICES:], MAIN_BRANCHES):
        branch = tree.branch(name)
        axis.set_title(name if branch is not None else f"{name}: not found", fontsize=8)
        if branch is not None and branch.length_mm >= 3.0:
            straight = straightened_image(ct, branch, 9.0).array
            half = straight.shape[1] // 2
            both = np.vstack([straight[:, half, :].T, straight[:, :, half].T])
            axis.imshow(both, cmap="gray", vmin=-120, vmax=600, aspect="auto")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    path = data_folder() / "cta" / "cta.nii.gz"
    if not path.is_file():
        sys.exit(f"no CT at {path}; set CARDIACFUSION_DATA to the folder that holds it")
    ct = Volume.from_sitk(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS"))
    walls = segment_ct(ct, reorient(ct))
    tree = extract(ct, walls, walls.pose)
    result = {
        "length_mm": {b.name: round(b.length_mm, 1) for b in tree.branches},
        "flags": [flag.name for flag in tree.quality.flags],
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))
    if given.out:
        draw(ct, walls, tree, given.out)


if __name__ == "__main__":
    main()
