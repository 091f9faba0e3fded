"""One seeded heart in its chest, evaluated anywhere: tissue, wall coordinates, landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.aha import insertion_angle_deg
from CardiacFusionLib.spatial.pose import HeartPose, apply
from CardiacFusionLib.twin.heart import chambers
from CardiacFusionLib.twin.heart.chest import chest_layers
from CardiacFusionLib.twin.heart.layers import heart_layers, ventricles_outer
from CardiacFusionLib.twin.heart.sdf import unit
from CardiacFusionLib.twin.heart.shape import Shape
from CardiacFusionLib.twin.heart.tissues import Tissue
from CardiacFusionLib.twin.heart.warp import SmoothWarp

Array = NDArray[np.float64]
Solid = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Layer = tuple[Tissue, NDArray[np.intp] | None, NDArray[np.float32]]
HEART_REACH_MM = 120.0
FAR_MM = np.float32(12.0)


@dataclass(frozen=True)
class Heart:
    """A heart at one moment of the beat. All public points are in *its* heart frame (mm).

    Inside, points go heart frame -> design frame (rigid, ``design``) -> material space (smooth warp), where the
    bodies have simple formulas. ``from_diastole`` (4x4) takes the heart frame of the diastolic heart of the same
    patient to this one's: the patient stays put while the base descends.
    """

    shape: Shape
    warp: SmoothWarp
    contraction: float = 0.0
    diastole: Shape | None = field(default=None, repr=False)

    @staticmethod
    def draw(rng: np.random.Generator, unusual: float = 0.0) -> Heart:
        """A mid-diastolic adult heart of random parameters; with the chance ``unusual`` a hypertrophic, dilated or
        small one beyond the ordinary ranges."""
        shape = Shape.draw(rng)
        if unusual and rng.random() < unusual:
            shape = shape.unusual(rng)
        floor, front = _rest(shape)
        shape = replace(shape, floor=floor, front=front)
        return Heart(shape, SmoothWarp.draw(rng, rms_mm=float(rng.uniform(0.5, 4.0))))

    def with_other_tip(self, rng: np.random.Generator) -> Heart:
        """This diastolic heart with another wall and form at its tip, see :meth:`Shape.other_tip`."""
        return self._resting(self.shape.other_tip(rng))

    def with_other_right(self, rng: np.random.Generator) -> Heart:
        """This diastolic heart with another right ventricle, see :meth:`Shape.other_right`."""
        return self._resting(self.shape.other_right(rng))

    def _resting(self, shape: Shape) -> Heart:
        floor, front = _rest(shape)
        return Heart(replace(shape, floor=floor + shape.sunk, front=front), self.warp)

    def at_phase(self, contraction: float) -> Heart:
        """The same heart, 0 in diastole .. 1 at end systole (muscle volume kept, base descended)."""
        if not 0.0 <= contraction <= 1.0:
            raise ValueError(f"contraction lies between 0 and 1, not {contraction}")
        relaxed = self.diastole or self.shape
        return Heart(relaxed.at_phase(contraction), self.warp, contraction, relaxed)

    @cached_property
    def _frame(self) -> HeartPose:
        """Design space -> heart frame, from the warped landmarks."""
        return HeartPose.from_landmarks(self._landmarks_design)

    @cached_property
    def _landmarks_design(self) -> dict[str, Array]:
        s, lv = self.shape, self.shape.lv
        cx, cy = lv.centre_xy(np.array(lv.tip_z))
        material = {
            "base": s.mitral, "lv_cavity_tip": np.array([cx, cy, lv.tip_z]), "aortic_valve": s.aortic,
        }  # fmt: skip
        material["rv_insertion_anterior"], material["rv_insertion_inferior"] = self._grooves()
        left, right, _ = chambers.sinus_directions(s)
        for name, direction in (("left_ostium", left), ("right_ostium", right)):
            start = s.aortic + s.aortic_axis * (0.95 * s.aortic_radius)
            reach = np.linspace(0, 40, 401)[:, None]
            line = start + reach * (direction + 0.15 * s.aortic_axis)
            inside = chambers.aortic_root(s, line.astype(np.float32)) < 0
            material[name] = line[int(np.argmin(inside))]
        names = list(material)
        space = self.warp.to_space(np.stack([material[n] for n in names]))
        found = dict(zip(names, space, strict=True))
        return {"apex": self._tip(found["base"]), **found}

    def _tip(self, base: Array) -> Array:
        """The point of the LV's outer surface farthest from the mitral centre (design space): what a reader calls the
        epicardial apex, and what can be found again in labels."""
        lv = self.shape.lv
        cx, cy = lv.centre_xy(np.array(lv.tip_z))
        centre = np.array([cx, cy, lv.tip_z + 12.0])
        aim, spread = np.array([0.0, 0.0, -1.0]), 1.0
        best = centre
        for _ in range(3):  # ever narrower fans of rays from inside the tip
            side = np.linspace(-spread, spread, 25)
            u, v = (grid.reshape(-1, 1) for grid in np.meshgrid(side, side))
            first = unit(np.cross(aim, np.array([0.0, 1.0, 0.0])))
            ray = aim + u * first + v * np.cross(aim, first)
            ray /= np.linalg.norm(ray, axis=1, keepdims=True)
            radius = self._march(
                np.broadcast_to(centre, ray.shape), ray, lambda p: chambers.lv_outer_smooth(self.shape, p),
                np.zeros(len(ray)), 60.0, material=True,
            )  # fmt: skip
            space = self.warp.to_space(centre + radius[:, None] * ray)
            farthest = int(np.argmax(((space - base) ** 2).sum(axis=1)))
            best, aim, spread = space[farthest], ray[farthest], spread / 8
        return best

    def _grooves(self) -> tuple[Array, Array]:
        """Material points where the RV's outer surface leaves the LV's epicardium at mid level: anterior, inferior."""
        lv = self.shape.lv
        z = lv.tip_z + 0.5 * lv.length
        cx, cy = lv.centre_xy(np.array(z))
        angle = np.deg2rad(np.arange(0.0, 360.0, 1.0))
        ray = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
        centre = np.array([cx, cy, z])
        low, high = np.zeros(360), np.full(360, 90.0)
        for _ in range(22):
            middle = (low + high) / 2
            inside = chambers.lv_outer_smooth(self.shape, (centre + middle[:, None] * ray).astype(np.float32)) < 0
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        surface = centre + low[:, None] * ray
        rv = ventricles_outer(self.shape, surface.astype(np.float32))[1]
        inside = rv < 0
        # start in the middle of the septum (180 degrees) and walk out both ways
        up, down = 180, 180
        while inside[up % 360] and up < 350:
            up += 1
        while inside[down] and down > 10:
            down -= 1
        # y points to the inferior wall: angles above 180 have y < 0, the anterior side
        return surface[up % 360], surface[down]

    @property
    def design(self) -> Array:
        """4x4 heart frame -> design space."""
        return self._frame.heart_to_lps

    @cached_property
    def landmarks(self) -> dict[str, Array]:
        """Heart-frame mm: the four of ``LANDMARK_NAMES``, lv_cavity_tip, aortic_valve, left_ostium, right_ostium."""
        return {name: self._frame.to_heart(p) for name, p in self._landmarks_design.items()}

    @cached_property
    def from_diastole(self) -> Array:
        """4x4 heart frame of the diastolic heart -> this heart's frame, the patient lying still."""
        relaxed = self.at_phase(0.0)
        return self._frame.lps_to_heart @ relaxed.design

    @property
    def lps_axes(self) -> Array:
        """(3, 3) patient axes (columns L, P, S) in the heart frame for a patient lying straight on the table."""
        return self._frame.lps_to_heart[:3, :3] @ self.shape.chest

    def to_material(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Heart frame (n, 3) -> material space (n, 3)."""
        m = self.design.astype(np.float32)
        return self.warp.to_material(np.asarray(points, np.float32) @ m[:3, :3].T + m[:3, 3])

    def to_heart(self, material: NDArray[np.floating]) -> Array:
        """Material space (n, 3) -> heart frame (n, 3)."""
        return self._frame.to_heart(self.warp.to_space(material))

    def layers(self, points: NDArray[np.floating]) -> list[Layer]:
        """Painted layers at flat heart-frame points (n, 3): tissue, indices evaluated (None = all), distance."""
        # columns in one piece: every formula reads one coordinate at a time
        p = np.asfortranarray(self.to_material(points))
        q = np.asfortranarray((p - self.shape.aortic.astype(np.float32)) @ self.shape.chest.astype(np.float32))
        result: list[Layer] = [(t, None, np.asarray(d, np.float32)) for t, d in chest_layers(self.shape, q)]
        # the heart and great vessels fill a box along the patient's axes; outside it none of them is near
        near = np.abs(q[:, 0] - 5) < 105
        near &= q[:, 1] < 95
        index = np.flatnonzero(near)
        part = np.asfortranarray(p[index])
        result += [(t, index, np.asarray(d, np.float32)) for t, d in heart_layers(self.shape, part)]
        return result

    def tissue(self, points_heart_mm: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Tissue codes (...) at heart-frame points (..., 3)."""
        points = np.asarray(points_heart_mm, np.float32)
        flat = points.reshape(-1, 3)
        codes = np.full(len(flat), Tissue.AIR, np.uint8)
        for tissue, index, distance in self.layers(flat):
            if index is None:
                codes[distance < 0] = tissue
            else:
                codes[index[distance < 0]] = tissue
        return codes.reshape(points.shape[:-1])

    def _centre_line(self) -> tuple[Array, Array]:
        """Heights (k,) and centres (k, 2) of the LV cavity in the heart frame."""
        lv = self.shape.lv
        z = np.linspace(lv.tip_z - lv.apex_wall - 2, lv.base_z + 12, 40)
        cx, cy = lv.centre_xy(z)
        line = self.to_heart(np.stack([cx, cy, z], axis=1))
        return line[:, 2], line[:, :2]

    def lv_centre(self, z_mm: NDArray[np.floating]) -> Array:
        """(..., 2) x, y of the LV centre at heights z in the heart frame."""
        heights, centres = self._centre_line()
        z = np.asarray(z_mm, float)
        return np.stack([np.interp(z, heights, centres[:, 0]), np.interp(z, heights, centres[:, 1])], axis=-1)

    def _levels(self) -> tuple[float, float]:
        tip, base = self.landmarks["lv_cavity_tip"][2], self.landmarks["base"][2]
        return float(tip), float(base)

    def wall_coordinates(self, points: NDArray[np.floating]) -> tuple[Array, Array, Array]:
        """Depth (0 endocardium .. 1 epicardium, beyond outside the wall), angle (degrees), level of points (..., 3).

        Angle: as ``aha.insertion_angle_deg`` about the LV centre at the point's height. Level: 0 at the cavity's tip,
        1 at the mitral annulus, linear in z.
        """
        given = np.asarray(points, dtype=np.float64)
        flat: Array = given.reshape(-1, 3)
        p = self.to_material(flat)
        inner = np.asarray(chambers.lv_cavity_smooth(self.shape, p), np.float64)
        outer = np.asarray(chambers.lv_outer_smooth(self.shape, p), np.float64)
        depth = inner / np.maximum(inner - outer, 0.5)
        centred = flat.copy()
        centred[:, :2] -= self.lv_centre(flat[:, 2])
        tip, base = self._levels()
        level = (flat[:, 2] - tip) / (base - tip)
        shape = given.shape[:-1]
        return depth.reshape(shape), insertion_angle_deg(centred).reshape(shape), level.reshape(shape)

    def _ray(self, angle_deg: NDArray[np.floating], level: NDArray[np.floating]) -> tuple[Array, Array]:
        angle, lev = np.broadcast_arrays(np.asarray(angle_deg, float), np.asarray(level, float))
        tip, base = self._levels()
        z = tip + lev * (base - tip)
        origin = np.concatenate([self.lv_centre(z), z[..., None]], axis=-1)
        rad = np.deg2rad(angle)
        ray = np.stack([np.cos(rad), -np.sin(rad), np.zeros_like(rad)], axis=-1)
        return origin.reshape(-1, 3), ray.reshape(-1, 3)

    def epicardial_point(self, angle_deg: NDArray[np.floating], level: NDArray[np.floating]) -> Array:
        """Points (..., 3) on the LV's outer surface; within 15 degrees of an insertion pushed out of the RV's wall."""
        shape = np.broadcast_shapes(np.shape(angle_deg), np.shape(level))
        origin, ray = self._ray(angle_deg, level)
        radius = self._march(
            origin, ray, lambda p: chambers.lv_outer_smooth(self.shape, p), np.zeros(len(origin)), 90.0
        )
        start = radius + 0.2
        outside = self._march(
            origin, ray, lambda p: ventricles_outer(self.shape, p)[1], start, 30.0, only_if_inside=True
        )
        near = np.full(len(origin), False)
        angle = np.degrees(np.arctan2(-ray[:, 1], ray[:, 0]))
        for insertion in self.insertion_angles_deg():
            near |= np.abs((angle - insertion + 180) % 360 - 180) < 15
        radius = np.where(near & (outside < radius + 14), np.maximum(outside, radius), radius)
        return (origin + radius[:, None] * ray).reshape(*shape, 3)

    def rv_epicardial_point(self, angle_deg: NDArray[np.floating], level: NDArray[np.floating]) -> Array:
        """Points (..., 3) on the RV's outer surface along the ray from the LV centre; the LV's where there is no RV."""
        shape = np.broadcast_shapes(np.shape(angle_deg), np.shape(level))
        origin, ray = self._ray(angle_deg, level)
        lv = self._march(origin, ray, lambda p: chambers.lv_outer_smooth(self.shape, p), np.zeros(len(origin)), 90.0)
        rv = self._march(origin, ray, lambda p: ventricles_outer(self.shape, p)[1], lv + 0.2, 90.0, only_if_inside=True)
        return (origin + np.maximum(lv, rv)[:, None] * ray).reshape(*shape, 3)

    def _march(
        self,
        origin: Array,
        ray: Array,
        distance: Solid,
        start: Array,
        reach: float,
        only_if_inside: bool = False,
        material: bool = False,
    ) -> Array:
        """Radius where each ray last leaves the body within ``reach`` of ``start`` (bisection).

        Origin and ray are in the heart frame, or in material space where ``material`` says so.
        """

        def depth(points: Array) -> NDArray[np.float32]:
            return distance(points.astype(np.float32) if material else self.to_material(points))

        steps = np.linspace(0, reach, 61)
        t = start[:, None] + steps
        points = origin[:, None] + t[..., None] * ray[:, None]
        inside = depth(points.reshape(-1, 3)).reshape(t.shape) < 0
        last = np.where(inside.any(axis=1), inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1), 0)
        low = t[np.arange(len(t)), last]
        high = low + reach / 60
        for _ in range(12):
            middle = (low + high) / 2
            within = depth(origin + middle[:, None] * ray) < 0
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        return np.where(inside.any(axis=1), low, start if only_if_inside else low)

    def insertion_angles_deg(self) -> tuple[float, float]:
        """Angle of the anterior and of the inferior RV insertion about the LV centre, degrees."""
        result = []
        for name in ("rv_insertion_anterior", "rv_insertion_inferior"):
            p = self.landmarks[name].copy()
            p[:2] -= self.lv_centre(p[2])
            result.append(float(insertion_angle_deg(p)))
        return result[0], result[1]

    def av_groove_point(self, angle_deg: NDArray[np.floating]) -> Array:
        """Points (..., 3) in the atrioventricular groove's fat at angles about the middle between the two valves.

        Left of the insertions the ring follows the mitral annulus (LCx), right of them the tricuspid one (RCA).
        """
        angle = np.asarray(angle_deg, float)
        flat = angle.reshape(-1)
        rad = np.deg2rad(flat)
        ray = np.stack([np.cos(rad), -np.sin(rad), np.zeros_like(rad)], axis=1)
        mitral, tricuspid = self.shape.mitral, self.shape.tricuspid
        middle = (mitral + tricuspid) / 2
        origin = self.to_heart(middle[None])[0]
        ends = self.to_heart(np.stack([mitral, tricuspid]))
        along = (ray @ (ends[0] - ends[1])) / max(float(np.linalg.norm(ends[0] - ends[1])), 1e-6)
        share = np.clip(0.5 + 0.5 * along, 0, 1)
        start = np.broadcast_to(origin, ray.shape).copy()
        start[:, 2] = share * ends[0, 2] + (1 - share) * ends[1, 2] - 1.0

        def hearts(p: NDArray[np.float32]) -> NDArray[np.float32]:
            lv, rv = ventricles_outer(self.shape, p)
            wall = np.float32(chambers.VESSEL_WALL_MM)
            return np.minimum(
                np.minimum(lv, rv),
                np.minimum(chambers.left_atrium(self.shape, p), chambers.right_atrium(self.shape, p)) - wall,
            )

        radius = self._march(start, ray, hearts, np.zeros(len(ray)), 90.0) + 2.0
        return (start + radius[:, None] * ray).reshape(*angle.shape, 3)


def _rest(shape: Shape) -> tuple[float, float]:
    """Lowest (S) and foremost (P) coordinate of the ventricles from the aortic valve, to 6 mm."""
    axis = np.arange(-78.0, 78.0, 6.0, dtype=np.float32)
    lattice = np.stack(np.meshgrid(axis - 24, axis, axis - 6, indexing="ij"), axis=-1).reshape(-1, 3)
    lv, rv = ventricles_outer(shape, lattice)
    inside = lattice[np.minimum(lv, rv) < 0] - shape.aortic
    return float((inside @ shape.chest[:, 2]).min()), float((inside @ shape.chest[:, 1]).min())


def pose_at_phase(pose: HeartPose, heart: Heart) -> HeartPose:
    """The pose of ``heart`` (some phase) in the patient whose *diastolic* pose is ``pose``, with its own landmarks."""
    moved = HeartPose(heart.from_diastole @ pose.lps_to_heart)
    landmarks = {name: apply(moved.heart_to_lps, p) for name, p in heart.landmarks.items()}
    return HeartPose(moved.lps_to_heart, landmarks)
