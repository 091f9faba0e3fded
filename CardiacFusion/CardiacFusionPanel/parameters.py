"""Everything the panel can be set to, kept in the scene by Slicer's parameter node wrapper and saved with it."""

import enum
from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

MAP_LIMIT = 10.0  # above any flow (mL/min/g) or reserve; as the upper limit it means none


class FlowMap(enum.Enum):
    """The maps a case may hold; the value is the library's name."""

    MBF = "mbf"
    MPR = "mpr"
    UPSLOPE = "upslope"
    PEAK = "peak"
    TIME_TO_PEAK = "time_to_peak"
    MODEL_FREE = "mbf_model_free"
    DELAY = "delay"
    ERROR = "mbf_se"
    MISFIT = "fit_residual"

    def label(self) -> str:
        """What the reader sees in the chooser."""
        return {
            FlowMap.MBF: _("Stress blood flow (MBF, mL/min/g)"),
            FlowMap.MPR: _("Perfusion reserve (MPR, stress/rest)"),
            FlowMap.UPSLOPE: _("Upslope"),
            FlowMap.PEAK: _("Peak enhancement"),
            FlowMap.TIME_TO_PEAK: _("Time to peak (s)"),
            FlowMap.MODEL_FREE: _("Model-free blood flow (mL/min/g)"),
            FlowMap.DELAY: _("Delay of arrival (s)"),
            FlowMap.ERROR: _("Standard error of flow (mL/min/g)"),
            FlowMap.MISFIT: _("Misfit of the flow model"),
        }[self]


class Device(enum.Enum):
    """Where the networks compute."""

    AUTOMATIC = "automatic"
    CPU = "cpu"

    def label(self) -> str:
        """What the reader sees in the chooser."""
        return {
            Device.AUTOMATIC: _("Automatic (GPU where one is usable)"),
            Device.CPU: _("Processor only"),
        }[self]


@parameterNodeWrapper
class CardiacFusionParameters:
    """Files are given as text, empty for none; a node and a file for the same examination exclude each other."""

    ct: vtkMRMLScalarVolumeNode
    ctFile: str
    stress: vtkMRMLSequenceNode
    stressFile: str
    rest: vtkMRMLSequenceNode
    restFile: str
    ownWalls: vtkMRMLSegmentationNode
    cmrLandmarks: vtkMRMLMarkupsFiducialNode
    caseFolder: str

    shownMap: FlowMap = FlowMap.MBF
    mapOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.9
    showFrom: Annotated[float, WithinRange(0.0, MAP_LIMIT)] = 0.0
    showTo: Annotated[float, WithinRange(0.0, MAP_LIMIT)] = MAP_LIMIT
    segmentBorders: bool = True

    reader: str
    exportFolder: str

    device: Device = Device.AUTOMATIC
    threads: Annotated[int, WithinRange(0, 64)] = 0
    weightsFolder: str
    pictures: bool = True
