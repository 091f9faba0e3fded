"""Progress on the terminal: a bar for people, one JSON object a line for programs, nothing when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from CardiacFusionLib.pipeline.progress import Listener, silent


class ProgressStyle(StrEnum):
    """How a run tells how far it is."""

    BAR = "bar"
    JSON = "json"
    NONE = "none"


def _json_line(stage: str, fraction: float, message: str) -> None:
    sys.stdout.write(json.dumps({"stage": stage, "fraction": round(fraction, 4), "message": message}) + "\n")
    sys.stdout.flush()


@contextmanager
def listening(style: ProgressStyle) -> Iterator[Listener]:
    """A listener in the wanted style; the bar shows one line a stage and only on a terminal."""
    if style is ProgressStyle.JSON:
        yield _json_line
        return
    if style is ProgressStyle.NONE:
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_line
        return
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, int] = {}

        def tell(stage: str, fraction: float, message: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0, what=message)
            bar.update(tasks[stage], completed=fraction, what=message)  # type: ignore[arg-type]

        yield tell


def _plain_line(stage: str, fraction: float, message: str) -> None:
    """One line at the start of a stage, for log files."""
    if fraction == 0.0:
        sys.stderr.write(f"{stage}: {message}\n")
        sys.stderr.flush()
