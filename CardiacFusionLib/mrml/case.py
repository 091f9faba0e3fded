"""A case in the scene, as the panel sees it. Everything is read from the scene, so a loaded ``.mrb`` has it all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from CardiacFusionLib.mrml.case_nodes import CaseNodes
from CardiacFusionLib.mrml.hierarchy import remove_folder
from CardiacFusionLib.mrml.map_choice import segment_values
from CardiacFusionLib.mrml.rows import FindingRow, FlagRow, MapChoice, SegmentRow, StenosisRow
from CardiacFusionLib.mrml.shelf import Shelf
from CardiacFusionLib.mrml.tables import frame_of
from CardiacFusionLib.report import narrowings

CASE_FILE = "case.json"


class CaseInScene:
    """One case. Cheap to make; two of the same case are interchangeable."""

    def __init__(self, scene: Any, shelf: Shelf) -> None:
        self.scene = scene
        self.shelf = shelf
        self.nodes = CaseNodes(shelf)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CaseInScene) and other.shelf.root is self.shelf.root

    def __hash__(self) -> int:
        return id(self.shelf.root)

    @property
    def alive(self) -> bool:
        """Whether the case is still in its scene."""
        return self.shelf.root.GetScene() is self.scene and self.nodes.ct_to_heart is not None

    @property
    def title(self) -> str:
        """Its name in the scene."""
        return self.shelf.title

    @property
    def folder(self) -> Path | None:
        """The case folder it came from; None where that is gone."""
        text = self.shelf.fact("folder")
        path = Path(text) if text else None
        return path if path is not None and (path / CASE_FILE).is_file() else None

    @property
    def item(self) -> int:
        """Its item in the subject hierarchy."""
        return int(self.shelf.folder.item)

    @property
    def synthetic(self) -> bool:
        """Whether the examinations are synthetic."""
        return bool(self.shelf.fact("synthetic", False))

    @property
    def landmarks(self) -> Any:
        """The point list with the four landmarks of the pose."""
        return self.nodes.landmarks

    @property
    def ct(self) -> Any:
        """The CT volume node."""
        return self.nodes.ct

    @property
    def walls(self) -> Any:
        """The segmentation node of the CT's chambers."""
        return self.nodes.walls

    @property
    def wall_map(self) -> Any:
        """The volume node of the map that is shown, on the whole wall."""
        return self.nodes.wall_map_of(self.nodes.shown)

    def maps(self) -> tuple[MapChoice, ...]:
        """The maps that the views can show, flow first; all but flow and reserve need the case folder to be drawn."""
        return tuple(MapChoice(s.quantity, s.title, s.unit, s.low, s.high) for s in self.nodes.scales.values())

    def branches(self) -> tuple[str, ...]:
        """Names of the coronary branches."""
        return tuple(node.GetName() for node in self.nodes.tubes)

    def segments(self) -> tuple[SegmentRow, ...]:
        """The segment table in the map that is shown."""
        shown = self.nodes.shown
        values = segment_values(self.nodes, shown)
        unit = self.nodes.scales[shown].unit
        rows = []
        for row in frame_of(self.nodes.tables[0]).to_dict("records"):
            value = values.get(int(row["segment"]), math.nan)
            known = math.isfinite(value)
            rows.append(
                SegmentRow(
                    int(row["segment"]),
                    str(row["name"]),
                    value if known else None,
                    unit,
                    str(row.get("territory_aha", "")),
                    str(row.get("territory_patient", "")),
                    known,
                )
            )
        return tuple(rows)

    def stenoses(self) -> tuple[StenosisRow, ...]:
        """All narrowings, worst first."""
        rows = frame_of(self.nodes.tables[2]).to_dict("records")
        return tuple(
            StenosisRow(
                index,
                str(r["branch"]),
                float(r["diameter_percent"]),
                float(r["position_mm"]),
                float(r["length_mm"]),
                r["calcified"] == "yes",
                float(r["diameter_percent"]) >= narrowings.MODERATE_PERCENT and narrowings.is_named(str(r["branch"])),
            )
            for index, r in enumerate(rows)
        )

    def findings(self) -> tuple[FindingRow, ...]:
        """The findings, the most telling first."""
        rows = frame_of(self.nodes.tables[1]).to_dict("records")
        return tuple(
            FindingRow(
                index,
                str(r["kind"]),
                str(r["vessel"]),
                str(r["finding"]),
                float(r["confidence"]),
                tuple(int(s) for s in str(r["segments"]).split()),
            )
            for index, r in enumerate(rows)
        )

    def quality(self) -> tuple[FlagRow, ...]:
        """All remarks of the stages."""
        rows = frame_of(self.shelf.get("table.quality")).to_dict("records")
        return tuple(FlagRow(str(r["stage"]), str(r["name"]), str(r["level"]), str(r["reason"])) for r in rows)

    def record(self) -> dict[str, Any]:
        """``case.json`` as it was when the case came into the scene, with the corrections since."""
        record: dict[str, Any] = dict(self.shelf.fact("record", {}))
        record["corrections"] = self.shelf.fact("corrections", record.get("corrections", []))
        return record


def cases_in(scene: Any) -> tuple[CaseInScene, ...]:
    """All cases of a scene, in the order they came; none for a scene without any."""
    found = (CaseInScene(scene, shelf) for shelf in Shelf.all(scene))
    return tuple(case for case in found if case.nodes.ct_to_heart is not None)


def remove_case(case: CaseInScene) -> int:
    """Take a case out of its scene with everything that belongs to it; the count of nodes removed."""
    if case.shelf.root.GetScene() is not case.scene:
        return 0
    return remove_folder(case.scene, case.item)
