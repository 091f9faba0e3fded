"""The module opens with what Slicer has, says what it waits for, and makes files of nodes for a run."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_review import FakeReview

ROOT = Path(__file__).resolve().parents[2]
THIRD_PARTY = (
    *("torch", "scipy", "skimage", "pandas", "matplotlib", "nrrd", "pydicom", "monai", "typer", "rich", "jinja2"),
    "safetensors",
)
OPEN_WITHOUT_THEM = """
import sys, types
from pathlib import Path
root, blocked = Path(sys.argv[1]), set(sys.argv[2].split())

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
sys.path[:0] = [str(root / "Testing" / "widget"), str(root / "CardiacFusion"), str(root)]
import slicer, standin_qt, standin_slicer
from PySide6 import QtWidgets
application = QtWidgets.QApplication([])
qt, ctk, own = standin_qt.make_modules()
sys.modules.update(standin_slicer.modules_of(slicer, qt, ctk, root / "CardiacFusion"))
vars(slicer).update(own, app=standin_slicer.App(Path.cwd()), modules=types.SimpleNamespace())
slicer.mrmlScene = slicer.vtkMRMLScene()
slicer.mrmlScene.RegisterNodeClass(slicer.vtkMRMLScriptedModuleNode())
import CardiacFusion
module = CardiacFusion.CardiacFusion(types.SimpleNamespace())
parent = qt.QWidget()
parent.setLayout(qt.QVBoxLayout())
parent.isEntered = True
widget = CardiacFusion.CardiacFusionWidget(parent)
widget.setup()
widget.enter()
widget.exit()
widget.enter()
print(widget.ui.applyButton.toolTip)
widget.cleanup()
"""


def test_the_module_opens_without_any_third_party_package(qapp: Any, tmp_path: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")
    command = [sys.executable, "-c", OPEN_WITHOUT_THEM, str(ROOT), " ".join(THIRD_PARTY)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert "CT" in ran.stdout


def test_an_opened_module_says_what_it_waits_for(desk: Any) -> None:
    assert not desk.ui.applyButton.enabled
    assert desk.ui.applyButton.toolTip == "Choose the CT coronary angiogram, from the scene or from disk."


def ct_node(desk: Any) -> Any:
    from CardiacFusionLib.mrml.volumes import add_volume
    from CardiacFusionLib.spatial.volume import Volume

    return add_volume(desk.scene, Volume(np.zeros((8, 9, 10), np.int16), (1, 1, 1), (0, 0, 0), np.eye(3)), "CTA 1")


def sequence_node(desk: Any, name: str) -> Any:
    node = desk.scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    node.SetIndexUnit("s")
    for k in range(20):
        frame = ct_node(desk)
        node.SetDataNodeAtValue(frame, f"{0.8 * k:.1f}")
        desk.scene.RemoveNode(frame)
    return node


def test_the_tooltip_follows_what_is_chosen(desk: Any) -> None:
    ui = desk.ui
    ui.ctSelector.setCurrentNode(ct_node(desk))
    assert desk.parameters.ct.GetName() == "CTA 1"
    assert "stress perfusion series" in ui.applyButton.toolTip
    stress = sequence_node(desk, "Stress")
    ui.stressSelector.setCurrentNode(stress)
    assert ui.applyButton.enabled and "CTA_1" in ui.applyButton.toolTip
    ui.ctFileEdit.text = str(desk.folder / "nothing.nii.gz")
    assert "chosen twice" in ui.applyButton.toolTip
    ui.ctSelector.setCurrentNode(None)
    assert "no file or folder" in ui.applyButton.toolTip
    ui.ctFileEdit.text = ""
    ui.ctSelector.setCurrentNode(ct_node(desk))
    ui.restSelector.setCurrentNode(stress)
    assert "same series" in ui.applyButton.toolTip
    ui.restSelector.setCurrentNode(None)
    ui.wallsSelector.setCurrentNode(desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine"))
    assert "'Mine' is empty" in ui.applyButton.toolTip
    ui.wallsSelector.setCurrentNode(None)
    ui.cmrLandmarksSelector.setCurrentNode(desk.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "P"))
    assert "'P' has no point" in ui.applyButton.toolTip
    ui.cmrLandmarksSelector.setCurrentNode(None)
    ui.weightsFolderEdit.text = str(desk.folder)
    assert "manifest.json" in ui.applyButton.toolTip and not ui.applyButton.enabled
    ui.weightsFolderEdit.text = ""
    assert ui.applyButton.enabled


def test_wrong_nodes_are_refused_in_the_tooltip(desk: Any) -> None:
    from CardiacFusionLib.mrml.volumes import add_volume
    from CardiacFusionLib.spatial.volume import Volume

    labels = add_volume(
        desk.scene, Volume(np.zeros((8, 9, 10), np.uint8), (1, 1, 1), (0, 0, 0), np.eye(3)), "Map", labels=True
    )
    desk.parameters.ct = labels  # a label map is a kind of scalar volume, so Slicer lets a script choose it
    assert "label map" in desk.ui.applyButton.toolTip and not desk.ui.applyButton.enabled
    desk.parameters.ct = ct_node(desk)
    desk.parameters.stress = desk.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Short")
    assert "at least 20" in desk.ui.applyButton.toolTip
    with pytest.raises(TypeError):
        desk.parameters.stress = labels


@pytest.mark.parametrize("good", [True, False])
def test_nodes_without_a_file_are_written_beside_the_case(good: bool, desk: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(desk.module.CardiacFusionLogic, "review", FakeReview())
    desk.parameters.ct, desk.parameters.stress = ct_node(desk), sequence_node(desk, "Stress")
    show = "import sys, pathlib\nprint(' '.join(sys.argv[1:]))\n"
    show += "out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
    end = "out.mkdir()\n(out / 'case.json').write_text('{}')\n" if good else "sys.exit(3)\n"
    code = show + end
    monkeypatch.setattr(desk.panel("job").Job, "command", property(lambda self: ["-c", code, *self.arguments]))
    desk.ui.applyButton.click()
    desk.wait()
    cases = desk.folder / "CardiacFusion"
    told = str(desk.ui.logText.plainText)
    assert f"--ct {cases / 'CTA_1-inputs' / 'ct.nii'}" in told
    written = sorted(p.name for p in cases.rglob("*") if p.is_file()) if cases.exists() else []
    assert written == (["case.json", "ct.nii", "stress.json", "stress.nii"] if good else [])


def test_sample_data_gets_a_ct_with_its_checksum_and_a_heart_made_here(desk: Any, monkeypatch: Any) -> None:
    entries: list[dict[str, Any]] = []

    def register(
        category: str = "Custom", sampleName: Any = None, uris: Any = None, fileNames: Any = None,
        nodeNames: Any = None, customDownloader: Any = None, thumbnailFileName: Any = None, loadFileTypes: Any = None,
        loadFiles: Any = None, loadFileProperties: Any = None, checksums: Any = None, loadFileType: Any = None,
    ) -> None:  # fmt: skip
        """The arguments that Slicer's own function takes, and no other."""
        entries.append(dict(locals()))

    class Logic:
        registerCustomSampleDataCategory = staticmethod(lambda name: None)
        registerCustomSampleDataSource = staticmethod(register)

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=Logic))
    module = desk.module.CardiacFusion(types.SimpleNamespace())
    assert desk.slicer.app.connected[-1][0] == "startupCompleted()"
    module.registerSamples()
    ct, twin = entries
    assert ct["uris"].startswith("https://raw.githubusercontent.com/") and len(ct["checksums"]) == len("SHA256:") + 64
    assert all(Path(entry["thumbnailFileName"]).is_file() for entry in entries)
    made: list[str] = []
    monkeypatch.setattr(desk.slicer.util, "selectModule", made.append, raising=False)
    desk.slicer.modules.CardiacFusionWidget = desk.widget
    monkeypatch.setattr(desk.logic, "makeTwin", lambda: made.append("twin"), raising=False)
    assert twin["customDownloader"](None) == [] and made == ["CardiacFusion", "twin"]


def test_the_sample_ct_is_the_one_that_the_tests_know(desk: Any, data_folder: Path) -> None:
    import hashlib

    digest = hashlib.sha256((data_folder / "cta" / "cta.nii.gz").read_bytes()).hexdigest()
    assert digest == desk.panel("sample_data").CT_SHA256
