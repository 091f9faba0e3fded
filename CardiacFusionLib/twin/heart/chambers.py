"""The heart and its vessels as layers painted one over the other: later layers hide earlier ones."""

from __future__ import annotations

import numpy as np

from CardiacFusionLib.twin.heart.sdf import (
    Distance,
    Points,
    ellipsoid,
    oriented_ellipsoid,
    plane,
    smooth_max,
    smooth_min,
    smooth_path,
    tube,
)
from CardiacFusionLib.twin.heart.shape import Array, Shape
from CardiacFusionLib.twin.heart.tissues import Tissue

Layer = tuple[Tissue, Distance]
VESSEL_WALL_MM = 1.8
# how fast the atrium and the ventricle widen from the mitral annulus: mm of radius a millimetre of height
ATRIAL_FLARE, VENTRICULAR_FLARE = 1.2, 1.5


def _lv_local(shape: Shape, p: Points) -> Points:
    cx, cy = shape.lv.centre_xy(p[:, 2])
    q = p.copy(order="F")
    q[:, 0] -= cx
    q[:, 1] -= cy
    if shape.lv.cone:
        narrow = shape.lv.narrowing(p[:, 2])
        q[:, 0] *= narrow
        q[:, 1] *= narrow
    return q


def lv_cavity_smooth(shape: Shape, p: Points) -> Distance:
    """The bullet alone, uncut above the base: distance to the endocardium."""
    lv = shape.lv
    axes = (lv.radius_x, lv.radius_y, lv.widest * lv.length)
    return ellipsoid(_lv_local(shape, p), (0, 0, lv.centre_z), axes)


def lv_outer_smooth(shape: Shape, p: Points) -> Distance:
    """Distance to the epicardium of the LV, uncut above the base."""
    lv = shape.lv
    extra = lv.wall * lv.septum_extra / 2
    axes = (lv.radius_x + lv.wall + extra, lv.radius_y + lv.wall, lv.widest * lv.length + lv.apex_wall)
    return ellipsoid(_lv_local(shape, p), (-extra, 0, lv.centre_z), axes)


def annulus_cone(shape: Shape, p: Points, flare: float, widened: float = 0.0) -> Distance:
    """Distance to a cone that leaves the mitral annulus with ``flare`` (positive: into the atrium, negative: into the
    ventricle), its rim ``widened`` mm beyond the annulus."""
    q = p - shape.mitral.astype(np.float32)
    height = q @ shape.mitral_normal.astype(np.float32)
    across = np.sqrt(np.maximum((q * q).sum(axis=1) - height * height, 0))
    # behind the annulus (negative rise) the cone goes on as a tube, so that it cuts nothing there
    rise = np.maximum(np.sign(np.float32(flare)) * height, 0) * np.float32(abs(flare))
    slant = np.float32(1.0 / np.hypot(1.0, flare))
    return (across - np.float32(shape.mitral_radius + widened) - rise) * slant


def rv_smooth(shape: Shape, p: Points) -> Distance:
    """Outer surface of the RV body before the LV is taken out of it, cut at the tricuspid plane.

    A crescent: an ellipse beside the LV whose size follows the LV's taper, so that the insertions keep their angle,
    and that meets the LV's epicardium at +-``septum_half_deg`` from the middle of the septum.
    """
    lv = shape.lv
    q = _lv_local(shape, p)
    down = lv.widest * lv.length + lv.apex_wall
    rel = np.clip((q[:, 2] - np.float32(lv.centre_z)) * np.float32(1 / down), -0.97, 0.75)
    taper = np.sqrt(1 - rel * rel)
    ro = lv.radius_y + lv.wall
    half, tilt = np.deg2rad(shape.septum_half_deg), np.deg2rad(shape.septum_tilt_deg)
    centre = -ro * shape.rv_reach
    ax = ro + shape.rv_bulge + centre
    power = shape.rv_power
    ay = ro * np.sin(half) / max(1 - abs((-ro * np.cos(half) - centre) / ax) ** power, 0.2) ** (1 / power)
    x = np.cos(tilt) * q[:, 0] + np.sin(tilt) * q[:, 1]
    y = np.cos(tilt) * q[:, 1] - np.sin(tilt) * q[:, 0]
    tip = lv.tip_z + shape.rv_tip
    top = lv.base_z - 22.0
    az = (top - tip) / 0.96
    local = np.stack([
        x / taper.astype(np.float32) - np.float32(centre), y / taper.astype(np.float32),
        np.float32(az) * np.power(np.maximum(np.float32(top) - q[:, 2], 0) * np.float32(1 / az), 1.4),
    ], axis=1).astype(np.float32)  # fmt: skip
    if power != 2.0:
        u, v = np.abs(local[:, 0]) * np.float32(1 / ax), np.abs(local[:, 1]) * np.float32(1 / ay)
        box, round_ = (u**power + v**power) ** np.float32(1 / power), np.hypot(u, v)
        local[:, :2] *= (box / np.maximum(round_, np.float32(1e-6)))[:, None]
    d = ellipsoid(local, (0, 0, 0), (ax, ay, az)) * taper.astype(np.float32)
    return smooth_max(d, plane(p, shape.tricuspid, shape.tricuspid_normal), 6.0)


def outflow_path(shape: Shape) -> tuple[Array, Array]:
    """Centre line and radius of the RV outflow tract up to the pulmonary valve (its last point)."""
    s = shape.vessel
    a, lv = shape.aortic, shape.lv
    ro = lv.radius_y + lv.wall
    start = np.array([-0.78 * ro, -0.62 * ro, lv.base_z - 24])
    points = np.stack([start, a + shape.lps(6, -33, -8) * s, a + shape.lps(14, -25, 15) * s])
    return smooth_path(np.column_stack([points, [15.0, 14.0 * s, 12.5 * s]]), 3)[:, :3], smooth_path(
        np.array([[15.0], [14.0 * s], [12.5 * s]]), 3
    )[:, 0]


def _vessel(shape: Shape, anchor: Array, rows: list[tuple[float, ...]]) -> tuple[Array, Array]:
    """Rows (L, P, S, radius) as offsets from ``anchor`` -> smooth path and radius in the design frame."""
    table = np.array(rows, float)
    table[:, :3] *= shape.vessel
    table[:, 3] *= shape.vessel
    curve = smooth_path(table, 2)
    return anchor + curve[:, :3] @ shape.chest.T, curve[:, 3]


def aorta_path(shape: Shape) -> tuple[Array, Array]:
    """Ascending aorta, arch and descending aorta from just above the sinuses."""
    b = shape.body
    r = shape.aortic_radius / shape.vessel
    axis_lps = shape.chest.T @ shape.aortic_axis
    f = shape.descending
    g = 13 * (f - 1)  # a wide aorta lies farther to the left
    return _vessel(shape, shape.aortic, [
        (*(axis_lps * 6), r + 1.5), (*(axis_lps * 24), r + 2.0), (-14 + 5 * b[0], -10, 50, r + 2.5),
        (-7, 4, 76 + 4 * b[1], r + 1.0), (8, 26, 88 + 4 * b[1], r), (20 + g, 52, 76, f * (r - 0.5)),
        (24 + 4 * b[2] + g, 66, 45, f * (r - 1)), (24 + 6 * b[2] + g, 70, 5, f * (r - 1.5)),
        (18 + 6 * b[3] + g, 68, -45, f * (r - 2)), (8 + g, 66, -95, f * (r - 2.5)), (2, 62, -150, r - 3),
    ])  # fmt: skip


def pulmonary_paths(shape: Shape) -> list[tuple[Array, Array]]:
    """Pulmonary trunk with its left branch, and the right branch behind the ascending aorta."""
    a = shape.aortic
    trunk = _vessel(
        shape, a, [(14, -25, 15, 12.5), (18, -14, 32, 13.5), (20, 6, 46, 13), (30, 30, 50, 10.5), (48, 46, 46, 8)]
    )
    right = _vessel(shape, a, [(20, 4, 46, 12), (2, 22, 44, 10.5), (-24, 26, 40, 10), (-50, 30, 34, 8)])
    return [trunk, right]


def left_atrium_centre(shape: Shape) -> Array:
    """Behind the mitral annulus, pulled to the midline behind the aortic root."""
    toward = 0.72 * np.array([0, 0, 1.0]) + shape.lps(-0.25, 0.45, 0.12)
    return shape.mitral + toward * (shape.la_axes[1] + 4)


def right_atrium_centre(shape: Shape) -> Array:
    """Beyond the tricuspid annulus."""
    return shape.tricuspid + shape.tricuspid_normal * (0.6 * shape.ra_axes[1]) + shape.lps(-5, 3, 2)


def venous_paths(shape: Shape) -> dict[str, list[tuple[Array, Array]]]:
    """Caval veins, pulmonary vein stubs and the left atrial appendage."""
    ra, la = right_atrium_centre(shape), left_atrium_centre(shape)
    x, y, z = shape.la_axes
    b = shape.body
    return {
        "svc": [_vessel(shape, ra, [(0, 4, 12, 9), (-2, 5, 40, 9.5), (0, 2, 80, 9), (4, -4, 120, 8)])],
        "ivc": [_vessel(shape, ra, [(2, 4, -14, 12), (4, 12, -42, 12), (6, 20, -80, 11), (10, 28, -130, 10)])],
        "veins": [
            _vessel(shape, la, list(rows)) for rows in (
                ((0.6 * x, 4, 0.45 * z, 7), (x + 6, 6, 0.6 * z + 3 * b[4], 6.5), (x + 32, 2, z + 8, 4)),
                ((0.6 * x, 6, -0.3 * z, 7), (x + 6, 14, -0.35 * z, 6), (x + 30, 30, -0.7 * z, 4)),
                ((-0.6 * x, 2, 0.4 * z, 7), (-x - 6, -2, 0.5 * z + 3 * b[5], 6.5), (-x - 34, -12, z, 4)),
                ((-0.6 * x, 6, -0.3 * z, 7), (-x - 6, 12, -0.35 * z, 6), (-x - 30, 26, -0.7 * z, 4)),
            )
        ],
        "appendage": [_vessel(shape, la, [
            (0.55 * x, -0.3 * y, 0.35 * z, 9), (0.95 * x, -0.75 * y, 0.45 * z, 7.5), (1.0 * x, -y - 12, 0.3 * z, 5.5),
            (0.8 * x, -y - 24, 0.15 * z, 3.5),
        ])],
    }  # fmt: skip


def left_atrium(shape: Shape, p: Points) -> Distance:
    """Lumen of the left atrium with its appendage, above the mitral plane."""
    centre = left_atrium_centre(shape)
    d = oriented_ellipsoid(p, centre, shape.la_axes, shape.chest.T)
    inlet = tube(p, np.stack([centre, shape.mitral]), np.array([0.75 * shape.la_axes[1], shape.mitral_radius]))
    d = smooth_min(d, inlet, 10.0)
    # the atrium meets the ventricle at the annulus alone: beyond it lies the groove with its fat
    d = smooth_max(d, annulus_cone(shape, p, ATRIAL_FLARE), 3.0)
    for path, radius in venous_paths(shape)["appendage"]:
        d = smooth_min(d, tube(p, path, radius), 5.0)
    return smooth_max(d, -plane(p, shape.mitral, shape.mitral_normal), 1.5)


def right_atrium(shape: Shape, p: Points) -> Distance:
    """Lumen of the right atrium with its appendage, above the tricuspid plane."""
    centre = right_atrium_centre(shape)
    d = oriented_ellipsoid(p, centre, shape.ra_axes, shape.chest.T)
    inlet = tube(p, np.stack([centre, shape.tricuspid]), np.array([0.7 * shape.ra_axes[1], 20.0]))
    d = smooth_min(d, inlet, 10.0)
    path, radius = _vessel(shape, centre, [(4, -12, 14, 13), (14, -26, 20, 9), (26, -34, 22, 5)])
    d = smooth_min(d, tube(p, path, radius), 8.0)
    return smooth_max(d, -plane(p, shape.tricuspid, shape.tricuspid_normal), 1.5)


def aortic_root(shape: Shape, p: Points) -> Distance:
    """Lumen of the root: annulus, three sinuses, up into the ascending aorta; above the valve plane."""
    axis, r = shape.aortic_axis, shape.aortic_radius
    a = shape.aortic
    d = tube(p, np.stack([a - 2 * axis, a + 8 * axis, a + 22 * axis]), np.array([r, r + 1.0, r + 1.5]))
    for direction in sinus_directions(shape):
        d = smooth_min(d, tube(p, np.stack([a + 8 * axis + direction * 0.5 * r] * 2), 0.78 * r), 4.0)
    return smooth_max(d, -plane(p, a, axis), 1.5)


def sinus_directions(shape: Shape) -> list[Array]:
    """Unit vectors square to the root's axis towards the left, right and non-coronary sinus."""
    axis = shape.aortic_axis
    result = []
    for offset in ((0.87, 0.5, 0), (-0.1, -1, 0), (-0.85, 0.6, 0)):
        v = shape.lps(*offset)
        v = v - (v @ axis) * axis
        result.append(v / np.linalg.norm(v))
    return result


def outflow_lv(shape: Shape, p: Points) -> Distance:
    """LV outflow tract from the cavity to the aortic valve plane."""
    lv = shape.lv
    start = np.array([-0.25 * lv.radius_x, -0.2 * lv.radius_y, lv.base_z - 20])
    end = shape.aortic + 3 * shape.aortic_axis
    d = tube(p, np.stack([start, end]), np.array([shape.aortic_radius + 2, shape.aortic_radius]))
    return smooth_max(d, plane(p, shape.aortic, shape.aortic_axis), 1.5)


def papillaries(shape: Shape, p: Points) -> Distance:
    """Anterolateral and posteromedial papillary muscle, from the wall towards the mitral leaflets."""
    lv = shape.lv
    best: Distance | None = None
    for angle, lean in ((-36.0 + 12 * shape.body[6], 0.0), (98.0 + 12 * shape.body[7], 4.0)):
        u = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0.0])
        r = lv.radius_x
        low, high = lv.tip_z + 0.30 * lv.length, lv.tip_z + (0.64 + 0.06 * shape.body[8]) * lv.length
        cx, cy = lv.centre_xy(np.array(low))
        path = np.stack([
            np.array([cx, cy, low]) + u * r * 0.80, np.array([0, 0, (low + high) / 2 + lean]) + u * r * 0.66,
            np.array([0, 0, high + lean]) + u * r * 0.46,
        ])  # fmt: skip
        d = tube(p, path, np.array([4.6, 4.4, 2.6]) * shape.papillary)
        best = d if best is None else np.minimum(best, d)
    assert best is not None
    return best
