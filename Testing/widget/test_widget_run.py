"""Run and Cancel: whatever happens to the child, the panel says a sentence and the next run works."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_review import FakeReview
from processes import group_of

SAY_PID = "import os, sys, json, time\nos.setsid()\nprint(json.dumps({'pid': os.getpid()}), flush=True)\n"
TELL = (
    "def tell(stage, fraction):\n"
    "    print(json.dumps({'stage': stage, 'fraction': fraction, 'message': stage}), flush=True)\n"
)
MAKE_CASE = (
    "import pathlib\nout = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
    "out.mkdir()\n(out / 'case.json').write_text('{}')\n"
)
HALF_A_CASE = (
    "import pathlib\nout = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
    "half = out.with_name('.' + out.name + '.partial-x')\nhalf.mkdir()\n(half / 'big').write_text('x')\n"
)
WAIT = "tell('reorient', 0.5)\ntime.sleep(600)\n"
GRANDCHILD = "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
def review(desk: Any, monkeypatch: pytest.MonkeyPatch) -> FakeReview:
    """The library's face, played."""
    fake = FakeReview()
    monkeypatch.setattr(desk.module.CardiacFusionLogic, "review", fake)
    return fake


@pytest.fixture
def play(desk: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a script be the child, and choose two files, so that Run can be pressed."""
    job = desk.panel("job").Job

    def script(text: str) -> None:
        code = SAY_PID + TELL + text
        monkeypatch.setattr(job, "command", property(lambda self: ["-c", code, *self.arguments]))

    for name in ("ct.nii.gz", "stress.nii.gz"):
        (desk.folder / name).write_bytes(b"x")
    desk.parameters.ctFile = str(desk.folder / "ct.nii.gz")
    desk.parameters.stressFile = str(desk.folder / "stress.nii.gz")
    return script


@pytest.fixture(autouse=True)
def nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No failure here is unexpected, so none may reach the log as an error."""
    yield
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def press_run(desk: Any) -> None:
    assert desk.ui.applyButton.enabled, desk.ui.applyButton.toolTip
    desk.ui.applyButton.click()


def until(desk: Any, true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let Qt work until something holds."""
    loop, ticker, limit = desk.qt.QEventLoop(), desk.qt.QTimer(), desk.qt.QTimer()
    ticker.timeout.connect(lambda: loop.quit() if true() else None)
    ticker.start(10)
    limit.setSingleShot(True)
    limit.timeout.connect(loop.quit)
    limit.start(int(1000 * seconds))
    loop.exec_()
    ticker.stop()
    assert true()


def left_behind(desk: Any) -> list[str]:
    """Files and folders beside the two inputs."""
    places = [*desk.folder.rglob("*"), *desk.folder.parent.glob("cardiacfusion-run-*")]
    return sorted(p.name for p in places if p.name not in ("ct.nii.gz", "stress.nii.gz"))


def a_good_run_follows(desk: Any, play: Callable[[str], None], review: FakeReview) -> None:
    """The panel is usable afterwards."""
    review.error = None
    play(MAKE_CASE)
    press_run(desk)
    desk.wait()
    assert desk.logic.case is not None
    assert "not for clinical use" in desk.last()


def start_and_wait(desk: Any) -> int:
    """Press Run, wait for the first progress line, give the child's number."""
    press_run(desk)
    until(desk, lambda: desk.logic.run is not None and desk.logic.run.progress.stage == "reorient")
    assert not desk.ui.applyButton.enabled and desk.ui.cancelButton.enabled
    return int(desk.logic.run.progress.pid)


def test_a_good_run_ends_with_the_case_in_the_scene(desk: Any, play: Any, review: FakeReview) -> None:
    play("tell('read', 1.0)\nprint('a line of a library')\n" + MAKE_CASE)
    press_run(desk)
    desk.wait()
    assert [case.folder for case in review.loaded] == [desk.folder / "CardiacFusion" / "ct"]
    assert desk.logic.correction.watching
    assert "a line of a library" in desk.ui.logText.plainText
    assert desk.ui.reviewButton.enabled and not desk.ui.reviewButton.collapsed
    assert desk.ui.applyButton.enabled and not desk.ui.cancelButton.enabled
    assert "ct-2" in desk.ui.applyButton.toolTip  # the next case stands beside this one


def test_progress_tells_stage_share_and_time(desk: Any, play: Any, review: FakeReview) -> None:
    play(WAIT)
    start_and_wait(desk)
    assert desk.ui.stageLabel.text == "Finding the heart's axes in the CT"
    assert 0 < desk.ui.progressBar.value < 50
    assert "elapsed" in desk.ui.timeLabel.text
    desk.ui.cancelButton.click()
    desk.wait()


@pytest.mark.parametrize("child", [WAIT, GRANDCHILD + WAIT, DEAF + GRANDCHILD + WAIT], ids=["obeys", "parent", "deaf"])
def test_cancel_leaves_no_process_no_file_and_the_scene_as_it_was(
    child: str, desk: Any, play: Any, review: FakeReview
) -> None:
    play(HALF_A_CASE + child)
    before = desk.scene.GetNumberOfNodes()
    pid = start_and_wait(desk)
    desk.ui.cancelButton.click()
    desk.wait(20)
    until(desk, lambda: group_of(pid) == [], 5)
    assert "cancelled" in desk.last() and "nothing was written" in desk.last()
    assert desk.scene.GetNumberOfNodes() == before
    assert left_behind(desk) == []
    a_good_run_follows(desk, play, review)


def test_a_killed_child_is_explained(desk: Any, play: Any, review: FakeReview) -> None:
    play(HALF_A_CASE + WAIT)
    pid = start_and_wait(desk)
    os.kill(pid, signal.SIGKILL)
    desk.wait(20)
    assert "ended from outside" in desk.last() and "memory" in desk.last()
    assert left_behind(desk) == []
    a_good_run_follows(desk, play, review)


def test_the_childs_own_reason_is_shown(desk: Any, play: Any, review: FakeReview) -> None:
    sentence = "write: the disk of /somewhere is full; free some space or choose another place and run again."
    play(f"print('UserWarning: x', file=sys.stderr)\nprint({sentence!r}, file=sys.stderr)\nsys.exit(3)\n")
    press_run(desk)
    desk.wait()
    assert desk.last() == sentence
    assert "b00020" in desk.ui.messageLabel.styleSheet
    a_good_run_follows(desk, play, review)


def test_a_child_without_words_is_explained_too(desk: Any, play: Any, review: FakeReview) -> None:
    play("sys.exit(3)\n")
    press_run(desk)
    desk.wait()
    assert "code 3" in desk.last() and "log" in desk.last()


def test_a_program_that_cannot_be_started_is_explained(
    desk: Any, play: Any, review: FakeReview, monkeypatch: Any
) -> None:
    play(MAKE_CASE)
    with monkeypatch.context() as patch:
        patch.setattr(desk.panel("job").Job, "program", property(lambda self: "/no/such/python"))
        press_run(desk)
        desk.wait()
    assert "could not be started" in desk.last()
    assert left_behind(desk) == []
    a_good_run_follows(desk, play, review)


def test_a_full_disk_is_found_before_the_run(desk: Any, play: Any, review: FakeReview, monkeypatch: Any) -> None:
    play(MAKE_CASE)
    usage = desk.panel("job").shutil.disk_usage
    with monkeypatch.context() as patch:
        patch.setattr(desk.panel("job").shutil, "disk_usage", lambda p: usage(p)._replace(free=1e6))
        desk.logic.fuse(desk.parameters)
        assert "GB free" in desk.last() and not desk.logic.running
    a_good_run_follows(desk, play, review)


def test_a_disk_that_fills_while_inputs_are_written_is_explained(
    desk: Any, play: Any, review: FakeReview, monkeypatch: Any
) -> None:
    from CardiacFusionLib.mrml import inputs

    play(MAKE_CASE)

    def full(parameters: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(inputs, "file_of", lambda node: None)
        patch.setattr(desk.panel("prepare"), "_add_inputs", lambda job, parameters, out: full(parameters))
        press_run(desk)
    assert "No space left on device" in desk.last()
    assert left_behind(desk) == []
    a_good_run_follows(desk, play, review)


def test_a_case_that_cannot_enter_the_scene_is_explained(desk: Any, play: Any, review: FakeReview) -> None:
    from CardiacFusionLib.spatial.errors import BadInputError

    play(MAKE_CASE)
    review.error = BadInputError("The case folder is damaged; run it again.")
    press_run(desk)
    desk.wait()
    assert desk.last() == "The case folder is damaged; run it again."
    assert desk.logic.case is None
    a_good_run_follows(desk, play, review)


def test_closing_the_scene_cancels_the_run(desk: Any, play: Any, review: FakeReview) -> None:
    play(HALF_A_CASE + GRANDCHILD + WAIT)
    pid = start_and_wait(desk)
    desk.scene.Clear(0)
    until(desk, lambda: group_of(pid) == [], 10)
    assert "scene was closed" in desk.last()
    assert not desk.logic.running and left_behind(desk) == []
    assert desk.parameters is not None and desk.parameters.ctFile == ""  # a new parameter node for the new scene
    desk.parameters.ctFile = str(desk.folder / "ct.nii.gz")
    desk.parameters.stressFile = str(desk.folder / "stress.nii.gz")
    a_good_run_follows(desk, play, review)


def test_reloading_the_module_ends_its_run(desk: Any, play: Any, review: FakeReview) -> None:
    play(HALF_A_CASE + GRANDCHILD + WAIT)
    pid = start_and_wait(desk)
    desk.widget.cleanup()
    until(desk, lambda: group_of(pid) == [], 10)
    assert left_behind(desk) == []
    again = desk.module.CardiacFusionWidget(desk.widget.parent)  # what reloading does next
    again.setup()
    desk.widget = again
    assert desk.parameters.ctFile.endswith("ct.nii.gz")  # settings live in the scene
    a_good_run_follows(desk, play, review)


def test_what_the_reader_brought_along_is_used_at_the_end(
    desk: Any, play: Any, review: FakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    from CardiacFusionLib.pipeline import own_marks
    from CardiacFusionLib.spatial.errors import BadInputError

    used: list[tuple[str, Any]] = []

    def outline(correction: Any, node: Any) -> None:
        used.append(("outline", node.GetName()))
        raise BadInputError("The segmentation 'Mine' has no segment called 'lv wall'; name it so.")

    monkeypatch.setattr(own_marks, "take_outline", outline)
    walls = desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    walls.GetSegmentation().AddEmptySegment("s", "anything")
    desk.parameters.ownWalls = walls
    play(MAKE_CASE)
    press_run(desk)
    desk.wait()
    assert used == [("outline", "Mine")]
    assert "no segment called 'lv wall'" in desk.last() and desk.logic.case is not None


def test_a_second_run_waits_for_the_first(desk: Any, play: Any, review: FakeReview) -> None:
    play(WAIT)
    start_and_wait(desk)
    desk.logic.fuse(desk.parameters)
    assert "still at work" in desk.last()
    desk.ui.cancelButton.click()
    desk.wait()
    assert left_behind(desk) == []


def test_advanced_settings_reach_the_child(desk: Any, play: Any, review: FakeReview, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "manifest.json").write_text("{}")
    parameters = desk.parameters
    parameters.weightsFolder, parameters.threads, parameters.pictures = str(weights), 2, False
    desk.ui.deviceBox.currentIndex = 1
    names = ("CARDIACFUSION_MODELS", "CUDA_VISIBLE_DEVICES", "TMPDIR")
    show = f"print(json.dumps({{k: os.environ.get(k) for k in {names}}}))\n"
    play(show + "print(' '.join(sys.argv[1:]))\n" + MAKE_CASE)
    press_run(desk)
    desk.wait()
    first, second = desk.ui.logText.plainText.splitlines()[:2]
    told = json.loads(first)
    assert told["CARDIACFUSION_MODELS"] == str(weights) and told["CUDA_VISIBLE_DEVICES"] == ""
    assert "cardiacfusion-run-" in told["TMPDIR"]
    assert second.startswith("--threads 2 fuse --ct") and "--no-pictures" in second
