"""The whole perfusion stage of one study, stress and rest: processor seconds and peak memory.

``python Testing/bench/perfusion_stage.py [--seed 1003] [--json FILE]``: a free-breathing twin (3 slices x 60 frames,
stress and rest) is written as NIfTI; a fresh process with one thread reads both, takes out the motion, outlines the
walls with the network, quantifies both and divides them. Its imports are in the memory, not in the seconds. Synthetic
heart. Bars: 30 s and 2000 MB."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_S, BAR_MB = 30.0, 2000.0


def work(folder: Path) -> dict[str, float | None]:
    """Seconds by part of the stage, and the process's peak memory."""
    import torch

    from CardiacFusionLib.io.read import read_perfusion
    from CardiacFusionLib.perfusion.motion import correct_motion
    from CardiacFusionLib.perfusion.stage import quantify, with_rest
    from CardiacFusionLib.pipeline.progress import peak_memory_mb
    from CardiacFusionLib.walls.cmr import segment_cmr

    torch.set_num_threads(1)
    seconds: dict[str, float | None] = {}
    mark = time.process_time()

    def lap(name: str) -> None:
        nonlocal mark
        now = time.process_time()
        seconds[name] = now - mark
        mark = now

    states = ("stress", "rest")
    series = {state: read_perfusion(folder / f"{state}.nii.gz", state) for state in states}
    lap("read_s")
    moved = {state: correct_motion(one) for state, one in series.items()}
    lap("motion_s")
    walls = {state: segment_cmr(moved[state][0]) for state in states}
    lap("walls_s")
    found = {state: quantify(moved[state][0], walls[state], motion=moved[state][1]) for state in states}
    with_rest(found["stress"], found["rest"])
    lap("quantify_s")
    seconds["all_s"] = sum(value for value in seconds.values() if value is not None)
    seconds["peak_memory_mb"] = peak_memory_mb()
    return seconds


def main() -> None:
    """Make the twin, run the stage in a process of its own, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1003)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(work(given.folder)))
        return
    from CardiacFusionLib.io.write import write_series
    from CardiacFusionLib.training.evaluation.perfusion_study import study_twin

    with tempfile.TemporaryDirectory() as scratch:
        twin = study_twin(given.seed)
        assert twin.rest is not None
        for one in (twin.stress, twin.rest):
            write_series(one, Path(scratch) / f"{one.state}.nii.gz")
        del twin
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        done = subprocess.run(
            [sys.executable, __file__, "--folder", scratch],
            env={**os.environ, **threads},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    result = {"what": "one digital twin (synthetic), one thread", "seed": given.seed, **found}
    result |= {"bar_s": BAR_S, "bar_memory_mb": BAR_MB}
    text = json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in result.items()}, indent=1)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
