"""The numbers of one heart and chest, drawn from adult ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from CardiacFusionLib.twin.heart.sdf import unit

Array = NDArray[np.float64]


def _clip_normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


@dataclass(frozen=True)
class Ventricle:
    """Left ventricle in the design frame: z along its axis, cavity from ``tip_z`` to ``base_z`` (mm).

    Cavity: ellipsoid with half axes (radius_x, radius_y, widest x length) truncated at the base; ``widest`` is the
    share of the length at which it is widest. ``bend`` (2,) shifts the tip sideways.
    """

    tip_z: float
    base_z: float
    radius_x: float
    radius_y: float
    widest: float
    wall: float
    septum_extra: float  # share by which the septum is thicker (asymmetric hypertrophy) or thinner
    apex_wall: float
    bend: Array
    cone: float = 0.0  # 0 a half ellipsoid below the widest place; more makes the apex pointed

    @property
    def length(self) -> float:
        """Cavity length, mm."""
        return self.base_z - self.tip_z

    @property
    def centre_z(self) -> float:
        """Height of the widest place."""
        return self.tip_z + self.widest * self.length

    def centre_xy(self, z: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Centre of the cavity at height z."""
        s = np.clip((np.float32(self.base_z) - z) * np.float32(1 / self.length), 0, 1.3)
        s = s * s
        return s * np.float32(self.bend[0]), s * np.float32(self.bend[1])

    @staticmethod
    def _truncated(rx: float, ry: float, up: float, down: float, cone: float = 0.0) -> float:
        """Volume (ml) of an ellipsoid of depth ``down``, pointed by ``cone``, cut ``up`` mm above its middle."""
        s = (np.arange(64) + 0.5) / 64
        lower = float(np.mean((1 - s**2) / (1 + cone * s) ** 2))
        return float(np.pi * rx * ry * (lower * down + up - up**3 / (3 * down**2)) / 1000)

    def narrowing(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        """By how much cross-sections at height z are narrower than the ellipsoid's (1 above the widest place)."""
        s = (np.float32(self.centre_z) - z) * np.float32(1.0 / (self.widest * self.length + self.apex_wall))
        return 1 + np.float32(self.cone) * np.clip(s, 0, 1.1)

    @property
    def cavity_ml(self) -> float:
        """Volume of the smooth cavity (papillary muscles included)."""
        down = self.widest * self.length
        return self._truncated(self.radius_x, self.radius_y, self.length - down, down, self.cone)

    @property
    def muscle_ml(self) -> float:
        """Volume of the wall."""
        down = self.widest * self.length
        outer = self._truncated(
            self.radius_x + self.wall * (1 + self.septum_extra / 2),
            self.radius_y + self.wall,
            self.length - down,
            down + self.apex_wall,
            self.cone,
        )
        return outer - self.cavity_ml

    def contracted(self, contraction: float) -> Ventricle:
        """The wall at another time of systole: muscle volume kept, base moved towards the apex, wall thicker.

        Full contraction shortens the long axis by 16 % and halves to a third the volume (ejection fraction 55-65 %,
        Kawel-Boehm 2020, JCMR 22:87); the epicardial apex hardly moves.
        """
        if contraction == 0:
            return self
        shorten, shrink = 1 - 0.16 * contraction, 1 - 0.32 * contraction
        apex_wall = self.apex_wall * (1 + 0.25 * contraction)
        tip = self.tip_z + apex_wall - self.apex_wall
        epi_length = (self.base_z - self.tip_z + self.apex_wall) * shorten
        base = self.tip_z - self.apex_wall + epi_length
        small = replace(
            self, tip_z=tip, base_z=base, radius_x=self.radius_x * shrink, radius_y=self.radius_y * shrink,
            apex_wall=apex_wall,
        )  # fmt: skip
        target = self.muscle_ml
        wall = brentq(lambda w: replace(small, wall=w).muscle_ml - target, 0.5 * self.wall, 5 * self.wall)
        return replace(small, wall=float(wall))


@dataclass(frozen=True)
class Shape:
    """All parameters of one twin; positions in the design frame, offsets named ``_lps`` along the patient's axes."""

    lv: Ventricle
    chest: Array  # (3, 3) patient LPS axes -> design frame
    mitral: Array  # annulus centre
    mitral_normal: Array
    mitral_radius: float
    aortic: Array  # valve centre
    aortic_axis: Array
    aortic_radius: float
    tricuspid: Array
    tricuspid_normal: Array
    septum_half_deg: float
    septum_tilt_deg: float
    rv_bulge: float
    rv_tip: float  # height of the RV tip above the LV cavity tip
    rv_wall: float
    la_axes: Array
    ra_axes: Array
    fat: float
    papillary: float
    trabeculae: float
    vessel: float  # scale of the great vessels
    body: Array  # random numbers in -1..1 for the chest's form
    patient_fat: float
    descending: float = 1.0  # calibre of the descending aorta relative to normal (aneurysm, dissection)
    floor: float = -62.0  # lowest point of the ventricles, S from the aortic valve: the diaphragm follows it
    front: float = -62.0  # foremost point of the ventricles, P from the aortic valve: the sternum lies before it
    rv_power: float = 2.0  # of the superellipse the RV's cross-section is: 2 a crescent with a nose, 4 nearly a box
    sunk: float = 0.0  # mm the ventricles lie deep in the diaphragm, their underside flush with it
    rv_reach: float = 0.86  # how far from the LV's axis the RV is tallest, in the LV's outer radii

    def lps(self, *offset: float) -> Array:
        """An offset along the patient's left, posterior, superior axes in the design frame."""
        return self.chest @ np.asarray(offset, float)

    @staticmethod
    def draw(rng: np.random.Generator) -> Shape:
        """Adult ranges. LV volume, length and wall: Kawel-Boehm 2020 (JCMR 22:87) widened to dilated (250 ml) and
        hypertrophic (14 mm) hearts; aortic root and annulus: Vriz 2014; RV: Petersen 2017 (JCMR 19:18).

        The long axis: 45 +- 11 degrees left of the sagittal plane, 34 +- 13 degrees down, roll 0 +- 13 about it. An
        assumption from general anatomy, wide enough for both real hearts at hand (35 and 47, 48 and 17 degrees).
        """
        volume = float(np.clip(rng.lognormal(np.log(135), 0.3), 60, 250))
        epi = float(np.clip(90 + 0.085 * (volume - 135) + rng.normal(0, 6), 75, 112))
        wall = float(np.clip(rng.lognormal(np.log(8.6), 0.2), 6.0, 14.0))
        apex_wall = max(3.5, wall * rng.uniform(0.45, 0.8))
        length = epi - apex_wall
        widest = rng.uniform(0.58, 0.74)
        ellipticity = rng.uniform(0.93, 1.08)
        cone = float(rng.uniform(0.0, 0.35))
        form = Ventricle._truncated(1.0, 1.0, length * (1 - widest), length * widest, cone)
        radius = float(np.clip(np.sqrt(volume / form), 17.0, 36.0))
        lv = Ventricle(
            -length / 2, length / 2, radius * ellipticity, radius / ellipticity, widest, wall,
            float(rng.choice([0.0, 0.1, 0.35], p=[0.5, 0.4, 0.1]) + rng.normal(0, 0.06)), apex_wall,
            np.array([3.0, 0.0]) + rng.normal(0, 4, 2), cone,
        )  # fmt: skip
        azimuth = np.deg2rad(_clip_normal(rng, 45, 11, 15, 75))
        elevation = np.deg2rad(_clip_normal(rng, 34, 13, 2, 70))
        z = np.array([
            -np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation), np.sin(elevation)
        ])  # fmt: skip
        roll = np.deg2rad(_clip_normal(rng, 0, 13, -38, 38))
        down = np.array([0.0, 0.0, -1.0])
        y = unit(down - (down @ z) * z)
        x = np.cross(y, z)
        x, y = np.cos(roll) * x + np.sin(roll) * y, np.cos(roll) * y - np.sin(roll) * x
        chest = np.stack([x, y, z])
        scale = float(np.sqrt((radius + wall) / 36.0))
        mitral = np.array([5.0, 4.0, lv.base_z]) + rng.normal(0, 1.5, 3) * [1, 1, 0.3]
        annulus = _clip_normal(rng, 12.5 * np.sqrt(scale), 1.2, 10, 16)
        aortic = mitral + np.array([-20.0, -17.0, 3.0]) * scale + rng.normal(0, 2.0, 3)
        axis = unit(chest @ (np.array([-0.25, -0.2, 0.95]) + rng.normal(0, 0.1, 3)))
        # a root must not point into the mitral annulus: at least 30 degrees up the heart's own axis
        axis = unit(axis + max(0.0, 0.5 - float(axis[2])) * np.array([0, 0, 1.0]))
        rv_big = rng.random() < 0.15
        return Shape(
            lv, chest, mitral, unit(np.array([0, 0, 1.0]) + rng.normal(0, 0.09, 3)),
            _clip_normal(rng, 15.5, 1.5, 12, 20),
            aortic, axis, annulus,
            mitral + np.array([-49.0, 14.0, -7.0]) * scale + rng.normal(0, 3, 3),
            unit(np.array([-0.25, 0.15, 0.95]) + rng.normal(0, 0.08, 3)),
            _clip_normal(rng, 64, 9, 45, 86), _clip_normal(rng, 0, 5, -12, 12),
            _clip_normal(rng, 50 if rv_big else 38, 6, 22, 62), rng.uniform(-3, 15), rng.uniform(2.8, 4.5),
            np.array([32.0, 21.0, 28.0]) * rng.uniform(0.82, 1.28) * np.exp(rng.normal(0, 0.07, 3)),
            np.array([26.0, 27.0, 30.0]) * rng.uniform(0.76, 1.2) * np.exp(rng.normal(0, 0.07, 3)),
            float(np.clip(rng.lognormal(np.log(2.2), 0.6), 0.5, 9.0)), rng.uniform(0.6, 1.35), rng.uniform(0.0, 1.0),
            rng.uniform(0.88, 1.15), rng.uniform(-1, 1, 16), float(np.clip(rng.lognormal(np.log(20), 0.5), 5, 60)),
            float(rng.uniform(1.2, 1.9) if rng.random() < 0.12 else rng.normal(1.0, 0.08)),
        )  # fmt: skip

    def unusual(self, rng: np.random.Generator) -> Shape:
        """This heart with a ventricle of a disease: walls up to 22 mm, a septum up to twice as thick as the free wall,
        cavities up to 42 mm of radius, small ventricles, or a dilated right heart (Elliott 2014, EHJ 35:2733; Pinto
        2016, EHJ 37:1850)."""
        lv = self.lv
        kind = rng.choice(["hypertrophic", "asymmetric", "dilated", "small", "right"])
        if kind == "hypertrophic":
            wall, narrow = min(lv.wall * rng.uniform(1.25, 1.9), 22.0), rng.uniform(0.8, 1.0)
            lv = replace(lv, wall=wall, radius_x=lv.radius_x * narrow, radius_y=lv.radius_y * narrow)
        elif kind == "asymmetric":
            lv = replace(lv, septum_extra=float(rng.uniform(0.35, 1.0)))
        elif kind == "dilated":
            wide = min(float(rng.uniform(1.1, 1.35)), 42.0 / max(lv.radius_x, lv.radius_y))
            lv = replace(
                lv, wall=max(lv.wall * rng.uniform(0.7, 1.0), 5.0), radius_x=lv.radius_x * wide,
                radius_y=lv.radius_y * wide,
            )  # fmt: skip
        elif kind == "small":
            narrow = rng.uniform(0.72, 0.9)
            lv = replace(lv, radius_x=lv.radius_x * narrow, radius_y=lv.radius_y * narrow)
        else:
            return replace(self, rv_bulge=float(rng.uniform(50, 72)))
        return replace(self, lv=lv)

    def other_tip(self, rng: np.random.Generator) -> Shape:
        """This heart with any wall at its tip, rounder or more pointed: from the thin point of most hearts (1.2 mm,
        Johnson 2009, J Comput Assist Tomogr 33:334; 2 mm or less in 97 %, Bradfield 1977, Br Heart J 39:806) to none.
        """
        lv = self.lv
        apex_wall = max(1.2, lv.wall * float(rng.uniform(0.12, 1.1)))
        return replace(self, lv=replace(lv, apex_wall=apex_wall, cone=float(rng.uniform(0.0, 0.5))))

    def other_right(self, rng: np.random.Generator) -> Shape:
        """This heart with any right ventricle beside it: its crescent turned about the LV, flat or wide, pointed
        or as tall as the LV throughout, short or reaching the tip, thin-walled, its valve elsewhere; half of
        them lean, and most with their underside flat on the diaphragm.

        Where its blood carries no contrast, a network that saw the usual right hearts only draws those.
        """
        half, reach = _clip_normal(rng, 64, 13, 40, 92), float(rng.uniform(0.75, 1.15))
        outer = self.lv.radius_y + self.lv.wall
        # it must come as far back as its insertions, or it would lie beside the LV without touching it
        least = outer * ((reach - np.cos(np.deg2rad(half))) / 0.8 - (1 - reach))
        return replace(
            self, septum_half_deg=half, septum_tilt_deg=_clip_normal(rng, 0, 14, -32, 32), rv_reach=reach,
            rv_bulge=max(float(rng.uniform(18, 60)), float(least)), rv_power=float(rng.uniform(2.0, 3.5)),
            rv_tip=float(rng.uniform(-4, 26)), rv_wall=float(rng.uniform(1.5, 4.5)),
            tricuspid=self.tricuspid + rng.normal(0, 5, 3),
            fat=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.5 else self.fat,
            sunk=float(rng.uniform(5, 35)) if rng.random() < 0.7 else 0.0,
        )  # fmt: skip

    def at_phase(self, contraction: float) -> Shape:
        """The same heart ``contraction`` (0..1) into systole: the valve plane follows the LV base, atria fill."""
        lv = self.lv.contracted(contraction)
        descent = np.array([0, 0, lv.base_z - self.lv.base_z])
        ratio = (lv.radius_x + lv.wall) / (self.lv.radius_x + self.lv.wall)
        return replace(
            self, lv=lv, mitral=self.mitral + descent, aortic=self.aortic + 0.8 * descent,
            tricuspid=self.tricuspid * [ratio, ratio, 1] + 1.2 * descent,
            rv_bulge=self.rv_bulge * (1 - 0.3 * contraction),
            rv_wall=self.rv_wall * (1 + 0.4 * contraction), la_axes=self.la_axes * (1 + 0.1 * contraction),
            ra_axes=self.ra_axes * (1 + 0.08 * contraction), papillary=self.papillary * (1 + 0.1 * contraction),
        )  # fmt: skip
