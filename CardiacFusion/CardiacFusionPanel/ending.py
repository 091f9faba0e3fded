"""How a run ended, in one sentence for the reader. No Qt, no Slicer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

DONE, BAD_INPUT, FAILED, CANCELLED = 0, 2, 3, 4  # exit codes of the command line
_NO_PACKAGE = re.compile(r"No module named '([\w.]+)'")
_NOISE = ("warning", "warn(", "  ", "\t")  # lines of libraries, not the sentence the command line ends with


@dataclass(frozen=True)
class Ending:
    """``good`` where the case folder is there; ``sentence`` is what the panel shows otherwise."""

    good: bool
    cancelled: bool
    sentence: str


def ending_of(code: int, crashed: bool, errors: Sequence[str], cancelled: bool) -> Ending:
    """The ending of a child: exit code, crashed or not, lines of standard error, whether it was told to stop."""
    if cancelled:
        return Ending(False, True, "The run was cancelled. The scene is as it was before, and nothing was written.")
    if not crashed and code == DONE:
        return Ending(True, False, "")
    last = last_sentence(errors)
    missing = _NO_PACKAGE.search(" ".join(errors[-3:]))
    if missing is not None:
        package = missing.group(1).split(".")[0]
        return Ending(
            False,
            False,
            f"The Python package '{package}' is missing. Press Run again and allow its installation; without a "
            "connection, install it as Docs/slicer.md says.",
        )
    if crashed or code < 0 or code > 128:
        told = f" Its last words: {last}" if last else ""
        return Ending(
            False,
            False,
            "The computation was ended from outside, most often because memory ran out; close other programs or crop "
            f"the CT around the heart, and run again.{told}",
        )
    if code == CANCELLED:
        return Ending(False, True, last or "The run was cancelled.")
    return Ending(False, False, last or f"The computation ended with code {code} and gave no reason; the log has more.")


def last_sentence(errors: Sequence[str]) -> str:
    """The last line of standard error that is a sentence; the command line writes its reason as one line at the end."""
    for line in reversed(errors):
        if line.strip() and not line.startswith(_NOISE) and "Warning:" not in line:
            return line.strip()
    return ""
