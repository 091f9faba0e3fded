"""A cancelled run takes its drawing child along and leaves nothing on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

# a run in the middle of its pictures: the child is the real one, waiting for a case that never comes
_RUN = """
import sys, tempfile, threading
from pathlib import Path
from CardiacFusionLib.io.case_folder import CaseWriter
from CardiacFusionLib.mrml import outputs
from CardiacFusionLib.pipeline.progress import cancellable
from CardiacFusionLib.spatial.errors import CancelledError
import os
try:
    made = tempfile.TemporaryDirectory(prefix="cardiacfusion-render-")
    with cancellable(), CaseWriter(sys.argv[1]) as folder, made as scratch:
        case = Path(scratch) / "case.pickle"
        os.mkfifo(case)
        command = [sys.executable, "-m", "CardiacFusionLib.mrml.render", str(case), str(folder)]
        outputs._run([*command, "--leash", "--skip-scene"], 120.0, Path(scratch))
except CancelledError as cancelled:
    sys.exit(cancelled.exit_code)
"""


def started(folder: Path) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """The run and its child, both alive."""
    scratch = folder.parent / "scratch"
    scratch.mkdir()
    run = subprocess.Popen([sys.executable, "-c", _RUN, str(folder)], env={**os.environ, "TMPDIR": str(scratch)})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = [c for c in psutil.Process(run.pid).children() if "CardiacFusionLib.mrml.render" in c.cmdline()]
        if children and len(children[0].threads()) > 1:  # on its leash
            return run, children[0]
        time.sleep(0.05)
    run.kill()
    raise AssertionError("the drawing child did not start")


def gone(process: psutil.Process, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["cancelled", "killed"])
def test_the_drawing_child_ends_with_its_run(tmp_path: Path, number: signal.Signals) -> None:
    run, child = started(tmp_path / "case")
    run.send_signal(number)
    code = run.wait(20)
    assert code == (4 if number == signal.SIGTERM else -signal.SIGKILL)
    assert gone(child, 20)
    assert not list((tmp_path / "scratch").glob("cardiacfusion-*"))
    if number == signal.SIGTERM:  # killed, nobody cleans the draft folder; the next run to that place does
        assert [p.name for p in tmp_path.iterdir()] == ["scratch"]
