"""Data frames and findings as table nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from CardiacFusionLib.fusion.result import Finding
    from CardiacFusionLib.spatial.quality import Quality
    from CardiacFusionLib.spatial.tree import Stenosis


def add_table(scene: Any, frame: pd.DataFrame, name: str) -> Any:
    """A table node with one column a data-frame column: numbers as doubles (NaN kept), everything else as text."""
    return fill_table(scene.AddNewNodeByClass("vtkMRMLTableNode", name), frame)


def fill_table(node: Any, frame: pd.DataFrame) -> Any:
    """Put a data frame into a table node in place of what it held; the node is returned."""
    import vtk
    from vtk.util import numpy_support

    was = node.StartModify()
    node.RemoveAllColumns()
    for column in frame.columns:
        series = frame[column]
        if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
            numbers = rounded(series.to_numpy(dtype=np.float64, na_value=np.nan))
            values = numpy_support.numpy_to_vtk(numbers, deep=True)
        else:
            values = vtk.vtkStringArray()
            for value in series:
                values.InsertNextValue("" if value is None else str(value))
        values.SetName(str(column))
        node.AddColumn(values)
    node.EndModify(was)
    return node


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six significant digits, as a scene writes them into its files: a table read back equals the one written."""
    return np.array([float(f"{v:.6g}") for v in values], dtype=np.float64)


def frame_of(node: Any) -> pd.DataFrame:
    """The data frame of a table node: columns of numbers as numbers, of text as text."""
    import vtk
    from vtk.util import numpy_support

    columns: dict[str, Any] = {}
    table = node.GetTable()
    for index in range(table.GetNumberOfColumns()):
        column = table.GetColumn(index)
        if isinstance(column, vtk.vtkStringArray):
            columns[column.GetName()] = [column.GetValue(i) for i in range(column.GetNumberOfValues())]
        else:
            columns[column.GetName()] = numpy_support.vtk_to_numpy(column).copy()
    return pd.DataFrame(columns)


def quality_frame(quality: Quality) -> pd.DataFrame:
    """One row a flag."""
    return pd.DataFrame(
        {
            "stage": [f.stage for f in quality.flags],
            "name": [f.name for f in quality.flags],
            "level": [f.level.name.lower() for f in quality.flags],
            "reason": [f.reason for f in quality.flags],
        }
    )


def findings_frame(findings: tuple[Finding, ...]) -> pd.DataFrame:
    """One row a finding."""
    return pd.DataFrame(
        {
            "kind": [f.kind for f in findings],
            "vessel": [f.vessel or "" for f in findings],
            "finding": [f.sentence for f in findings],
            "confidence": [float(f.confidence) for f in findings],
            "segments": [" ".join(str(s) for s in f.segments) for f in findings],
        }
    )


def stenoses_frame(stenoses: tuple[Stenosis, ...]) -> pd.DataFrame:
    """One row a narrowing, worst first."""
    rows = sorted(stenoses, key=lambda s: -s.diameter_percent)
    return pd.DataFrame(
        {
            "branch": [s.branch for s in rows],
            "diameter_percent": [float(s.diameter_percent) for s in rows],
            "position_mm": [float(s.position_mm) for s in rows],
            "length_mm": [float(s.length_mm) for s in rows],
            "reference_diameter_mm": [float(s.reference_diameter_mm) for s in rows],
            "minimal_diameter_mm": [float(s.minimal_diameter_mm) for s in rows],
            "calcified": ["yes" if s.calcified else "no" for s in rows],
            **{f"{axis}_lps_mm": [float(s.point_mm[k]) for s in rows] for k, axis in enumerate("xyz")},
        }
    )
