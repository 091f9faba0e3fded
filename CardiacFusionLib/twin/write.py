"""A twin, or a synthetic study for a real CT, on disk: images as a hospital would give them, and the truth beside them.

Every sidecar says ``"synthetic": true``; DICOM images say so in their image comments.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.series_file import stack_grid
from CardiacFusionLib.io.series_json import write_json
from CardiacFusionLib.io.tree import tree_to_json
from CardiacFusionLib.io.write import write_dicom_ct, write_dicom_perfusion, write_series, write_volume
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.from_ct import FromCtStudy
from CardiacFusionLib.twin.truth import TwinCase

COMMENT = "SYNTHETIC: CardiacFusion digital twin, no patient"
COMMENT_FROM_CT = "SYNTHETIC perfusion for the wall of a real CT: CardiacFusion"


def write_twin(case: TwinCase, folder: Path | str, dicom: bool = False) -> None:
    """Write a twin into an existing or new folder.

    ``ct.nii.gz`` (int16 HU), ``stress.nii.gz`` and ``rest.nii.gz`` with JSON sidecars (times, poses, sequence),
    ``truth.json``, and under ``truth/`` the labels, true flow maps and the coronary tree. ``dicom`` adds
    ``dicom/ct``, ``dicom/stress``, ``dicom/rest``. Raises OSError where the folder cannot be written.
    """
    folder = Path(folder)
    images = folder / "truth"
    images.mkdir(parents=True, exist_ok=True)
    truth = case.truth
    extra = {"synthetic": True, "twin_seed": truth.seed}
    write_volume(case.ct, folder / "ct.nii.gz")
    write_volume(truth.ct_labels, images / "ct_labels.nii.gz")
    write_json(tree_to_json(truth.tree), images / "tree.json")
    _write_study(case.stress, case.rest, folder, extra)
    _write_truth_maps(case.stress, truth.cmr_labels, truth.mbf_stress, truth.mbf_rest, images)
    record: dict[str, Any] = {
        "schema": "cardiacfusion-truth-1",
        "synthetic": True,
        "seed": truth.seed,
        "kind": truth.kind,
        "culprits": list(truth.culprits),
        "dominance": truth.tree.dominance,
        "stenoses": tree_to_json(truth.tree)["stenoses"],
        "ct_pose": pose_to_json(truth.ct_pose),
        "cmr_pose": pose_to_json(truth.cmr_pose),
        "segment_mbf_stress_ml_min_g": _by_segment(truth.segment_mbf_stress),
        "segment_mbf_rest_ml_min_g": _by_segment(truth.segment_mbf_rest),
        "motion_stress_mm": None if truth.motion_mm is None else np.round(truth.motion_mm, 3),
        "files": {
            "tree": "truth/tree.json",
            "ct_labels": "truth/ct_labels.nii.gz",
            "cmr_labels": "truth/cmr_labels.nii.gz",
            "mbf_stress": "truth/mbf_stress.nii.gz",
            "mbf_rest": "truth/mbf_rest.nii.gz",
        },
    }
    write_json(record, folder / "truth.json")
    if dicom:
        write_dicom_ct(case.ct, folder / "dicom" / "ct", comment=COMMENT)
        _write_dicom_study(case.stress, case.rest, folder / "dicom", COMMENT)


def write_from_ct(study: FromCtStudy, folder: Path | str, dicom: bool = False) -> None:
    """Write a synthetic study for a real CT: the series as in :func:`write_twin`, ``twin.json`` and ``truth/``."""
    folder = Path(folder)
    images = folder / "truth"
    images.mkdir(parents=True, exist_ok=True)
    extra = {"synthetic": True, "twin_seed": study.seed, "ischaemic_territory": study.ischaemic_territory}
    _write_study(study.stress, study.rest, folder, extra)
    _write_truth_maps(study.stress, study.labels, study.mbf_stress, study.mbf_rest, images)
    record = {
        "schema": "cardiacfusion-twin-from-ct-1",
        "synthetic": True,
        "seed": study.seed,
        "ischaemic_territory": study.ischaemic_territory,
        "territory_from": study.territory_from,
        "cmr_pose": pose_to_json(study.cmr_pose),
        "segment_mbf_stress_ml_min_g": _by_segment(study.segment_mbf_stress),
        "segment_mbf_rest_ml_min_g": _by_segment(study.segment_mbf_rest),
    }
    write_json(record, folder / "twin.json")
    if dicom:
        _write_dicom_study(study.stress, study.rest, folder / "dicom", COMMENT_FROM_CT)


def pose_to_json(pose: HeartPose) -> dict[str, Any]:
    """A pose as JSON types: 4x4 by rows (patient LPS mm -> heart frame mm) and landmarks in LPS mm."""
    return {
        "lps_to_heart": pose.lps_to_heart.tolist(),
        "landmarks_lps_mm": {name: np.asarray(p).tolist() for name, p in pose.landmarks.items()},
    }


def _write_study(stress: Series, rest: Series | None, folder: Path, extra: Mapping[str, Any]) -> None:
    write_series(_stored(stress), folder / "stress.nii.gz", extra)
    if rest is not None:
        write_series(_stored(rest), folder / "rest.nii.gz", extra)


def _stored(series: Series) -> Series:
    """The series as a scanner stores it: whole numbers, the same in NIfTI and in DICOM."""
    return series.with_array(np.round(series.array))


def _write_dicom_study(stress: Series, rest: Series | None, folder: Path, comment: str) -> None:
    write_dicom_perfusion(_stored(stress), folder / "stress", comment=comment)
    if rest is not None:
        write_dicom_perfusion(_stored(rest), folder / "rest", comment=comment)


def _write_truth_maps(
    series: Series,
    labels: NDArray[np.uint8],
    mbf_stress: NDArray[np.float32],
    mbf_rest: NDArray[np.float32],
    folder: Path,
) -> None:
    """Maps on the slices' stack; 0 outside the wall, since most viewers cannot show NaN."""
    direction, spacing, origin = stack_grid(series.poses)
    for name, array in (
        ("cmr_labels", labels),
        ("mbf_stress", np.nan_to_num(mbf_stress)),
        ("mbf_rest", np.nan_to_num(mbf_rest)),
    ):
        write_volume(Volume(array, spacing, origin, direction), folder / f"{name}.nii.gz")


def _by_segment(values: Mapping[int, float]) -> dict[str, float]:
    return {str(k): round(float(v), 4) for k, v in sorted(values.items())}
