"""Everything the Slicer panel asks of a case: open it, look at it, correct it, hand it on. One face for one caller.

Nothing here is a widget; scene work is done in ``mrml``, corrections in ``pipeline.at_work``. Errors are sentences
(BadInputError, StageError).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from CardiacFusionLib.io.case_folder import FolderWriter
from CardiacFusionLib.mrml import charts, display, jumping
from CardiacFusionLib.mrml.app import save_scene
from CardiacFusionLib.mrml.bullseye import BULLSEYE_VIEW
from CardiacFusionLib.mrml.case import CaseInScene, cases_in
from CardiacFusionLib.mrml.case import remove_case as take_out
from CardiacFusionLib.mrml.layout import LAYOUT_IDS, arrange, register_layout
from CardiacFusionLib.mrml.outputs import VIEW_NAMES
from CardiacFusionLib.mrml.picking import SegmentPick
from CardiacFusionLib.mrml.rows import FindingRow, FlagRow, LandmarkRow, MapChoice, SegmentRow, StenosisRow
from CardiacFusionLib.mrml.scene import draw_new
from CardiacFusionLib.mrml.snapshot import save_window
from CardiacFusionLib.mrml.volumes import volume_of
from CardiacFusionLib.pipeline.at_work import (
    Changed,
    Correction,
    forget_gone,
    note,
    save,
    session_of,
    show_map,
    start_session,
)
from CardiacFusionLib.pipeline.corrected_case import content_with, ct_of, open_reading, write_case
from CardiacFusionLib.pipeline.session import ReaderSession
from CardiacFusionLib.spatial.errors import BadInputError, StageError

__all__ = [
    "BULLSEYE_VIEW",
    "LAYOUT_IDS",
    "CaseInScene",
    "Changed",
    "Correction",
    "FindingRow",
    "FlagRow",
    "LandmarkRow",
    "MapChoice",
    "SegmentRow",
    "StenosisRow",
    "cases_in",
    "export_case_folder",
    "export_dicom",
    "export_report",
    "export_scene",
    "forget_gone",
    "jump_to",
    "load_case",
    "on_segment_picked",
    "register_layout",
    "remove_case",
    "save_case_record",
    "select_branch",
    "set_borders",
    "set_map",
    "set_opacity",
    "set_threshold",
    "show_case",
]


def load_case(folder: Path, scene: Any, ct: Path | None = None) -> CaseInScene:
    """Put a finished case folder into ``scene``, with the corrections kept in it.

    ``ct``: where the CT lies now, if it has moved. All nodes come in one step; on any error nothing stays behind.
    Raises BadInputError with the way out where the folder or the CT cannot be used.
    """
    reading = open_reading(Path(folder))
    volume = ct_of(reading.earlier, ct)
    session = ReaderSession(reading)
    content = content_with(reading, session.results, volume, Path(folder).resolve().name)
    drawing = draw_new(content, scene)
    case = CaseInScene(scene, drawing.shelf)
    case.shelf.set_facts(folder=str(Path(folder).resolve()), record=reading.earlier.record)
    start_session(case, session, drawing)
    note(case, session)
    return case


def remove_case(case: CaseInScene) -> int:
    """Take a case out of its scene with everything that belongs to it; the count of nodes removed."""
    count = take_out(case)
    forget_gone()
    return count


def show_case(case: CaseInScene) -> None:
    """Point all views at a case (after the layout was set)."""
    arrange(case.scene, case.nodes)
    display.add_legends(case.nodes)


def set_map(case: CaseInScene, key: str) -> None:
    """Show one of ``case.maps()`` in all views; BadInputError where it is not drawn and the case folder is gone."""
    show_map(case, key)


def set_opacity(case: CaseInScene, opacity: float) -> None:
    """Opacity 0..1 of the map over the CT."""
    display.set_opacity(case.scene, case.nodes, opacity)


def set_threshold(case: CaseInScene, low: float, high: float) -> None:
    """Draw only values between ``low`` and ``high`` of the map that is shown."""
    display.set_threshold(case.nodes, low, high)


def set_borders(case: CaseInScene, visible: bool) -> None:
    """Show or hide the borders of segments and territories."""
    display.set_borders(case.nodes, visible)


def jump_to(case: CaseInScene, kind: str, number: int | str) -> tuple[float, float, float]:
    """All views to a "segment", "stenosis", "finding" or "landmark"; the place in patient LPS mm."""
    return jumping.jump_to(case, kind, number)


def select_branch(case: CaseInScene, name: str) -> None:
    """Show the diameter along a branch; BadInputError where it has no curve."""
    if not charts.select_branch(case.shelf, name):
        raise BadInputError(f"There is no diameter curve of '{name}' in this case.")


def on_segment_picked(case: CaseInScene, callback: Callable[[int], object], interactor: Any) -> SegmentPick:
    """Call back with the segment of each click in the bullseye's view, whose VTK interactor is given; see ``stop``."""
    return SegmentPick(interactor, callback)


def save_case_record(case: CaseInScene) -> None:
    """Put the corrections of the scene into the case folder (``case.json`` and ``corrections.npz``)."""
    save(case)


def export_case_folder(case: CaseInScene, target: Path) -> Path:
    """Write the case as it stands, corrections followed, to a folder (its own is allowed); whole or not at all."""
    session = session_of(case)
    write_case(session.reading, session.results, session.corrections, Path(target))
    return Path(target)


def export_report(case: CaseInScene, target: Path, windows: Mapping[str, Any] | None = None) -> Path:
    """Write the report of the case as it stands (one HTML file).

    ``windows``: render windows (VTK) of the views that show this case now, by the names of ``VIEW_NAMES``; their
    pictures go into the report. The curves have figures of their own there.
    """
    from CardiacFusionLib.report.html import write_report

    session = session_of(case)
    content = content_with(session.reading, session.results, volume_of(case.ct), case.title)
    target, shown = Path(target), dict(windows or {})
    missing = [name for name in VIEW_NAMES if name != "curves" and name not in shown]
    reason = "Pictures of the views that were not shown are left out; the scene holds them." if missing else None
    with tempfile.TemporaryDirectory(prefix="cardiacfusion-report-") as scratch, _whole(target) as draft:
        pictures = [save_window(window, Path(scratch) / f"{name}.png") for name, window in shown.items()]
        write_report(content, pictures, draft, reason)
    return target


def export_dicom(case: CaseInScene, target: Path) -> Path:
    """Write maps and AHA segments of stress (and rest) as DICOM into a new folder, filed with their series.

    They carry that series' patient. Raises BadInputError where the series was not DICOM or is gone, StageError where
    the packages for it are missing; whole or not at all.
    """
    try:
        from CardiacFusionLib.io.dicom_maps import write_maps
        from CardiacFusionLib.io.dicom_source import source_headers
    except ImportError as error:
        raise StageError("export", f"DICOM export needs a package that is missing ({error.name}).") from error
    session = session_of(case)
    inputs = session.reading.earlier.record.get("inputs") or {}
    studies = {"stress": session.results.stress, "rest": session.results.rest}
    with FolderWriter(Path(target)) as folder:
        for state, study in studies.items():
            if study is None:
                continue
            source = Path(str((inputs.get(state) or {}).get("path", "")))
            if not source.exists():
                raise BadInputError(f"The {state} series of the case, {source}, is gone; DICOM maps need it.")
            poses = study.series.poses
            headers = source_headers(source, poses)
            units = dict(study.maps.units)
            write_maps(study.maps.maps, units, study.segment_labels, poses, headers, folder, state)
    return Path(target)


def export_scene(scene: Any, target: Path) -> Path:
    """Write the scene as a ``.mrb``, whole or not at all."""
    target = Path(target)
    try:
        save_scene(scene, target)
    except OSError as error:
        raise StageError("scene", f"{target} could not be written ({error.strerror or error}).") from error
    return target


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A draft beside ``target`` that takes its place at the end, or goes."""
    draft = target.with_name(f".{target.name}.partial")
    try:
        yield draft
        draft.replace(target)
    except OSError as error:
        full = shutil.disk_usage(target.parent).free < 64 * 1024 if target.parent.is_dir() else False
        reason = "the disk is full" if full else error.strerror or str(error)
        raise StageError("write", f"{target} could not be written ({reason}).") from error
    finally:
        draft.unlink(missing_ok=True)
