"""A heart made unlike the twin: plain ellipsoids, cylinders and flat tissues about straight axes.

It shares no formula and no number with ``CardiacFusionLib/twin``, and no network has learnt from it: what the stages do
on it tells how they do on hearts of another make.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.series import Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

Array = NDArray[np.float64]
TISSUES = ("air", "lung", "muscle", "fat", "bone", "liver", "rv_wall", "rv", "ra", "la", "aorta", "pa", "myo", "lv",
           "svc", "pericardial_fat")  # fmt: skip
CODE = {name: code for code, name in enumerate(TISSUES)}
LABEL_OF = {"lv": Label.LV_CAVITY, "myo": Label.MYOCARDIUM, "rv": Label.RV_CAVITY, "la": Label.LEFT_ATRIUM,
            "ra": Label.RIGHT_ATRIUM, "aorta": Label.AORTA, "pa": Label.PULMONARY_TRUNK}  # fmt: skip
# mean and SD of HU from heart to heart
HU = {
    "lv": (420, 60), "la": (410, 60), "aorta": (430, 50), "rv": (240, 90), "ra": (200, 90), "pa": (260, 90),
    "svc": (300, 150), "myo": (105, 15), "muscle": (55, 8), "fat": (-95, 8), "pericardial_fat": (-80, 12),
    "bone": (420, 80), "liver": (85, 20), "lung": (-840, 30),
}  # fmt: skip
DIMMEST_HU = {"rv": 70.0, "ra": 60.0, "pa": 80.0, "svc": 60.0}
# signal before the bolus arrives; what passes of it is added
REST_SIGNAL = {
    "air": 5, "lung": 12, "muscle": 60, "bone": 50, "liver": 80, "rv_wall": 55, "myo": 55, "rv": 40, "ra": 40, "la": 40,
    "aorta": 40, "pa": 40, "lv": 40, "svc": 40,
}  # fmt: skip
BLOOD_BEYOND_MM = 2.0  # the ventricle's blood reaches so far beyond its wall, to the atrium's
WIDEST = 0.42  # share of the ventricle's length at which it is widest, from the valve on


def _unit(v: Array) -> Array:
    return np.asarray(v / np.linalg.norm(v), float)


@dataclass
class PlainHeart:
    """One heart; ``seed`` draws its size, its place, its tissues and how it is pictured."""

    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        r = self.rng = np.random.default_rng((self.seed, 777))
        self.centre = r.normal(0, 6, 3)
        self.down = _unit(_unit(np.array([0.66, -0.55, -0.51])) + r.normal(0, 0.13, 3))  # valve -> apex, LPS
        right = np.array([-0.72, -0.69, 0.05]) + r.normal(0, 0.13, 3)
        self.septal = _unit(right - right @ self.down * self.down)  # LV -> RV
        anterior = np.cross(self.down, self.septal)
        self.anterior = anterior * np.sign(anterior[2])
        self.radius, self.wall, self.length = r.uniform(20, 27), r.uniform(7, 12), r.uniform(72, 92)
        self.rv_axes = np.array([r.uniform(30, 40), r.uniform(36, 46), 0.47 * self.length])
        self.rv_aside = self.radius * r.uniform(0.6, 1.0) + 10
        self.tip, self.power = r.uniform(0.35, 1.0), r.uniform(1.6, 2.3)  # wall at the tip over the wall; roundness
        self.outflow = r.uniform(10, 17)
        self.tilt = _unit(np.array([-0.25 + r.normal(0, 0.1), -0.1 + r.normal(0, 0.1), 1.0]))
        self.hu = {name: max(float(r.normal(*HU[name])), DIMMEST_HU.get(name, -2000.0)) for name in HU}
        self.hu |= {"rv_wall": self.hu["myo"], "air": -1000.0}
        self.noise_hu = r.uniform(15, 45)

    def turn(self, degrees: tuple[float, float]) -> None:
        """Let the heart lie otherwise in its body: turned by so much (from, to) about an axis of any direction."""
        r = np.random.default_rng((self.seed, 778))
        rotation = Rotation.from_rotvec(_unit(r.normal(size=3)) * r.uniform(*degrees), degrees=True)
        self.down, self.septal, self.anterior = rotation.apply([self.down, self.septal, self.anterior])

    def _local(self, p: Array) -> tuple[Array, Array, Array]:
        q = p - self.centre
        return q @ self.septal, q @ self.anterior, q @ self.down

    def _ventricle(self, z: Array, thickness: float) -> Array:
        """Radius of the left ventricle at ``z`` (towards the apex), so thick beyond the cavity."""
        along, widest = z + self.length / 2, WIDEST * self.length
        tip = self.length - self.wall + thickness * self.tip
        share = np.where(along > widest, (along - widest) / (tip - widest), (widest - along) / (2 * widest))
        return (self.radius + thickness) * np.clip(1 - np.abs(share) ** self.power, 0, None) ** (1 / self.power)

    def tissue(self, p: Array) -> NDArray[np.uint8]:
        """Tissue codes (...) at LPS points (..., 3)."""
        x, y, z = self._local(p)
        left, back, up = p[..., 0], p[..., 1], p[..., 2]
        along, out = z + self.length / 2, np.zeros(p.shape[:-1], np.uint8)

        def paint(name: str, where: NDArray[np.bool_]) -> None:
            out[where] = CODE[name]

        def tube(start: Array, direction: Array, radius: float, reach: tuple[float, float]) -> NDArray[np.bool_]:
            q = p - start
            h = q @ direction
            away = np.linalg.norm(q - h[..., None] * direction, axis=-1)
            return (h > reach[0]) & (h < reach[1]) & (away < radius)

        paint("fat", (left / 175) ** 2 + ((back - 15) / 120) ** 2 < 1)
        paint("muscle", (left / 162) ** 2 + ((back - 15) / 107) ** 2 < 1)
        for side in (1, -1):
            paint("lung", ((left - side * 78) / 66) ** 2 + ((back - 15) / 92) ** 2 + ((up - 20) / 180) ** 2 < 1)
        paint("liver", ((left + 35) / 120) ** 2 + ((back - 10) / 95) ** 2 + ((up + 130) / 78) ** 2 < 1)
        paint("bone", (left / 18) ** 2 + ((back - 95) / 20) ** 2 < 1)
        paint("bone", (left / 15) ** 2 + ((back + 86) / 7) ** 2 < 1)
        paint("pericardial_fat", ((x - 18) / 78) ** 2 + (y / 62) ** 2 + ((z + 8) / 72) ** 2 < 1)
        right = self._right(x, y, z)
        paint("rv_wall", (right < 1.18) & (along > -4))
        paint("rv", (right < 1) & (along > -4))
        paint("ra", ((x - 52) / 30) ** 2 + ((y + 6) / 30) ** 2 + ((along + 30) / 30) ** 2 < 1)
        paint("la", ((x + 2) / 34) ** 2 + ((y + 4) / 31) ** 2 + ((along + 24) / 26) ** 2 < 1)
        valve = self.centre - self.down * self.length / 2
        root = valve + 2 * self.down + self.septal * (self.outflow + 6) + self.anterior * self.outflow
        paint("aorta", tube(root, self.tilt, 15, (-4, 70)))
        paint("aorta", np.hypot(left - 22, back - 62) < 12)
        trunk = self.centre + self.septal * (self.rv_aside + 2) + self.anterior * (self.rv_axes[1] - 8)
        pulmonary = tube(trunk - self.down * 10, _unit(np.array([0.25, 0.45, 0.85])), 13, (-6, 60))
        paint("pa", pulmonary & (out != CODE["aorta"]))
        vein = valve - 30 * self.down + self.septal * 52
        paint("svc", (np.hypot(left - vein[0], back - vein[1]) < 9) & (up > vein[2]))
        away = np.hypot(x, y)
        paint("myo", (away < self._ventricle(z, self.wall)) & (along > 0) & (z < self.length / 2))
        paint("lv", (away < self._ventricle(z, 0)) & (along > -BLOOD_BEYOND_MM) & (z < self.length / 2 - self.wall))
        return out

    def _right(self, x: Array, y: Array, z: Array) -> Array:
        a, b, c = self.rv_axes
        return ((x - self.rv_aside) / a) ** 2 + (y / b) ** 2 + ((z + 4) / c) ** 2

    def labels(self, p: Array) -> NDArray[np.uint8]:
        """``Label`` (...) at LPS points (..., 3)."""
        table = np.zeros(len(TISSUES), np.uint8)
        for name, label in LABEL_OF.items():
            table[CODE[name]] = label
        return table[self.tissue(p)]

    def insertions(self, share: float) -> dict[str, Array]:
        """Where the right ventricle's cavity ends on the left one's outer surface, LPS; ``share`` of the length from
        the valve. Empty where they do not meet."""
        z = (share - 0.5) * self.length
        angle = np.radians(np.arange(0, 180, 0.1))
        radius = float(self._ventricle(np.array(z), self.wall))
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        met = np.flatnonzero(self._right(x, y, np.full_like(x, z)) < 1)
        if not met.size:
            return {}
        middle = self.centre + self.down * z + self.septal * x[met[-1]]
        return {
            "rv_insertion_anterior": middle + self.anterior * y[met[-1]],
            "rv_insertion_inferior": middle - self.anterior * y[met[-1]],
        }

    def mitral_centre(self) -> Array:
        """Middle of the area where the left ventricle's blood meets the atrium's, LPS. The aorta takes a part of the
        opening, so this is not the middle of the opening as a whole."""
        across = np.arange(-45.0, 45.1, 0.5)
        level = self.centre - self.down * (self.length / 2 + BLOOD_BEYOND_MM)
        plane = level + across[:, None, None] * self.septal + across[:, None] * self.anterior
        below, above = self.labels(plane + 0.3 * self.down), self.labels(plane - 0.3 * self.down)
        met = (below == Label.LV_CAVITY) & (above == Label.LEFT_ATRIUM)
        return np.asarray(plane[met].mean(axis=0), float)

    def pose(self) -> HeartPose:
        """The true heart frame: epicardial tip, middle of the mitral annulus, ends of the septum where it is widest."""
        return HeartPose.from_landmarks({
            "apex": self.centre + self.down * (self.length / 2 - self.wall * (1 - self.tip)),
            "base": self.mitral_centre(),
            **self.insertions(WIDEST),
        })  # fmt: skip

    def ct(self, spacing_mm: float = 1.0) -> Volume:
        """A CT of 200 x 200 x 150 mm about the heart, HU int16, axes along LPS."""
        size = np.array([200.0, 200.0, 150.0])
        middle = self.centre - self.down * 8 + self.septal * 15 + self.rng.normal(0, 6, 3)
        shape = (size / spacing_mm).astype(int)
        empty = np.zeros(tuple(shape[::-1]), np.int16)
        grid = Volume(empty, (spacing_mm,) * 3, tuple(middle - size / 2), np.eye(3))
        table = np.array([self.hu[name] for name in TISSUES], np.float32)
        image = ndimage.gaussian_filter(table[self.tissue(grid.grid_lps())], 0.7 / spacing_mm)
        noise = ndimage.gaussian_filter(self.rng.normal(0, 1, image.shape).astype(np.float32), 0.6)
        return grid.with_array(np.round(image + noise * (self.noise_hu / noise.std())).astype(np.int16))

    def series(self) -> tuple[Series, NDArray[np.uint8]]:
        """A first pass in three short-axis slices, and the true ``Label`` (slice, y, x) of its slices."""
        r = self.rng
        pixel = r.uniform(1.2, 2.8)
        n = int(r.uniform(230, 340) / pixel)
        signal = self._signals()
        across = _unit(np.array([1.0, 0.0, 0.0]) - self.down[0] * self.down)
        rows = np.cross(self.down, across)
        if r.random() < 0.4:  # stored upside down
            across, rows = -across, -rows
        axes = np.stack([across, rows, np.cross(across, rows)], 1)
        levels = [0.26, 0.47, 0.68]
        poses = []
        for level in levels if r.random() < 0.5 else levels[::-1]:
            middle = self.centre + self.down * (level - 0.5) * self.length + self.septal * 10
            corner = middle - (across + rows) * (n - 1) / 2 * pixel
            poses.append(SlicePose(tuple(corner), axes, (pixel, pixel), 8.0))
        shading = np.exp(-0.5 * np.arange(n) / n)[:, None]
        noise = r.uniform(0.01, 0.05) * signal.max()
        slices = []
        for pose in poses:
            points = pose.grid_lps((n, n))
            layers = np.stack([self.tissue(points + axes[:, 2] * d) for d in (-3, -1, 1, 3)])
            frames = np.moveaxis(signal[layers].mean(axis=0), -1, 0) * shading
            frames = ndimage.gaussian_filter(frames, (0, 0.6, 0.6))
            slices.append(frames + r.normal(0, noise, frames.shape))
        array = np.clip(np.stack(slices, 1), 0, None).astype(np.float32)
        truth = np.stack([self.labels(pose.grid_lps((n, n))) for pose in poses])
        return Series(array, tuple(poses), self._times), np.where(truth <= Label.RV_CAVITY, truth, 0).astype(np.uint8)

    def _signals(self) -> Array:
        """Signal (tissue, t) of a first pass."""
        r = self.rng
        self._times = t = np.arange(int(r.uniform(38, 70))) * r.uniform(0.7, 1.2)
        slow, gain = r.uniform(0.75, 1.3), float(r.choice([0.3, 1.0, 8.0]))

        def passage(start: float, rise: float) -> Array:
            u = np.clip((t - start) / rise, 0, None)
            return np.asarray(u**3 * np.exp(3 * (1 - u)))

        right = passage(5, 5 * slow) + 0.15 * (t > 9)
        left = 0.9 * passage(5 + 4 * slow, 6.5 * slow) + 0.2 * (t > 15)
        muscle = r.uniform(0.2, 0.5) * (1 - np.exp(-np.clip(t - 5 - 7 * slow, 0, None) / 7))
        muscle = muscle * np.exp(-np.clip(t - 25, 0, None) / 80)
        rest = {**REST_SIGNAL, "fat": r.uniform(30, 200), "pericardial_fat": r.uniform(20, 180)}
        arrives = dict.fromkeys(("rv", "ra", "pa", "svc"), 260 * right)
        arrives |= dict.fromkeys(("la", "lv", "aorta"), 280 * left)
        arrives |= {"myo": 280 * muscle, "rv_wall": 280 * muscle, "liver": 40 * muscle, "muscle": 25 * muscle}
        return np.stack([gain * (rest[name] + arrives.get(name, np.zeros_like(t))) for name in TISSUES])
