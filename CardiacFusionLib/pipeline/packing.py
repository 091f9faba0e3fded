"""Frozen results in one file: a zip of NumPy arrays with one JSON tree that says what they are.

Lossless and safe to open: nothing in the file can run (no pickle); only dataclasses of this library are built from it.
The same values give the same bytes.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.quality import Level

VERSION = 2
_LIBRARY = "CardiacFusionLib."
_TREE = "tree.json"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_LEVEL = 1  # label volumes shrink fifty-fold at the fastest setting; frames hardly at any


def write_packed(value: Any, path: Path) -> None:
    """Write dataclasses of this library, arrays, data frames, mappings, tuples, lists and plain values to ``path``.

    Raises TypeError for anything else (a fault of the program), OSError where writing fails.
    """
    arrays: list[NDArray[np.generic]] = []
    tree = {"version": VERSION, "value": _packed(value, arrays)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        archive.writestr(_entry(_TREE), json.dumps(tree, separators=(",", ":")))
        for number, array in enumerate(arrays):
            raw = io.BytesIO()
            np.lib.format.write_array(raw, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(_entry(f"{number}.npy"), raw.getvalue())


def read_packed(path: Path) -> Any:
    """What :func:`write_packed` wrote; BadInputError where the file is missing, damaged or of another version."""
    if not path.is_file():
        raise BadInputError(
            f"{path.parent.name} holds no {path.name}: it was made by an earlier version or not fused to the end; "
            "run the case again."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            tree = json.loads(archive.read(_TREE))
            if tree["version"] != VERSION:
                raise BadInputError(f"{path.name} is of version {tree['version']}; run the case again with this one.")

            @functools.cache
            def array(number: int) -> NDArray[np.generic]:
                raw = io.BytesIO(archive.read(f"{number}.npy"))
                return np.asarray(np.lib.format.read_array(raw, allow_pickle=False))

            return _unpacked(tree["value"], array)
    except BadInputError:
        raise
    except Exception as error:  # zlib, struct, json, numpy and the classes' own checks all speak of damage here
        raise BadInputError(f"{path.name} of {path.parent.name} is damaged ({error}); run the case again.") from error


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _class_of(name: str) -> Any:
    """A dataclass of this library by "module:class"; anything else is refused."""
    module, _, qualified = name.partition(":")
    if not module.startswith(_LIBRARY):
        raise ValueError(f"{name} is no class of this library")
    found = getattr(importlib.import_module(module), qualified)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"{name} is no result")
    return found


def _packed(value: Any, arrays: list[NDArray[np.generic]]) -> Any:
    """``value`` as JSON; arrays are appended to ``arrays`` and named by their number."""
    if isinstance(value, Level):
        return {"level": int(value)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        known = next((i for i, array in enumerate(arrays) if array is value), None)  # shared by two results: kept once
        if known is None:
            arrays.append(value)
        return {"array": len(arrays) - 1 if known is None else known}
    if isinstance(value, pd.DataFrame):
        return {"table": [[str(name), _column(value[name], arrays)] for name in value.columns]}
    if isinstance(value, Mapping):
        return {"dict": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_packed(v, arrays) for v in value]
    if is_dataclass(value) and type(value).__module__.startswith(_LIBRARY):
        inner = {f.name: _packed(getattr(value, f.name), arrays) for f in fields(value) if f.init}
        return {"is": f"{type(value).__module__}:{type(value).__qualname__}", "of": inner}
    raise TypeError(f"a case cannot keep a {type(value).__name__}")


def _column(series: pd.Series, arrays: list[NDArray[np.generic]]) -> Any:
    """Numbers as an array, anything else as a list of texts (or None)."""
    if pd.api.types.is_numeric_dtype(series):
        return _packed(series.to_numpy(), arrays)
    return [None if pd.isna(v) else str(v) for v in series]


def _unpacked(node: Any, array: Callable[[int], NDArray[np.generic]]) -> Any:
    if isinstance(node, list):
        return [_unpacked(v, array) for v in node]
    if not isinstance(node, dict):
        return node
    if "is" in node:
        made = _class_of(node["is"])
        known = {f.name for f in fields(made)}  # a field that a later version dropped is left out
        return made(**{name: _unpacked(v, array) for name, v in node["of"].items() if name in known})
    ((kind, inner),) = node.items()
    if kind == "array":
        return array(int(inner))
    if kind == "float":
        return float(inner)
    if kind == "level":
        return Level(inner)
    if kind == "tuple":
        return tuple(_unpacked(v, array) for v in inner)
    if kind == "dict":
        return {_unpacked(k, array): _unpacked(v, array) for k, v in inner}
    if kind == "table":
        return pd.DataFrame({name: _unpacked(column, array) for name, column in inner})
    raise ValueError(f"unknown part '{kind}'")
