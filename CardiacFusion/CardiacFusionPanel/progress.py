"""What a run tells, line by line, as one bar: stage in clinical words, share done, time left. No Qt, no Slicer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

# The stages in their order, their usual share of the time (rounded from a run on a synthetic CT of 512 x 512 x 320,
# between it and a 1 mm CT where they differ) and what the reader is told.
_READ = ("read", 5.0, "Reading the examinations")
_CT = (
    ("reorient", 12.0, "Finding the heart's axes in the CT"),
    ("segment", 12.0, "Outlining the chambers in the CT"),
    ("coronaries", 50.0, "Following the coronary arteries"),
)
_STRESS = (
    ("motion", 10.0, "Correcting breathing motion"),
    ("cmr_walls", 2.0, "Outlining the wall in the perfusion slices"),
    ("pair", 1.0, "Finding the perfusion slices in the CT heart"),
    ("perfusion", 3.0, "Quantifying stress flow"),
)
_REST = (
    ("motion", 10.0, "Correcting breathing motion (rest)"),
    ("cmr_walls", 2.0, "Outlining the wall in the rest slices"),
    ("perfusion", 3.0, "Quantifying rest flow"),
)
_END = (
    ("register", 1.0, "Matching the MR wall to the CT wall"),
    ("fuse", 1.0, "Bringing flow, wall and arteries together"),
    ("write", 4.0, "Writing the case folder"),
)
_PICTURES = (
    ("scene", 15.0, "Drawing the pictures of the report"),
    ("report", 2.0, "Writing the report"),
)
_TELL_LEFT_AFTER_S = 5.0  # a guess made earlier than this jumps about


def plan_of(rest: bool, pictures: bool) -> list[tuple[str, float, str]]:
    """The stages a run will go through: (name, usual seconds, words)."""
    return [_READ, *_CT, *_STRESS, *(_REST if rest else ()), *_END, *(_PICTURES if pictures else ())]


@dataclass
class Progress:
    """Where a run stands. Feed it the lines of standard output; it ignores what is no progress line."""

    plan: list[tuple[str, float, str]]
    clock: Callable[[], float]
    started: float = 0.0
    at: int = 0
    fraction: float = 0.0
    message: str = ""
    pid: int | None = None

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.message = self.plan[0][2]

    def take(self, line: str) -> bool:
        """Take one line; True where it was a progress line."""
        if not line.startswith("{"):
            return False
        try:
            told = json.loads(line)
        except ValueError:
            return False
        if "pid" in told:
            self.pid = int(told["pid"])
            return True
        if "stage" not in told or "fraction" not in told:
            return False
        self._go(str(told["stage"]), float(told["fraction"]), str(told.get("message", "")))
        return True

    def _go(self, stage: str, fraction: float, message: str) -> None:
        """Move on in the plan: never back, since stress and rest go through stages of the same name."""
        for index in range(self.at, len(self.plan)):
            if self.plan[index][0] == stage and (index > self.at or fraction >= self.fraction):
                self.at, self.fraction, self.message = index, fraction, self.plan[index][2]
                return
        if all(stage != name for name, _, _ in self.plan) and message:
            self.message = message[0].upper() + message[1:]  # a stage this panel does not know: its own words

    @property
    def stage(self) -> str:
        """Name of the stage that runs."""
        return self.plan[self.at][0]

    @property
    def share(self) -> float:
        """Share of the whole run that is done, 0..1."""
        whole = sum(seconds for _, seconds, _ in self.plan)
        done = sum(seconds for _, seconds, _ in self.plan[: self.at]) + self.plan[self.at][1] * self.fraction
        return min(done / whole, 1.0)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.started

    @property
    def left_s(self) -> float | None:
        """Seconds still to go at the pace so far; None while it is too early to say."""
        if self.elapsed_s < _TELL_LEFT_AFTER_S or self.share < 0.02:
            return None
        return self.elapsed_s * (1.0 - self.share) / self.share

    def words(self) -> str:
        """Elapsed and remaining time in words."""
        left = self.left_s
        return f"{clock_words(self.elapsed_s)} elapsed" + ("" if left is None else f", about {clock_words(left)} left")


def clock_words(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
