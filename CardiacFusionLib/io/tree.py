"""The coronary tree as JSON and as VTK lines with the lumen radius."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.quality import Flag, Level, Quality
from CardiacFusionLib.spatial.tree import Branch, CoronaryTree, Stenosis


def tree_to_json(tree: CoronaryTree) -> dict[str, Any]:
    """The tree as JSON types; points in mm of ``frame``."""
    return {
        "frame": tree.frame,
        "dominance": tree.dominance,
        "branches": [
            {
                "name": b.name,
                "parent": b.parent,
                "points_mm": np.asarray(b.points_mm, dtype=float).tolist(),
                "radius_mm": np.asarray(b.radius_mm, dtype=float).tolist(),
            }
            for b in tree.branches
        ],
        "stenoses": [
            {
                **dataclasses.asdict(s),
                "point_mm": np.asarray(s.point_mm, dtype=float).tolist(),
                "calcified": bool(s.calcified),
            }
            for s in tree.stenoses
        ],
        "quality": [
            {"stage": f.stage, "name": f.name, "level": int(f.level), "reason": f.reason} for f in tree.quality.flags
        ],
    }


def tree_from_json(data: Mapping[str, Any]) -> CoronaryTree:
    """The inverse of :func:`tree_to_json`; BadInputError where a part is missing."""
    try:
        branches = tuple(
            Branch(
                b["name"],
                np.asarray(b["points_mm"], dtype=float).reshape(-1, 3),
                np.asarray(b["radius_mm"], dtype=float),
                b["parent"],
            )
            for b in data["branches"]
        )
        stenoses = tuple(
            Stenosis(**{**s, "point_mm": np.asarray(s["point_mm"], dtype=float)}) for s in data["stenoses"]
        )
        flags = [Flag(f["stage"], f["name"], Level(f["level"]), f["reason"]) for f in data.get("quality", [])]
        return CoronaryTree(branches, stenoses, data["dominance"], data["frame"], Quality.of(flags))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"The coronary tree is damaged ({error}); run the coronary stage again.") from error


def write_tree_vtp(tree: CoronaryTree, path: Path | str) -> None:
    """One polyline a branch with ``Radius`` (mm) per point and ``Branch``, ``Parent`` names per line.

    Slicer, ParaView and VMTK open it; coordinates are mm of the tree's frame (LPS, which Slicer assumes for .vtp).
    """
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints, vtkStringArray
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    branches = [b for b in tree.branches if len(b.points_mm)]
    coordinates = np.concatenate([np.zeros((0, 3)), *(np.asarray(b.points_mm, dtype=float) for b in branches)])
    radius = np.concatenate([np.zeros(0), *(np.asarray(b.radius_mm, dtype=float) for b in branches)])
    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(coordinates), deep=True))
    lines, names, parents = vtkCellArray(), vtkStringArray(), vtkStringArray()
    names.SetName("Branch")
    parents.SetName("Parent")
    start = 0
    for branch in branches:
        count = len(branch.points_mm)
        lines.InsertNextCell(count)
        for number in range(start, start + count):
            lines.InsertCellPoint(number)
        names.InsertNextValue(branch.name)
        parents.InsertNextValue(branch.parent or "")
        start += count
    data = vtkPolyData()
    data.SetPoints(points)
    data.SetLines(lines)
    values = numpy_to_vtk(np.ascontiguousarray(radius), deep=True)
    values.SetName("Radius")
    data.GetPointData().AddArray(values)
    data.GetPointData().SetActiveScalars("Radius")
    data.GetCellData().AddArray(names)
    data.GetCellData().AddArray(parents)
    writer = vtkXMLPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(data)
    if writer.Write() != 1:
        raise OSError(f"{path} could not be written")
