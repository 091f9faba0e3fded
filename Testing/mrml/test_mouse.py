"""A landmark dragged by the mouse through Slicer's own widget, the views drawn by its own display managers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PINNED_BACKEND

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")

from bullet_case import bullet_case
from case_results import results_of, write_case_folder

from CardiacFusionLib.io.case_folder import sha256_of
from CardiacFusionLib.io.write import write_volume
from CardiacFusionLib.mrml.app import SceneApp, choose_window
from CardiacFusionLib.mrml.frames import array_of
from CardiacFusionLib.mrml.layout import PLANES
from CardiacFusionLib.mrml.markups import landmarks_of
from CardiacFusionLib.mrml.transforms import matrix_of
from CardiacFusionLib.mrml.view_windows import SliceView
from CardiacFusionLib.pipeline import review
from CardiacFusionLib.spatial.pose import apply


def test_a_dragged_apex_moves_the_other_views_and_its_release_the_whole_case(tmp_path: Path) -> None:
    import slicer

    choose_window(PINNED_BACKEND)
    content = bullet_case(48, 3.2)
    ct = tmp_path / "ct.nrrd"
    write_volume(content.ct, ct)
    folder = write_case_folder(results_of(content), tmp_path / "case", ct, sha256_of(ct))
    with SceneApp() as app:
        case = review.load_case(folder, app.scene)
        review.show_case(case)
        changes: list[review.Changed] = []
        hand = review.Correction(case, app.scene, changes.append, pytest.fail)
        hand.watch()
        views = {p.layout: SliceView(app, p.layout, p.preset, (400, 400)) for p in PLANES}
        try:
            review.jump_to(case, "landmark", "apex")
            for view in views.values():
                view.grab()
            green = views["Green"]
            style = slicer.vtkMRMLSliceViewInteractorStyle()
            style.SetSliceLogic(green.logic)
            style.SetDisplayableManagers(green.group)
            style.SetInteractor(green.interactor)
            to_heart = matrix_of(case.nodes.ct_to_heart)
            x, y = green.pixel_of(tuple(apply(to_heart, landmarks_of(case.landmarks)["apex"])))

            def mouse(event: str, right: int = 0) -> None:
                green.interactor.SetEventInformation(round(x) + right, round(y))
                green.interactor.InvokeEvent(event)

            before = {name: array_of(view.node.GetSliceToRAS()) for name, view in views.items()}
            pictures = {name: _picture(view) for name, view in views.items()}
            for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent"):
                mouse(event)
            for right in range(2, 22, 2):
                mouse("MouseMoveEvent", right)
            borders = case.shelf.get("borders.segments").GetDisplayNode()
            outlines = case.walls.GetDisplayNode()
            assert not borders.GetVisibility2D()  # of the old segments: not over the new planes
            assert outlines.GetSegmentVisibility2DOutline("myocardium")
            assert not outlines.GetSegmentVisibility2DOutline("left_atrium")
            turned = array_of(views["Yellow"].node.GetSliceToRAS())
            assert np.abs(turned - before["Yellow"])[:3, :3].max() > 0.02  # another view followed
            assert np.abs(array_of(green.node.GetSliceToRAS()) - before["Green"]).max() < 1e-9  # this one stood still
            assert np.abs(_picture(views["Yellow"]) - pictures["Yellow"]).max() > 50
            assert changes == []
            mouse("LeftButtonReleaseEvent", 20)
            assert [c.what for c in changes] == [("Apex",)]
            assert borders.GetVisibility2D() and outlines.GetSegmentVisibility2DOutline("left_atrium")
            moved_mm = 20 * green.node.GetFieldOfView()[0] / 400
            assert hand.landmarks()[0].moved_mm == pytest.approx(moved_mm, abs=0.6)
            now = apply(matrix_of(case.nodes.ct_to_heart), landmarks_of(case.landmarks)["apex"])
            assert np.abs(now[:2]).max() < 1e-3
            hand.undo()
            np.testing.assert_allclose(matrix_of(case.nodes.ct_to_heart), to_heart, atol=1e-9)
        finally:
            hand.unwatch()
            for view in views.values():
                view.close()


def _picture(view: SliceView) -> np.ndarray:
    from vtk.util import numpy_support

    image = view.grab()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).astype(int)
