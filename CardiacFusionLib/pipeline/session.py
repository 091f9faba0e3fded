"""A reader at work on a case: corrections one after another, each of them undoable."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from CardiacFusionLib.pipeline.correct import LANDMARK, SLICE_CENTRE, Correction, recompute
from CardiacFusionLib.pipeline.corrected_case import Reading
from CardiacFusionLib.pipeline.stages import Results

SAME_MM = 0.02  # a landmark that moved less was not moved


class ReaderSession:
    """The corrections of a case and the results that follow from them. Knows no scene and no file."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        given = reading.corrections
        # what undo goes back to: the corrections as they stood before each act
        self._history: list[tuple[Correction, ...]] = [given[:k] for k in range(len(given))]
        self.corrections: tuple[Correction, ...] = given
        self.results: Results = recompute(reading.automatic, given)

    @property
    def automatic(self) -> Results:
        """The results before any correction."""
        return self.reading.automatic

    @property
    def can_undo(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._history)

    def add(self, corrections: Iterable[Correction]) -> Results:
        """Follow some corrections as one act. On an error nothing has changed."""
        more = tuple(corrections)
        return self._become((*self.corrections, *more)) if more else self.results

    def undo(self) -> Results:
        """Take back the last act."""
        if not self._history:
            return self.results
        before = self._history[-1]
        self.results = recompute(self.automatic, before)
        self._history.pop()
        self.corrections = before
        return self.results

    def reset(self, name: str | None = None) -> Results:
        """Back to automatic: one landmark ("apex", "lv_centre_2", ...) or, without a name, all. An act itself."""
        if name is None:
            kept: tuple[Correction, ...] = ()
        else:
            kept = tuple(c for c in self.corrections if _landmark_of(c) != name)
        return self.results if len(kept) == len(self.corrections) else self._become(kept)

    def moved_mm(self, name: str) -> float:
        """How far the reader moved a landmark from its automatic place."""
        last = next((c for c in reversed(self.corrections) if _landmark_of(c) == name), None)
        if last is None:
            return 0.0
        first = next(c for c in self.corrections if _landmark_of(c) == name)
        if first.before is None:
            return float("nan")  # the stages had not found it
        return float(np.linalg.norm(np.asarray(last.after, float) - np.asarray(first.before, float)))

    def _become(self, corrections: tuple[Correction, ...]) -> Results:
        results = recompute(self.automatic, corrections)
        self._history.append(self.corrections)
        self.corrections, self.results = corrections, results
        return results


def _landmark_of(correction: Correction) -> str | None:
    if correction.kind == LANDMARK:
        return correction.target
    return f"lv_centre_{correction.target}" if correction.kind == SLICE_CENTRE else None
