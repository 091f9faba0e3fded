"""Whether the volumes of the scene give the same result however they lie in memory and in the world.

``python Testing/bench/orientations.py CT.nii.gz [--case CASE] [--json F]``. Every volume goes the panel's way: into a
scene (slicer-core), to a file, and through the command line's reader.

CT: plain, flipped, mirrored, permuted; turned together with its patient (by its direction matrix, and by a transform
above the node); resampled onto a turned grid, where the networks see other samples. Told: the largest distance of a
landmark (mm) and of an axis (degrees) from those of the plain one. With a finished ``CASE`` of a twin (its CT's stages
are taken as they are) its stress series likewise, as far as the registration: the largest distance of a slice's middle
on the CT (mm), of the axes (degrees), and of the flow of a segment (mL/min/g) from the plain ones.
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
from test_inputs import OBLIQUE, WAYS, rearranged  # noqa: E402

from CardiacFusionLib.io.read import read_ct, read_perfusion  # noqa: E402
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
MOVE = np.eye(4)  # how the patient lies elsewhere: turned by 25, -40 and 10 degrees, and shifted
MOVE[:3, :3], MOVE[:3, 3] = OBLIQUE, (10.0, -20.0, 30.0)


def moved(volume: Volume) -> Volume:
    """The same voxels in a world in which the patient was turned."""
    return Volume(
        volume.array, volume.spacing_mm, tuple((MOVE @ [*volume.origin_mm, 1])[:3]), OBLIQUE @ volume.direction
    )


def moved_back(pose: HeartPose) -> HeartPose:
    """A pose found in that world, for the patient as before."""
    back = np.linalg.inv(MOVE)
    marks = {name: (back @ [*point, 1])[:3] for name, point in pose.landmarks.items()}
    return HeartPose(pose.lps_to_heart @ MOVE, marks, pose.confidence)


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
    tell("turned", difference(moved_back(pose_of(add_volume(scene, moved(ct), "turned"))), plain))
    under = place_under(add_volume(scene, ct, "under"), add_transform(scene, MOVE, "move"))
    tell("under a transform", difference(moved_back(pose_of(under)), plain))
    tell("resampled", difference(pose_of(add_volume(scene, on_oblique_grid(ct), "resampled")), plain))


def sequence_of(scene: Any, series: Series, name: str, shape: Callable[[Volume], Volume]) -> Any:
    """A series as a volume sequence, each frame of it put into another shape."""
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    first, second = series.poses[0], series.poses[1]
    gap = float(np.linalg.norm(np.asarray(second.origin_mm) - np.asarray(first.origin_mm)))
    for frame, times in zip(series.array, series.times_s, strict=True):
        stack = Volume(frame, (*first.spacing_mm, gap), first.origin_mm, first.direction)
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
    tell("stress turned", compare(result_of("turned", moved), plain, MOVE))


def main() -> None:
    """Compare and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--case", type=Path)
    parser.add_argument("--series-only", action="store_true", help="leave the CT's own comparison out")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    told: dict[str, Any] = {}

    def tell(name: str, figures: Any) -> None:
        told[name] = figures
        values = figures.values() if isinstance(figures, dict) else figures
        words = ("mm", "deg", "mL/min/g")
        print(f"{name:18} " + "  ".join(f"{v:.3f} {w}" for v, w in zip(values, words)), flush=True)

    with SceneApp() as app, tempfile.TemporaryDirectory() as folder:
        if not given.series_only:
            of_the_ct(read_ct(given.ct), app.scene, Path(folder), tell)
        if given.case is not None:
            of_the_series(given.case, app.scene, Path(folder), tell)
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
