"""The chest about the heart as painted layers; coordinates (L, P, S) mm from the aortic valve's centre."""

from __future__ import annotations

import numpy as np

from CardiacFusionLib.twin.heart.sdf import Distance, Points, ellipsoid, smooth_max, smooth_min, tube
from CardiacFusionLib.twin.heart.shape import Shape
from CardiacFusionLib.twin.heart.tissues import Tissue

Layer = tuple[Tissue, Distance]


def _oval(x: Distance, y: Distance, half_x: float, half_y: float) -> Distance:
    """Distance to a superellipse cylinder (power 2.5) about the origin, approximate."""
    u, v = np.abs(x) / np.float32(half_x), np.abs(y) / np.float32(half_y)
    k = np.power(np.power(u, 2.5) + np.power(v, 2.5) + np.float32(1e-9), np.float32(0.4))
    return (k - 1) * np.float32(min(half_x, half_y)) * np.float32(1.05)


def diaphragm_height(shape: Shape, x: Distance, y: Distance) -> Distance:
    """Height (S) of the abdomen's top over (L, P): a right and a left dome, falling to the back and the sides."""
    b = shape.body
    # the heart rests on the tendinous middle; the right dome stands higher than the left
    low = shape.floor
    right = low + 18.0 + 12 * b[9] - ((x + 62) / 62) ** 2 * 38 - ((y - 5) / 78) ** 2 * 48
    left = low + 3.0 + 9 * b[10] - ((x - 78) / 52) ** 2 * 38 - ((y - 12) / 78) ** 2 * 52
    middle = low + 2.0 + 5 * b[9] - ((x - 25) / 90) ** 2 * 6 - ((y + 12) / 70) ** 2 * 26
    return -smooth_min(smooth_min(-right, -left, 25.0), -middle, 20.0)


def chest_size(shape: Shape) -> tuple[float, float, float, float]:
    """Half width and half depth of the lungs' outline, P of the vertebral bodies' front, P of the outline's middle."""
    b = shape.body
    size = 1 + 0.09 * b[11]
    back = 58.0 + 4 * b[13]  # front of the vertebral bodies behind the aortic valve
    front = shape.front - 9.0 + 7 * b[12]  # back of the sternum, close before the right ventricle
    half_y = (back + 34 - front) / 2
    return 130.0 * size, half_y, back, front + half_y


def sternum_depth(shape: Shape) -> float:
    """P coordinate of the sternum's back."""
    _, half_y, _, middle = chest_size(shape)
    return middle - half_y


def chest_layers(shape: Shape, q: Points) -> list[Layer]:
    """Layers of body wall, lungs, bones and upper abdomen at points (n, 3), first to last."""
    x, y, z = q[:, 0], q[:, 1], q[:, 2]
    half_x, half_y, back, middle_y = chest_size(shape)
    # the chest narrows upwards
    narrow = 1 - np.clip(z - 20, 0, 160) * np.float32(0.0018)
    lung = _oval(x / narrow, (y - middle_y) / narrow, half_x, half_y)
    layers: list[Layer] = []
    wall = 21.0
    table = np.maximum(np.abs(y - np.float32(middle_y + half_y + wall + shape.patient_fat + 22)) - 9, np.abs(x) - 210)
    layers.append((Tissue.TABLE, np.asarray(table, np.float32)))
    behind = np.clip((y - np.float32(middle_y)) * np.float32(1 / 40), 0, 1)
    layers.append((Tissue.SKIN_FAT, np.asarray(lung - np.float32(wall + shape.patient_fat) + 6 * behind, np.float32)))
    layers.append((Tissue.MUSCLE, lung - np.float32(wall)))
    layers.append((Tissue.LUNG, lung))
    layers += _abdomen(shape, q, lung)
    layers += _bones(shape, q, lung, back, middle_y - half_y)
    layers += _mediastinum(shape, q, lung, back, middle_y - half_y)
    return layers


def _abdomen(shape: Shape, q: Points, lung: Distance) -> list[Layer]:
    b = shape.body
    x, y, z = q[:, 0], q[:, 1], q[:, 2]
    if float(z.min()) > shape.floor + 45:
        return []
    under = z - diaphragm_height(shape, x, y)
    under *= np.float32(0.75)  # a slope is nearer than it is high
    cave = smooth_max(under, lung - 4, 6.0)
    liver = smooth_max(
        under + 3.5, smooth_max(lung + 1, x - 48 - 25 * b[14] + 0.35 * (y + 20) + (z - shape.floor) * 0.1, 18.0), 8.0
    )
    top = shape.floor - 1 + 9 * b[10]
    stomach = ellipsoid(q, (58 + 8 * b[15], 8, top - 38), (44, 46, 36))
    stomach = smooth_max(stomach, under + 4.5, 8.0)
    gas_share = max(0.0, b[8] * 0.5 + 0.35)
    gas = np.maximum(stomach + 3, y - np.float32(-30 + 50 * gas_share)) if gas_share > 0.05 else None
    spleen = smooth_max(ellipsoid(q, (100, 58, top - 45), (32, 40, 45)), np.maximum(under + 4, lung + 1), 5.0)
    layers: list[Layer] = [
        (Tissue.MUSCLE, cave), (Tissue.ABDOMEN_FAT, cave + 3), (Tissue.SPLEEN, spleen), (Tissue.STOMACH, stomach),
    ]  # fmt: skip
    if gas is not None:
        layers.append((Tissue.GAS, gas))
    layers.append((Tissue.LIVER, liver))
    low = shape.floor
    hepatic = tube(
        q, np.array([[-24.0, 30, low + 4], [-50, 10, low - 20], [-80, 0, low - 45]]), np.array([6.0, 4.5, 3])
    )
    layers.append((Tissue.HEPATIC_VEIN, np.maximum(hepatic, liver + 2)))
    return layers


def _bones(shape: Shape, q: Points, lung: Distance, back: float, front: float) -> list[Layer]:
    b = shape.body
    x, y, z = q[:, 0], q[:, 1], q[:, 2]
    # ribs: a shell about the lungs, cut into bands that fall from the back to the front
    fall = z + (y - back) * np.float32(-0.42) + np.abs(x) * np.float32(0.12)
    period = 27.0 + 2 * b[6]
    phase = np.abs(np.mod(fall + np.float32(20 * b[7]), np.float32(period)) - np.float32(period / 2))
    shell = np.abs(lung - 6.5) - 3.6
    rib = smooth_max(shell, (phase - 6.0).astype(np.float32), 4.0)
    costal = np.float32(front + 18) - y  # in front the ribs are cartilage
    layers: list[Layer] = [
        (Tissue.BONE_CORTEX, np.maximum(rib, costal)), (Tissue.BONE_MARROW, np.maximum(rib + 2.0, costal)),
        (Tissue.CARTILAGE, np.maximum(rib, -costal)),
    ]  # fmt: skip
    breast = smooth_max(np.abs(x) - 17, np.maximum(np.abs(y - np.float32(front - 5.5)) - 6, shape.floor + 25 - z), 4.0)
    layers += [(Tissue.BONE_CORTEX, breast), (Tissue.BONE_MARROW, breast + 1.8)]
    # spine: bodies with discs between, a canal and the arches behind it
    centre = back + 15.5
    lengthwise = np.abs(np.mod(z + np.float32(12 * b[5]), np.float32(24.0)) - 12.0).astype(np.float32)
    column = np.maximum(_round(x, y - np.float32(centre), 16.5, 14.5), -60000.0)
    body = np.maximum(column, lengthwise - 9.8)
    arch = smooth_min(
        _round(x, y - np.float32(centre + 24), 19.0, 12.0), _round(x, y - np.float32(centre + 44), 5.0, 20.0), 6.0
    )
    wings = np.maximum(_round(np.abs(x) - 27, y - np.float32(centre + 18), 17.0, 7.0), lengthwise - 7)
    arch = np.minimum(np.maximum(arch, lengthwise - 10.5), wings)
    canal = _round(x, y - np.float32(centre + 21), 8.5, 7.5)
    fat = smooth_min(column, _round(x, y - np.float32(centre + 26), 30.0, 24.0), 10.0)
    layers += [
        (Tissue.MUSCLE, fat - 2.5), (Tissue.CARTILAGE, column), (Tissue.BONE_CORTEX, np.minimum(body, arch)),
        (Tissue.BONE_MARROW, np.minimum(body, arch) + 1.7), (Tissue.SPINAL_CANAL, canal),
    ]  # fmt: skip
    return layers


def _round(x: Distance, y: Distance, half_x: float, half_y: float) -> Distance:
    """Elliptic cylinder."""
    u, v = x * np.float32(1 / half_x), y * np.float32(1 / half_y)
    k0 = np.sqrt(u * u + v * v)
    u *= np.float32(1 / half_x)
    v *= np.float32(1 / half_y)
    k1 = np.sqrt(u * u + v * v) + np.float32(1e-6)
    return np.where(k0 < 1e-3, np.float32(-min(half_x, half_y)), k0 * (k0 - 1) / k1)


def _mediastinum(shape: Shape, q: Points, lung: Distance, back: float, front: float) -> list[Layer]:
    b = shape.body
    x, y, z = q[:, 0], q[:, 1], q[:, 2]
    # broad before the spine, a thin sheet behind the sternum that widens above the heart
    depth = np.clip((y - np.float32(front)) * np.float32(1 / (back - front)), 0, 1)
    high = np.clip(z * np.float32(1 / 60), 0, 1)
    half = np.float32(3 + shape.fat) + (17 - 4 * high) * depth + 14 * high * np.minimum(4 * depth, 1)
    centre = np.float32(4) + np.clip(y - 20, 0, 60) * np.float32(0.2)
    band = smooth_max(np.abs(x - centre) - half, lung - 3, 8.0)
    below = np.float32(shape.floor - 5) - z  # below the heart the abdomen follows
    layers: list[Layer] = [(Tissue.MEDIASTINAL_FAT, smooth_max(band, below, 6.0))]
    gullet = np.array([
        [2.0, back - 9, 130], [5, back - 8, 60], [4, back - 10, 20], [8, back - 12, -30],
        [16, back - 20, shape.floor - 8], [30, back - 30, shape.floor - 30],
    ])  # fmt: skip
    oesophagus = tube(q, gullet, np.array([8.0, 8, 8.5, 9, 9, 9]))
    layers.append((Tissue.OESOPHAGUS, oesophagus))
    if b[4] > -0.1:
        layers.append((Tissue.GAS, tube(q, gullet[:4] - np.array([0.0, 1.0, 0.0]), 3.0 + 1.5 * float(b[4]))))
    windpipe = tube(q, np.array([[-4.0, back - 26, 140], [-2, back - 22, 62]]), 9.0)
    for side in (-1.0, 1.0):
        bronchus = np.array([[-2.0, back - 22, 62], [side * 22, back - 18, 42], [side * 44, back - 16, 28]])
        windpipe = smooth_min(windpipe, tube(q, bronchus, np.array([8.0, 7, 5])), 3.0)
    layers += [(Tissue.VESSEL_WALL, windpipe - 1.5), (Tissue.GAS, windpipe)]
    return layers
