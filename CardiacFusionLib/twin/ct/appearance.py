"""How bright every tissue is in one examination, and the smooth fields that keep it from being uniform."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.twin.heart.tissues import TISSUE_COUNT, Tissue

Field = NDArray[np.float32]

# texture of a tissue: which unit-variance field it carries and how many HU one unit is
RIGHT_HEART = (
    Tissue.RV_CAVITY, Tissue.RIGHT_ATRIUM, Tissue.SUPERIOR_CAVA, Tissue.INFERIOR_CAVA,
)  # fmt: skip


@dataclass(frozen=True)
class Appearance:
    """HU per tissue ``hu`` (TISSUE_COUNT,) and how strong (HU) the fields are that make it uneven.

    ``mixing``, ``left_mixing``: contrast and blood in the right and left heart; ``shading``: everywhere;
    ``muscle_mixing``: the wall; ``aorta_mixing``: a dissected aorta; ``streak``: beam hardening about the caval vein.
    """

    hu: NDArray[np.float32]
    mixing: float
    left_mixing: float
    shading: float
    texture: float
    lung_vessels: float
    muscle_mixing: float
    aorta_mixing: float
    streak: float
    streak_phase: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Appearance:
        """Ranges of contrast-enhanced cardiac CT at 80-140 kV.

        LV blood 190-650 HU, myocardium 65-200 (first pass), lung -900..-700, fat -110..-60, liver 50-130,
        cortex up to 900 HU. The right heart goes from washed out to undiluted contrast.
        """
        hu = np.zeros(TISSUE_COUNT, np.float32)
        blood = float(np.clip(rng.normal(400, 95), 190, 650))
        muscle = float(np.clip(rng.normal(0.27, 0.05) * blood + rng.normal(10, 15), 65, 200))
        style = rng.choice(3, p=[0.35, 0.4, 0.25])  # flushed with saline, mixed, undiluted contrast
        right = (rng.uniform(40, 0.6 * blood), rng.uniform(0.55, 1.1) * blood, rng.uniform(1.0, 1.6) * blood)[
            int(style)
        ]
        soft = rng.uniform(30, 65)
        fat = rng.uniform(-112, -65)
        hu[Tissue.AIR] = -1000
        hu[[Tissue.SKIN_FAT, Tissue.ABDOMEN_FAT]] = fat + rng.normal(0, 5)
        hu[[Tissue.MEDIASTINAL_FAT, Tissue.HEART_FAT]] = fat + rng.uniform(0, 18)
        hu[Tissue.MUSCLE] = soft + rng.uniform(0, 25)
        hu[Tissue.LUNG] = rng.uniform(-910, -700)
        hu[Tissue.BONE_CORTEX] = rng.uniform(350, 900)
        hu[Tissue.BONE_MARROW] = rng.uniform(80, 320)
        hu[Tissue.CARTILAGE] = rng.uniform(70, 180)
        hu[Tissue.LIVER] = rng.uniform(50, 130)
        hu[Tissue.SPLEEN] = rng.uniform(60, 190)
        hu[Tissue.STOMACH] = rng.uniform(-10, 110)
        hu[Tissue.GAS] = rng.uniform(-1000, -880)
        hu[Tissue.PERICARDIUM] = soft
        hu[Tissue.OESOPHAGUS] = soft + rng.uniform(-10, 15)
        hu[Tissue.VESSEL_WALL] = soft + rng.uniform(0, 40)
        hu[[Tissue.MITRAL_VALVE, Tissue.TRICUSPID_VALVE, Tissue.AORTIC_VALVE]] = soft + rng.uniform(20, 60)
        hu[[Tissue.MYOCARDIUM, Tissue.PAPILLARY]] = muscle
        hu[Tissue.PAPILLARY] += rng.uniform(0, 30)
        hu[Tissue.RV_WALL] = muscle + rng.normal(0, 8)
        hu[Tissue.RV_TRABECULA] = 0.5 * (muscle + right)
        hu[Tissue.LV_CAVITY] = blood
        atrium = blood + rng.normal(0, 25) + (rng.uniform(0, 120) if rng.random() < 0.2 else 0.0)
        hu[[Tissue.LEFT_ATRIUM, Tissue.PULMONARY_VEIN]] = atrium
        hu[Tissue.AORTA] = blood + rng.normal(0, 20) + (rng.uniform(-90, 40) if rng.random() < 0.25 else 0.0)
        hu[Tissue.RV_CAVITY] = right
        hu[Tissue.RIGHT_ATRIUM] = right * rng.uniform(0.75, 1.25)
        hu[Tissue.PULMONARY_TRUNK] = (
            right * rng.uniform(0.85, 1.1) if rng.random() < 0.75 else blood * rng.uniform(0.6, 1)
        )
        hu[Tissue.SUPERIOR_CAVA] = rng.uniform(0.8, 1.3) * right if style == 0 else rng.uniform(1.0, 2.6) * right
        hu[Tissue.INFERIOR_CAVA] = rng.uniform(50, 200)
        hu[Tissue.TABLE] = rng.uniform(-900, -300)
        hu[Tissue.SPINAL_CANAL] = rng.uniform(20, 45)
        hu[Tissue.HEPATIC_VEIN] = hu[Tissue.LIVER] + rng.uniform(-20, 50)
        return Appearance(
            hu,
            float(right * (0.05, 0.22, 0.3)[int(style)] * rng.uniform(0.3, 1.5)),
            float(blood * rng.uniform(0, 0.04)),
            float(rng.uniform(0, 14)), float(rng.uniform(2, 16)), float(rng.uniform(300, 1100)),
            float(muscle * rng.uniform(0, 0.12)), float((rng.random() < 0.06) * rng.uniform(0.2, 0.5) * blood),
            float((rng.random() < 0.4) * rng.uniform(10, 110)), float(rng.uniform(0, 2 * np.pi)),
        )  # fmt: skip

    def unusual(self, rng: np.random.Generator) -> Appearance:
        """This examination at an unlucky moment: weak enhancement, a venous phase with both hearts alike, very dense
        contrast (80 kV), or fluid in the pericardium."""
        hu = self.hu.copy()
        left = [Tissue.LV_CAVITY, Tissue.LEFT_ATRIUM, Tissue.PULMONARY_VEIN, Tissue.AORTA]
        blood, muscle = float(hu[Tissue.LV_CAVITY]), float(hu[Tissue.MYOCARDIUM])
        kind = rng.choice(["weak", "venous", "dense", "effusion"])
        if kind == "weak":
            hu[left] += np.float32(muscle + rng.uniform(65, 150) - blood)
        elif kind == "venous":
            level = float(rng.uniform(150, 260))
            hu[[*left, *RIGHT_HEART, Tissue.PULMONARY_TRUNK]] = level + rng.normal(0, 6)
            hu[[Tissue.INFERIOR_CAVA, Tissue.HEPATIC_VEIN]] = level * rng.uniform(0.6, 1.0)
            hu[[Tissue.MYOCARDIUM, Tissue.PAPILLARY, Tissue.RV_WALL]] = level - rng.uniform(60, 110)
            hu[Tissue.LIVER] = rng.uniform(80, 140)
        elif kind == "dense":
            hu[left] += np.float32(rng.uniform(600, 950) - blood)
        else:
            hu[Tissue.HEART_FAT] = rng.uniform(0, 45)
        return replace(self, hu=hu)

    def flushed(self, rng: np.random.Generator) -> Appearance:
        """This examination after a saline chaser has cleared the right heart: its blood from unenhanced (40 HU) to
        somewhat above the muscle, so that septum and free wall show as brighter sheets, hardly or not at all.

        Now and then remains of contrast are left in the right atrium or the pulmonary trunk.
        """
        hu = self.hu.copy()
        if rng.random() < 0.5:
            muscle = float(rng.uniform(70, min(200.0, 0.6 * float(hu[Tissue.LV_CAVITY]))))
            hu[[Tissue.MYOCARDIUM, Tissue.PAPILLARY]] = muscle
            hu[Tissue.RV_WALL] = muscle + rng.normal(0, 10)
        muscle = float(hu[Tissue.MYOCARDIUM])
        right = float(rng.uniform(30, muscle + 25))
        hu[[*RIGHT_HEART, Tissue.PULMONARY_TRUNK]] = right + rng.normal(0, 4, len(RIGHT_HEART) + 1)
        hu[Tissue.RV_TRABECULA] = right + rng.uniform(0.2, 1.0) * (muscle - right)
        left = float(hu[Tissue.LV_CAVITY])
        if rng.random() < 0.3:
            hu[[Tissue.SUPERIOR_CAVA, Tissue.RIGHT_ATRIUM]] = right + rng.uniform(0, 1) * (left - right)
        if rng.random() < 0.4:
            hu[Tissue.PULMONARY_TRUNK] = right + rng.uniform(0.3, 1) * (left - right)
        if rng.random() < 0.3:
            hu[[Tissue.LIVER, Tissue.STOMACH]] = right + rng.normal(0, 8, 2)
        return replace(self, hu=hu, mixing=float(right * rng.uniform(0, 0.2)))

    def strange(self, rng: np.random.Generator) -> Appearance:
        """This examination in a body that no range above holds: water, soft tissue or lung where fat belongs, filled
        lungs, flat tissues, walls of vessels or of the right ventricle that do not show, abdomen as bright as muscle.

        Where borders carry little, a network that saw such bodies must know the heart by its form.
        """
        hu = self.hu.copy()
        muscle, soft = float(hu[Tissue.MYOCARDIUM]), float(hu[Tissue.MUSCLE])
        levels = {
            "fat": float(hu[Tissue.HEART_FAT]), "water": rng.uniform(-10, 25),
            "soft": float(np.clip(muscle - rng.uniform(0, 80), 5, 110)), "lung": float(hu[Tissue.LUNG]),
        }  # fmt: skip
        about = levels[rng.choice(list(levels), p=[0.2, 0.2, 0.5, 0.1])]
        hu[Tissue.HEART_FAT] = about
        if rng.random() < 0.6:
            hu[Tissue.MEDIASTINAL_FAT] = about + rng.normal(0, 8)
        if rng.random() < 0.3:
            hu[[Tissue.SKIN_FAT, Tissue.ABDOMEN_FAT]] = soft
        if rng.random() < 0.25:
            hu[Tissue.LUNG] = rng.uniform(-600, 60)
        if rng.random() < 0.5:
            hu[[Tissue.PERICARDIUM, Tissue.VESSEL_WALL]] = about
        if rng.random() < 0.3:
            hu[Tissue.RV_WALL] = about
        if rng.random() < 0.4:
            hu[Tissue.PAPILLARY] = hu[Tissue.LV_CAVITY]
        if rng.random() < 0.5:
            hu[Tissue.RV_TRABECULA] = hu[Tissue.RV_CAVITY]
        if rng.random() < 0.4:
            hu[[Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH]] = muscle + rng.normal(0, 15, 3)
        if rng.random() < 0.5:
            return replace(self, hu=hu)
        return replace(self, hu=hu, mixing=0.0, left_mixing=0.0, texture=0.0, lung_vessels=0.0, muscle_mixing=0.0)

    def fields_of(self, tissue: Tissue) -> tuple[tuple[str, float], ...]:
        """Names of the fields this tissue carries with their strength in HU."""
        if tissue in RIGHT_HEART:
            return (("mixing", self.mixing),)
        if tissue == Tissue.LUNG:
            return (("vessels", self.lung_vessels),)
        if tissue == Tissue.PULMONARY_TRUNK:
            return (("mixing", 0.4 * self.mixing),)
        if tissue == Tissue.MYOCARDIUM:
            return (("texture", 0.5 * self.muscle_mixing), ("mixing", 0.5 * self.muscle_mixing))
        if tissue == Tissue.AORTA:
            return (("mixing", self.aorta_mixing),) if self.aorta_mixing else ()
        if tissue in (Tissue.LEFT_ATRIUM, Tissue.LV_CAVITY):
            return (("mixing", self.left_mixing),)
        if tissue in (Tissue.LIVER, Tissue.SPLEEN, Tissue.MUSCLE, Tissue.STOMACH, Tissue.BONE_MARROW):
            return (("texture", self.texture * (4.0 if tissue in (Tissue.BONE_MARROW, Tissue.STOMACH) else 1.0)),)
        return ()


def field_values(name: str, values: Field) -> Field:
    """A field's values where they are used: of "vessels" only the crests show, and none outshines the heart."""
    return np.clip(values, 0, 1) if name == "vessels" else values


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: NDArray[np.float64], length_mm: float
) -> Field:
    """Unit-variance random field (z, y, x) that varies over about ``length_mm``; ``spacing`` in (z, y, x) order."""
    knots = [max(int(np.ceil(n * s / length_mm)), 1) + 2 for n, s in zip(shape, spacing, strict=True)]
    field = rng.standard_normal(knots, dtype=np.float32)
    for axis, n in enumerate(shape):
        place = (np.arange(n) * (spacing[axis] / length_mm) + rng.uniform(0, 1)).clip(0, knots[axis] - 1.001)
        low = place.astype(int)
        w = (place - low).astype(np.float32)
        w = w * w * (3 - 2 * w)
        matrix = np.zeros((n, knots[axis]), np.float32)
        norm = np.sqrt((1 - w) ** 2 + w**2)
        matrix[np.arange(n), low] = (1 - w) / norm
        matrix[np.arange(n), low + 1] = w / norm
        field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field, dtype=np.float32)


def draw_fields(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: NDArray[np.float64]
) -> dict[str, Field]:
    """The fields that :meth:`Appearance.fields_of` names plus "shading", on a grid (z, y, x)."""
    blobs = 0.7 * smooth_field(rng, shape, spacing, 32.0) + 0.7 * smooth_field(rng, shape, spacing, 14.0)
    fine = smooth_field(rng, shape, spacing, max(7.0, 1.5 * float(spacing.max())))
    vessels = fine - np.float32(1.3)
    return {
        "mixing": np.clip(blobs, -2.2, 2.2), "texture": fine, "vessels": vessels,
        "shading": smooth_field(rng, shape, spacing, 80.0),
    }  # fmt: skip
