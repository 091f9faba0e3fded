"""What the panel lists of a case, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MapChoice:
    """A perfusion map the views can show, with the range of its colours."""

    key: str
    title: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class SegmentRow:
    """One AHA segment in the map that is shown; ``value`` None where nothing was measured."""

    number: int
    name: str
    value: float | None
    unit: str
    territory_aha: str
    territory_patient: str
    measured: bool


@dataclass(frozen=True)
class StenosisRow:
    """One narrowing; ``index`` names it for ``jump_to``."""

    index: int
    branch: str
    percent: float
    position_mm: float
    length_mm: float
    calcified: bool
    clear: bool  # at least moderate, in a named branch


@dataclass(frozen=True)
class FindingRow:
    """One finding; ``index`` names it for ``jump_to``."""

    index: int
    kind: str
    vessel: str
    sentence: str
    confidence: float
    segments: tuple[int, ...]


@dataclass(frozen=True)
class FlagRow:
    """One remark of a stage: "good", "doubtful" or "unusable"."""

    stage: str
    name: str
    level: str
    reason: str


@dataclass(frozen=True)
class LandmarkRow:
    """One landmark: ``node`` is the markups node it lives in, ``index`` its control point there."""

    name: str
    title: str
    placed: bool
    moved_mm: float  # from its automatic place
    by_reader: bool
    index: int
    node: Any = None
