"""A case and the library's face to the scene, small enough to see which button calls what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class FakeCase:
    """One case with two segments, one narrowing, one finding, one doubt."""

    def __init__(self, folder: Path, scene: Any, title: str = "Case") -> None:
        self.title, self.folder, self.synthetic = title, folder, True
        self.node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
        self.landmarks = self.walls = self.ct = self.node

    def maps(self) -> tuple[Any, ...]:
        return (SimpleNamespace(key="mbf", title="Stress flow", unit="mL/min/g", low=0.0, high=3.0),)

    def segments(self) -> tuple[Any, ...]:
        common = {"unit": "mL/min/g", "territory_aha": "LAD"}
        return (
            SimpleNamespace(
                number=7, name="mid anterior", value=0.91, measured=True, territory_patient="LAD", **common
            ),
            SimpleNamespace(number=17, name="apex", value=None, measured=False, territory_patient=None, **common),
        )

    def stenoses(self) -> tuple[Any, ...]:
        return (
            SimpleNamespace(
                index=0, branch="LAD", percent=78.0, position_mm=30.0, length_mm=9.0, calcified=True, clear=True
            ),
        )

    def findings(self) -> tuple[Any, ...]:
        sentence = "The narrowing of the LAD matches low flow behind it."
        return (
            SimpleNamespace(index=0, kind="matched", vessel="LAD", sentence=sentence, confidence=0.9, segments=(7,)),
        )

    def quality(self) -> tuple[Any, ...]:
        return (SimpleNamespace(stage="registration", name="breath", level="doubtful", reason="Breath-holds differ."),)

    def record(self) -> dict[str, Any]:
        return {
            "parameters": {"device": "cpu", "device_reason": "no CUDA device"},
            "software": {"version": "0.1"},
        }

    def branches(self) -> tuple[str, ...]:
        return ("LAD", "RCA")


class FakeCorrection:
    """Two landmarks, one moved by the reader."""

    def __init__(self, case: Any, scene: Any, on_changed: Any, on_problem: Any) -> None:
        self.case, self.on_changed, self.on_problem = case, on_changed, on_problem
        self.calls: list[tuple[Any, ...]] = []
        self.watching, self.can_undo, self.accepted = False, True, False

    def watch(self) -> None:
        self.watching = True

    def unwatch(self) -> None:
        self.watching = False

    def landmarks(self) -> tuple[Any, ...]:
        make = SimpleNamespace
        return (
            make(name="apex", title="Apex", placed=True, moved_mm=3.2, by_reader=True, index=0, node=None),
            make(name="base", title="Mitral annulus", placed=True, moved_mm=0.0, by_reader=False, index=1, node=None),
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> None:
            self.calls.append((name, *arguments))

        return call


@dataclass
class FakeReview:
    """Stands for ``CardiacFusionLib.pipeline.review``; notes every call."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    loaded: list[FakeCase] = field(default_factory=list)
    error: Exception | None = None
    Correction: Any = FakeCorrection
    BULLSEYE_VIEW: str = "CardiacFusionBullseye"
    picks: list[Any] = field(default_factory=list)  # who hears clicks on the bullseye: (callback, interactor)

    def load_case(self, folder: Path, scene: Any) -> FakeCase:
        if self.error is not None:
            raise self.error
        case = FakeCase(folder, scene, f"Case {len(self.loaded) + 1}")
        self.loaded.append(case)
        return case

    def cases_in(self, scene: Any) -> tuple[FakeCase, ...]:
        return tuple(case for case in self.loaded if case.node.GetScene() is scene)

    def remove_case(self, case: FakeCase) -> int:
        case.node.GetScene().RemoveNode(case.node)
        return 1

    def export_report(self, case: Any, target: Path, windows: Any) -> Path:
        if self.error is not None:
            raise self.error
        self.calls.append(("export_report", target, windows))
        return target

    def on_segment_picked(self, case: Any, callback: Any, interactor: Any) -> Any:
        entry = (callback, interactor)
        self.picks.append(entry)
        return SimpleNamespace(stop=lambda: self.picks.remove(entry))

    def jump_to(self, case: Any, kind: str, what: Any) -> tuple[float, float, float]:
        self.calls.append(("jump_to", kind, what))
        return (1.0, 2.0, 3.0)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            if self.error is not None:
                raise self.error
            self.calls.append((name, *arguments[1:]))
            return arguments[-1]

        return call
