"""What each tissue of the twin looks like in MR: native T1, proton density, blood supply, and its cine brightness.

T1 at 1.5 T from Stanisz 2005 (Magn Reson Med 54:507) and de Bazelaire 2004 (Radiology 230:652), rounded; blood and
myocardium as in ``spatial.mr_signal``. Cine (balanced SSFP) brightness follows T2/T1: blood about 3-4 times muscle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.mr_signal import T1_BLOOD_MS, T1_MYOCARDIUM_MS
from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, Tissue


@dataclass(frozen=True)
class MrTissue:
    """One tissue. ``pool``: blood pool that fills it ("rv", "lung", "lv", "systemic", "myocardium"), None if bloodless.

    ``blood``: share of the pool's concentration found in the tissue. ``cine``: brightness in balanced SSFP (blood 1).
    """

    t1_ms: float
    density: float
    pool: str | None
    blood: float
    cine: float


_BLOOD = {"t1_ms": T1_BLOOD_MS, "density": 0.95, "blood": 1.0, "cine": 1.0}
_MUSCLE = {"t1_ms": T1_MYOCARDIUM_MS, "density": 0.85}

# by the name of the ``Tissue``
MR: dict[str, MrTissue] = {
    "AIR": MrTissue(1000, 0.0, None, 0.0, 0.0),
    "TABLE": MrTissue(1000, 0.0, None, 0.0, 0.0),
    "GAS": MrTissue(1000, 0.0, None, 0.0, 0.02),
    "SKIN_FAT": MrTissue(290, 0.9, None, 0.0, 1.25),
    "ABDOMEN_FAT": MrTissue(290, 0.85, None, 0.0, 1.1),
    "MEDIASTINAL_FAT": MrTissue(300, 0.8, None, 0.0, 0.95),
    "HEART_FAT": MrTissue(310, 0.8, None, 0.0, 0.95),
    "MUSCLE": MrTissue(1000, 0.8, "systemic", 0.04, 0.28),
    "LUNG": MrTissue(1200, 0.16, "lung", 0.35, 0.06),
    "BONE_CORTEX": MrTissue(1000, 0.05, None, 0.0, 0.05),
    "BONE_MARROW": MrTissue(520, 0.6, "systemic", 0.04, 0.5),
    "CARTILAGE": MrTissue(1000, 0.5, None, 0.0, 0.35),
    "LIVER": MrTissue(590, 0.75, "systemic", 0.12, 0.4),
    "SPLEEN": MrTissue(1060, 0.8, "systemic", 0.3, 0.55),
    "STOMACH": MrTissue(1300, 0.6, None, 0.0, 0.6),
    "PERICARDIUM": MrTissue(1000, 0.3, None, 0.0, 0.2),
    "OESOPHAGUS": MrTissue(1000, 0.7, "systemic", 0.05, 0.3),
    "VESSEL_WALL": MrTissue(1000, 0.7, "systemic", 0.05, 0.35),
    "MITRAL_VALVE": MrTissue(1000, 0.6, None, 0.0, 0.4),
    "TRICUSPID_VALVE": MrTissue(1000, 0.6, None, 0.0, 0.4),
    "AORTIC_VALVE": MrTissue(1000, 0.6, None, 0.0, 0.4),
    "MYOCARDIUM": MrTissue(**_MUSCLE, pool="myocardium", blood=1.0, cine=0.3),
    "PAPILLARY": MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.38),
    "RV_WALL": MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.32),
    "RV_TRABECULA": MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.45),
    "LV_CAVITY": MrTissue(**_BLOOD, pool="lv"),
    "RV_CAVITY": MrTissue(**_BLOOD, pool="rv"),
    "LEFT_ATRIUM": MrTissue(**_BLOOD, pool="lv"),
    "RIGHT_ATRIUM": MrTissue(**_BLOOD, pool="rv"),
    "AORTA": MrTissue(**_BLOOD, pool="systemic"),
    "PULMONARY_TRUNK": MrTissue(**_BLOOD, pool="lung"),
    "SUPERIOR_CAVA": MrTissue(**_BLOOD, pool="rv"),
    "INFERIOR_CAVA": MrTissue(t1_ms=T1_BLOOD_MS, density=0.95, pool="systemic", blood=0.3, cine=0.9),
    "PULMONARY_VEIN": MrTissue(**_BLOOD, pool="lv"),
    "SPINAL_CANAL": MrTissue(2500, 0.9, None, 0.0, 1.1),
    "HEPATIC_VEIN": MrTissue(t1_ms=T1_BLOOD_MS, density=0.9, pool="systemic", blood=0.15, cine=0.7),
}


def column(attribute: str) -> NDArray[np.float64]:
    """One numeric property ("t1_ms", "density", "blood", "cine") by tissue code, shape (TISSUE_COUNT,)."""
    values = np.zeros(TISSUE_COUNT)
    for tissue in Tissue:
        values[tissue] = float(getattr(MR[tissue.name], attribute))
    return values


def pools() -> list[str | None]:
    """The blood pool of every tissue code."""
    names: list[str | None] = [None] * TISSUE_COUNT
    for tissue in Tissue:
        names[tissue] = MR[tissue.name].pool
    return names


def other_muscle() -> list[int]:
    """Codes of the heart's muscle outside the left ventricular wall: papillary muscles, trabeculae, RV wall."""
    return [int(t) for t in Tissue if MR[t.name].pool == "myocardium" and t != Tissue.MYOCARDIUM]
