"""The perfusion of a case as DICOM, beside the source images it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from CardiacFusionLib.io.dicom_maps import write_maps
from CardiacFusionLib.io.dicom_source import source_headers
from CardiacFusionLib.pipeline.stages import Results


def write_dicom_results(results: Results, sources: Mapping[str, Path | None], folder: Path) -> list[Path]:
    """Maps and AHA segments of every quantified state into ``folder``/perfusion/dicom; returns the files.

    ``sources``: where the series of each state was read from. Raises BadInputError where that is no DICOM.
    """
    files: list[Path] = []
    for state, study in (("stress", results.stress), ("rest", results.rest)):
        path = sources.get(state)
        if study is None or path is None:
            continue
        poses = study.series.poses
        headers = source_headers(path, poses)
        out = folder / "perfusion" / "dicom"
        files += write_maps(study.maps.maps, study.maps.units, study.segment_labels, poses, headers, out, state)
    return files
