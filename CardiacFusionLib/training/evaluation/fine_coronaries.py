"""The coronary stage at clinical resolution: twins at 0.4 x 0.4 x 0.5 mm, cropped to the heart, against their truth.

A whole CT of that size costs about 20 s and 1.4 GB; everything an artery is read from lies in the crop about the
chambers, so only that is painted here. The heart, its tree and its flow are those of ``make_twin(seed)``; the scanner's
draw (noise, blur, contrast) is another one. What is judged is read from the picture alone: pose and labels are those of
the networks, on the crop (``seen``). The true labels, on an upright 1 mm grid, go along.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from CardiacFusionLib.coronaries.lumen import crop_box
from CardiacFusionLib.coronaries.stage import extract
from CardiacFusionLib.reorientation.stage import reorient
from CardiacFusionLib.spatial.cropping import cropped
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.spatial.resample import heart_grid, resample_to
from CardiacFusionLib.spatial.tree import MAIN_BRANCHES, Branch, CoronaryTree, Stenosis
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.case import CLINICAL_SPACING_MM, KIND_SHARE
from CardiacFusionLib.twin.coronary.bed import distance_to_heart
from CardiacFusionLib.twin.coronary.draw import draw_tree
from CardiacFusionLib.twin.coronary.route import STEP_MM as TREE_STEP_MM
from CardiacFusionLib.twin.ct.appearance import Appearance
from CardiacFusionLib.twin.ct.render import clinical_grid, render_ct
from CardiacFusionLib.twin.flow.field import FlowField, draw_flow
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.placement import draw_ct_pose
from CardiacFusionLib.walls.ct import segment_ct
from CardiacFusionLib.walls.result import CtWalls

Figures = dict[str, float]
Array = NDArray[np.float64]

STEP_MM = 0.5
FOUND_MM = (
    1.0  # a point counts as found within the true radius (CAT08), but not closer than this where vessels are thin
)
SIGNIFICANT_PERCENT = 50.0
SAME_MM = 8.0  # a narrowing counts as found within half its length plus this from the true one
# a drawn tree is no anatomy where an artery's middle runs so deep in a chamber or the aorta, for so long, or where two
# arteries that do not spring from each other share so much lumen; the first millimetres of a branch do not count
DEEP_MM, DEEP_LENGTH_MM, SHARED_MM = 0.5, 3.0, 2.0
OSTIUM_MM, FORK_MM = 8.0, 15.0
LABEL_LOW_MM = np.array([-104.0, -88.0, -76.0])  # the region the wall stage labels, heart frame
LABEL_HIGH_MM = np.array([72.0, 80.0, 108.0])


@dataclass(frozen=True)
class FineCase:
    """One heart: its CT about the chambers, walls, and the truth. The tree and the pose are in patient LPS."""

    seed: int
    kind: str
    ct: Volume
    walls: CtWalls
    pose: HeartPose
    tree: CoronaryTree


@dataclass(frozen=True)
class Patient:
    """What a seed says of a heart before it is imaged."""

    kind: str
    heart: Heart
    pose: HeartPose  # CT patient LPS -> heart frame with landmarks
    tree: CoronaryTree  # heart frame
    flow: FlowField


def patient_of(seed: int, kind: str | None = None) -> Patient:
    """The heart, tree and flow that ``make_twin(seed, kind=kind)`` images, without the images."""
    body, vessels, blood = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(7)[:3])
    if kind is None:
        kind = str(vessels.choice(list(KIND_SHARE), p=list(KIND_SHARE.values())))
    heart = Heart.draw(body)
    pose = draw_ct_pose(body, heart)
    tree = draw_tree(heart, vessels, kind)
    landmarks = {name: apply(pose.heart_to_lps, np.asarray(p, float)) for name, p in heart.landmarks.items()}
    full = HeartPose(pose.lps_to_heart, landmarks, pose.confidence)
    return Patient(kind, heart, full, tree, draw_flow(heart, tree, blood, kind))


def conflicts(patient: Patient) -> list[str]:
    """Where the drawn tree cannot be: arteries inside a chamber or the aorta, or through one another; empty as a rule.

    Judged from the drawing alone. What such a tree is called or where it leaves the aorta has no right answer.
    """
    found = []
    branches = patient.tree.branches
    for b in branches:
        skip = int((OSTIUM_MM if b.parent is None else OSTIUM_MM / 2) / TREE_STEP_MM)
        depth = -distance_to_heart(patient.heart, b.points_mm)[skip:]
        if (depth > DEEP_MM).sum() * TREE_STEP_MM >= DEEP_LENGTH_MM:
            found.append(f"{b.name} runs {depth.max():.1f} mm deep in a chamber")
    for i, b in enumerate(branches):
        for other in branches[:i]:
            near, at = cKDTree(other.points_mm).query(b.points_mm)
            shared = near < b.radius_mm + other.radius_mm[at]
            for fork in _forks(b, other):
                shared &= np.linalg.norm(b.points_mm - fork, axis=1) > FORK_MM
            if shared.sum() * TREE_STEP_MM >= SHARED_MM:
                found.append(f"{b.name} runs through {other.name}")
    return found


def _forks(a: Branch, b: Branch) -> list[Array]:
    """Where two branches meet by nature: the one's start on the other, or both starts."""
    if a.parent == b.name:
        return [a.points_mm[0]]
    if b.parent == a.name:
        return [b.points_mm[0]]
    return [a.points_mm[0], b.points_mm[0]] if a.parent is not None or b.parent is not None else []


def fine_case(
    seed: int,
    spacing_mm: tuple[float, float, float] = CLINICAL_SPACING_MM,
    *,
    noise_hu: float | None = None,
    motion_mm: float | None = None,
    look: Appearance | None = None,
    tree: CoronaryTree | None = None,
) -> FineCase:
    """The CT of one seed about its chambers with true labels. ``tree`` (heart frame) replaces the seed's own."""
    patient = patient_of(seed)
    pose, rng = patient.pose, np.random.default_rng(np.random.SeedSequence([seed, 77]))
    if tree is not None:
        patient = replace(patient, tree=tree)
    drawn = patient.tree.transformed(pose.heart_to_lps, "lps")
    coarse = clinical_grid(pose, rng, 3.0, fov_mm=230.0, length_mm=190.0)
    _, rough = render_ct(
        patient.heart, pose, coarse, rng, noise_hu=0.0, blur_mm=0.0, motion_mm=0.0, circle=False, metal=False
    )
    box = crop_box(rough, rough)
    if box is None:
        raise ValueError(f"the heart of seed {seed} does not lie in its own field of view")
    part = cropped(rough, box)
    count = np.ceil((np.asarray(part.size) - 1) * 3.0 / np.asarray(spacing_mm)).astype(int)
    grid = Volume(np.zeros(count[::-1], np.uint8), spacing_mm, part.origin_mm, part.direction)
    ct, labels = render_ct(
        patient.heart, pose, grid, rng, drawn, look=look, noise_hu=noise_hu, motion_mm=motion_mm, circle=False,
        metal=False,
    )  # fmt: skip
    return FineCase(seed, patient.kind, ct, CtWalls(upright(labels, pose), pose), pose, drawn)


def upright(labels: Volume, pose: HeartPose, spacing_mm: float = 1.0) -> Volume:
    """Labels on the upright grid that the wall stage uses."""
    shape = np.rint((LABEL_HIGH_MM - LABEL_LOW_MM) / spacing_mm).astype(int)
    middle = (LABEL_LOW_MM + LABEL_HIGH_MM) / 2
    grid = heart_grid(
        pose,
        (int(shape[2]), int(shape[1]), int(shape[0])),
        spacing_mm,
        (float(middle[0]), float(middle[1]), float(middle[2])),
    )
    return resample_to(labels, grid, order=0)


def saved(case: FineCase, path: Path) -> None:
    """Write a case whole (``.npz``): another version of the twin may draw another heart from the same seed."""
    facts = {
        "seed": case.seed, "kind": case.kind, "dominance": case.tree.dominance,
        "geometry": {name: [list(v.spacing_mm), list(v.origin_mm), np.asarray(v.direction).ravel().tolist()]
                     for name, v in (("ct", case.ct), ("labels", case.walls.labels))},
        "pose": case.pose.lps_to_heart.tolist(),
        "landmarks": {name: np.asarray(p).tolist() for name, p in case.pose.landmarks.items()},
        "branches": [[b.name, b.parent] for b in case.tree.branches],
        "stenoses": [{**asdict(s), "point_mm": s.point_mm.tolist()} for s in case.tree.stenoses],
    }  # fmt: skip
    arrays: dict[str, Any] = {
        f"branch{i}": np.column_stack([b.points_mm, b.radius_mm]) for i, b in enumerate(case.tree.branches)
    }
    np.savez(path, ct=case.ct.array, labels=case.walls.labels.array, facts=json.dumps(facts), **arrays)


def loaded(path: Path) -> FineCase:
    """Read a case of :func:`saved`."""
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))

        def volume(name: str) -> Volume:
            spacing, origin, direction = facts["geometry"][name]
            return Volume(file[name], tuple(spacing), tuple(origin), np.reshape(direction, (3, 3)))

        lines = [file[f"branch{i}"] for i in range(len(facts["branches"]))]
        ct, labels = volume("ct"), volume("labels")
    branches = [Branch(n, line[:, :3], line[:, 3], up) for (n, up), line in zip(facts["branches"], lines)]
    stenoses = [Stenosis(**{**s, "point_mm": np.asarray(s["point_mm"])}) for s in facts["stenoses"]]
    pose = HeartPose(np.asarray(facts["pose"]), {n: np.asarray(p) for n, p in facts["landmarks"].items()})
    tree = CoronaryTree(tuple(branches), tuple(stenoses), facts["dominance"], "lps")
    return FineCase(facts["seed"], facts["kind"], ct, CtWalls(labels, pose), pose, tree)


def _every(branch: Branch, step_mm: float = STEP_MM) -> tuple[Array, Array]:
    """Points (n, 3) and radius (n,) of a branch at equal steps."""
    arc = branch.arc_mm
    at = np.arange(0.0, arc[-1] + 1e-9, step_mm)
    points = np.stack([np.interp(at, arc, branch.points_mm[:, i]) for i in range(3)], axis=1)
    return points, np.interp(at, arc, branch.radius_mm)


def _together(tree: CoronaryTree) -> tuple[Array, Array, NDArray[np.str_]]:
    parts = [(*_every(b), b.name) for b in tree.branches]
    if not parts:
        return np.zeros((0, 3)), np.zeros(0), np.zeros(0, "U12")
    names = np.concatenate([np.full(len(p), name, "U12") for p, _, name in parts])
    return np.concatenate([p for p, _, _ in parts]), np.concatenate([r for _, r, _ in parts]), names


def figures_of(found: CoronaryTree, true: CoronaryTree) -> Figures:
    """All figures of one heart; both trees in one frame.

    ``overlap``: share of the points of both centrelines that have the other within the true radius, 1 mm at least
    (CAT08's overlap, Schaap 2009; ``overlap_radius``: without that floor). ``distance_mm``: mean distance where they
    do. ``extra``: share of what was found that is no artery. ``main_all``: all main branches named right.
    ``stenosis_points``: mean absolute error of % diameter over the true narrowings of 50 % or more that were found.
    """
    p, rp, names = _together(found)
    t, rt, true_names = _together(true)
    severe = [s for s in true.stenoses if s.diameter_percent >= SIGNIFICANT_PERCENT]
    out: Figures = {"dominance": float(found.dominance == true.dominance)}
    if not len(p):
        return out | {"overlap": 0.0, "overlap_radius": 0.0, "main_named": 0.0, "main_all": 0.0, "side_named": 0.0,
                      "false_stenoses": 0.0, **({"stenosis_found": 0.0} if severe else {})}  # fmt: skip
    to_true, nearest = cKDTree(t).query(p)
    to_found, nearest_found = cKDTree(p).query(t)
    for name, floor in (("overlap", FOUND_MM), ("overlap_radius", 0.0)):
        hit_p, hit_t = to_true <= np.maximum(rt[nearest], floor), to_found <= np.maximum(rt, floor)
        out[name] = float((hit_p.sum() + hit_t.sum()) / (len(p) + len(t)))
    hit_p, hit_t = to_true <= np.maximum(rt[nearest], FOUND_MM), to_found <= np.maximum(rt, FOUND_MM)
    out["seen"] = float(hit_t.mean())
    out["extra"] = float((to_true > 2.0).mean())
    inside = to_true <= rt[nearest]
    if inside.any():
        out["distance_mm"] = float(to_true[inside].mean())
        error = 2 * (rp[inside] - rt[nearest[inside]])
        out["diameter_mm"], out["diameter_bias_mm"] = float(np.abs(error).mean()), float(error.mean())
    named = {str(n): _named(str(n), true_names, names[nearest_found], hit_t) for n in dict.fromkeys(true_names)}
    main = [ok for name, ok in named.items() if name in MAIN_BRANCHES]
    side = [ok for name, ok in named.items() if name not in MAIN_BRANCHES]
    if main:
        out["main_named"], out["main_all"] = float(np.mean(main)), float(all(main))
    if side:
        out["side_named"] = float(np.mean(side))
    claimed = [s for s in found.stenoses if s.diameter_percent >= SIGNIFICANT_PERCENT]
    if severe:
        pairs = [(s, _match(s, found.stenoses)) for s in severe]
        hits = [(s, c) for s, c in pairs if c is not None and c.diameter_percent >= SIGNIFICANT_PERCENT]
        out["stenosis_found"] = len(hits) / len(severe)
        errors = [c.diameter_percent - s.diameter_percent for s, c in pairs if c is not None]
        if errors:
            out["stenosis_points"] = float(np.mean(np.abs(errors)))
            out["stenosis_bias"] = float(np.mean(errors))
    out["false_stenoses"] = float(sum(_match(c, true.stenoses) is None for c in claimed))
    return out


def _named(name: str, true_names: NDArray[np.str_], found: NDArray[np.str_], hit: NDArray[np.bool_]) -> bool:
    """Most of the found part of a branch carries its name, and at least a third of it was found."""
    mine = true_names == name
    seen = mine & hit
    return bool(seen.sum() > mine.sum() / 3 and (found[seen] == name).mean() > 0.5)


def _match(wanted: Stenosis, among: Sequence[Stenosis]) -> Stenosis | None:
    """The worst narrowing of ``among`` at the same place."""
    near = [s for s in among if np.linalg.norm(s.point_mm - wanted.point_mm) <= SAME_MM + 0.5 * wanted.length_mm]
    return max(near, key=lambda s: s.diameter_percent, default=None)


def seen(ct: Volume) -> CoronaryTree:
    """The tree as a user gets it from the CT alone: pose and walls of the networks. Raises what those stages raise."""
    walls = segment_ct(ct, reorient(ct))
    return extract(ct, walls, walls.pose)
