"""Running a label network over a volume larger than the cube it was trained on."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume

if TYPE_CHECKING:
    from torch import nn

AIR_HU = -1024.0


def coarse_image(ct: Volume, grid: Volume) -> Volume:
    """The CT averaged down and read on ``grid`` (HU; air beyond the CT).

    Whole blocks of voxels are averaged first: reading single fine voxels would pass all their noise on.
    """
    import SimpleITK as sitk

    image = sitk.Cast(ct.to_sitk(), sitk.sitkFloat32)
    factors = [max(int(grid.spacing_mm[0] / s), 1) for s in ct.spacing_mm]
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors)
    return resample_to(Volume.from_sitk(image), grid, order=1, outside=AIR_HU)


def normalised_hu(hu: NDArray[np.generic]) -> NDArray[np.float32]:
    """HU -> the range CT networks are trained on: -300..700 HU onto -1.4..1.5 (air and metal are cut off)."""
    return ((np.clip(np.asarray(hu, dtype=np.float32), -300.0, 700.0) - 180.0) / 350.0).astype(np.float32)


def probabilities(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of a label network on a stack of images: (n, channels, z, y, x) -> (n, classes, z, y, x)."""
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        if x.ndim == 5:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        scores = network(x).softmax(1)
    return np.ascontiguousarray(scores.float().cpu().numpy())


def starts(length: int, cube: int, stride: int) -> list[int]:
    """First indices of cubes of side ``cube`` that cover ``length`` voxels with steps of at most ``stride``."""
    if length <= cube:
        return [0]
    count = int(np.ceil((length - cube) / stride)) + 1
    return [round(s) for s in np.linspace(0, length - cube, count).tolist()]


def sliding_probabilities(
    network: nn.Module, image: NDArray[np.float32], cube: int, stride: int, outside: float
) -> NDArray[np.float32]:
    """Class probabilities (classes, z, y, x) of ``image`` (z, y, x) from overlapping cubes.

    Overlaps are averaged with weights that fall towards a cube's faces, where a network sees least. Volumes smaller
    than a cube are padded with ``outside``.
    """
    pad = [max(cube - n, 0) for n in image.shape]
    before = [p // 2 for p in pad]
    padded = np.pad(image, [(b, p - b) for b, p in zip(before, pad)], constant_values=outside)
    ramp = 1.0 - np.abs(np.linspace(-1, 1, cube, dtype=np.float32)) * 0.9
    weight = ramp[:, None, None] * ramp[None, :, None] * ramp[None, None, :]
    total: NDArray[np.float32] | None = None
    weights = np.zeros(padded.shape, np.float32)
    for z, y, x in product(*(starts(n, cube, stride) for n in padded.shape)):
        here = (slice(z, z + cube), slice(y, y + cube), slice(x, x + cube))
        found = probabilities(network, padded[here][None, None])[0]
        if total is None:
            total = np.zeros((found.shape[0], *padded.shape), np.float32)
        total[(slice(None), *here)] += found * weight
        weights[here] += weight
    assert total is not None  # starts() gives at least one cube
    total /= weights
    kept = tuple(slice(b, b + n) for b, n in zip(before, image.shape))
    return total[(slice(None), *kept)]
