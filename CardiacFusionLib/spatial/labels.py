"""The label numbers shared by CT, CMR, the digital twin, the networks and the scene."""

from enum import IntEnum


class Label(IntEnum):
    """Chambers and great vessels. CMR frames use the first four only."""

    BACKGROUND = 0
    LV_CAVITY = 1
    MYOCARDIUM = 2
    RV_CAVITY = 3
    LEFT_ATRIUM = 4
    RIGHT_ATRIUM = 5
    AORTA = 6
    PULMONARY_TRUNK = 7


CT_LABEL_COUNT = 8
CMR_LABEL_COUNT = 4
