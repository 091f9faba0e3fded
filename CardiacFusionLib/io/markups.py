"""Landmarks as Slicer markups (``.mrk.json``), in LPS millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.series_json import read_json, write_json
from CardiacFusionLib.spatial.errors import BadInputError

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def write_landmarks(landmarks: Mapping[str, NDArray[np.float64]], path: Path | str) -> None:
    """Write named points (LPS mm) as a markups point list that Slicer opens; order of the mapping is kept."""
    points = [
        {
            "id": str(number + 1),
            "label": name,
            "description": "",
            "associatedNodeID": "",
            "position": [float(v) for v in np.asarray(point)],
            "orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, (name, point) in enumerate(landmarks.items())
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": points,
    }
    write_json({"@schema": _SCHEMA, "markups": [markup]}, path)


def read_landmarks(path: Path | str) -> dict[str, NDArray[np.float64]]:
    """Named points (LPS mm) of every point list in a markups file; undefined points are left out.

    Raises BadInputError for a file that is no markups file, holds RAS positions (Slicer before 4.11), or gives one
    name twice.
    """
    path = Path(path)
    data = read_json(path)
    markups = data.get("markups") if isinstance(data, dict) else None
    if not isinstance(markups, list):
        raise BadInputError(f"{path.name} is not a markups file; save the landmarks in Slicer as .mrk.json.")
    found: dict[str, NDArray[np.float64]] = {}
    for markup in markups:
        try:
            if markup.get("coordinateSystem", "LPS") not in ("LPS", "0", 0):
                raise BadInputError(f"{path.name} is not in LPS; save it again with Slicer 4.13 or newer.")
            for point in markup.get("controlPoints", []):
                if point.get("positionStatus", "defined") != "defined":
                    continue
                name, position = str(point["label"]), np.asarray(point["position"], dtype=float)
                if position.shape != (3,) or not np.all(np.isfinite(position)):
                    raise BadInputError(f"The landmark {name} in {path.name} has no position; place it again.")
                if name in found:
                    raise BadInputError(f"The landmark {name} stands twice in {path.name}; delete one of the two.")
                found[name] = position
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"{path.name} is a damaged markups file ({error}); save it again.") from error
    return found
