"""The report of a case as one self-contained HTML file: findings first, then pictures, numbers, and how it was made."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from CardiacFusionLib.report import figures, narrowings
from CardiacFusionLib.report.bullseye import draw_bullseye
from CardiacFusionLib.report.colours import MPR_RANGE, Scale, colours_of, flow_quantity, scale_of, text_on
from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.polar import PolarMap, polar_map
from CardiacFusionLib.report.template import PAGE
from CardiacFusionLib.spatial.aha import AHA_TERRITORY, SEGMENT_NAMES
from CardiacFusionLib.spatial.quality import Level

# the pictures shown, in this order; the scene's bullseye is left to the scene, as the report draws its own
_CAPTIONS = {
    "surface_3d": "Coronaries on the wall",
    "short_axis": "Short axis, mid LV",
    "long_axis_vertical": "Vertical long axis",
    "long_axis_horizontal": "Horizontal long axis",
}
_KINDS = {
    "matched": "Narrowing and low flow match",
    "ischaemia_without_stenosis": "Low flow without a narrowing",
    "stenosis_without_ischaemia": "Narrowing without low flow",
    "microvascular": "Low flow everywhere",
}
_UNITS = {
    "ml_min_g": "mL/min/g", "relative": "(relative)", "percent": "%", "share": "%", "mm": "mm", "g": "g", "ml": "mL",
}  # fmt: skip
_WORDS = {
    "low_flow_mass": "muscle with low flow",
    "low_flow_wall": "share of the measured wall",
    "mass_at_risk": "muscle behind it",
    "ischaemic": "of that with low flow",
    "mbf_inside": "flow inside",
    "mbf_remote": "flow elsewhere",
    "mpr_inside": "reserve inside",
    "mpr_remote": "reserve elsewhere",
    "stenosis": "narrowing",
    "best_quarter": "flow of the best quarter",
    "best_quarter_mpr": "reserve of the best quarter",
}
_LEVELS = {Level.GOOD: "good", Level.DOUBTFUL: "doubtful", Level.UNUSABLE: "unusable"}
_STAGES = {
    "reorientation": "Orientation of the heart in the CT",
    "ct_walls": "Heart walls in the CT",
    "cmr_walls": "Heart walls in the MR",
    "coronaries": "Coronary arteries",
    "perfusion": "Perfusion",
    "registration": "Match of CT and MR",
    "fusion": "Fusion",
}


def write_report(content: CaseContent, views: Sequence[Path], path: Path, scene_reason: str | None = None) -> Path:
    """Write the report to ``path`` and return it.

    ``views``: PNG files of the scene (may be empty). ``scene_reason``: why pictures are missing, shown to the reader.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    path.write_text(environment.from_string(PAGE).render(**_page(content, views, scene_reason)), encoding="utf-8")
    return path


def _page(content: CaseContent, views: Sequence[Path], scene_reason: str | None) -> dict[str, Any]:
    """Everything the template shows."""
    polar = polar_map(content)
    scale = scale_of(content.stress.maps, flow_quantity(content.stress.maps))
    return {
        "title": content.title,
        "synthetic": content.synthetic,
        "level": _LEVELS[content.quality.level],
        "findings": _findings(content),
        "headline": _headline(content),
        "bullseye": _data_uri(_bullseye(content, scale, polar)),
        "views": [
            {"name": view.stem, "caption": _CAPTIONS.get(view.stem, view.stem), "data": _data_uri(view.read_bytes())}
            for view in sorted((v for v in views if v.stem in _CAPTIONS), key=lambda v: list(_CAPTIONS).index(v.stem))
        ],
        "scene_reason": scene_reason,
        "segments": _segments(content, scale),
        "has_mpr": _has(content, "mpr"),
        "unit": scale.unit if scale.unit != "1" else "relative",
        "disagree": _disagreement(content),
        "stenoses": narrowings.clear(content.tree.stenoses),
        "other_stenoses": [f"{s.branch} {s.diameter_percent:.0f} %" for s in narrowings.others(content.tree.stenoses)],
        "dominance": content.tree.dominance,
        "curves": _maybe(figures.curves_figure(content, polar)),
        "diameters": _maybe(figures.diameter_figure(content.tree)),
        "flags": _flags(content),
        "registration": _registration(content),
        "run": content.run,
        "total_s": sum(content.run.timings_s.values()),
    }


def _data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _maybe(data: bytes | None) -> str | None:
    return None if data is None else _data_uri(data)


def _has(content: CaseContent, column: str) -> bool:
    frame = content.fusion.segments
    return column in frame.columns and bool(frame[column].notna().any())


def segment_values(content: CaseContent, column: str) -> dict[int, float]:
    """Segment -> value of a column of the fused segment table."""
    frame = content.fusion.segments
    return {int(s): float(v) for s, v in zip(frame["segment"], frame[column]) if 1 <= int(s) <= 17}


def _bullseye(content: CaseContent, scale: Scale, polar: PolarMap) -> bytes:
    """Stress flow, and beside it the reserve where rest was given."""
    reserve = _has(content, "mpr")
    figure = figures.new_figure(10.4 if reserve else 5.6, 4.6)
    panels = figure.subplots(1, 2 if reserve else 1, squeeze=False)[0]
    marked = tuple(s for finding in content.fusion.findings for s in finding.segments)
    draw_bullseye(panels[0], segment_values(content, "mbf_ml_min_g"), scale, content.tree_heart, polar, marked)
    panels[0].set_title("Stress blood flow and coronaries", fontsize=11, color="#1d2530")
    if reserve:
        of_rest = Scale("mpr", *MPR_RANGE, "1", "Perfusion reserve (stress/rest)")
        draw_bullseye(panels[1], segment_values(content, "mpr"), of_rest, None, None, marked)
        panels[1].set_title("Perfusion reserve", fontsize=11, color="#1d2530")
    return figures.png(figure)


def _headline(content: CaseContent) -> str:
    """One sentence when there is no finding to say it."""
    if content.fusion.findings:
        return ""
    return "No low-flow territory and no matching narrowing were found by the automatic reading."


def _findings(content: CaseContent) -> list[dict[str, Any]]:
    """Findings, surest first, with their numbers in words."""
    rows = sorted(content.fusion.findings, key=lambda f: -f.confidence)
    return [
        {
            "kind": f.kind,
            "title": _KINDS.get(f.kind, f.kind.replace("_", " ").capitalize()),
            "vessel": " / ".join(v for v in (f.vessel, f.also) if v),
            "sentence": f.sentence,
            "confidence": round(100 * f.confidence),
            "numbers": _numbers(f.numbers),
            "segments": ", ".join(SEGMENT_NAMES.get(s, str(s)) for s in f.segments),
        }
        for f in rows
    ]


def _numbers(numbers: Mapping[str, float]) -> list[tuple[str, str]]:
    """'mass_at_risk_g': 41.0 -> ('muscle behind it', '41 g'); names that are not known are spelled out."""
    told = []
    for name, value in numbers.items():
        if not math.isfinite(value):
            continue
        suffix = next((u for u in _UNITS if name.endswith(f"_{u}")), None)
        stem = name[: -len(suffix) - 1] if suffix else name
        words = _WORDS.get(name, _WORDS.get(stem, stem.replace("_", " ")))
        amount = 100 * value if suffix == "share" else value
        digits = 0 if abs(amount) >= 10 else 1 if abs(amount) >= 0.1 or amount == 0 else 2
        told.append((words, f"{amount:.{digits}f} {_UNITS[suffix] if suffix else ''}".strip()))
    return told


def _segments(content: CaseContent, scale: Scale) -> list[dict[str, Any]]:
    """One row a segment with its colour."""
    rows = []
    marked = {s for finding in content.fusion.findings for s in finding.segments}
    for record in content.fusion.segments.to_dict("records"):
        segment = int(record["segment"])
        value = float(record["mbf_ml_min_g"])
        rgb = colours_of([value], scale.low, scale.high)[0]  # type: ignore[arg-type]
        rows.append(
            {
                "segment": segment,
                "name": record.get("name") or SEGMENT_NAMES.get(segment, ""),
                "mbf": f"{value:.2f}" if math.isfinite(value) else "–",
                "mpr": _amount(record.get("mpr")),
                "aha": record.get("territory_aha") or AHA_TERRITORY.get(segment, ""),
                "patient": record.get("territory_patient") or "–",
                "colour": "#" + "".join(f"{round(255 * c):02x}" for c in rgb),
                "ink": text_on((float(rgb[0]), float(rgb[1]), float(rgb[2]))),
                "marked": segment in marked,
            }
        )
    return rows


def _amount(value: object) -> str:
    """A number with two digits, a dash for what is missing."""
    return f"{value:.2f}" if isinstance(value, float) and math.isfinite(value) else "–"


def _disagreement(content: CaseContent) -> str | None:
    """Where the fixed map and the patient's own territories differ."""
    frame = content.fusion.segments
    if not {"territory_aha", "territory_patient"} <= set(frame.columns):
        return None
    differ = [
        SEGMENT_NAMES.get(int(s), str(s))
        for s, a, p in zip(frame["segment"], frame["territory_aha"], frame["territory_patient"])
        if isinstance(p, str) and p and isinstance(a, str) and a != p
    ]
    if not differ:
        return None
    count = f"{len(differ)} segment" + ("s" if len(differ) > 1 else "")
    return f"The fixed AHA map and this patient's nearest branch disagree in {count}: {', '.join(differ)}."


def _flags(content: CaseContent) -> list[dict[str, str]]:
    """Quality flags, worst first, without repeats."""
    seen = dict.fromkeys(sorted(content.quality.flags, key=lambda f: -int(f.level)))
    return [
        {
            "stage": _STAGES.get(f.stage, f.stage.replace("_", " ").capitalize()),
            "level": f.word,
            "reason": f.reason,
        }
        for f in seen
    ]


def _registration(content: CaseContent) -> list[dict[str, str]]:
    """How well each slice fits the CT."""
    r = content.registration
    return [
        {
            "slice": str(index + 1),
            "z": f"{float(r.pairing.z_mm[index]):.0f} mm",
            "before": f"{float(r.wall_dice_before[index]):.2f}",
            "after": f"{float(r.wall_dice_after[index]):.2f}",
            "folded": f"{100 * float(r.folded_share[index]):.1f} %",
        }
        for index in range(len(r.pairing.z_mm))
    ]
