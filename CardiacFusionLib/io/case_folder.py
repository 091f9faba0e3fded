"""A folder written whole or not at all, and what a later command reads from an earlier case."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from CardiacFusionLib.io.markups import read_landmarks
from CardiacFusionLib.io.segmentation import read_segmentation
from CardiacFusionLib.io.series_json import read_json
from CardiacFusionLib.io.transform import read_tfm
from CardiacFusionLib.io.tree import tree_from_json
from CardiacFusionLib.spatial.errors import BadInputError, StageError
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume

CASE_FILE = "case.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_SPACE_BYTES = 64 * 1024  # ITK and VTK do not hand on the reason of a failed write: then ask the disk
_MODE = 0o777
_EARLIER = ".earlier"  # the replaced case, for the moment between two renames
_STALE_S = 86_400.0  # a partial folder untouched for a day is left over from a killed run


class FolderWriter:
    """Context manager: write into the path it gives; at success the folder appears at its place, otherwise nothing.

    The temporary folder is a hidden sibling, so that the final step is a rename. An earlier folder at the place is
    replaced only if it holds one of ``marks`` (it was made by this software) or is empty, and only after the new one
    is complete. On any exception, a cancel included, the temporary folder is removed and the earlier one stays.
    Raises BadInputError where the place cannot be written, StageError("write", ...) where the disk is full.
    """

    marks: tuple[str, ...] = (CASE_FILE, "truth.json", "twin.json")

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._temporary: Path | None = None
        self._made_parents: list[Path] = []

    def __enter__(self) -> Path:
        self._refuse_strangers()
        try:
            parent = self.path.parent
            missing = [p for p in (parent, *parent.parents) if not p.exists()]
            parent.mkdir(parents=True, exist_ok=True)
            self._made_parents = missing
            self._sweep(parent)
            self._temporary = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.partial-", dir=parent))
            self._temporary.chmod(_MODE & ~_umask())
        except OSError as error:
            self._clean()
            raise self._sentence(error) from error
        return self._temporary

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._commit()
            except OSError as failed:
                self._clean()
                raise self._sentence(failed) from failed
            return
        full = isinstance(error, OSError) and (error.errno in _FULL or self._disk_is_full())
        self._clean()
        if isinstance(error, OSError) and full:
            raise self._sentence(OSError(errno.ENOSPC, "no space")) from error

    def _sweep(self, parent: Path) -> None:
        """Remove what a run left behind that was killed before it could clean up."""
        for left in parent.glob(f".{self.path.name}.partial-*"):
            if not left.name.endswith(_EARLIER) and time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)

    def _refuse_strangers(self) -> None:
        if self.path.is_file() or (self.path.is_symlink() and not self.path.exists()):
            raise BadInputError(f"{self.path} is a file, not a folder; choose another place for the output.")
        if self.path.is_dir() and any(self.path.iterdir()) and not any((self.path / m).exists() for m in self.marks):
            raise BadInputError(
                f"The folder {self.path} exists and was not made by CardiacFusion; choose a new folder so that nothing "
                "of yours is overwritten."
            )

    def _commit(self) -> None:
        assert self._temporary is not None
        if not self.path.exists():
            self._temporary.rename(self.path)
            return
        aside = self.path.with_name(self._temporary.name + _EARLIER)
        target = self.path.resolve()  # a link to a folder stays a link
        target.rename(aside)
        try:
            self._temporary.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _clean(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        for parent in self._made_parents:
            try:
                parent.rmdir()
            except OSError:
                break  # something else was put there meanwhile: it stays

    def _disk_is_full(self) -> bool:
        try:
            return shutil.disk_usage(self.path.parent).free < _LITTLE_SPACE_BYTES
        except OSError:
            return False

    def _sentence(self, error: OSError) -> BadInputError | StageError:
        if error.errno in _FULL:
            return StageError(
                "write",
                f"the disk of {self.path.parent} is full; free some space or choose another place and run again.",
            )
        reason = error.strerror or str(error)
        return BadInputError(f"{self.path} cannot be written ({reason}); choose a place where you may write.")


class CaseWriter(FolderWriter):
    """A :class:`FolderWriter` for case folders: the folder must hold ``case.json`` in the end."""

    marks = (CASE_FILE,)

    def _commit(self) -> None:
        assert self._temporary is not None
        if not (self._temporary / CASE_FILE).is_file():
            self._clean()
            raise StageError("write", f"the case has no {CASE_FILE} and was not kept; this is a fault of the program.")
        super()._commit()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file; of a folder, over the sorted relative names and hashes of all files in it."""
    path = Path(path)
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class EarlierCase:
    """What later commands take from a finished case; None for what that run did not make."""

    folder: Path
    record: dict[str, Any]  # case.json
    ct_path: Path | None = None
    ct_sha256: str | None = None
    pose: HeartPose | None = None
    coarse_labels: Volume | None = None
    ct_walls: Volume | None = None
    tree: CoronaryTree | None = None
    synthetic: bool = False

    @property
    def by_reader(self) -> bool:
        """Whether the reader gave the landmarks that ``pose`` rests on."""
        return self.pose is not None and bool((self.record.get("parameters") or {}).get("landmarks_by_reader", False))


def read_record(folder: Path) -> dict[str, Any]:
    """``case.json`` of a case folder alone. BadInputError where it is none or the file is damaged."""
    if not (folder / CASE_FILE).is_file():
        raise BadInputError(f"{folder} is not a case folder (it holds no {CASE_FILE}); give one that a run made.")
    record = read_json(folder / CASE_FILE)
    if not isinstance(record, dict):
        raise BadInputError(f"{CASE_FILE} of {folder} is damaged; run the case again.")
    return record


def read_case(path: Path | str) -> EarlierCase:
    """Read an earlier case folder. BadInputError where it is none or one of its files is damaged.

    The pose is that of ``ct_to_heart.tfm`` with the landmarks of ``landmarks.mrk.json``.
    """
    folder = Path(path)
    record = read_record(folder)
    given = (record.get("inputs") or {}).get("ct") or {}
    return EarlierCase(
        folder=folder,
        record=record,
        ct_path=Path(given["path"]) if given.get("path") else None,
        ct_sha256=given.get("sha256"),
        pose=_pose(folder, record),
        coarse_labels=_labels(folder / "walls" / "ct_coarse.seg.nrrd"),
        ct_walls=_labels(folder / "walls" / "ct.seg.nrrd"),
        tree=_tree(folder / "coronaries" / "tree.json"),
        synthetic=bool(record.get("synthetic", False)),
    )


def _pose(folder: Path, record: dict[str, Any]) -> HeartPose | None:
    transform, landmarks = folder / "ct_to_heart.tfm", folder / "landmarks.mrk.json"
    if not transform.is_file():
        return None
    matrix = read_tfm(transform)
    points = read_landmarks(landmarks) if landmarks.is_file() else {}
    confidence = record.get("pose_confidence")
    try:
        return HeartPose(matrix, points, 1.0 if confidence is None else float(np.clip(confidence, 0, 1)))
    except ValueError as error:
        raise BadInputError(f"{transform.name} in {folder} is no heart pose ({error}); run the case again.") from error


def _labels(path: Path) -> Volume | None:
    return read_segmentation(path) if path.is_file() else None


def _tree(path: Path) -> CoronaryTree | None:
    return tree_from_json(read_json(path)) if path.is_file() else None
