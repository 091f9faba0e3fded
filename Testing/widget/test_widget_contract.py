"""What the panel asks of the library exists there, and the played library of the tests looks like the real one."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from fake_review import FakeCase, FakeCorrection, FakeReview

from CardiacFusionLib.mrml import rows

MODULE = Path(__file__).resolve().parents[2] / "CardiacFusion"
CODE = "\n".join(path.read_text(encoding="utf-8") for path in MODULE.rglob("*.py"))


@pytest.fixture(scope="module")
def real() -> Any:
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")
    from CardiacFusionLib.pipeline import review

    return review


def test_every_question_to_the_library_has_an_answer(real: Any) -> None:
    asked = set(re.findall(r"\breview\.(\w+)\(", CODE)) - {"apply_settings", "refresh", "stop_listening"}
    assert len(asked) > 12
    assert asked <= {name for name in dir(real) if not name.startswith("_")}
    asked = set(re.findall(r"\bcorrection\.(\w+)", CODE)) - {"emit", "connect"}
    assert asked <= set(dir(real.Correction)), asked - set(dir(real.Correction))
    asked = set(re.findall(r"\bcase\.(\w+)", CODE)) - {"json"}
    assert asked <= set(dir(real.CaseInScene)), asked - set(dir(real.CaseInScene))


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("maps", rows.MapChoice),
        ("segments", rows.SegmentRow),
        ("stenoses", rows.StenosisRow),
        ("findings", rows.FindingRow),
        ("quality", rows.FlagRow),
    ],
)
def test_played_rows_have_the_fields_of_the_real_ones(question: str, row: Any) -> None:
    played = getattr(FakeCase, question)(None)
    assert set(vars(played[0])) == {field.name for field in dataclasses.fields(row)}


def test_played_landmarks_have_the_fields_of_the_real_ones() -> None:
    played = FakeCorrection.landmarks(None)  # type: ignore[arg-type]
    assert set(vars(played[0])) == {field.name for field in dataclasses.fields(rows.LandmarkRow)}


def test_played_functions_take_what_the_real_ones_take(real: Any) -> None:
    for name in ("load_case", "cases_in", "remove_case", "jump_to"):
        given = list(inspect.signature(getattr(FakeReview, name)).parameters)[1:]
        takes = inspect.signature(getattr(real, name)).parameters
        needed = [p.name for p in takes.values() if p.default is inspect.Parameter.empty]
        assert len(given) == len(needed), name
    assert list(inspect.signature(real.Correction).parameters) == ["case", "scene", "on_changed", "on_problem"]


def test_the_panel_offers_every_map_that_the_perfusion_stage_makes(desk: Any) -> None:
    from CardiacFusionLib.perfusion.result import MAP_UNITS
    from CardiacFusionLib.perfusion.stage import EXTRA_UNITS

    offered = {choice.value for choice in desk.panel("parameters").FlowMap}
    assert offered == {*MAP_UNITS, *EXTRA_UNITS}
    assert len({choice.label() for choice in desk.panel("parameters").FlowMap}) == len(offered)
