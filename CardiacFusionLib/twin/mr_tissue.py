"""What each tissue of the twin looks like in MR: native T1, proton density, blood supply, and its cine brightness.

T1 at 1.5 T from Stanisz 2005 (Magn Reson Med 54:507) and de Bazelaire 2004 (Radiology 230:652), rounded; blood and
myocardium as in ``spatial.mr_signal``. Cine (balanced SSFP) brightness follows T2/T1: blood about 3-4 times muscle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.mr_signal import T1_BLOOD_MS, T1_MYOCARDIUM_MS
from CardiacFusionLib.twin.tissues import TISSUE_COUNT, Tissue


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

MR: dict[Tissue, MrTissue] = {
    Tissue.AIR: MrTissue(1000, 0.0, None, 0.0, 0.0),
    Tissue.TABLE: MrTissue(1000, 0.0, None, 0.0, 0.0),
    Tissue.GAS: MrTissue(1000, 0.0, None, 0.0, 0.02),
    Tissue.SKIN_FAT: MrTissue(290, 0.9, None, 0.0, 1.25),
    Tissue.ABDOMEN_FAT: MrTissue(290, 0.85, None, 0.0, 1.1),
    Tissue.MEDIASTINAL_FAT: MrTissue(300, 0.8, None, 0.0, 0.95),
    Tissue.HEART_FAT: MrTissue(310, 0.8, None, 0.0, 0.95),
    Tissue.MUSCLE: MrTissue(1000, 0.8, "systemic", 0.04, 0.28),
    Tissue.LUNG: MrTissue(1200, 0.16, "lung", 0.35, 0.06),
    Tissue.BONE_CORTEX: MrTissue(1000, 0.05, None, 0.0, 0.05),
    Tissue.BONE_MARROW: MrTissue(520, 0.6, "systemic", 0.04, 0.5),
    Tissue.CARTILAGE: MrTissue(1000, 0.5, None, 0.0, 0.35),
    Tissue.LIVER: MrTissue(590, 0.75, "systemic", 0.12, 0.4),
    Tissue.SPLEEN: MrTissue(1060, 0.8, "systemic", 0.3, 0.55),
    Tissue.STOMACH: MrTissue(1300, 0.6, None, 0.0, 0.6),
    Tissue.PERICARDIUM: MrTissue(1000, 0.3, None, 0.0, 0.2),
    Tissue.OESOPHAGUS: MrTissue(1000, 0.7, "systemic", 0.05, 0.3),
    Tissue.VESSEL_WALL: MrTissue(1000, 0.7, "systemic", 0.05, 0.35),
    Tissue.MITRAL_VALVE: MrTissue(1000, 0.6, None, 0.0, 0.4),
    Tissue.TRICUSPID_VALVE: MrTissue(1000, 0.6, None, 0.0, 0.4),
    Tissue.AORTIC_VALVE: MrTissue(1000, 0.6, None, 0.0, 0.4),
    Tissue.AORTIC_VALVE: MrTissue(1000, 0.5, None, 0.0, 0.25),
    Tissue.MYOCARDIUM: MrTissue(**_MUSCLE, pool="myocardium", blood=1.0, cine=0.3),
    Tissue.PAPILLARY: MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.38),
    Tissue.RV_WALL: MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.32),
    Tissue.RV_TRABECULA: MrTissue(**_MUSCLE, pool="myocardium", blood=0.9, cine=0.45),
    Tissue.LV_CAVITY: MrTissue(**_BLOOD, pool="lv"),
    Tissue.RV_CAVITY: MrTissue(**_BLOOD, pool="rv"),
    Tissue.LEFT_ATRIUM: MrTissue(**_BLOOD, pool="lv"),
    Tissue.RIGHT_ATRIUM: MrTissue(**_BLOOD, pool="rv"),
    Tissue.AORTA: MrTissue(**_BLOOD, pool="systemic"),
    Tissue.PULMONARY_TRUNK: MrTissue(**_BLOOD, pool="lung"),
    Tissue.SUPERIOR_CAVA: MrTissue(**_BLOOD, pool="rv"),
    Tissue.INFERIOR_CAVA: MrTissue(t1_ms=T1_BLOOD_MS, density=0.95, pool="systemic", blood=0.3, cine=0.9),
    Tissue.PULMONARY_VEIN: MrTissue(**_BLOOD, pool="lv"),
    Tissue.SPINAL_CANAL: MrTissue(2500, 0.9, None, 0.0, 1.1),
    Tissue.HEPATIC_VEIN: MrTissue(t1_ms=T1_BLOOD_MS, density=0.9, pool="systemic", blood=0.15, cine=0.7),
}


def column(attribute: str) -> NDArray[np.float64]:
    """One numeric property ("t1_ms", "density", "blood", "cine") by tissue code, shape (TISSUE_COUNT,)."""
    values = np.zeros(TISSUE_COUNT)
    for tissue, properties in MR.items():
        values[tissue] = float(getattr(properties, attribute))
    return values


def pools() -> list[str | None]:
    """The blood pool of every tissue code."""
    return [MR[Tissue(code)].pool if Tissue(code) in MR else None for code in range(TISSUE_COUNT)]
