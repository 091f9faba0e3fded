"""Everything one fused case shows: the results of all stages, what made them, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from CardiacFusionLib.spatial.quality import Quality

if TYPE_CHECKING:
    from CardiacFusionLib.fusion.result import Fusion
    from CardiacFusionLib.perfusion.result import Perfusion
    from CardiacFusionLib.registration.result import Registration
    from CardiacFusionLib.reorientation.result import Reorientation
    from CardiacFusionLib.spatial.pose import HeartPose
    from CardiacFusionLib.spatial.tree import CoronaryTree
    from CardiacFusionLib.spatial.volume import Volume
    from CardiacFusionLib.walls.result import CtWalls


@dataclass(frozen=True)
class RunInfo:
    """How the case came to be. Names only: no path, no patient data."""

    version: str = ""
    made_at: str = ""  # date and time as text; empty where runs must be byte-identical
    inputs: tuple[str, ...] = ()  # e.g. "CT: cta.nii.gz (sha256 1a2b3c4d)"
    weights: Mapping[str, str] = field(default_factory=dict)  # network -> version and short hash
    parameters: Mapping[str, str] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)  # stage -> seconds


@dataclass(frozen=True)
class CaseContent:
    """One fused case, as the report and the scene take it.

    ``ct`` stays on its own grid; ``pose`` (CT patient LPS -> heart frame) says where it belongs. ``tree`` is in CT LPS,
    ``fusion.surface`` in the heart frame, ``stress`` and ``rest`` in CMR LPS.
    """

    ct: Volume
    pose: HeartPose
    reorientation: Reorientation
    ct_walls: CtWalls
    tree: CoronaryTree
    stress: Perfusion
    registration: Registration
    fusion: Fusion
    rest: Perfusion | None = None
    title: str = "Case"
    synthetic: bool = False
    quality: Quality = field(default_factory=Quality)
    run: RunInfo = field(default_factory=RunInfo)

    @property
    def tree_heart(self) -> CoronaryTree:
        """The coronary tree in the heart frame."""
        return self.tree.transformed(self.pose.lps_to_heart, "heart") if self.tree.frame == "lps" else self.tree

    @property
    def tree_lps(self) -> CoronaryTree:
        """The coronary tree in CT patient LPS."""
        return self.tree.transformed(self.pose.heart_to_lps, "lps") if self.tree.frame == "heart" else self.tree
