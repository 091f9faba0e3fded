"""What the coronary tree of a clinical CT costs: 512 x 512 x 320 voxels at 0.4 x 0.4 x 0.5 mm.

    python Testing/bench/coronaries_cost.py [--seed 2000] [--json figures.json]

The heart of a fine twin (``training/evaluation/fine_coronaries.py``) in the middle of a picture of lung of that
size. Seconds are the processor's, of one thread; memory is the process's peak, the CT and the libraries included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.pipeline.progress import peak_memory_mb
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.pose import apply
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.evaluation.fine_coronaries import fine_case
from CardiacFusionLib.walls.ct import segment_ct

SIZE = (320, 512, 512)  # z, y, x
LUNG_HU = -850


def in_a_chest(part: Volume) -> Volume:
    """The CT in the middle of one of ``SIZE``; what does not fit in is cut off."""
    whole = np.full(SIZE, LUNG_HU, np.int16)
    room = [(n - m) // 2 for n, m in zip(SIZE, part.array.shape)]
    to = tuple(slice(max(r, 0), max(r, 0) + min(n, m)) for r, n, m in zip(room, SIZE, part.array.shape))
    of = tuple(slice(max(-r, 0), max(-r, 0) + min(n, m)) for r, n, m in zip(room, SIZE, part.array.shape))
    whole[to] = part.array[of]
    origin = apply(part.index_to_lps, -np.asarray(room[::-1], dtype=float))
    return Volume(whole, part.spacing_mm, tuple(origin), part.direction)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ct = in_a_chest(fine_case(given.seed).ct)
    before = peak_memory_mb()
    start = time.process_time()
    walls = segment_ct(ct, reorient(ct))
    begun = time.process_time()
    tree = extract(ct, walls, walls.pose)
    end = time.process_time()
    result = {
        "voxels": list(SIZE), "walls_seconds": begun - start, "tree_seconds": end - begun,
        "rss_mb": peak_memory_mb(), "rss_mb_before": before, "branches": [b.name for b in tree.branches],
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
