"""``cardiacfusion twin``: a synthetic heart on disk, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from CardiacFusionLib.io.case_folder import FolderWriter, read_case
from CardiacFusionLib.io.read import read_ct
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.twin.case import KINDS, make_twin
from CardiacFusionLib.twin.from_ct import series_from_ct
from CardiacFusionLib.twin.write import write_from_ct, write_twin

VESSELS = ("LAD", "LCx", "RCA")


def make_and_write(
    out: Path, seed: int, spacing_mm: float, kind: str | None, dicom: bool, from_ct: Path | None, ischaemic: str
) -> Iterator[str]:
    """Write the twin of ``seed`` into ``out``, or, with ``from_ct``, a perfusion study for the wall of that case.

    Yields lines for the reader. Raises BadInputError for an unknown kind or vessel, or a case without walls.
    """
    if kind is not None and kind not in KINDS:
        raise BadInputError(f"No kind of heart is called '{kind}'; choose one of {', '.join(KINDS)}.")
    if ischaemic not in VESSELS:
        raise BadInputError(f"No territory is called '{ischaemic}'; choose one of {', '.join(VESSELS)}.")
    if from_ct is None:
        case = make_twin(seed, ct_spacing_mm=(spacing_mm,) * 3, kind=kind)
        with FolderWriter(out) as folder:
            write_twin(case, folder, dicom=dicom)
        yield f"{case.truth.kind} heart, culprits: {', '.join(case.truth.culprits) or 'none'}; written to {out}"
        return
    earlier = read_case(from_ct)
    if earlier.ct_walls is None or earlier.pose is None:
        raise BadInputError(f"{from_ct} holds no CT walls; run 'cardiacfusion segment' on the CT first.")
    ct = read_ct(earlier.ct_path) if earlier.ct_path is not None and earlier.ct_path.exists() else None
    study = series_from_ct(
        earlier.ct_walls, earlier.pose, earlier.tree, seed=seed, ischaemic_territory=ischaemic, ct=ct
    )
    with FolderWriter(out) as folder:
        write_from_ct(study, folder, dicom=dicom)
    yield f"SYNTHETIC stress and rest series for the wall of {from_ct}, {ischaemic} ischaemic; written to {out}"
