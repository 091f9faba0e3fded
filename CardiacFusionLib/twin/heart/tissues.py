"""What the digital twin is made of, and which CT label each tissue carries."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from CardiacFusionLib.spatial.labels import Label


class Tissue(IntEnum):
    """Tissue codes of the twin; the order says nothing."""

    AIR = 0  # outside the body
    SKIN_FAT = 1
    MUSCLE = 2  # chest wall
    LUNG = 3
    BONE_CORTEX = 4
    BONE_MARROW = 5
    CARTILAGE = 6  # discs, costal cartilage
    ABDOMEN_FAT = 7
    LIVER = 8
    STOMACH = 9
    GAS = 10  # stomach, oesophagus, airways
    SPLEEN = 11
    MEDIASTINAL_FAT = 12
    PERICARDIUM = 13
    HEART_FAT = 14  # inside the pericardium
    OESOPHAGUS = 15
    VESSEL_WALL = 16  # atria, veins, aorta, pulmonary arteries
    MITRAL_VALVE = 17  # leaflets; clinical contours leave them in the cavity they hang in
    MYOCARDIUM = 18  # of the left ventricle
    LV_CAVITY = 19
    PAPILLARY = 20  # papillary muscles and trabeculae: muscle that clinical contours leave in the cavity
    RV_WALL = 21
    RV_CAVITY = 22
    LEFT_ATRIUM = 23
    RIGHT_ATRIUM = 24
    AORTA = 25  # root, ascending, arch, descending
    PULMONARY_TRUNK = 26  # trunk and main branches
    SUPERIOR_CAVA = 27
    INFERIOR_CAVA = 28
    PULMONARY_VEIN = 29
    TABLE = 30
    SPINAL_CANAL = 31
    HEPATIC_VEIN = 32
    RV_TRABECULA = 33
    AORTIC_VALVE = 34
    TRICUSPID_VALVE = 35


TISSUE_COUNT = len(Tissue)

TISSUE_TO_LABEL = np.zeros(TISSUE_COUNT, dtype=np.uint8)
for _tissue, _label in {
    Tissue.MYOCARDIUM: Label.MYOCARDIUM,
    Tissue.LV_CAVITY: Label.LV_CAVITY,
    Tissue.PAPILLARY: Label.LV_CAVITY,
    Tissue.RV_CAVITY: Label.RV_CAVITY,
    Tissue.MITRAL_VALVE: Label.LV_CAVITY,
    Tissue.RV_TRABECULA: Label.RV_CAVITY,
    Tissue.TRICUSPID_VALVE: Label.RV_CAVITY,
    Tissue.AORTIC_VALVE: Label.AORTA,
    Tissue.LEFT_ATRIUM: Label.LEFT_ATRIUM,
    Tissue.RIGHT_ATRIUM: Label.RIGHT_ATRIUM,
    Tissue.AORTA: Label.AORTA,
    Tissue.PULMONARY_TRUNK: Label.PULMONARY_TRUNK,
}.items():
    TISSUE_TO_LABEL[_tissue] = _label
TISSUE_TO_LABEL.setflags(write=False)
