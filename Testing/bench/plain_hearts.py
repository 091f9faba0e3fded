"""How the stages do on hearts made unlike the twin: `python Testing/bench/plain_hearts.py --cases 24 --seed 0`.

Plain ellipsoids with flat tissues (`Testing/unit/plain_heart.py`), a CT at 1 mm and a first pass in three slices each.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from plain_heart import PlainHeart

from CardiacFusionLib.pipeline.stages import Examinations, run
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.walls.cmr import segment_cmr


def figures_of(seed: int) -> dict[str, float]:
    """Frame, CT labels and CMR labels of one heart against the truth; degrees, mm, Dice."""
    heart = PlainHeart(seed)
    results = run(Examinations(heart.ct()), upto="segment")
    series, truth = heart.series()
    outlines = segment_cmr(series)
    walls, pose = results.ct_walls, heart.pose()
    assert walls is not None and results.reorientation is not None
    found = walls.pose
    true = heart.labels(walls.labels.grid_lps())
    tilt = pose.lps_to_heart[:3, :3] @ found.long_axis_lps
    quality = results.reorientation.quality + walls.quality
    return {
        "axis_deg": axis_angle_deg(found, pose),
        "axial_deg": float(np.degrees(np.arctan2(abs(tilt[0]), tilt[2]))),
        "coronal_deg": float(np.degrees(np.arctan2(abs(tilt[1]), tilt[2]))),
        "roll_deg": abs(roll_angle_deg(found, pose)),
        "centre_mm": float(np.linalg.norm(pose.to_heart(found.to_lps(np.zeros(3))))),
        "apex_mm": float(np.linalg.norm(found.landmarks["apex"] - pose.landmarks["apex"])),
        "base_mm": float(np.linalg.norm(found.landmarks["base"] - pose.landmarks["base"])),
        "ct_cavity_dice": dice(walls.labels.array == Label.LV_CAVITY, true == Label.LV_CAVITY),
        "ct_wall_dice": dice(walls.labels.array == Label.MYOCARDIUM, true == Label.MYOCARDIUM),
        "cmr_cavity_dice": dice(outlines.labels == Label.LV_CAVITY, truth == Label.LV_CAVITY),
        "cmr_wall_dice": dice(outlines.labels == Label.MYOCARDIUM, truth == Label.MYOCARDIUM),
        "doubted": float(quality.level is not Level.GOOD),
    }


def main() -> None:
    """Print the means and the worst, and write every heart's figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = {seed: figures_of(seed) for seed in range(given.seed, given.seed + given.cases)}
    names = list(next(iter(rows.values())))
    table = np.array([[row[name] for name in names] for row in rows.values()])
    print(f"{len(rows)} plain hearts from seed {given.seed}: mean (lowest to highest)")
    for name, column in zip(names, table.T):
        print(f"  {name:16s} {column.mean():6.3f} ({column.min():.3f} to {column.max():.3f})")
    if given.json:
        given.json.write_text(json.dumps({str(seed): row for seed, row in rows.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
