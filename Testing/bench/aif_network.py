"""How often the network of the blood pools finds LV blood, and whether RV blood is ever taken for it.

``python Testing/bench/aif_network.py --cases 400 --seed 900000``

First passes through random slices of the twin (``twin.cmr.first_pass``; synthetic, never a clinical figure) of seeds
that training does not reach, at least ``MIN_PIXELS`` of both pools in the picture. *Found*: more than half of the
brighter half of what the network calls LV blood is LV blood, as the arterial input is read. *RV taken*: more than half
of it is RV blood. Beside it the rule that does without a network: of the pixels that brighten most, those that peak
later.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.pool_input import PIXEL_MM, SIZE
from CardiacFusionLib.perfusion.pools import blood_pools
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.twin.cmr.first_pass import LEFT, RIGHT, FirstPass, draw_anatomy, draw_first_pass

MIN_PIXELS = 12  # of 4 mm: about 2 square centimetres


def by_network(drawn: FirstPass) -> NDArray[np.bool_]:
    """LV blood by the network."""
    left, right = blood_pools([(drawn.frames, drawn.times_s)], (PIXEL_MM, PIXEL_MM))[0]
    return (left > 0.5) & (left > right)


def by_rule(drawn: FirstPass) -> NDArray[np.bool_]:
    """The later half of the pixels that brighten most."""
    rise = drawn.frames - drawn.frames[drawn.times_s <= drawn.times_s[0] + 3.0].mean(axis=0)
    height, when = rise.max(axis=0), drawn.times_s[rise.argmax(axis=0)]
    bright = height > 0.5 * np.percentile(height, 99.5)
    cut = 0.5 * (np.percentile(when[bright], 10) + np.percentile(when[bright], 90))
    return bright & (when > cut)


def judge(found: NDArray[np.bool_], drawn: FirstPass) -> dict[str, float]:
    """Where the input would be read."""
    rise = (drawn.frames - drawn.frames[:3].mean(axis=0)).max(axis=0)
    core = found & (rise >= np.median(rise[found])) if found.any() else found
    inside = drawn.pools[core]
    return {
        "found": float(inside.size > 0 and np.mean(inside == LEFT) > 0.5),
        "rv_taken": float(inside.size > 0 and np.mean(inside == RIGHT) > 0.5),
        "lv_dice": float(dice(found, drawn.pools == LEFT)),
    }


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=900_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = {"network": [], "rule": []}
    seconds, seed = 0.0, given.seed
    while len(rows["network"]) < given.cases:
        drawn = draw_first_pass(draw_anatomy(seed, SIZE, PIXEL_MM), np.random.default_rng(seed))
        seed += 1
        if min((drawn.pools == LEFT).sum(), (drawn.pools == RIGHT).sum()) < MIN_PIXELS:
            continue
        start = time.process_time()
        found = by_network(drawn)
        seconds += time.process_time() - start
        rows["network"].append(judge(found, drawn))
        rows["rule"].append(judge(by_rule(drawn), drawn))
    result = {name: {key: float(np.mean([row[key] for row in each])) for key in each[0]} for name, each in rows.items()}
    print(json.dumps({"cases": given.cases, "cpu_s_a_slice": seconds / given.cases, **result}, indent=1))


if __name__ == "__main__":
    main()
