"""First-pass frames as Slicer sequences: one a slice, played together by one browser a series."""

from __future__ import annotations

from typing import Any

import numpy as np

from CardiacFusionLib.mrml.frames import ijk_to_ras, vtk_matrix
from CardiacFusionLib.mrml.shelf import Shelf, role
from CardiacFusionLib.perfusion.result import Perfusion

FOLDER = "Perfusion frames"
RATE_PER_S = 5.0


def draw_frames(shelf: Shelf, study: Perfusion, places: list[Any]) -> None:
    """The motion-corrected frames of a series; each slice's proxy volume stands under its transform of ``places``.

    Frames are counted by the mean of the slices' times, so that the slices play together.
    """
    state = study.series.state.capitalize()
    name = role("frames", state)
    if shelf.get(name) is not None:  # a correction changes no pixel of a frame, and the transforms move by themselves
        shelf.keep(name)
        return
    sequences = [_sequence(shelf.scene, study, index, state) for index in range(study.series.slice_count)]
    browser = shelf.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{state} first pass")
    browser.SetPlaybackRateFps(RATE_PER_S)
    browser.SetAndObserveMasterSequenceNodeID(sequences[0].GetID())
    for sequence in sequences[1:]:
        browser.AddSynchronizedSequenceNode(sequence)
    for sequence in sequences:
        browser.SetOverwriteProxyName(sequence, False)
        browser.SetSaveChanges(sequence, False)
    _update_proxies(browser)
    shelf.put(name, lambda: browser, folder=FOLDER)
    for index, (sequence, place) in enumerate(zip(sequences, places)):
        shelf.put(role(name, "sequence", index + 1), lambda node=sequence: node, folder=FOLDER)
        proxy = browser.GetProxyNode(sequence)
        if proxy is None:
            continue
        proxy.SetName(f"{state} frame slice {index + 1}")
        proxy.CreateDefaultDisplayNodes()
        low, high = (float(v) for v in np.percentile(study.series.array[:, index], (2, 99.5)))
        display = proxy.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(low, max(high, low + 1e-3))
        shelf.put(role(name, "proxy", index + 1), lambda node=proxy: node, folder=FOLDER, under=place)
    browser.SetSelectedItemNumber(int(study.aif.peak))


def _sequence(scene: Any, study: Perfusion, index: int, state: str) -> Any:
    import slicer
    import vtk
    from vtk.util import numpy_support

    series = study.series
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{state} first pass slice {index + 1}")
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    node.SetIndexTypeFromString("numeric")
    frame = slicer.vtkMRMLScalarVolumeNode()
    frame.SetName(f"{state} frame slice {index + 1}")
    frame.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras(series.slice_volume(series.array[0, index], index))))
    times = series.times_s.mean(axis=1)
    for t, time_s in enumerate(times):
        image = vtk.vtkImageData()
        image.SetDimensions(series.array.shape[3], series.array.shape[2], 1)
        values = np.ascontiguousarray(series.array[t, index], dtype=np.float32)
        image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(values.reshape(-1), deep=True))
        frame.SetAndObserveImageData(image)
        node.SetDataNodeAtValue(frame, f"{time_s:.3f}")
    return node


def _update_proxies(browser: Any) -> None:
    """Make the proxy nodes now. The logic that does it observes the scene; in Slicer it is the module's own, asked here
    since it waits for the end of the event loop's turn, elsewhere ``SceneApp``'s."""
    import slicer

    module = getattr(getattr(slicer, "modules", None), "sequences", None)
    if module is not None:
        module.logic().UpdateProxyNodesFromSequences(browser)
    else:
        browser.SetSelectedItemNumber(1)
        browser.SetSelectedItemNumber(0)
