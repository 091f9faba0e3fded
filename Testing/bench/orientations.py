"""Whether a CT in the scene gives the same heart frame however it lies in memory.

``python Testing/bench/orientations.py CT.nii.gz [--json F]``: the CT is put into a scene (slicer-core) plain, flipped,
mirrored, permuted, and resampled onto an oblique grid, written as the panel writes it, read as the command line does,
and reoriented. Told: the largest distance of a landmark (mm) and of an axis (degrees) from those of the plain one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "mrml"))
from test_inputs import OBLIQUE, WAYS, rearranged  # noqa: E402

from CardiacFusionLib.io.read import read_ct  # noqa: E402
from CardiacFusionLib.mrml import inputs  # noqa: E402
from CardiacFusionLib.mrml.app import SceneApp  # noqa: E402
from CardiacFusionLib.mrml.volumes import add_volume  # noqa: E402
from CardiacFusionLib.reorientation.stage import reorient  # noqa: E402
from CardiacFusionLib.spatial.pose import HeartPose, axis_angle_deg, roll_angle_deg  # noqa: E402
from CardiacFusionLib.spatial.volume import Volume  # noqa: E402


def pose_of(node: object, folder: Path) -> HeartPose:
    """The heart frame of a CT node, by way of the file that a run would read."""
    path = folder / "ct.nii"
    inputs.write_ct(node, path)
    return reorient(read_ct(path)).pose


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


def difference(pose: HeartPose, plain: HeartPose) -> tuple[float, float]:
    """Largest distance of a landmark (mm) and larger of axis and roll angle (degrees)."""
    distances = [np.linalg.norm(pose.landmarks[name] - plain.landmarks[name]) for name in plain.landmarks]
    return float(max(distances)), max(axis_angle_deg(pose, plain), abs(roll_angle_deg(pose, plain)))


def main() -> None:
    """Compare and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    ct = read_ct(given.ct)
    ways = {name: rearranged(ct, order, back) for name, (order, back) in WAYS.items() if name != "plain"}
    ways["oblique"] = on_oblique_grid(ct)
    told = {}
    with SceneApp() as app, tempfile.TemporaryDirectory() as folder:
        plain = pose_of(add_volume(app.scene, ct, "plain"), Path(folder))
        for name, volume in ways.items():
            told[name] = difference(pose_of(add_volume(app.scene, volume, name), Path(folder)), plain)
            print(f"{name:10} {told[name][0]:.3f} mm  {told[name][1]:.3f} deg", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
