"""Progress and cancel: one callable that every stage may tell how far it is."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from CardiacFusionLib.spatial.errors import CancelledError

# (stage, fraction of that stage 0..1, message)
Listener = Callable[[str, float, str], None]
StageProgress = Callable[[float, str], None]


def silent(stage: str, fraction: float, message: str) -> None:
    """A listener that says nothing."""


@dataclass
class StageClock:
    """Runs stages one after another: tells the listener and keeps the seconds each one took."""

    listener: Listener = silent
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, message: str) -> Iterator[StageProgress]:
        """Announce a stage, hand out its progress callable, and record how long it ran."""
        self.listener(name, 0.0, message)
        start = time.perf_counter()

        def tell(fraction: float, text: str = "") -> None:
            self.listener(name, min(max(float(fraction), 0.0), 1.0), text or message)

        yield tell
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.listener(name, 1.0, message)


def peak_memory_mb() -> float | None:
    """Peak memory of this process in MB; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


@contextmanager
def cancellable() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into CancelledError, so that a cancelled run cleans up behind itself (exit 4)."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise CancelledError("The run was cancelled; nothing was written.")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
