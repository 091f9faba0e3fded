"""The nodes of one case by what they are, read from its shelf."""

from __future__ import annotations

from typing import Any

from CardiacFusionLib.mrml.shelf import Shelf
from CardiacFusionLib.report.colours import Scale


class CaseNodes:
    """What views, panel and tests ask for. Nothing is kept here: every answer comes from the scene."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    @property
    def title(self) -> str:
        """The case's name in the scene."""
        return self.shelf.title

    @property
    def scales(self) -> dict[str, Scale]:
        """Quantity -> how it is coloured, the flow first."""
        return {str(s["quantity"]): Scale(**s) for s in self.shelf.fact("scales", [])}

    @property
    def scale(self) -> Scale:
        """How flow is coloured."""
        return next(iter(self.scales.values()))

    @property
    def shown(self) -> str:
        """The quantity that the views show now."""
        return str(self.shelf.fact("shown", self.scale.quantity))

    @property
    def ct_to_heart(self) -> Any:
        """The transform that stands the CT upright."""
        return self.shelf.get("ct_to_heart")

    @property
    def ct(self) -> Any:
        """The CT volume."""
        return self.shelf.get("ct")

    @property
    def walls(self) -> Any:
        """The segmentation of the CT's chambers."""
        return self.shelf.get("walls")

    @property
    def landmarks(self) -> Any:
        """The four landmarks of the pose."""
        return self.shelf.get("landmarks")

    @property
    def slice_centres(self) -> dict[int, Any]:
        """Slice number (from 1) -> the point list with its LV centre."""
        return {int(name.rsplit(".", 1)[1]): self.shelf.get(name) for name in self.shelf.roles("slice_centre.")}

    @property
    def slice_maps(self) -> dict[int, Any]:
        """Index of a stress slice -> its flow on the CT wall."""
        prefix = f"on_wall.{self.scale.quantity}."
        return {int(name.rsplit(".", 1)[1]) - 1: self.shelf.get(name) for name in self.shelf.roles(prefix)}

    @property
    def measured(self) -> list[Any]:
        """All measured slices, stress first."""
        return self.shelf.under("measured.")

    def wall_map_of(self, quantity: str) -> Any:
        """The whole wall filled with a quantity, or None."""
        return self.shelf.get(f"wall_map.{quantity}")

    @property
    def wall_map(self) -> Any:
        """The whole wall filled with flow."""
        return self.wall_map_of(self.scale.quantity)

    @property
    def wall_maps(self) -> list[Any]:
        """The whole wall filled with each quantity."""
        return self.shelf.under("wall_map.")

    @property
    def surface(self) -> list[Any]:
        """The wall's surface, and its part without data."""
        return [self.shelf.get("surface.wall"), self.shelf.get("surface.plain")]

    @property
    def borders(self) -> list[Any]:
        """Sheets between segments, lines between territories; those that there are."""
        return self.shelf.under("borders.")

    @property
    def tubes(self) -> list[Any]:
        """One tube a branch."""
        return self.shelf.under("tube.")

    @property
    def curves(self) -> list[Any]:
        """One centreline a branch."""
        return self.shelf.under("centreline.")

    @property
    def stenoses(self) -> list[Any]:
        """Markers: the clear narrowings, then the others."""
        return self.shelf.under("stenoses.")

    @property
    def bullseye(self) -> list[Any]:
        """All nodes of the bullseye, the coloured disc first."""
        return self.shelf.under("bullseye.")

    @property
    def tables(self) -> list[Any]:
        """Segments, findings, narrowings."""
        return [self.shelf.get(f"table.{name}") for name in ("segments", "findings", "stenoses")]

    @property
    def colour(self) -> Any:
        """The colour table of all perfusion maps."""
        return self.shelf.get("colour.perfusion")
