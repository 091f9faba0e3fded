# ruff: noqa: E501  (a table of a case)
"""A small synthetic case for tests: a bullet-shaped LV with an RV crescent, a ring perfusion map with an LAD defect
in the mid and apical slices, three branches. Everything is known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd

from CardiacFusionLib.fusion.result import Finding, Fusion, Surface
from CardiacFusionLib.perfusion.result import MAP_UNITS, Aif, Perfusion, PerfusionMaps
from CardiacFusionLib.registration.result import GRID_SHAPE, Pairing, Registration
from CardiacFusionLib.reorientation.result import Reorientation
from CardiacFusionLib.report.content import CaseContent, RunInfo
from CardiacFusionLib.spatial import aha
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.resample import heart_grid
from CardiacFusionLib.spatial.sections import slice_landmarks
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.walls.result import CmrWalls, CtWalls

APEX_Z, TIP_Z, BASE_Z = -45.0, -36.0, 45.0
ENDO_MM, EPI_MM = 22.0, 32.0
NORMAL_MBF, DEFECT_MBF, REST_MBF = 2.4, 0.9, 1.0
CMR_SCALE = 0.95  # the heart is this much smaller in the phase of the CMR
SLICE_Z = (24.0, 2.0, -20.0)
INSERTION_DEG, SEPTUM_DEG = 120.0, 120.0


def bullet_labels(points: np.ndarray) -> np.ndarray:
    """Label of heart-frame points (..., 3)."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]

    def bullet(radius: float, tip: float) -> np.ndarray:
        inside = np.clip((BASE_Z - z) / (BASE_Z - tip), 0, None)
        return (np.hypot(x, y) <= radius * np.sqrt(np.clip(1 - inside**2, 0, None))) & (z <= BASE_Z) & (z >= tip)

    labels = np.zeros(points.shape[:-1], np.uint8)
    rv = (np.hypot((x + 26) / 34, y / 37) < 1) & (x < -5) & (z > -32) & (z < BASE_Z - 4)
    labels[rv & (z > -32 + (x + 60).clip(0) * 0.1)] = Label.RV_CAVITY
    labels[bullet(EPI_MM, APEX_Z)] = Label.MYOCARDIUM
    labels[bullet(ENDO_MM, TIP_Z)] = Label.LV_CAVITY
    above = (z > BASE_Z) & (z < BASE_Z + 25) & (np.hypot(x - 2, y - 5) < 26)
    labels[above] = Label.LEFT_ATRIUM
    aorta = (z > BASE_Z - 2) & (np.hypot(x + 12, y + 16) < 12)
    labels[aorta] = Label.AORTA
    return labels


def _rotation(axis: tuple[float, float, float], up: tuple[float, float, float]) -> np.ndarray:
    """Rows: heart axes x, y, z in patient LPS, z along ``axis``."""
    z = np.array(axis) / np.linalg.norm(axis)
    y = np.array(up) - np.dot(up, z) * z
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def _pose(rotation: np.ndarray, centre: tuple[float, float, float], scale: float = 1.0) -> HeartPose:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = -rotation @ np.array(centre)
    marks = {
        "apex": (0, 0, APEX_Z), "base": (0, 0, BASE_Z),
        "rv_insertion_anterior": (-16, -27.7, 0), "rv_insertion_inferior": (-16, 27.7, 0),
    }  # fmt: skip
    bare = HeartPose(matrix)
    return HeartPose(matrix, {k: bare.to_lps(np.array(v) * scale) for k, v in marks.items()}, 0.9)


CT_POSE = _pose(_rotation((-0.62, 0.58, 0.53), (-0.2, 0.5, -0.8)), (-12.0, 8.0, 30.0))
CMR_POSE = _pose(_rotation((-0.66, 0.52, 0.54), (-0.1, 0.55, -0.8)), (20.0, -15.0, -40.0), CMR_SCALE)


def defect(points: np.ndarray) -> np.ndarray:
    """Where the LAD wall lacks blood: anterior and anteroseptal, mid and apical."""
    angle = aha.insertion_angle_deg(points)
    return (angle > 60) & (angle < 185) & (points[..., 2] < 14)


def _flow(heart: np.ndarray, state: str) -> np.ndarray:
    """True flow (mL/min/g) at heart-frame points of the CMR phase."""
    if state == "rest":
        return np.full(heart.shape[:-1], REST_MBF)
    return np.where(defect(heart / CMR_SCALE), DEFECT_MBF, NORMAL_MBF)


def _series(state: str, pixels: int = 72, spacing: float = 1.8) -> tuple[Series, np.ndarray, np.ndarray]:
    """Series, labels and the heart-frame points of every pixel (CMR phase)."""
    rotation = CMR_POSE.heart_to_lps[:3, :3]
    turn = np.radians(12.0)
    spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    poses, points = [], []
    for z in SLICE_Z:
        half = (pixels - 1) / 2 * spacing
        corner = spin @ np.array([-half, -half, 0]) + np.array([3.0, -2.0, z * CMR_SCALE])
        pose = SlicePose(tuple(CMR_POSE.to_lps(corner)), rotation @ spin, (spacing, spacing), 8.0)
        poses.append(pose)
        points.append(CMR_POSE.to_heart(pose.grid_lps((pixels, pixels))))
    heart = np.stack(points)
    labels = bullet_labels(heart / CMR_SCALE)
    labels[labels > Label.RV_CAVITY] = 0
    times = np.arange(40) * 0.9
    bolus = np.where(times > 6, ((times - 6) / 4) ** 2 * np.exp(2 - (times - 6) / 2), 0.0)
    wall_gain = 0.1 * _flow(heart, state)
    gain = np.select([labels == Label.LV_CAVITY, labels == Label.MYOCARDIUM], [np.ones(labels.shape), wall_gain], 0.02)
    frames = (40 + 200 * bolus[:, None, None, None] * gain[None]).astype(np.float32)
    return Series(frames, tuple(poses), times, state), labels, heart


def _perfusion(state: str) -> Perfusion:
    series, labels, heart = _series(state)
    wall = labels == Label.MYOCARDIUM
    mbf = np.where(wall, _flow(heart, state), np.nan).astype(np.float32)
    maps = {"mbf": mbf, "upslope": mbf / 20, "peak": mbf * 0.4, "time_to_peak": np.where(wall, 9.0, np.nan)}
    maps = {name: np.asarray(values, np.float32) for name, values in maps.items()}
    if state == "stress":
        maps["mpr"] = mbf / REST_MBF
    times = series.times_s[:, 0]
    curve = np.where(times > 6, 4 * ((times - 6) / 4) ** 2 * np.exp(2 - (times - 6) / 2), 0.0)
    numbers = aha.segments(
        aha.insertion_angle_deg(heart),
        (heart[..., 2] / CMR_SCALE - TIP_Z) / (BASE_Z - TIP_Z),
        INSERTION_DEG,
        SEPTUM_DEG,
    )
    rows = [
        {"segment": s, "name": aha.SEGMENT_NAMES[s], "mbf_ml_min_g": float(np.nanmean(mbf[wall & (numbers == s)]))}
        for s in range(1, 17)
    ]
    # as the wall stage reads them: the ends of the RV's contact, which are not the same at every height
    marks = tuple(slice_landmarks(one, pose) for one, pose in zip(labels, series.poses))
    curves = pd.DataFrame({"time_s": times, "aif": curve, **{str(s): 0.1 * (1 + s / 17) * curve for s in range(1, 17)}})
    return Perfusion(
        series, CmrWalls(labels, marks), Aif(curve, times, 7, 11, 18, labels == Label.LV_CAVITY, True),
        PerfusionMaps(maps, MAP_UNITS, False), pd.DataFrame(rows),
        Quality((Flag("perfusion", "aif_saturated", Level.DOUBTFUL, "The blood signal saturates at its peak; flow may be overestimated."),)),
        curves=curves, segment_labels=np.where(wall, numbers, 0).astype(np.int8),
    )  # fmt: skip


def _registration() -> Registration:
    axis = np.arange(GRID_SHAPE[0]) - (GRID_SHAPE[0] - 1) / 2
    x, y = np.meshgrid(axis, axis)
    shift = np.stack([(CMR_SCALE - 1) * x, (CMR_SCALE - 1) * y]).astype(np.float32)
    fixed = np.stack([bullet_labels(np.stack([x, y, np.full(x.shape, z)], -1)) for z in SLICE_Z])
    fixed[fixed > Label.RV_CAVITY] = 0
    count = len(SLICE_Z)
    return Registration(
        Pairing(CMR_POSE, np.array(SLICE_Z)), np.stack([shift] * count), np.stack([-shift / CMR_SCALE] * count),
        fixed, fixed, fixed, np.full(count, 0.7), np.full(count, 0.93), np.zeros(count),
    )  # fmt: skip


def _surface() -> Surface:
    """Mid-wall surface on rings about the axis."""
    theta = np.radians(np.arange(0, 360, 5.0))
    z = np.linspace(-40.0, 43.0, 36)
    radius = 27.0 * np.sqrt(np.clip(1 - ((BASE_Z - z) / (BASE_Z + 40.5)) ** 2, 0, None))
    points = np.stack(
        [radius[:, None] * np.cos(theta), -radius[:, None] * np.sin(theta), np.repeat(z[:, None], len(theta), 1)], -1
    )
    rings, n = len(z), len(theta)
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(n), indexing="ij")
    a, b = i * n + j, i * n + (j + 1) % n
    triangles = np.concatenate(
        [np.stack([a, b, a + n], -1).reshape(-1, 3), np.stack([b, b + n, a + n], -1).reshape(-1, 3)]
    )
    points = points.reshape(-1, 3)
    mbf = np.where(defect(points), DEFECT_MBF, NORMAL_MBF).astype(np.float32)
    mbf[np.abs(points[:, 2:] - np.array(SLICE_Z)).min(axis=1) > 15] = np.nan
    level = (points[:, 2] - TIP_Z) / (BASE_Z - TIP_Z)
    segment = aha.segments(aha.insertion_angle_deg(points), level, INSERTION_DEG, SEPTUM_DEG)
    number = {"LAD": 1, "LCx": 2, "RCA": 3}
    territory = np.array([number.get(aha.AHA_TERRITORY.get(int(s), ""), 0) for s in segment], np.int32)
    values = {
        "mbf": mbf, "mpr": mbf / REST_MBF, "segment": segment.astype(np.int32), "territory_aha": territory,
        "territory_patient": territory, "distance_to_slice_mm": np.zeros(len(points), np.float32),
        "aha_phi_deg": aha.stretched_deg(aha.insertion_angle_deg(points) - INSERTION_DEG, SEPTUM_DEG), "aha_level": level,
    }  # fmt: skip
    return Surface(points, triangles.astype(np.int32), values)


def _tree() -> CoronaryTree:
    """Three branches on the epicardium, in the heart frame."""

    def on_wall(angle_deg: np.ndarray, z: np.ndarray, gap: float = 2.5) -> np.ndarray:
        radius = EPI_MM * np.sqrt(np.clip(1 - ((BASE_Z - z) / (BASE_Z - APEX_Z)) ** 2, 0.01, None)) + gap
        a = np.radians(angle_deg)
        return np.stack([radius * np.cos(a), -radius * np.sin(a), z], 1)

    t = np.linspace(0, 1, 70)
    lad = on_wall(118 - 14 * np.sin(np.pi * t), BASE_Z - 2 - 80 * t)
    lcx = np.concatenate(
        [on_wall(100 - 110 * t[:40] / t[39], np.full(40, BASE_Z - 2.0)), on_wall(-10 - 12 * t, BASE_Z - 2 - 55 * t)[1:]]
    )
    rca_groove = np.stack([-30 - 26 * np.sin(np.pi * t), -38 + 76 * t, np.full(70, BASE_Z - 1.0)], 1)
    rca = np.concatenate([rca_groove, on_wall(236 + 8 * t, BASE_Z - 4 - 60 * t)])
    taper = lambda n, first, last: np.linspace(first, last, n)  # noqa: E731
    radius = taper(len(lad), 1.8, 0.7)
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(lad, axis=0), axis=1))])
    radius = radius * (1 - 0.78 * np.exp(-(((arc - 30) / 4) ** 2)))
    narrow = int(np.argmin(np.abs(arc - 30)))
    stenosis = Stenosis("LAD", float(arc[narrow]), lad[narrow], 78.0, 9.0, 3.1, 0.68, True)
    branches = (
        Branch("LAD", lad, radius, "LM"), Branch("LCx", lcx, taper(len(lcx), 1.7, 0.8), "LM"),
        Branch("RCA", rca, taper(len(rca), 1.9, 0.8)),
    )  # fmt: skip
    return CoronaryTree(branches, (stenosis,), "right", "heart")


def bullet_case(voxels: int = 96, spacing_mm: float = 1.6, rest: bool = True, seed: int = 0) -> CaseContent:
    """The whole case. The CT has a plain axial grid; only the pose tells where the heart stands."""
    half = (voxels - 1) / 2 * spacing_mm
    origin = tuple(CT_POSE.to_lps(np.zeros(3)) - half)
    grid = Volume(np.zeros((voxels,) * 3, np.uint8), (spacing_mm,) * 3, origin, np.eye(3))
    labels = np.empty((voxels,) * 3, np.uint8)
    for k in range(voxels):  # slice by slice: a full-size grid of points would not fit
        plane = Volume(
            grid.array[k : k + 1], grid.spacing_mm, (origin[0], origin[1], origin[2] + k * spacing_mm), np.eye(3)
        )
        labels[k] = bullet_labels(CT_POSE.to_heart(plane.grid_lps()))[0]
    hu = np.array([-60, 420, 110, 330, 400, 250, 430, 380], np.int16)[labels]
    hu = hu + np.random.default_rng(seed).normal(0, 18, labels.shape).astype(np.int16)
    upright = heart_grid(CT_POSE, (88, 72, 92), 1.5, (-6, 0, 8))
    ct_labels = upright.with_array(bullet_labels(CT_POSE.to_heart(upright.grid_lps())))
    stress, calm = _perfusion("stress"), _perfusion("rest") if rest else None
    tree = _tree().transformed(CT_POSE.heart_to_lps, "lps")
    frame = stress.segments.copy()
    frame["mpr"] = frame["mbf_ml_min_g"] / REST_MBF
    frame["territory_aha"] = [aha.AHA_TERRITORY[s] for s in frame["segment"]]
    frame["territory_patient"] = ["LCx" if s == 13 else aha.AHA_TERRITORY[s] for s in frame["segment"]]
    findings = (
        Finding("matched", "LAD", "The narrowing of the LAD (78 % of diameter) matches low flow in the wall behind it: 0.9 against 2.4 mL/min/g elsewhere.", 0.88, {"mass_at_risk_g": 41.0, "mbf_inside": 0.9}, (7, 8, 13, 14)),
    )  # fmt: skip
    doubts = Quality(
        (Flag("registration", "breath_hold", Level.DOUBTFUL, "The breath-hold differed by 6 mm between slices."),)
    )
    return CaseContent(
        grid.with_array(hu), CT_POSE, Reorientation(CT_POSE, CT_POSE, ct_labels), CtWalls(ct_labels, CT_POSE), tree, stress,
        _registration(), Fusion(_surface(), frame, findings), calm, "Bullet heart", True, stress.quality + doubts,
        RunInfo("0.1", "", ("CT: bullet.nrrd", "stress: bullet stress"), {"ct_chambers": "1"}, {}, {"reorient": 3.2, "perfusion": 11.0}),
    )  # fmt: skip
