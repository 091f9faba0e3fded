"""A case into the scene and out of it again, many times: what stays behind.

``python Testing/bench/in_and_out.py CASE [--times 20] [--json F]`` with a finished case folder (its CT where it was).
Each time the case is opened and shown, a landmark dragged and taken back, a place jumped to, and the case removed.
Told: nodes of the scene before and after, the process's memory after the second time (the first brings libraries along)
and after the last, and the seconds of one time. Bar: no node, at most 5 % more memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from CardiacFusionLib.mrml.app import SceneApp
from CardiacFusionLib.pipeline import review

MOVE_MM = np.array([3.0, 2.0, 1.0])


def once(folder: Path, scene: Any) -> None:
    """One reader's visit."""
    problems: list[str] = []
    case = review.load_case(folder, scene)
    review.show_case(case)
    hand = review.Correction(case, scene, lambda change: None, problems.append)
    hand.watch()
    node, start = case.landmarks, np.array(case.landmarks.GetNthControlPointPosition(0))
    node.InvokeEvent(node.PointStartInteractionEvent)
    for step in (0.5, 1.0):
        node.SetNthControlPointPosition(0, *(start + step * MOVE_MM).tolist())
    node.InvokeEvent(node.PointEndInteractionEvent)
    hand.undo()
    review.jump_to(case, "segment", 8)
    hand.unwatch()
    review.remove_case(case)
    assert not problems, problems


def resident_mb() -> float:
    """Memory of this process now (Linux)."""
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return float(line.split()[1]) / 1024
    raise SystemExit("This system does not tell a process's memory.")


def main() -> None:
    """Visit a copy of the case, so that it stays as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    nodes, memory, seconds = [], [], []
    with tempfile.TemporaryDirectory() as scratch, SceneApp() as app:
        folder = Path(scratch) / "case"
        shutil.copytree(given.case, folder)
        for _ in range(given.times):
            begun = time.process_time()
            once(folder, app.scene)
            seconds.append(time.process_time() - begun)
            nodes.append(app.scene.GetNumberOfNodes())
            memory.append(resident_mb())
    told = {
        "times": given.times,
        # the first visit brings the views' own nodes along, which belong to the scene
        "nodes_after_first": nodes[0],
        "nodes_after_last": nodes[-1],
        "mb_after_second": round(memory[1]),
        "mb_after_last": round(memory[-1]),
        "mb_each": [round(mb) for mb in memory],
        "mb_growth_percent": round(100 * (memory[-1] / memory[1] - 1), 1),
        "processor_s_each": round(float(np.median(seconds)), 2),
    }
    print(json.dumps(told, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
