"""Tables as CSV whose bytes depend on the values alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FLOAT_FORMAT = "%.6g"  # beyond the accuracy of anything measured here, and free of last-bit noise


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Write a table without its index: comma-separated, UTF-8, six significant digits, NaN as an empty cell."""
    table.to_csv(Path(path), index=False, float_format=FLOAT_FORMAT, lineterminator="\n", encoding="utf-8")


def read_table(path: Path | str) -> pd.DataFrame:
    """A table as written by :func:`write_table`."""
    return pd.read_csv(Path(path))
