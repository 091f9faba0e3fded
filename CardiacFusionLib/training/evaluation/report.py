"""The page of all figures (Docs/accuracy.md) from evaluation files: twin and real apart, a bar beside its figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.training.evaluation.real import flat
from CardiacFusionLib.training.evaluation.studies import STUDIES
from CardiacFusionLib.training.evaluation.summary import OURS

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure of the page: where it stands in an evaluation file, how it is called, and what it should reach.

    ``bar``: (sign, value), the sign "<=" or ">="; None where no figure was demanded.
    """

    stage: str
    name: str
    title: str
    unit: str = ""
    bar: tuple[str, float] | None = None


TWIN = (
    Row("reorientation", "axis_axial_deg", "long axis, seen in the axial plane", "°", ("<=", 1.2)),
    Row("reorientation", "axis_coronal_deg", "long axis, seen in the coronal plane", "°", ("<=", 1.5)),
    Row("reorientation", "axis_deg", "long axis in space", "°"),
    Row("reorientation", "roll_deg", "roll", "°", ("<=", 3.0)),
    Row("reorientation", "centre_mm", "centre of the heart frame", "mm", ("<=", 2.0)),
    Row("reorientation", "apex_mm", "apex on CT", "mm", ("<=", 2.0)),
    Row("reorientation", "base_mm", "base (middle of the mitral annulus) on CT", "mm", ("<=", 2.0)),
    Row("reorientation", "wall_dice", "wall CMR–CT before the SDN, Dice", "", (">=", 0.75)),
    Row("reorientation", "aspect_ratio", "aspect ratio of truly round hearts", "", (">=", 0.94)),
    Row("ct_walls", "cavity_dice", "LV cavity on CT, Dice", "", (">=", 0.95)),
    Row("ct_walls", "myocardium_dice", "LV wall on CT, Dice", "", (">=", 0.90)),
    Row("ct_walls", "hd95_mm", "LV wall on CT, 95 % Hausdorff", "mm", ("<=", 3.0)),
    Row("cmr_walls", "cavity_dice", "LV cavity on CMR, Dice", "", (">=", 0.93)),
    Row("cmr_walls", "myocardium_dice", "LV wall on CMR, Dice", "", (">=", 0.88)),
    Row("cmr_walls", "hd95_mm", "LV wall on CMR, 95 % Hausdorff", "mm"),
    Row("aif", "found", "AIF read in the LV (stress)", "share", (">=", 0.995)),
    Row("aif", "rest_found", "AIF read in the LV (rest)", "share", (">=", 0.995)),
    Row("aif", "rv_taken", "RV taken for LV (stress)", "share", ("<=", 0.0)),
    Row("aif", "rest_rv_taken", "RV taken for LV (rest)", "share", ("<=", 0.0)),
    Row("aif", "foot_frames", "foot of the AIF", "frames"),
    Row("aif", "peak_frames", "peak of the AIF", "frames"),
    Row("landmarks", "in_image_mm", "RV insertions in the slice", "mm", ("<=", 2.0)),
    Row("landmarks", "in_image_within_10mm", "… within 10 mm", "share"),
    Row("landmarks", "out_of_image_mm", "apex and base outside the stack (CT and outlines)", "mm", ("<=", 6.0)),
    Row("landmarks", "out_of_image_within_10mm", "… within 10 mm", "share"),
    Row("landmarks", "cmr_alone_out_of_image_mm", "… from the CMR's outlines alone", "mm", ("<=", 6.0)),
    Row("registration", "wall_dice", "wall after the SDN, Dice", "", (">=", 0.92)),
    Row("registration", "folded_share", "folded pixels", "share", ("<=", 0.0005)),
    Row("registration", "rv_insertion_mm", "muscle at the anterior RV insertion after the SDN", "mm", ("<=", 3.0)),
    Row("registration", "rv_insertion_inferior_mm", "… at the inferior one", "mm"),
    Row("registration", "rv_insertion_before_mm", "both, before the SDN", "mm"),
    Row("registration", "roll_deg", "roll left in the plane after the SDN", "°"),
    Row("registration", "roll_before_deg", "… before the SDN", "°"),
    Row("perfusion", "mbf_bias_percent", "global stress flow, bias", "%"),
    Row("perfusion", "segment_r", "flow per segment, correlation"),
    Row("perfusion", "segment_limits_ml_min_g", "flow per segment, limits of agreement", "mL/min/g"),
    Row("perfusion", "mpr_bias_percent", "flow reserve, bias", "%"),
    Row("perfusion", "ischaemia_auroc", "ischaemic against other segments, AUROC"),
    Row("perfusion", "motion_dice", "wall over time after motion correction, Dice"),
    Row("coronaries", "overlap", "centrelines, overlap"),
    Row("coronaries", "distance_mm", "centrelines, distance", "mm"),
    Row("coronaries", "main_named", "main branches named right", "share"),
    Row("coronaries", "side_named", "side branches named right", "share"),
    Row("coronaries", "diameter_mm", "diameter, error", "mm"),
    Row("coronaries", "stenosis_found", "stenoses ≥ 50 % found", "share"),
    Row("coronaries", "false_stenoses", "false stenoses a heart"),
    Row("fusion", "lowest_territory", "ischaemic territory is the lowest", "share"),
    Row("fusion", "first_vessel", "stenosed vessel named first", "share"),
    Row("fusion", "normal_clean", "normal heart without a finding", "share"),
    Row("quality", "auroc", "spoilt against good inputs, AUROC of the score", "", (">=", 0.97)),
    Row("quality", "heartless_called_good", "'good' on an input without a heart", "share", ("<=", 0.0)),
    Row("quality", "good_called_good", "good hearts called good", "share"),
    Row("quality", "confidence_sure_right", "poses right (5° axis, 10° roll, 5 mm) where confidence ≥ 0.5", "share"),
    Row("quality", "confidence_unsure_right", "poses right where confidence < 0.5", "share"),
    Row("quality", "confidence_brier", "confidence against right or wrong, Brier score", ""),
)  # fmt: skip
TIMES = ("reorientation", "ct_walls", "cmr_walls", "registration", "perfusion", "coronaries", "fusion")
INTRODUCTION = """# Accuracy

Made by `cardiacfusion evaluate report --json Testing/reference/evaluation --out Docs/accuracy.md` from the files named
below; nothing on this page is written by hand. Twin and real images stand apart: **a figure on the twin is not a
clinical figure**. How each is defined: `CardiacFusionLib/training/evaluation/`. 'Bar' is what the project demands of
itself.
"""


def read_documents(source: Path) -> dict[str, Document]:
    """Evaluation files (name -> content): one file, or all ``*.json`` of a folder."""
    files = sorted(source.glob("*.json")) if source.is_dir() else [source]
    found: dict[str, Document] = {}
    for file in files:
        try:
            found[file.name] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInputError(f"{file} is no evaluation file ({error}).") from error
    if not found:
        raise BadInputError(f"There are no evaluation files in {source}; make them with 'cardiacfusion evaluate'.")
    return found


def write_page(source: Path, out: Path) -> Iterator[str]:
    """Write the page of all evaluation files in ``source`` (a file or a folder); yields what was written."""
    documents = read_documents(source)
    text = page(documents)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    yield f"{out}: {len(documents)} evaluation files, {text.count(chr(10))} lines"


def page(documents: Mapping[str, Document]) -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION, _sources(documents)]
    speeds = {name: d for name, d in documents.items() if "peak_memory_mb" in d}
    twins = {name: d for name, d in documents.items() if "real" not in d and name not in speeds}
    if twins:
        parts += ["## Digital twin (synthetic hearts)\n", _table(twins), *_of_peers(twins), *_of_failures(twins)]
        parts += [*_of_studies(twins), _times(twins)]
    parts += [_of_speed(name, d) for name, d in speeds.items()]
    real = {name: d for name, d in documents.items() if "real" in d}
    if real:
        parts += ["## Real images\n", *_of_real(real)]
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def _sources(documents: Mapping[str, Document]) -> str:
    lines = ["| file | what | hearts | first seed | CT voxels |", "|---|---|---|---|---|"]
    for name, d in documents.items():
        voxels = f"{d['ct_spacing_mm']:g} mm" if "ct_spacing_mm" in d else "–"
        lines.append(f"| `{name}` | {d.get('what', '')} | {d.get('cases', '–')} | {d.get('seed', '–')} | {voxels} |")
    return "\n".join(lines) + "\n"


def _measured(row: Row, documents: Mapping[str, Document]) -> tuple[str, Mapping[str, float]] | None:
    """The figure from the file with the most cases of it."""
    found = [(n, d[row.stage][row.name]) for n, d in documents.items() if row.name in d.get(row.stage, {})]
    return max(found, key=lambda pair: pair[1].get("n", 0), default=None)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _said(figure: Mapping[str, float]) -> str:
    text = _number(figure["mean"])
    if "sd" in figure and figure.get("n", 0) > 1:
        text += f" ± {_number(figure['sd'])} (worst {_number(figure['worst'])})"
    return text


def reached(row: Row, mean: float) -> bool | None:
    """Whether a mean reaches the row's bar; None without a bar."""
    if row.bar is None:
        return None
    sign, value = row.bar
    return mean <= value if sign == "<=" else mean >= value


def _table(documents: Mapping[str, Document]) -> str:
    lines = ["| measured | unit | mean ± SD (worst) | n | bar | |", "|---|---|---|---|---|---|"]
    for row in TWIN:
        found = _measured(row, documents)
        if found is None:
            if row.bar is not None:
                lines.append(f"| {row.title} | {row.unit} | not measured | – | {row.bar[0]} {row.bar[1]:g} | **no** |")
            continue
        figure = found[1]
        met = reached(row, figure["mean"])
        bar = f"{row.bar[0]} {row.bar[1]:g}" if row.bar else ""
        verdict = "" if met is None else "yes" if met else "**no**"
        lines.append(f"| {row.title} | {row.unit} | {_said(figure)} | {figure['n']:.0f} | {bar} | {verdict} |")
    return "\n".join(lines).replace("<=", "≤").replace(">=", "≥") + "\n"


def _of_peers(documents: Mapping[str, Document]) -> list[str]:
    """Ours beside every peer on the same images; the first file that has peers."""
    compared = [d["peers"] for d in documents.values() if d.get("peers")]
    if not compared:
        return []
    peers: Mapping[str, Mapping[str, Any]] = max(compared, key=len)
    names = [OURS, *(n for n in peers if n != OURS)] if OURS in peers else list(peers)
    titles = {OURS: "ours"} | {n: n.replace("_", " ") for n in names if n != OURS}
    parts = ["### Beside other methods, on the same images\n"]
    for stage in dict.fromkeys(s for n in names for s in peers[n]):
        here = [n for n in names if stage in peers[n]]
        rows = [r for r in TWIN if r.stage == stage and any(r.name in peers[n][stage] for n in here if n != OURS)]
        rows += [Row(stage, "seconds", "time a heart", "s"), Row(stage, "seconds_a_slice", "time a slice", "s")]
        lines = [f"| {stage} | " + " | ".join(titles[n] for n in here) + " |", "|---" * (len(here) + 1) + "|"]
        for row in rows:
            cells = [peers[n][stage].get(row.name) for n in here]
            if any(c is not None for c in cells[1:] or cells):
                said = " | ".join(f"{_said(c)}, n {c['n']:.0f}" if c else "–" for c in cells)
                lines.append(f"| {row.title}{f' ({row.unit})' if row.unit else ''} | {said} |")
        parts.append("\n".join(lines) + "\n")
    return parts


def _of_speed(name: str, d: Document) -> str:
    """What ``Testing/bench/speed.py`` measured; where the machine was busy only processor seconds tell."""
    lines = [f"### Speed (`{name}`)\n", "| stage | s, wall clock | s, processor | bar |", "|---|---|---|---|"]
    for stage, row in d["stages"].items():
        bar = f"≤ {row['bar_s']:g}" if row["bar_s"] else ""
        lines.append(f"| {stage} | {_number(row['wall_s'])} | {_number(row['processor_s'])} | {bar} |")
    lines.append(f"| peak memory, MB | {d['peak_memory_mb']:.0f} | | ≤ {d['bar_memory_mb']:.0f} |")
    busy = f"{d['cores']} cores, {d['threads']} threads, {d['device']}; load of the machine meanwhile {d['load']}"
    return "\n".join(lines) + f"\n\n{busy} (1 a core is busy).\n"


def _of_failures(documents: Mapping[str, Document]) -> list[str]:
    parts = []
    for name, d in documents.items():
        if d.get("failures"):
            lines = [f"Runs that ended in an error (`{name}`, {len(d['failures'])} of {d['cases']}):\n"]
            lines += [f"* seed {seed}: {'; '.join(reasons.values())}" for seed, reasons in d["failures"].items()]
            parts.append("\n".join(lines) + "\n")
    return parts


def _of_studies(documents: Mapping[str, Document]) -> list[str]:
    """Studies of one stage by itself, every figure as it stands in the file."""
    parts = []
    for name, d in documents.items():
        for study, (what, _, _) in STUDIES.items():
            if study not in d:
                continue
            lines = [f"### {study.replace('_', ' ')}: {what} (`{name}`)\n", "| figure | value |", "|---|---|"]
            for key, value in _figures(d[study]):
                lines.append(f"| {key} | {value} |")
            parts.append("\n".join(lines) + "\n")
    return parts


def _figures(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Summaries as 'mean ± SD (worst), n'; plain numbers as they are; groups with their name before."""
    for key, value in values.items():
        if isinstance(value, dict) and "mean" in value:
            said = f"{_number(value['mean'])} ± {_number(value['sd'])}" if "max" in value else _said(value)
            span = f" ({_number(value['min'])} to {_number(value['max'])})" if "max" in value else ""
            yield f"{before}{key}", f"{said}{span}, n {value.get('n', 0):.0f}"
        elif isinstance(value, dict):
            yield from _figures(value, f"{before}{key}: ")
        elif isinstance(value, int | float):
            yield f"{before}{key}", _number(float(value))


def _times(documents: Mapping[str, Document]) -> str:
    lines = ["### Cost on the machine that evaluated\n", "| stage | s a heart | peak memory MB |", "|---|---|---|"]
    for stage in TIMES:
        found = _measured(Row(stage, "seconds", ""), documents)
        if found is not None:
            memory = documents[found[0]][stage].get("rss_mb", {}).get("worst")
            lines.append(f"| {stage} | {_said(found[1])} | {f'{memory:.0f}' if memory else '–'} |")
    return "\n".join(lines) + "\n\nThe machine was shared; `Testing/bench/` measures speed by itself.\n"


def _of_real(documents: Mapping[str, Document]) -> Sequence[str]:
    parts = []
    for name, d in documents.items():
        for part, figures in d["real"].items():
            lines = [f"### {part.replace('_', ' ')} (`{name}`)\n", "| figure | value |", "|---|---|"]
            lines += [f"| {key} | {value} |" for key, value in flat(figures)]
            parts.append("\n".join(lines) + "\n")
    return parts
