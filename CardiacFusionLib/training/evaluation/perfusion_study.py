"""Perfusion by itself on unseen twins: CMR only, free breathing, noise of real studies.

``python -m CardiacFusionLib.training.evaluation.perfusion_study --cases 60 --seed 2000 --json FILE``

Each heart is read twice: with its *true* walls (what the perfusion stage itself costs) and with the *network's* walls
(what a user gets). Breathing (6-15 mm) and contrast-to-noise (5-20) are drawn from the seed. The truth lies at the
reference breathing position; it is moved to where motion correction has put the heart, which is nobody's error.
Synthetic hearts, never a clinical figure.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.perfusion.motion import correct_motion
from CardiacFusionLib.perfusion.result import Perfusion
from CardiacFusionLib.perfusion.stage import quantify
from CardiacFusionLib.pipeline.progress import peak_memory_mb
from CardiacFusionLib.spatial.errors import CardiacFusionError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.sections import slice_landmarks
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.training.evaluation.metrics import ISCHAEMIC_SHARE, pool
from CardiacFusionLib.training.evaluation.motion_figures import motion_figures, reference_offset, shifted
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.twin.case import draw_twin, make_twin
from CardiacFusionLib.twin.cmr.plan import THREE_LEVELS, frame_times
from CardiacFusionLib.twin.cmr.series import CmrOptions
from CardiacFusionLib.twin.flow.kinetics import Bolus, blood_curves
from CardiacFusionLib.twin.truth import Truth, TwinCase
from CardiacFusionLib.walls.cmr import segment_cmr
from CardiacFusionLib.walls.result import CmrWalls

# caudal shift with the deepest breath: tidal excursions of 2.4-8.0 mm at rest (Shechter 2004) double under a
# vasodilator (see ``twin.cmr.breathing``), and a breath of the twin has 80 % of the deepest on average: 6-20 mm, of
# which the issue asks for those up to 15
BREATHING_MM = (6.0, 15.0)
CONTRAST_TO_NOISE = (5.0, 20.0)
NO_CT_MM = (10.0, 10.0, 10.0)  # the CT of these twins is never looked at
ARRIVED_SHARE = 0.03  # the true input has arrived at this share of its peak
_STREAM = {"stress": 5, "rest": 6}  # of ``make_twin``'s seven
WALLS = ("true_walls", "network_walls")
Floats = NDArray[np.float64]


@dataclass
class StudyCase:
    """Figures of one heart; ``samples`` by kind of wall, as ``metrics.pool`` takes them."""

    seed: int
    kind: str
    breathing_mm: float
    contrast_to_noise: float
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


def study_options(seed: int) -> CmrOptions:
    """How the twin of ``seed`` is acquired."""
    draw = np.random.default_rng([seed, 4])
    return CmrOptions(
        breathing_mm=float(draw.uniform(*BREATHING_MM)),
        free_breathing=True,
        contrast_to_noise=float(draw.uniform(*CONTRAST_TO_NOISE)),
    )


def study_twin(seed: int) -> TwinCase:
    """The twin of ``seed`` with stress and rest under ``study_options``."""
    return make_twin(seed, NO_CT_MM, options=study_options(seed))


def held_still(seed: int) -> Series:
    """The stress series of the twin of ``seed`` as it would be if the heart did not breathe at all."""
    options = replace(study_options(seed), breathing_mm=0.0)
    return draw_twin(seed).cmr(rest=False, options=options).stress.series


def study_case(seed: int, twin: TwinCase) -> StudyCase:
    """All figures of one heart."""
    options, truth = study_options(seed), twin.truth
    case = StudyCase(seed, truth.kind, options.breathing_mm, options.contrast_to_noise)
    start = time.process_time()
    moved = {s.state: correct_motion(s) for s in (twin.stress, twin.rest) if s is not None}
    case.seconds["motion"] = (time.process_time() - start) / len(moved)
    stress, motion = moved["stress"]
    offset = reference_offset(motion, truth, twin.stress)
    walls = shifted(truth.cmr_labels, offset)
    case.figures["motion"] = motion_figures(twin.stress, stress, motion, truth, walls, held_still(seed))
    found: dict[str, Perfusion] = {}
    try:
        start = time.process_time()
        outlined = {state: segment_cmr(series) for state, (series, _) in moved.items()}
        case.seconds["walls"] = (time.process_time() - start) / len(moved)
        start = time.process_time()
        levels = np.array(THREE_LEVELS)
        found["true_walls"] = quantify(stress, _walls(walls, stress), motion=motion, levels=levels)
        case.seconds["quantify"] = time.process_time() - start
        found["network_walls"] = quantify(stress, outlined["stress"], motion=motion, levels=levels)
        rest = quantify(moved["rest"][0], outlined["rest"], motion=moved["rest"][1], levels=levels)
    except CardiacFusionError as error:
        case.failure = str(error)
        return case
    case.flags = sorted({f.name for f in found["network_walls"].quality.flags})
    for name, study in found.items():
        case.figures[name], case.samples[name] = flow_figures(study, truth)
        case.figures[name] |= input_figures(study, seed, options, "stress")
    case.figures["network_walls"]["mpr_bias_percent"] = _reserve_bias(found["network_walls"], rest, truth)
    case.figures["network_walls"]["wall_dice"] = dice(
        outlined["stress"].labels == Label.MYOCARDIUM, walls == Label.MYOCARDIUM
    )
    return case


def _walls(labels: NDArray[np.uint8], series: Series) -> CmrWalls:
    return CmrWalls(labels, tuple(slice_landmarks(one, pose) for one, pose in zip(labels, series.poses, strict=True)))


def flow_figures(study: Perfusion, truth: Truth) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Bias of the mean stress flow, share of segments measured, model-free over Fermi, and the pooled samples."""
    table = study.segments
    measured = {int(k): float(v) for k, v in zip(table["segment"], table["mbf_ml_min_g"]) if np.isfinite(v)}
    error = {int(k): float(v) for k, v in zip(table["segment"], table["mbf_se"])}
    shared = sorted(set(measured) & set(truth.segment_mbf_stress))
    m = np.array([measured[k] for k in shared])
    t = np.array([truth.segment_mbf_stress[k] for k in shared])
    maps = study.maps.maps
    ratio = maps["mbf_model_free"] / np.where(maps["mbf"] > 0.1, maps["mbf"], np.nan)
    figures = {
        "mbf_bias_percent": float(100 * (m.mean() / t.mean() - 1)),
        "measured_share": len(shared) / len(truth.segment_mbf_stress),
        "model_free_over_fermi": float(np.nanmedian(ratio)),
        "in_interval_share": float(np.mean(np.abs(m - t) <= 1.96 * np.array([error[k] for k in shared]))),
    }
    samples = {"measured": m.tolist(), "true": t.tolist()}
    if truth.culprits:
        samples["score"] = (-m / np.median(m)).tolist()
        samples["ischaemic"] = (t < ISCHAEMIC_SHARE * float(np.median(t))).astype(float).tolist()
    return figures, samples


def input_figures(study: Perfusion, seed: int, options: CmrOptions, state: str) -> dict[str, float]:
    """Frames by which foot and peak of the input are off, and its height in percent, against the twin's own bolus."""
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(7)[_STREAM[state]])
    times = frame_times(rng, options.frames, study.series.slice_count, state, options.missed_beat_share)
    blood = blood_curves(Bolus.draw(rng, state, options.peak_mmol_l), float(times.max()) + 1.0)
    true = blood.at("lv", study.aif.times_s)
    foot = int(np.argmax(true >= ARRIVED_SHARE * true.max())) - 1
    return {
        "foot_frames": float(abs(study.aif.foot - foot)),
        "peak_frames": float(abs(study.aif.peak - int(np.argmax(true)))),
        "input_height_percent": float(100 * (study.aif.curve.max() / true.max() - 1)),
    }


def _reserve_bias(stress: Perfusion, rest: Perfusion, truth: Truth) -> float:
    tables = [dict(zip(s.segments["segment"], s.segments["mbf_ml_min_g"])) for s in (stress, rest)]
    shared = [k for k in tables[0] if k in tables[1] and k in truth.segment_mbf_rest and tables[1][k] > 0]
    found = np.mean([tables[0][k] / tables[1][k] for k in shared])
    true = np.mean([truth.segment_mbf_stress[k] / truth.segment_mbf_rest[k] for k in shared])
    return float(100 * (found / true - 1))


def summarise(cases: Sequence[StudyCase]) -> dict[str, Any]:
    """Mean, SD and worst of every figure; correlation, limits and AUROC over all segments of all hearts."""
    result: dict[str, Any] = {}
    for group in ("motion", *WALLS):
        values: dict[str, list[float]] = {}
        for case in cases:
            for name, value in case.figures.get(group, {}).items():
                values.setdefault(name, []).append(value)
        summary: dict[str, Any] = {name: _describe(np.array(v)) for name, v in values.items()}
        if group != "motion":
            summary["pooled"] = pool([c.samples.get(group, {}) for c in cases])
            for name in ("foot_frames", "peak_frames"):
                summary[f"{name}_within_one"] = float(np.mean(np.array(values.get(name, [np.nan])) <= 1))
        result[group] = summary
    names = {name for c in cases for name in c.seconds}
    result["cpu_seconds"] = {n: float(np.mean([c.seconds[n] for c in cases if n in c.seconds])) for n in sorted(names)}
    result["rss_mb"] = peak_memory_mb()
    return result


def _describe(values: Floats) -> dict[str, float | int]:
    known = values[np.isfinite(values)]
    sd = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return {
        "mean": float(known.mean()),
        "sd": sd,
        "min": float(known.min()),
        "max": float(known.max()),
        "n": len(known),
    }


def lines(case: StudyCase) -> Iterator[str]:
    """One heart in a few lines."""
    yield (
        f"{case.seed} {case.kind}, breathing {case.breathing_mm:.0f} mm, CNR {case.contrast_to_noise:.0f}"
        + (f": failed: {case.failure}" if case.failure else "")
        + (f"; flags {', '.join(case.flags)}" if case.flags else "")
    )
    for group, figures in case.figures.items():
        yield f"  {group}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def write(cases: Sequence[StudyCase], path: Path) -> Mapping[str, Any]:
    """The summary and every heart as JSON; returns the summary."""
    summary = summarise(cases)
    each = [{k: v for k, v in vars(c).items() if k != "samples"} for c in cases]
    document = {"what": "digital twins (synthetic hearts), not patients", **summary, "each": each}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return summary


def main() -> None:
    """Run the study and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    cases = []
    for seed in range(given.seed, given.seed + given.cases):
        cases.append(study_case(seed, study_twin(seed)))
        print("\n".join(lines(cases[-1])), flush=True)
        write(cases, given.json)
    print(json.dumps(summarise(cases), indent=1))


if __name__ == "__main__":
    main()
