"""A synthetic perfusion study for the wall segmented in a real CT, one territory made ischaemic. Never clinical."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.aha import segments
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.pose import LANDMARK_NAMES, HeartPose
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.cmr.plan import draw_cmr_pose, short_axis_slices
from CardiacFusionLib.twin.cmr.series import CmrOptions, build_models, render_series
from CardiacFusionLib.twin.ct_scene import (
    CtScene,
    WallGeometry,
    flow_volumes,
    rv_wall_of,
    territory_share,
    tissues_of_ct,
    wall_geometry,
)
from CardiacFusionLib.twin.flow.field import VESSELS, Reserve
from CardiacFusionLib.twin.heart.anatomy import Heart


@dataclass(frozen=True)
class FromCtStudy:
    """Stress and rest series that never were acquired, and what was painted into them."""

    stress: Series
    rest: Series
    cmr_pose: HeartPose  # synthetic CMR LPS -> heart frame of the CT
    labels: NDArray[np.uint8]  # (slice, y, x) 0..3 at the reference breathing position
    mbf_stress: NDArray[np.float32]  # (slice, y, x), NaN outside the wall
    mbf_rest: NDArray[np.float32]
    segment_mbf_stress: dict[int, float]
    segment_mbf_rest: dict[int, float]
    ischaemic_territory: str
    territory_from: str  # "tree" (nearest branch) or "aha"
    seed: int


def series_from_ct(
    labels: Volume,
    pose: HeartPose,
    tree: CoronaryTree | None = None,
    *,
    seed: int = 0,
    ischaemic_territory: str = "LAD",
    ct: Volume | None = None,
    options: CmrOptions | None = None,
) -> FromCtStudy:
    """Image the labelled heart of a CT as first-pass MR, in the CT's own cardiac phase.

    ``labels``: uint8 ``Label`` of the CT walls in patient LPS; ``pose``: CT LPS -> heart frame; ``tree`` (LPS) gives
    the territory where it shows all three vessels, else the AHA map does. ``ct`` (HU) gives the chest around the
    heart; where it is missing a synthetic one stands in. Raises BadInputError where there is no ventricle to image.
    """
    if ischaemic_territory not in VESSELS:
        raise BadInputError(f"No territory is called '{ischaemic_territory}'; choose one of {', '.join(VESSELS)}.")
    options = options or CmrOptions()
    body, blood, place, stress_stream, rest_stream = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)
    )
    geometry = wall_geometry(labels, pose)
    reserve = Reserve.draw(blood, "one-vessel")
    share, source = territory_share(geometry, tree, pose, ischaemic_territory)
    scene = CtScene(
        labels,
        pose,
        tissues_of_ct(ct, labels) if ct is not None else None,
        Heart.draw(body),
        flow_volumes(labels, geometry, share, reserve),
        rv_wall_of(labels),
        reserve,
    )
    landmarks = {name: pose.to_heart(pose.landmarks[name]) for name in LANDMARK_NAMES if name in pose.landmarks}
    cmr_pose = draw_cmr_pose(pose, landmarks, place)
    slices = short_axis_slices(
        cmr_pose,
        place,
        tip_z_mm=geometry.tip_z_mm,
        base_z_mm=geometry.base_z_mm,
        size=options.size,
        spacing_mm=options.spacing_mm,
        thickness_mm=options.thickness_mm,
    )
    models = build_models(scene, cmr_pose, slices, options)
    stress = render_series(scene, models, slices, stress_stream, "stress", options)
    rest = render_series(scene, models, slices, rest_stream, "rest", options)
    return FromCtStudy(
        stress.series,
        rest.series,
        cmr_pose,
        np.stack([m.labels for m in models]),
        np.stack([m.mbf["stress"] for m in models]),
        np.stack([m.mbf["rest"] for m in models]),
        _segment_means(geometry, scene, "stress"),
        _segment_means(geometry, scene, "rest"),
        ischaemic_territory,
        source,
        seed,
    )


def _segment_means(geometry: WallGeometry, scene: CtScene, state: str) -> dict[int, float]:
    """Mean painted MBF of each AHA segment over the whole labelled wall."""
    number = segments(geometry.angle_deg, geometry.level, geometry.anterior_deg, geometry.septum_deg)
    value = np.asarray(scene.flow[state].array[geometry.index], dtype=float)
    return {int(n): float(value[number == n].mean()) for n in np.unique(number) if 0 < n < 17}
