"""A plain-Python signal, so that the logic can tell the panel without knowing Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls every connected function in the order of connection."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Call ``slot`` at every emission."""
        self._slots.append(slot)

    def clear(self) -> None:
        """Forget all slots: the panel goes away."""
        self._slots.clear()

    def emit(self, *arguments: Any) -> None:
        """Call the slots."""
        for slot in list(self._slots):
            slot(*arguments)
