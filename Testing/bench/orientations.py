"""Whether the volumes of the scene give the same result however they lie in memory and in the world.

``python Testing/bench/orientations.py CT.nii.gz [--case CASE] [--series-only] [--whole-way] [--json F]``.
Every volume goes the panel's way: into a
scene (slicer-core), to a file, and through the command line's reader.

CT: plain, flipped, mirrored, permuted; turned together with its patient (by its direction matrix, and by a transform
above the node); resampled onto a turned grid, where the networks see other samples. Told: the largest distance of a
landmark (mm) and of an axis (degrees) from those of the plain one. With a finished ``CASE`` of a twin (its CT's stages
are taken as they are) its stress series likewise, as far as the registration: the largest distance of a slice's middle
on the CT (mm), of the axes (degrees), and of the flow of a segment (mL/min/g) from the plain ones. With ``--whole-way``
CT and series likewise, both at once, through every stage: heart frame, flow, and whether the findings differ (kind, and
the vessels they name); there CASE may be the folder of a twin too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "mrml"))
from test_inputs import OBLIQUE, WAYS, rearranged, turned  # noqa: E402

from CardiacFusionLib.io.read import read_ct, read_perfusion  # noqa: E402
from CardiacFusionLib.io.series_json import series_to_dict  # noqa: E402
from CardiacFusionLib.mrml import inputs  # noqa: E402
from CardiacFusionLib.mrml.app import SceneApp  # noqa: E402
from CardiacFusionLib.mrml.transforms import add_transform, place_under  # noqa: E402
from CardiacFusionLib.mrml.volumes import add_volume  # noqa: E402
from CardiacFusionLib.pipeline.corrected_case import ct_of, open_reading  # noqa: E402
from CardiacFusionLib.pipeline.stages import Examinations, Given, Results, run  # noqa: E402
from CardiacFusionLib.reorientation.stage import reorient  # noqa: E402
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg  # noqa: E402
from CardiacFusionLib.spatial.series import Series  # noqa: E402
from CardiacFusionLib.spatial.volume import Volume  # noqa: E402

Pair = tuple[float, float]
Matrix = np.ndarray


def lying_elsewhere(rotation: Matrix) -> Matrix:
    """4x4: how the patient lies in another world, turned and shifted."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, (10.0, -20.0, 30.0)
    return matrix


# by 14, -20 and 10 degrees (27 in all), as patients and gantries lie; and by 25, -40 and 10 (50 in all)
MOVES = {
    "turned 27 deg": lying_elsewhere(turned(14, 2) @ turned(-20, 0) @ turned(10, 1)),
    "turned 50 deg": lying_elsewhere(OBLIQUE),
}


def moved(volume: Volume, move: Matrix) -> Volume:
    """The same voxels in a world in which the patient was turned."""
    origin = (move @ [*volume.origin_mm, 1])[:3]
    return Volume(volume.array, volume.spacing_mm, tuple(origin), move[:3, :3] @ volume.direction)


def moved_back(pose: HeartPose, move: Matrix) -> HeartPose:
    """A pose found in that world, for the patient as before."""
    back = np.linalg.inv(move)
    marks = {name: (back @ [*point, 1])[:3] for name, point in pose.landmarks.items()}
    return HeartPose(pose.lps_to_heart @ move, marks, pose.confidence)


def on_oblique_grid(ct: Volume) -> Volume:
    """The same patient on a grid turned by ``OBLIQUE`` about the middle; air where the original has nothing."""
    image = ct.to_sitk()
    size = (np.asarray(ct.size) * 1.3).astype(int)
    middle = np.asarray(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in ct.size]))
    origin = middle - OBLIQUE @ (np.asarray(ct.spacing_mm) * (size - 1) / 2)
    turned = sitk.Resample(
        image, size.tolist(), sitk.Transform(), sitk.sitkLinear, origin.tolist(), ct.spacing_mm,
        OBLIQUE.ravel().tolist(), -1024.0,
    )  # fmt: skip
    return Volume.from_sitk(turned)


def difference(pose: HeartPose, plain: HeartPose) -> Pair:
    """Largest distance of a landmark (mm) and larger of axis and roll angle (degrees)."""
    distances = [np.linalg.norm(pose.landmarks[name] - plain.landmarks[name]) for name in plain.landmarks]
    return float(max(distances)), max(axis_angle_deg(pose, plain), abs(roll_angle_deg(pose, plain)))


def of_the_ct(ct: Volume, scene: Any, folder: Path, tell: Callable[[str, Any], None]) -> None:
    """The heart frame of a CT in every way."""

    def pose_of(node: Any) -> HeartPose:
        inputs.write_ct(node, folder / "ct.nii")
        return reorient(read_ct(folder / "ct.nii")).pose

    plain = pose_of(add_volume(scene, ct, "plain"))
    for name, (order, back) in WAYS.items():
        if name != "plain":
            tell(name, difference(pose_of(add_volume(scene, rearranged(ct, order, back), name)), plain))
    for name, move in MOVES.items():
        tell(name, difference(moved_back(pose_of(add_volume(scene, moved(ct, move), name)), move), plain))
    move = MOVES["turned 27 deg"]
    under = place_under(add_volume(scene, ct, "under"), add_transform(scene, move, "move"))
    tell("by a transform", difference(moved_back(pose_of(under), move), plain))
    tell("resampled", difference(pose_of(add_volume(scene, on_oblique_grid(ct), "resampled")), plain))


def sequence_of(scene: Any, series: Series, name: str, shape: Callable[[Volume], Volume]) -> Any:
    """A series as a volume sequence, each frame of it put into another shape."""
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    # as Slicer keeps it from a file of ours: with its acquisition; where the slices lie, the volumes say here
    noted = {**series_to_dict(series), "times_s": series.times_s.mean(axis=1).tolist()}
    del noted["poses"]
    node.SetAttribute(inputs.SERIES_ATTRIBUTE, json.dumps(noted))
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    heights = np.array([np.asarray(p.origin_mm) @ series.poses[0].normal for p in series.poses])
    order = np.argsort(heights)  # along the slices' common normal, as a volume's third axis runs
    first, gap = series.poses[order[0]], float(np.diff(heights[order]).mean())
    for frame, times in zip(series.array, series.times_s, strict=True):
        stack = Volume(frame[order], (*first.spacing_mm, gap), first.origin_mm, first.direction)
        volume = add_volume(scene, shape(stack), "frame")
        node.SetDataNodeAtValue(volume, f"{times[0]:.6g}")
        scene.RemoveNode(volume.GetDisplayNode())
        scene.RemoveNode(volume)
    return node


def of_the_series(case: Path, scene: Any, folder: Path, tell: Callable[[str, Any], None]) -> None:
    """A twin's stress series in every way, as far as the registration with its CT."""
    reading = open_reading(case)
    stored, ct = reading.automatic, ct_of(reading.earlier)
    series = read_perfusion(Path(reading.earlier.record["inputs"]["stress"]["path"]), "stress")
    normals = np.array([p.normal for p in series.poses])
    steps = np.diff(sorted(np.array([np.asarray(p.origin_mm) for p in series.poses]) @ normals[0]))
    if np.abs(normals - normals[0]).max() > 1e-4 or np.ptp(steps) > 0.1:
        raise SystemExit("The slices of this series are no regular stack; make another twin.")
    given = Given(reorientation=stored.reorientation, ct_walls=stored.ct_walls, tree=stored.tree)

    def result_of(name: str, shape: Callable[[Volume], Volume]) -> Results:
        inputs.write_series_of(sequence_of(scene, series, name, shape), folder / "stress.nii", "stress")
        stress = read_perfusion(folder / "stress.nii", "stress")
        return run(Examinations(ct, stress), upto="register", given=given)

    def compare(found: Results, plain: Results, to_found: np.ndarray) -> dict[str, float]:
        assert found.pairing is not None and plain.pairing is not None and found.stress and plain.stress
        old = plain.pairing.cmr_pose
        new = HeartPose(found.pairing.cmr_pose.lps_to_heart @ to_found)
        middles = [p.points_lps(np.array([s / 2 for s in series.array.shape[:1:-1]])) for p in series.poses]
        heights = np.abs(np.sort(found.pairing.z_mm) - np.sort(plain.pairing.z_mm))
        away = [np.linalg.norm(new.to_heart(m) - old.to_heart(m)) for m in middles]
        flows = [r.stress.segments.set_index("segment")["mbf_ml_min_g"] for r in (found, plain)]
        return {
            "mm": float(max(*away, *heights)),
            "deg": max(axis_angle_deg(new, old), abs(roll_angle_deg(new, old))),
            "flow_ml_min_g": float((flows[0] - flows[1]).abs().max()),
        }

    plain = result_of("plain", lambda v: v)
    for name, (order, back) in WAYS.items():
        if name != "plain":
            found = result_of(name, lambda v, order=order, back=back: rearranged(v, order, back))
            tell(f"stress {name}", compare(found, plain, np.eye(4)))
    for name, move in MOVES.items():
        found = result_of(name, lambda v, move=move: moved(v, move))
        tell(f"stress {name}", compare(found, plain, move))


def of_the_whole_way(case: Path, scene: Any, folder: Path, tell: Callable[[str, Any], None]) -> None:
    """CT and stress series of a twin, both put into another shape, from the scene to the findings, nothing given."""
    if (case / "case.json").is_file():
        earlier = open_reading(case).earlier
        ct, stress = ct_of(earlier), Path(earlier.record["inputs"]["stress"]["path"])
    else:
        ct, stress = read_ct(case / "ct.nii.gz"), case / "stress.nii.gz"
    series = read_perfusion(stress, "stress")

    def result_of(name: str, shape: Callable[[Volume], Volume]) -> Results:
        inputs.write_ct(add_volume(scene, shape(ct), name), folder / "ct.nii")
        inputs.write_series_of(sequence_of(scene, series, name, shape), folder / "stress.nii", "stress")
        found = Examinations(read_ct(folder / "ct.nii"), read_perfusion(folder / "stress.nii", "stress"))
        return run(found, upto="fuse")

    def compare(found: Results, plain: Results, move: Matrix) -> dict[str, float]:
        assert found.pose and plain.pose and found.stress and plain.stress and found.fusion and plain.fusion
        millimetres, degrees = difference(moved_back(found.pose, move), plain.pose)
        flows = [r.stress.segments.set_index("segment")["mbf_ml_min_g"] for r in (found, plain)]  # type: ignore[union-attr]
        assert found.stress.maps.relative == plain.stress.maps.relative
        told = [[(f.kind, {f.vessel, f.also}) for f in r.fusion.findings] for r in (found, plain)]  # type: ignore[union-attr]
        for f in found.fusion.findings:
            print(f"    {f.confidence:.2f} {f.sentence}", flush=True)
        return {
            "mm": millimetres,
            "deg": degrees,
            "flow_ml_min_g": float((flows[0] - flows[1]).abs().max()),
            "other_first_finding": float(told[0][:1] != told[1][:1]),
            "other_findings": float(told[0] != told[1]),
        }

    plain = result_of("plain", lambda v: v)
    order, back = WAYS["all"]
    tell("whole way, all", compare(result_of("all", lambda v: rearranged(v, order, back)), plain, np.eye(4)))
    for name, move in MOVES.items():
        found = result_of(name, lambda v, move=move: moved(v, move))
        tell(f"whole way, {name}", compare(found, plain, move))


def main() -> None:
    """Compare and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--case", type=Path)
    parser.add_argument("--series-only", action="store_true", help="leave the CT's own comparison out")
    parser.add_argument("--whole-way", action="store_true", help="with --case: both examinations, to the findings")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told: dict[str, Any] = {}

    def tell(name: str, figures: Any) -> None:
        told[name] = figures
        values = figures.values() if isinstance(figures, dict) else figures
        words = ("mm", "deg", "mL/min/g", "other first finding", "other findings")
        print(f"{name:20} " + "  ".join(f"{v:.3f} {w}" for v, w in zip(values, words)), flush=True)

    with SceneApp() as app, tempfile.TemporaryDirectory() as folder:
        if not given.series_only:
            of_the_ct(read_ct(given.ct), app.scene, Path(folder), tell)
        if given.case is not None and given.whole_way:
            of_the_whole_way(given.case, app.scene, Path(folder), tell)
        elif given.case is not None:
            of_the_series(given.case, app.scene, Path(folder), tell)
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
