"""How much a result can be trusted: a level and the reasons, collected along the pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Ordered: the worst level of all parts is the level of the whole."""

    GOOD = 0
    DOUBTFUL = 1
    UNUSABLE = 2


@dataclass(frozen=True)
class Flag:
    """One observation of one stage, in a sentence a cardiologist can read."""

    stage: str
    name: str  # short stable key, e.g. "aif_saturated"
    level: Level  # GOOD: a remark that takes nothing from the trust
    reason: str

    @property
    def word(self) -> str:
        """What a reader is shown as its kind: 'note', 'doubtful' or 'unusable'."""
        return "note" if self.level is Level.GOOD else self.level.name.lower()


@dataclass(frozen=True)
class Quality:
    """All flags of a result; none above ``Level.GOOD`` means good."""

    flags: tuple[Flag, ...] = ()

    @property
    def level(self) -> Level:
        """The worst level of all flags."""
        return max((flag.level for flag in self.flags), default=Level.GOOD)

    def __add__(self, other: Quality) -> Quality:
        return Quality(self.flags + other.flags)

    @staticmethod
    def of(flags: Iterable[Flag]) -> Quality:
        """Collect flags from any iterable."""
        return Quality(tuple(flags))


MAX_PENALTY = 10.0  # a measure farther outside, or not a number, counts as this many steps


@dataclass(frozen=True)
class Range:
    """Where a measure may lie without loss of trust, and how fast trust fades outside: ``soft`` is one step (in units
    of the measure, or of its natural logarithm with ``log``)."""

    low: float
    high: float
    soft: float
    log: bool = False

    def penalty(self, value: float) -> float:
        """Steps outside the range: 0 inside, at most ``MAX_PENALTY``."""
        if not math.isfinite(value):
            return MAX_PENALTY
        low, high = self.low, self.high
        if self.log:
            if value <= 0:
                return MAX_PENALTY
            low, high, value = math.log(low), math.log(high), math.log(value)
        return min(max(low - value, value - high, 0.0) / self.soft, MAX_PENALTY)


def score_of(penalties: Iterable[float]) -> float:
    """One score 0..1 of all penalties: 1 where none, like the density of independent normal errors outside."""
    return math.exp(-0.5 * sum(p * p for p in penalties))
