"""Work done case by case and kept on disk, so that a study goes on where it was interrupted."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Job = tuple[str | int, ...]
Found = dict[str, Any]


@contextmanager
def place(cache: Path | None, json_file: Path | None) -> Iterator[Path]:
    """The folder of finished cases: as given, beside the JSON file, or one that is gone afterwards."""
    with TemporaryDirectory() as scratch:
        folder = cache or (json_file.with_suffix(".cases") if json_file is not None else Path(scratch))
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def resumed(
    jobs: Sequence[Job], work: Callable[..., Found], folder: Path, key: str, workers: int
) -> Iterator[tuple[Job, Found]]:
    """Every job with what ``work(*job)`` found (JSON values): those of ``folder`` first, the others as they are done.

    ``key`` says what a result depends on besides the job; results of another key are not read.
    """
    todo = []
    for job in jobs:
        known = _read(_path(folder, job), key)
        if known is None:
            todo.append(job)
        else:
            yield job, known
    for job, found in _done(todo, work, workers):
        path = _path(folder, job)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps({"key": key, "case": found}) + "\n", encoding="utf-8")
        temporary.replace(path)
        yield job, found


def _path(folder: Path, job: Job) -> Path:
    return folder / ("_".join(map(str, job)) + ".json")


def _read(path: Path, key: str) -> Found | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found: Found | None = stored["case"] if stored.get("key") == key else None
    return found


def _done(todo: Sequence[Job], work: Callable[..., Found], workers: int) -> Iterator[tuple[Job, Found]]:
    if workers <= 1 or len(todo) < 2:
        for job in todo:
            yield job, work(*job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(workers, len(todo)), mp_context=context) as pool:
        futures = {pool.submit(work, *job): job for job in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
