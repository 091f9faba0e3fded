"""What is not in CMake's lists is not installed: the lists, the extension's description and the disk agree."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))
import cmake_lists  # noqa: E402


def test_every_file_is_installed() -> None:
    missing = cmake_lists.differences()
    assert not missing, "run 'python Testing/cmake_lists.py --write':\n" + "\n".join(missing)


def test_the_extension_describes_itself() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    told = dict(re.findall(r'set\(EXTENSION_(\w+)\s+"([^"]*)"\)', text))
    assert set(told) >= {"HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"}
    assert told["DEPENDS"] == "PyTorch" and told["CATEGORY"] == "Cardiac"
    pictures = [told["ICONURL"], *told["SCREENSHOTURLS"].split()]
    for url in pictures:
        assert url.startswith("https://raw.githubusercontent.com/")
        assert (ROOT / url.split("/main/")[1]).is_file(), url
    assert "add_subdirectory(CardiacFusion)" in text and "add_subdirectory(CardiacFusionLib)" in text
    assert "not for clinical use" in told["DESCRIPTION"]


def test_the_icon_is_of_the_size_the_index_asks_for() -> None:
    header = (ROOT / "CardiacFusion" / "Resources" / "Icons" / "CardiacFusion.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (128, 128)


def test_the_index_entry_fits_its_schema() -> None:
    entry = json.loads((ROOT / "Resources" / "ExtensionsIndex" / "CardiacFusion.json").read_text(encoding="utf-8"))
    # slicer-extension-catalog-entry-schema-v1.0.2: no other keys, these types
    types = {
        "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
        "build_dependencies": list, "build_subdirectory": str, "dicom_support_rule": str, "enabled": bool, "tier": int,
    }  # fmt: skip
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(types)
    assert all(isinstance(value, types[key]) for key, value in entry.items())
    assert entry["category"] == "Cardiac" and entry["build_dependencies"] == ["PyTorch"] and 1 <= entry["tier"] <= 5


def test_a_checkout_stays_small_enough_for_the_index() -> None:
    kept = [
        p
        for p in ROOT.rglob("*")
        if p.is_file()
        and not {".git", ".venv", ".mypy_cache", "runs", "demo", "build"} & set(p.relative_to(ROOT).parts)
    ]
    assert sum(p.stat().st_size for p in kept) < 100e6
