"""One child process: started, listened to, cancelled, and cleaned up behind. The window stays free all the time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable

import qt

from CardiacFusionPanel.ending import Ending, ending_of
from CardiacFusionPanel.job import Job
from CardiacFusionPanel.progress import Progress

GRACE_MS = 800  # a cancelled child has this long to clean up by itself; after it, the whole process group is ended
_TICK_MS = 500
_KEEP_ERRORS = 200  # lines of standard error kept for the reason and the log


class Run:
    """A job that runs. ``on_progress(Progress)``, ``on_log(line)`` and, once, ``on_end(Ending)`` tell how it goes."""

    def __init__(
        self,
        job: Job,
        plan: list[tuple[str, float, str]],
        on_progress: Callable[[Progress], None],
        on_log: Callable[[str], None],
        on_end: Callable[[Ending], None],
    ) -> None:
        self.job = job
        self.progress = Progress(plan, time.monotonic)
        self._on_progress, self._on_log, self._on_end = on_progress, on_log, on_end
        self._errors: list[str] = []
        self._rest = {"out": "", "err": ""}
        self._started = self._cancelled = self._ended = self._silent = False
        self._process = qt.QProcess()
        self._process.readyReadStandardOutput.connect(self._read_output)
        self._process.readyReadStandardError.connect(self._read_errors)
        self._process.started.connect(self._has_started)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._error)
        self._timer = qt.QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._killer = qt.QTimer()
        self._killer.setSingleShot(True)
        self._killer.timeout.connect(self._kill)

    def start(self) -> None:
        """Start the child."""
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in self.job.full_environment().items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(str(self.job.scratch))
        self._process.start(self.job.program, self.job.command)
        self._timer.start()

    def cancel(self) -> None:
        """Tell the child to stop; it is ended by force where it does not within ``GRACE_MS``."""
        if self._ended or self._cancelled:
            return
        self._cancelled = True
        self._signal(gently=True)
        self._killer.start(GRACE_MS)

    def stop_now(self) -> None:
        """End the child at once and clean up, without telling anybody: the panel itself goes away."""
        self._silent = True
        if self._ended:
            return
        self._ended = True
        self._timer.stop()
        self._killer.stop()
        self._kill()
        self._process.waitForFinished(GRACE_MS)
        self.job.clean(keep_inputs=False)

    def _signal(self, gently: bool) -> None:
        """Ask the child to end, or end its whole group. The child leads the group (it said its number at the start)."""
        pid = self.progress.pid
        if pid is None:  # not yet at its first line
            if gently:
                self._process.terminate()
            else:
                self._process.kill()
            return
        if os.name == "nt":  # no gentle way there: a console program without a window hears nothing
            subprocess.run(["taskkill", "/PID", str(pid), "/T", "/F"], capture_output=True, check=False)
            return
        try:
            if gently:
                os.kill(pid, signal.SIGTERM)
            else:
                os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            logging.debug("CardiacFusion: the child had ended already")

    def _kill(self) -> None:
        self._signal(gently=False)
        self._process.kill()

    def _lines(self, channel: str, text: str) -> list[str]:
        """Whole lines so far; the unfinished last one waits for the next reading."""
        *lines, self._rest[channel] = (self._rest[channel] + text).split("\n")
        return [line.rstrip("\r") for line in lines]

    def _read_output(self) -> None:
        for line in self._lines("out", text_of(self._process.readAllStandardOutput())):
            if not self.progress.take(line) and line.strip():
                self._on_log(line)
        if not self._ended:
            self._on_progress(self.progress)

    def _read_errors(self) -> None:
        self._keep(self._lines("err", text_of(self._process.readAllStandardError())))

    def _keep(self, lines: list[str]) -> None:
        for line in lines:
            if line.strip():
                self._errors.append(line)
                self._on_log(line)
        del self._errors[:-_KEEP_ERRORS]

    def _tick(self) -> None:
        if not self._ended:
            self._on_progress(self.progress)

    def _has_started(self) -> None:
        self._started = True

    def _error(self, *error: object) -> None:
        """A program that cannot be started never finishes; every other error is followed by ``finished``."""
        if self._started or self._ended:
            return
        sentence = f"Python could not be started ({self.job.program}); install Slicer again or report this."
        self._end(Ending(False, False, sentence))

    def _finished(self, *status: object) -> None:
        if self._ended:
            return
        self._read_output()
        self._read_errors()
        self._keep([self._rest["err"]])
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        self._end(ending_of(self._process.exitCode(), crashed, self._errors, self._cancelled))

    def _end(self, ending: Ending) -> None:
        self._ended = True
        self._timer.stop()
        self._killer.stop()
        if not ending.good:
            self._signal_left_overs()
        self.job.clean(keep_inputs=ending.good)
        # told later: whoever hears it lets go of this run, and a process must not vanish inside its own signal
        qt.QTimer.singleShot(0, lambda: self._tell(ending))

    def _tell(self, ending: Ending) -> None:
        if not self._silent:
            self._on_end(ending)

    def _signal_left_overs(self) -> None:
        """A child that ended badly may have left children of its own (drawing the pictures)."""
        if self.progress.pid is not None and os.name != "nt":
            self._signal(gently=False)


def text_of(data: object) -> str:
    """A ``QByteArray`` as text; what ``data()`` gives differs between bindings."""
    raw = data.data() if hasattr(data, "data") and callable(data.data) else data
    return raw if isinstance(raw, str) else bytes(raw).decode("utf-8", errors="replace")
