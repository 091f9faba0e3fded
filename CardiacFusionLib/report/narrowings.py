"""Which narrowings a reader is told of at once, and which only the tables list."""

from __future__ import annotations

from collections.abc import Iterable

from CardiacFusionLib.spatial.tree import Stenosis

MODERATE_PERCENT = 50.0  # CAD-RADS 2.0 grade 3 and above
UNNAMED = "side"  # branches without a name of their own are called side 1, side 2, ...


def is_named(branch_name: str) -> bool:
    """Whether a branch bears an anatomical name."""
    return not branch_name.startswith(UNNAMED)


def clear(stenoses: Iterable[Stenosis]) -> list[Stenosis]:
    """At least moderate narrowings of named branches, worst first: named in pictures and first in the report."""
    chosen = [s for s in stenoses if s.diameter_percent >= MODERATE_PERCENT and is_named(s.branch)]
    return sorted(chosen, key=lambda s: -s.diameter_percent)


def others(stenoses: Iterable[Stenosis]) -> list[Stenosis]:
    """All narrowings that :func:`clear` leaves out, worst first."""
    every = list(stenoses)
    first = clear(every)
    return sorted((s for s in every if not any(s is c for c in first)), key=lambda s: -s.diameter_percent)
