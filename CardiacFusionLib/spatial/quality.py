"""How much a result can be trusted: a level and the reasons, collected along the pipeline."""

from __future__ import annotations

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
    level: Level
    reason: str


@dataclass(frozen=True)
class Quality:
    """All flags of a result; no flag means good."""

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
