"""``python -m CardiacFusionLib.cli.child …``: the command line as another program's child.

Slicer's ``PythonSlicer`` is a launcher with the real interpreter below it, so a signal to the process that was started
does not reach the one that computes. The child therefore leads a process group of its own, says its number on the first
line of standard output (``{"pid": …}``), and ends by itself when the program that started it is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

PARENT = "CARDIACFUSION_PARENT_PID"  # environment variable: number of the process to outlive never
_LOOK_EVERY_S = 1.0
_GRACE_S = 1.5  # time to remove the half-written case before the whole group is ended


def alive(pid: int) -> bool:
    """Whether a process of this number exists (True where the system cannot say)."""
    if os.name == "nt":  # os.kill(pid, 0) would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that has ended but was not fetched by its own parent is still listed
        return (
            not Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .startswith(" Z")
        )
    except OSError:  # no /proc on this system
        return True


def _own_group() -> None:
    """Lead a process group, so that this process and all it starts can be ended together."""
    if hasattr(os, "setsid") and os.getpgrp() != os.getpid():
        os.setsid()


def _end_with(parent: int) -> None:
    """Cancel this process when ``parent`` is gone, then end what is left of its group."""
    while alive(parent):
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.killpg(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Announce the process, watch its parent, and run the command line."""
    _own_group()
    sys.stdout.write(json.dumps({"pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    parent = os.environ.get(PARENT, "")
    if parent.isdigit() and os.name != "nt":
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    from CardiacFusionLib.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
