"""How long each stage takes, and how much memory: ``python Testing/bench/speed.py [--json FILE] [--threads 2]``.

Wall-clock and processor seconds of the reorientation, the CT walls, the CMR walls and the SDN on a digital twin, after
one run that is not counted (weights are loaded in it). On a busy machine read the processor seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from CardiacFusionLib.models.loading import choose_device
from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.pipeline.progress import peak_memory_mb
from CardiacFusionLib.registration.pairing import pair_slices
from CardiacFusionLib.registration.stage import deform, register
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.training.peer_bspline import bspline_displacement
from CardiacFusionLib.twin.case import draw_twin
from CardiacFusionLib.walls.cmr import segment_cmr
from CardiacFusionLib.walls.ct import segment_ct

# seconds that the project demands on two cores, and for all of them the peak memory
BARS = {"pose": 2.0, "CT walls": 8.0, "CMR walls, a slice": 0.5, "SDN, a slice": 0.1}
MEMORY_MB = 3000.0


def timed(work: Callable[[], Any], repeats: int) -> tuple[Any, list[float], list[float]]:
    """The last result, wall-clock and processor seconds of each repeat; one more run before is not counted."""
    result = work()
    wall, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return result, wall, processor


def measure(seed: int, spacing_mm: float, repeats: int) -> dict[str, Any]:
    """Medians of all stages on one twin, and the peak memory of the process."""
    drawn = draw_twin(seed)
    ct, _ = drawn.ct((spacing_mm,) * 3)
    cmr = drawn.cmr(rest=False)
    corrected, _ = correct_motion(cmr.stress.series)
    rows: dict[str, Any] = {}

    def keep(name: str, wall: list[float], processor: list[float], slices: int = 1) -> None:
        rows[name] = {
            "wall_s": statistics.median(wall) / slices,
            "processor_s": statistics.median(processor) / slices,
            "bar_s": BARS.get(name),
        }

    found, wall, processor = timed(lambda: reorient(ct), repeats)
    keep("pose", wall, processor)
    walls, wall, processor = timed(lambda: segment_ct(ct, found), repeats)
    keep("CT walls", wall, processor)
    outlined, wall, processor = timed(lambda: segment_cmr(corrected), repeats)
    keep("CMR walls, a slice", wall, processor, corrected.slice_count)
    pairing = pair_slices(corrected, outlined, walls)
    match = register(ct, walls, corrected, outlined, pairing)
    _, wall, processor = timed(lambda: deform(match.ct_labels, match.cmr_labels), 3 * repeats)
    keep("SDN, a slice", wall, processor, corrected.slice_count)
    _, wall, processor = timed(lambda: register(ct, walls, corrected, outlined, pairing), repeats)
    keep("register stage, a slice", wall, processor, corrected.slice_count)
    pair = match.ct_labels[1], match.cmr_labels[1]
    _, wall, processor = timed(lambda: bspline_displacement(*pair), 1)
    keep("SimpleITK B-spline, a slice", wall, processor)
    return {
        "what": "speed on one digital twin (synthetic)",
        "seed": seed,
        "ct_spacing_mm": spacing_mm,
        "ct_voxels": list(ct.size),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": str(choose_device()[0]),
        "load": round(os.getloadavg()[0], 1),
        "stages": rows,
        "peak_memory_mb": peak_memory_mb(),
        "bar_memory_mb": MEMORY_MB,
    }


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--spacing", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    result = measure(asked.seed, asked.spacing, asked.repeats)
    for name, row in result["stages"].items():
        bar = f"bar {row['bar_s']:g} s" if row["bar_s"] else ""
        print(f"{name:<28} {row['wall_s']:7.3f} s wall {row['processor_s']:7.3f} s processor  {bar}")
    ratio = np.divide(*(result["stages"][n]["processor_s"] for n in ("SimpleITK B-spline, a slice", "SDN, a slice")))
    print(f"B-spline over SDN: {ratio:.0f} times; peak memory {result['peak_memory_mb']:.0f} MB (bar {MEMORY_MB:.0f})")
    print(f"{result['cores']} cores, {result['threads']} threads, load {result['load']}")
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
