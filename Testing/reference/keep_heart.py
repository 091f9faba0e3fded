"""Keep a fused twin small enough for the repository: ``python Testing/reference/keep_heart.py CASE`` (CT where it was).

What the six views show is kept as it is: stages, walls, tree, maps, curves. The CT is averaged and rounded to 10 HU
about the heart; the first-pass frames, which none of these views shows, are emptied. ``heart.npz`` has some 2 MB.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.pipeline.corrected_case import content_with, ct_of, open_reading
from CardiacFusionLib.pipeline.packing import write_packed
from CardiacFusionLib.spatial.volume import Volume

HERE = Path(__file__).resolve().parent
HALF_MM = 88.0  # of the cube of CT about the heart
AVERAGED = 2  # voxels each way
STEP_HU = 10


def small_ct(ct: Volume, centre_lps_mm: np.ndarray) -> Volume:
    """The CT about the heart, coarse in space and value."""
    image = sitk.BinShrink(ct.to_sitk(), [AVERAGED] * 3)
    middle = np.array(image.TransformPhysicalPointToContinuousIndex(centre_lps_mm.tolist()))
    half = np.ceil(HALF_MM / np.array(image.GetSpacing()))
    low = np.maximum(np.floor(middle - half), 0).astype(int)
    high = np.minimum(np.ceil(middle + half), np.array(image.GetSize())).astype(int)
    part = image[tuple(slice(int(a), int(b)) for a, b in zip(low, high))]
    volume = Volume.from_sitk(part)
    return volume.with_array((np.rint(np.asarray(volume.array, float) / STEP_HU) * STEP_HU).astype(np.int16))


def still(study: Perfusion | None) -> Perfusion | None:
    """A study without its frames and without what the motion correction did to them."""
    if study is None:
        return None
    return replace(study, series=replace(study.series, array=np.zeros_like(study.series.array)), motion=None)


def main() -> None:
    """Write ``heart.npz`` beside this file."""
    reading = open_reading(Path(sys.argv[1]))
    results = reading.automatic
    assert results.pose is not None
    ct = small_ct(ct_of(reading.earlier), results.pose.to_lps(np.zeros(3)))
    content = content_with(reading, results, ct, "Synthetic heart")
    content = replace(content, stress=still(content.stress), rest=still(content.rest))
    write_packed(content, HERE / "heart.npz")
    print(f"{(HERE / 'heart.npz').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
