"""``cardiacfusion perfusion``: the options of the stage, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError

if TYPE_CHECKING:
    from CardiacFusionLib.perfusion.choices import Choices


def choices_of(
    numbers: Mapping[str, float | None],
    curves: Mapping[str, Path | None],
    regions: Mapping[str, Path | None],
    haematocrit: float | None,
) -> Choices:
    """The reader's choices from the command line.

    ``numbers``: sequence parameters by the names of ``Sequence``; ``curves``: CSV by state, columns ``time_s`` and
    ``aif`` (mmol/L); ``regions``: 3D picture by state (NRRD, NIfTI). Raises BadInputError on a file that does not fit.
    """
    from CardiacFusionLib.io.image_file import read_volume
    from CardiacFusionLib.perfusion.choices import Choices, InputCurve
    from CardiacFusionLib.spatial.series import Sequence

    given = {name: value for name, value in numbers.items() if value is not None}
    bad = [name for name, value in given.items() if not 0 < value < 10000]
    if bad:
        raise BadInputError(f"{', '.join(bad)} must lie above zero (times in ms, angles in degrees).")
    return Choices(
        sequence=Sequence(
            ti_ms=given.get("ti_ms"),
            tr_ms=given.get("tr_ms"),
            flip_deg=given.get("flip_deg"),
            baseline_t1_blood_ms=given.get("baseline_t1_blood_ms"),
            baseline_t1_myocardium_ms=given.get("baseline_t1_myocardium_ms"),
            relaxivity_per_mmol_s=given.get("relaxivity_per_mmol_s"),
        ),
        curves={
            state: InputCurve(*_curve(path), haematocrit=haematocrit)
            for state, path in curves.items()
            if path is not None
        },
        regions={state: read_volume(path) for state, path in regions.items() if path is not None},
    )


def _curve(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd

    try:
        table = pd.read_csv(path)
        return np.asarray(table["time_s"], float), np.asarray(table["aif"], float)
    except (OSError, ValueError, KeyError) as error:
        raise BadInputError(
            f"{path.name} is no input curve ({error}); give a CSV file with the columns time_s and aif (mmol/L)."
        ) from error


def check_dicom_source(*paths: Path | None) -> None:
    """Raise BadInputError at once where DICOM maps are asked for and a series is not DICOM."""
    from CardiacFusionLib.io.dicom_frames import is_dicom

    for path in paths:
        if path is not None and path.is_file() and not is_dicom(path):
            raise BadInputError(
                f"--dicom needs the DICOM series the maps come from; {path.name} is none. Give the DICOM folder, or "
                "leave --dicom out."
            )
