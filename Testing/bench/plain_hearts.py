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

from CardiacFusionLib.perfusion.aif import find_aif
from CardiacFusionLib.pipeline.stages import Examinations, run
from CardiacFusionLib.registration.ends import ends_in_cmr
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.spatial.quality import Level
from CardiacFusionLib.training.evaluation.cmr_figures import aif_figures, in_image_figures, out_of_image_figures
from CardiacFusionLib.training.evaluation.overlap import dice

TURNED_DEG = (20.0, 35.0)


def figures_of(seed: int, about_hu: float | None = None, turned: bool = False) -> dict[str, float]:
    """What the stages up to the registration make of one heart, against the truth; degrees, mm, Dice.

    ``about_hu``: of what lies about the heart in place of fat. ``turned``: it lies unusually."""
    heart = PlainHeart(seed)
    if turned:
        heart.turn(TURNED_DEG)
    if about_hu is not None:
        heart.hu |= {"fat": about_hu, "pericardial_fat": about_hu}
    ct = heart.ct()
    series, truth = heart.series()
    results = run(Examinations(ct, series), upto="register", without=frozenset({"coronaries", "perfusion"}))
    walls, outlines, match, pose = results.ct_walls, results.cmr_walls, results.registration, heart.pose()
    assert walls and outlines and match and results.reorientation and results.pose and results.moving
    found = results.pose
    true = heart.labels(walls.labels.grid_lps())
    tilt = pose.lps_to_heart[:3, :3] @ found.long_axis_lps
    quality = results.reorientation.quality + walls.quality
    blood = aif_figures(find_aif(results.moving, outlines), results.moving, truth)
    shares = [float((s.grid_lps((1, 1))[0, 0] - heart.centre) @ heart.down) / heart.length + 0.5 for s in series.poses]
    ends = ends_in_cmr(match.pairing, found, outlines, results.moving.poses)
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
        "aif_in_lv": blood["found"],
        "aif_in_rv": blood["rv_taken"],
        **in_image_figures(outlines.landmarks, [heart.insertions(share) for share in shares]),
        **out_of_image_figures({name: one.place_lps for name, one in ends.items()}, pose),
        "wall_dice_before": float(np.nanmean(match.wall_dice_before)),
        "wall_dice_after": float(np.nanmean(match.wall_dice_after)),
        "folded_share": float(np.nanmean(match.folded_share)),
        "doubted": float(quality.level is not Level.GOOD),
    }


def main() -> None:
    """Print the means and the worst, and write every heart's figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--about-hu", type=float, help="HU of soft tissue or fluid in place of the fat")
    parser.add_argument("--turned", action="store_true", help="hearts turned by 20 to 35 degrees about any axis")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[int, dict[str, float]] = {}
    for seed in range(given.seed, given.seed + given.cases):
        try:
            rows[seed] = figures_of(seed, given.about_hu, given.turned)
        except CardiacFusionError as error:
            print(f"seed {seed} refused: {error}")
    if not rows:
        sys.exit("Every heart was refused.")
    names = list(next(iter(rows.values())))
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows.values()])
    print(f"{len(rows)} plain hearts from seed {given.seed}: mean (lowest to highest)")
    for name, column in zip(names, table.T):
        print(f"  {name:16s} {np.nanmean(column):6.3f} ({np.nanmin(column):.3f} to {np.nanmax(column):.3f})")
    if given.json:
        given.json.write_text(json.dumps({str(seed): row for seed, row in rows.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
