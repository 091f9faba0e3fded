"""Entries of Slicer's Sample Data module: a real CT by URL and checksum, and a synthetic heart made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

CATEGORY = "CardiacFusion"
CT_NAME = "Coronary CT angiogram (one patient, 1.5 mm)"
CT_NODE = "CardiacFusionCTA"
TWIN_NAME = "Synthetic heart (CT and perfusion MR)"
TWIN_NODE = "CardiacFusionTwin"
# one contrast-enhanced chest CT (120 x 126 x 164 at 1.5 mm) of TotalSegmentator's tests, Apache-2.0
CT_URL = (
    "https://raw.githubusercontent.com/wasserth/TotalSegmentator/0e65a448/"
    "tests/reference_files/aorta_report/test_result/models/ct_cropped.nii.gz"
)
CT_SHA256 = "f776ecfa1326e7e21a8c30e5530f517c16f16a59a68fc06e8119cefc7c3b87a0"


def register(icons: Path) -> None:
    """Add both entries; called once, when Slicer has started. Without the Sample Data module there is nothing to do."""
    try:
        import SampleData
    except ImportError:
        return
    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY)
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=CT_NAME,
        uris=CT_URL,
        fileNames="CardiacFusion-CTA.nii.gz",
        nodeNames=CT_NODE,
        checksums=f"SHA256:{CT_SHA256}",
        thumbnailFileName=str(icons / "CardiacFusion.png"),
    )
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=TWIN_NAME,
        uris="",
        fileNames="ct.nii.gz",
        nodeNames=TWIN_NODE,
        customDownloader=_make_twin,
        thumbnailFileName=str(icons / "SampleTwin.png"),
    )


def _make_twin(source: Any) -> list[Any]:
    """Open the module and start making the heart there; it enters the scene when it is done."""
    slicer.util.selectModule("CardiacFusion")
    slicer.modules.CardiacFusionWidget.logic.makeTwin()
    return []
