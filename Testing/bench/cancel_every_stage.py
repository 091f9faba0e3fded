"""How long a cancelled run takes to be gone, by the stage it was cancelled in.

``python Testing/bench/cancel_every_stage.py TWIN [--case CASE] [--json F]`` with the folder of a twin (``cardiacfusion
twin``) and, to save time, a finished case of its CT from which the later stages go on. The run is started as the Slicer
panel starts it and stopped as the panel stops it (SIGTERM, after 0.8 s the whole process group by force), once in every
stage. Told: seconds until no process of the group is left, and what lies on the disk afterwards (nothing is right).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "CardiacFusion"), str(ROOT / "Testing" / "widget")]
from CardiacFusionPanel.job import Job  # noqa: E402
from CardiacFusionPanel.progress import plan_of  # noqa: E402
from processes import group_of  # noqa: E402

_CT_SIDE = ("read", "reorient", "segment", "coronaries")  # not run again where a case is given
GRACE_S = 0.8  # CardiacFusionPanel.run.GRACE_MS


def cancel_in(stage: str, twin: Path, case: Path | None, folder: Path) -> tuple[float, list[str]] | None:
    """Seconds until the run is gone and what it left, or None where the stage was over too soon."""
    later = case is not None and stage not in _CT_SIDE
    series = [part for name in ("stress", "rest") for part in (f"--{name}", str(twin / f"{name}.nii.gz"))]
    series += ["--case", str(case)] if later else ["--ct", str(twin / "ct.nii.gz")]
    job = Job(["fuse", *series, "--out", str(folder / "case"), "--progress", "json"], folder / "case", {})
    child = subprocess.Popen(
        [sys.executable, *job.command], env={**os.environ, **job.full_environment()}, cwd=job.scratch,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    pid, began = 0, False
    for line in child.stdout:
        told = json.loads(line) if line.startswith("{") else {}
        pid = told.get("pid", pid)
        if told.get("stage") == stage:
            began = True
            break
    if not began:
        child.wait()
        job.clean(keep_inputs=False)
        return None
    time.sleep(0.3)  # into the stage
    start = time.perf_counter()
    os.kill(pid, signal.SIGTERM)
    forced = False
    while group_of(pid):
        if not forced and time.perf_counter() - start > GRACE_S:
            os.killpg(pid, signal.SIGKILL)
            forced = True
        child.poll()
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    child.stdout.close()
    child.wait()
    job.clean(keep_inputs=False)
    left = [p.name for p in folder.iterdir()] + ([job.scratch.name] if job.scratch.exists() else [])
    return seconds, left


def main() -> None:
    """Cancel once in every stage and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("twin", type=Path)
    parser.add_argument("--case", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told: dict[str, dict[str, object]] = {}
    for stage in dict.fromkeys(name for name, _, _ in plan_of(rest=True, pictures=True)):
        with tempfile.TemporaryDirectory(prefix="cardiacfusion-bench-") as folder:
            result = cancel_in(stage, given.twin.resolve(), given.case and given.case.resolve(), Path(folder))
        if result is None:
            print(f"{stage:12} over before it could be cancelled")
            continue
        told[stage] = {"seconds": round(result[0], 2), "left": result[1]}
        print(f"{stage:12} {result[0]:5.2f} s  left: {', '.join(result[1]) or 'nothing'}", flush=True)
    if told:
        print(f"longest {max(float(str(t['seconds'])) for t in told.values()):.2f} s")
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
