"""All layers of the heart in painting order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.twin.heart import chambers as c
from CardiacFusionLib.twin.heart.sdf import Distance, Points, plane, smooth_max, smooth_min, tube
from CardiacFusionLib.twin.heart.shape import Shape
from CardiacFusionLib.twin.heart.tissues import Tissue


def ventricles_outer(shape: Shape, p: Points) -> tuple[Distance, Distance]:
    """Outer surface of the LV (drawn in to the mitral annulus and cut there) and of the RV with its outflow tract."""
    base = plane(p, shape.mitral, shape.mitral_normal)
    rim = c.annulus_cone(shape, p, -c.VENTRICULAR_FLARE, widened=0.5 * shape.lv.wall)
    lv = smooth_max(smooth_max(c.lv_outer_smooth(shape, p), rim, 4.0), base, 3.0)
    rv = c.rv_smooth(shape, p)
    path, radius = c.outflow_path(shape)
    out = tube(p, path, radius + shape.rv_wall)
    # the outflow tract ends at the pulmonary valve
    normal = path[-1] - path[-2]
    out = np.maximum(out, plane(p, path[-1], normal / np.linalg.norm(normal)))
    rv = smooth_min(rv, out, 12.0)
    # the mitral inlet with its wall belongs to the left heart: the RV's broad base must not lie over it
    above = plane(p, shape.mitral, shape.mitral_normal)
    inlet = np.maximum(c.annulus_cone(shape, p, 0.5 * c.ATRIAL_FLARE, widened=3.5), np.abs(above - 8.0) - 14.0)
    return lv, smooth_max(rv, -inlet, 4.0)


def trabecular_field(shape: Shape, points: Points, where: NDArray[np.bool_]) -> Distance:
    """Irregular ridges of the endocardium, about -1..1, at the points ``where`` says so; 0 elsewhere."""
    p = points[where]
    ph = shape.body * 3.1
    a = np.sin(0.62 * p[:, 0] + 0.35 * p[:, 2] + ph[0]) * np.sin(0.58 * p[:, 1] - 0.30 * p[:, 2] + ph[1])
    b = np.sin(0.93 * p[:, 1] + 0.42 * p[:, 0] + ph[2]) * np.sin(0.45 * p[:, 2] + 0.7 * p[:, 0] + ph[3])
    field = np.zeros(len(points), np.float32)
    field[where] = (a + b) * 0.6
    return field


def heart_layers(shape: Shape, p: Points) -> list[c.Layer]:
    """Layers at points (n, 3) of the material space near the heart, first to last."""
    wall = np.float32(c.VESSEL_WALL_MM)
    layers: list[c.Layer] = []
    lv_outer, rv_outer = ventricles_outer(shape, p)
    la, ra = c.left_atrium(shape, p), c.right_atrium(shape, p)
    root = c.aortic_root(shape, p)
    aorta = smooth_min(root, tube(p, *c.aorta_path(shape), margin=24.0), 4.0)
    trunk_paths = c.pulmonary_paths(shape)
    trunk = np.minimum(tube(p, *trunk_paths[0], margin=24.0), tube(p, *trunk_paths[1], margin=24.0))
    veins = c.venous_paths(shape)
    svc, ivc = tube(p, *veins["svc"][0]), tube(p, *veins["ivc"][0])
    pulmonary_veins = np.minimum.reduce([tube(p, *v) for v in veins["veins"]])

    # pericardium: a smooth sack about everything, its fillets filled with fat
    sack = smooth_min(lv_outer, rv_outer, 18.0)
    sack = smooth_min(sack, smooth_min(la, ra, 20.0) - 2.0, 18.0)
    high = plane(p, shape.aortic, shape.lps(0, 0, 1))
    great = np.maximum(np.minimum(aorta, trunk) - 3.0, high - 45.0)
    sack = smooth_min(sack, great, 12.0) - np.float32(shape.fat)
    layers += [(Tissue.PERICARDIUM, sack - 1.3), (Tissue.HEART_FAT, sack)]

    for vein, tissue in ((pulmonary_veins, Tissue.PULMONARY_VEIN), (ivc, Tissue.INFERIOR_CAVA)):
        layers += [(Tissue.VESSEL_WALL, vein - wall), (tissue, vein)]
    layers += [(Tissue.VESSEL_WALL, la - wall), (Tissue.LEFT_ATRIUM, la)]
    layers += [(Tissue.VESSEL_WALL, svc - wall), (Tissue.SUPERIOR_CAVA, svc)]
    layers += [(Tissue.VESSEL_WALL, ra - wall), (Tissue.RIGHT_ATRIUM, ra)]
    layers += [(Tissue.VESSEL_WALL, trunk - wall), (Tissue.PULMONARY_TRUNK, trunk)]

    base = plane(p, shape.mitral, shape.mitral_normal)
    lvot = c.outflow_lv(shape, p)
    inlet = c.annulus_cone(shape, p, -c.VENTRICULAR_FLARE)
    smooth = smooth_max(smooth_max(c.lv_cavity_smooth(shape, p), inlet, 3.0), base, 1.5)
    cavity = smooth_min(smooth, lvot, 5.0)
    rv = rv_outer + np.float32(shape.rv_wall)
    ridges = trabecular_field(shape, p, np.minimum(cavity, rv) < 8)
    rough = rv + np.float32(0.8 + 1.6 * shape.trabeculae) * np.maximum(ridges - 0.1, 0)
    layers += [
        (Tissue.RV_WALL, rv_outer), (Tissue.RV_TRABECULA, rv), (Tissue.RV_CAVITY, rough),
    ]  # fmt: skip

    layers += [(Tissue.MYOCARDIUM, lv_outer), (Tissue.VESSEL_WALL, lvot - wall), (Tissue.LV_CAVITY, cavity)]
    # ridges live in the apical half only; papillary muscles never leave the cavity
    apical = np.clip((shape.lv.base_z - 0.30 * shape.lv.length - p[:, 2]) * np.float32(1 / 20), 0, 1)
    depth = np.float32(1.5 + 4.5 * shape.trabeculae) * apical * np.maximum(ridges, 0)
    papillaries = c.papillaries(shape, p)
    muscle = np.where(apical > 0, np.minimum(papillaries, -(cavity + depth)), papillaries)
    layers.append((Tissue.PAPILLARY, np.maximum(muscle, cavity + np.float32(0.4))))
    layers += [(Tissue.VESSEL_WALL, np.maximum(aorta - wall, -cavity)), (Tissue.AORTA, aorta)]
    layers += _valves(shape, p, cavity, rv, aorta)
    return layers


def _valves(shape: Shape, p: Points, cavity: Distance, rv: Distance, aorta: Distance) -> list[c.Layer]:
    """Thin leaflets: the mitral and tricuspid ones as shallow funnels, the aortic one as a closed disc."""
    layers: list[c.Layer] = []
    for tissue, room, centre, normal, radius, depth in (
        (Tissue.MITRAL_VALVE, cavity, shape.mitral, shape.mitral_normal, shape.mitral_radius, 11.0),
        (Tissue.TRICUSPID_VALVE, rv, shape.tricuspid, shape.tricuspid_normal, 17.0, 9.0),
    ):
        near, h, across = _about(p, centre, normal, 26.0)
        # open leaflets hang like a funnel from the annulus into the ventricle
        funnel = np.abs(across - (np.float32(radius) + h * np.float32(0.45))) - np.float32(0.45)
        inside = np.maximum(room[near], -h - np.float32(depth))
        layers.append((tissue, _spread(len(p), near, np.maximum(funnel, inside))))
    near, h, across = _about(p, shape.aortic, shape.aortic_axis, 24.0)
    cusp = np.abs(h - np.float32(4) + across * np.float32(3.0 / shape.aortic_radius)) - np.float32(0.5)
    layers.append((Tissue.AORTIC_VALVE, _spread(len(p), near, np.maximum(cusp, aorta[near]))))
    return layers


def _about(p: Points, centre: c.Array, axis: c.Array, reach: float) -> tuple[NDArray[np.intp], Distance, Distance]:
    """Indices of the points within ``reach`` of ``centre`` (box), their height along and distance from the axis."""
    low, high = (centre - reach).astype(np.float32), (centre + reach).astype(np.float32)
    near = np.flatnonzero((p[:, 2] > low[2]) & (p[:, 2] < high[2]))
    for i in (0, 1):
        value = p[near, i]
        near = near[(value > low[i]) & (value < high[i])]
    part = p[near] - centre.astype(np.float32)
    h = part @ axis.astype(np.float32)
    across = np.sqrt(np.maximum((part * part).sum(axis=1) - h * h, 0))
    return near, h, across


def _spread(count: int, near: NDArray[np.intp], distance: Distance) -> Distance:
    result = np.full(count, np.float32(12), np.float32)
    result[near] = distance
    return result
