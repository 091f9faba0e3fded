"""One seeded twin, whole: anatomy, coronary tree, flow, CT, stress and rest series, and every truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.aha import segments
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.cmr.plan import THREE_LEVELS, draw_cmr_pose, full_stack_levels, short_axis_slices
from CardiacFusionLib.twin.cmr.series import Acquired, CmrOptions, build_models, render_series
from CardiacFusionLib.twin.cmr.slice_model import SliceModel
from CardiacFusionLib.twin.coronary.draw import draw_tree
from CardiacFusionLib.twin.coronary.plaque import KINDS
from CardiacFusionLib.twin.ct.render import clinical_grid, render_ct
from CardiacFusionLib.twin.flow.field import FlowField, culprits, draw_flow
from CardiacFusionLib.twin.heart.anatomy import Heart, pose_at_phase
from CardiacFusionLib.twin.heart.placement import draw_ct_pose
from CardiacFusionLib.twin.truth import Truth, TwinCase

__all__ = ["KINDS", "DrawnTwin", "TwinCmr", "TwinScene", "draw_twin", "make_twin", "segment_means"]

KIND_SHARE = {"normal": 0.2, "one-vessel": 0.5, "two-vessel": 0.15, "microvascular": 0.15}
CLINICAL_SPACING_MM = (0.4, 0.4, 0.5)
SYSTOLE_RANGE = (0.2, 0.7)  # perfusion slices fall anywhere in the beat; the CT is taken in mid-diastole


@dataclass(frozen=True)
class TwinScene:
    """A twin's heart in the CMR's cardiac phase with its flow; a ``Scene``."""

    heart: Heart
    flow: FlowField

    def tissue(self, points_heart_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
        """``Tissue`` at points (n, 3) of this phase's heart frame."""
        return self.heart.tissue(points_heart_mm)

    def mbf(self, points_heart_mm: NDArray[np.float64], state: str) -> NDArray[np.float64]:
        """True MBF at wall points (n, 3), mL/min/g."""
        return self.flow.mbf(*self.heart.wall_coordinates(points_heart_mm), state)

    def muscle_mbf(self, state: str) -> float:
        """Mean MBF of healthy muscle."""
        return self.flow.reserve.stress if state == "stress" else self.flow.reserve.rest


@dataclass(frozen=True)
class DrawnTwin:
    """The heart of a seed with its vessels, flow and place, before any scanner has seen it.

    Each examination has a random stream of its own, so that one can be made without the other and is the same.
    """

    seed: int
    kind: str
    heart: Heart
    ct_pose: HeartPose  # CT patient LPS -> heart frame, with its landmarks
    tree: CoronaryTree  # in CT LPS
    flow: FlowField
    culprits: tuple[str, ...]
    streams: tuple[np.random.SeedSequence, ...]  # CT, place in the MR scanner, stress, rest

    def ct(self, spacing_mm: tuple[float, float, float] | None = (1.0, 1.0, 1.0)) -> tuple[Volume, Volume]:
        """The CT and its true labels; None: voxels of a clinical CTCA."""
        rng = np.random.default_rng(self.streams[0])
        grid = clinical_grid(self.ct_pose, rng, spacing_mm or CLINICAL_SPACING_MM)
        return render_ct(self.heart, self.ct_pose, grid, rng, tree=self.tree)

    def cmr(self, *, rest: bool = True, full_stack: bool = False, options: CmrOptions | None = None) -> TwinCmr:
        """The perfusion series (``full_stack``: slices from base to tip instead of three)."""
        options = options or CmrOptions()
        place, stress_stream, rest_stream = (np.random.default_rng(s) for s in self.streams[1:])
        beating = self.heart.at_phase(float(place.uniform(*SYSTOLE_RANGE)))
        resting_place = pose_at_phase(self.ct_pose, beating)
        pose = draw_cmr_pose(resting_place, beating.landmarks, place)
        tip, base = float(beating.landmarks["lv_cavity_tip"][2]), float(beating.landmarks["base"][2])
        slices = short_axis_slices(
            pose,
            place,
            tip_z_mm=tip,
            base_z_mm=base,
            size=options.size,
            spacing_mm=options.spacing_mm,
            thickness_mm=options.thickness_mm,
            levels=full_stack_levels(tip, base) if full_stack else THREE_LEVELS,
        )
        scene = TwinScene(beating, self.flow)
        models = build_models(scene, pose, slices, options)
        stress = render_series(scene, models, slices, stress_stream, "stress", options)
        resting = render_series(scene, models, slices, rest_stream, "rest", options) if rest else None
        return TwinCmr(beating, pose, models, stress, resting)


@dataclass(frozen=True)
class TwinCmr:
    """The MR examination of a twin: the heart in its phase, its pose with landmarks, slices and series."""

    heart: Heart
    pose: HeartPose
    models: tuple[SliceModel, ...]
    stress: Acquired
    rest: Acquired | None

    @property
    def labels(self) -> NDArray[np.uint8]:
        """True labels (slice, y, x) at the reference breathing position."""
        return np.stack([m.labels for m in self.models])


def draw_twin(seed: int, kind: str | None = None) -> DrawnTwin:
    """The heart of ``seed``; ``kind`` None: drawn. Raises BadInputError on an unknown kind."""
    if kind is not None and kind not in KINDS:
        raise BadInputError(f"No kind of heart is called '{kind}'; choose one of {', '.join(KINDS)}.")
    sequences = np.random.SeedSequence(seed).spawn(7)
    body, vessels, blood = (np.random.default_rng(s) for s in sequences[:3])
    if kind is None:
        kind = str(vessels.choice(list(KIND_SHARE), p=list(KIND_SHARE.values())))
    heart = Heart.draw(body)
    ct_pose = draw_ct_pose(body, heart)
    tree = draw_tree(heart, vessels, kind)
    flow = draw_flow(heart, tree, blood, kind)
    tree_lps = tree.transformed(ct_pose.heart_to_lps, "lps")
    pose = _with_landmarks(ct_pose, heart)
    return DrawnTwin(seed, kind, heart, pose, tree_lps, flow, culprits(tree), tuple(sequences[3:]))


def make_twin(
    seed: int,
    ct_spacing_mm: tuple[float, float, float] | None = (1.0, 1.0, 1.0),
    kind: str | None = None,
    *,
    rest: bool = True,
    full_stack: bool = False,
    options: CmrOptions | None = None,
) -> TwinCase:
    """The twin of ``seed``. ``ct_spacing_mm`` None: 0.4 x 0.4 x 0.5 mm as a clinical CTCA. ``kind`` None: drawn.

    ``full_stack``: short-axis slices from base to tip instead of three. What is drawn for the CT's grid and noise does
    not change the heart, the tree, the flow or the CMR. Raises BadInputError on an unknown kind.
    """
    drawn = draw_twin(seed, kind)
    ct, ct_labels = drawn.ct(ct_spacing_mm)
    cmr = drawn.cmr(rest=rest, full_stack=full_stack, options=options)
    truth = Truth(
        seed=seed,
        ct_pose=drawn.ct_pose,
        cmr_pose=cmr.pose,
        ct_labels=ct_labels,
        cmr_labels=cmr.labels,
        tree=drawn.tree,
        mbf_stress=np.stack([m.mbf["stress"] for m in cmr.models]),
        mbf_rest=np.stack([m.mbf["rest"] for m in cmr.models]),
        segment_mbf_stress=segment_means(cmr.heart, cmr.models, "stress"),
        segment_mbf_rest=segment_means(cmr.heart, cmr.models, "rest"),
        kind=drawn.kind,
        culprits=drawn.culprits,
        motion_mm=cmr.stress.motion_mm,
    )
    return TwinCase(ct, cmr.stress.series, cmr.rest.series if cmr.rest is not None else None, truth)


def segment_means(heart: Heart, models: tuple[SliceModel, ...], state: str) -> dict[int, float]:
    """Mean true MBF of each AHA segment over the wall's pixels in the slices; the septum's arc is the heart's own."""
    anterior, inferior = heart.insertion_angles_deg()
    septum = float(np.mod(inferior - anterior, 360.0))
    values, numbers = [], []
    for model in models:
        wall = np.isfinite(model.mbf[state])
        _, angle, level = heart.wall_coordinates(model.points_mm[wall])
        values.append(model.mbf[state][wall])
        numbers.append(segments(angle, level, anterior, septum))
    value, number = np.concatenate(values), np.concatenate(numbers)
    return {int(n): float(value[number == n].mean()) for n in np.unique(number) if n > 0}


def _with_landmarks(pose: HeartPose, heart: Heart) -> HeartPose:
    landmarks = {name: apply(pose.heart_to_lps, np.asarray(p, float)) for name, p in heart.landmarks.items()}
    return HeartPose(pose.lps_to_heart, landmarks, pose.confidence)
