"""The report: one file, findings first, honest about what is missing, synthetic data named as such."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from CardiacFusionLib.report.content import CaseContent
from CardiacFusionLib.report.figures import segment_curves
from CardiacFusionLib.report.html import write_report
from CardiacFusionLib.report.polar import polar_map
from CardiacFusionLib.spatial.quality import Quality
from CardiacFusionLib.spatial.tree import CoronaryTree

sys.path.insert(0, str(Path(__file__).parents[1] / "mrml"))
from bullet_case import bullet_case


@pytest.fixture(scope="module")
def content() -> CaseContent:
    """The bullet heart."""
    return bullet_case(24, 6.4)


def page(content: CaseContent, folder: Path, **more) -> str:
    """The report as text."""
    return write_report(content, (), folder / "report.html", **more).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(content: CaseContent, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The bullet heart's report."""
    return page(content, tmp_path_factory.mktemp("report"))


def test_the_finding_is_read_before_anything_else(text: str) -> None:
    order = [text.index(words) for words in ("78 % of diameter", "Narrowings", "Segments", "How far to trust this")]
    assert order == sorted(order)
    assert "Narrowing and low flow match" in text and "confidence 88 %" in text
    assert "muscle behind it <b>41 g</b>" in text


def test_it_is_one_file_that_asks_for_nothing(content: CaseContent, tmp_path: Path) -> None:
    text = page(content, tmp_path)
    assert not re.search(r"https?://|<script|<link|@import", text)
    sources = re.findall(r'src="([^"]{0,22})', text)
    assert sources and all(s.startswith("data:image/png;base64") for s in sources)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_it_is_never_for_clinical_use_and_says_synthetic_only_where_so(
    content: CaseContent, text: str, tmp_path
) -> None:
    real = page(replace(content, synthetic=False), tmp_path)
    assert "SYNTHETIC" in text and "synthetic" not in real.lower().replace(".synthetic", "")
    assert min(text.count("ot for clinical use"), real.count("ot for clinical use")) >= 2


def test_quality_is_told_in_words(content: CaseContent, text: str, tmp_path: Path) -> None:
    assert "Quality: doubtful" in text
    assert "The breath-hold differed by 6 mm between slices." in text
    assert "No stage raised a doubt." in page(replace(content, quality=Quality()), tmp_path)


def test_it_says_where_the_two_territory_maps_disagree(text: str) -> None:
    assert re.search(r"disagree in 1 segments?: apical anterior", text)


def test_a_case_without_findings_narrowings_rest_or_pictures_still_has_a_report(content: CaseContent, tmp_path) -> None:
    frame = content.fusion.segments.drop(columns=["mpr", "territory_patient"]).copy()
    frame.loc[0, "mbf_ml_min_g"] = np.nan
    bare = replace(
        content,
        rest=None,
        tree=CoronaryTree((), (), "unknown", "lps"),
        fusion=replace(content.fusion, segments=frame, findings=()),
    )
    text = page(bare, tmp_path, scene_reason="No pictures: OpenGL is missing.")
    assert "No low-flow territory" in text and "No narrowing was found" in text
    assert "No pictures: OpenGL is missing." in text
    assert "Reserve" not in text
    assert re.search(r"basal anterior</td><td class=\"chip\"><span[^>]*>–", text)


def test_a_title_cannot_smuggle_markup_into_the_page(content: CaseContent, tmp_path: Path) -> None:
    text = page(replace(content, title="<b>x</b><script>1</script>"), tmp_path)
    assert "<script" not in text


def test_the_same_case_gives_the_same_bytes(content: CaseContent, text: str, tmp_path: Path) -> None:
    assert page(content, tmp_path) == text


def test_curves_of_the_ischaemic_segments_rise_less(content: CaseContent) -> None:
    curves = segment_curves(content.stress, content, polar_map(content))
    assert set(curves) == set(range(1, 17))
    ischaemic = np.mean([curves[s].max() for s in (7, 8)])
    remote = np.mean([curves[s].max() for s in (10, 11, 12)])
    assert ischaemic < 0.5 * remote
    assert abs(curves[1][:5]).max() < 1e-3  # the baseline is taken off
