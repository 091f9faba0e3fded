"""Running a label network over a volume larger than the cube it was trained on."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from CardiacFusionLib.spatial.resample import resample_to
from CardiacFusionLib.spatial.volume import Volume

if TYPE_CHECKING:
    from torch import Tensor, nn

AIR_HU = -1024.0
PAIR_BELOW = 200_000  # voxels; larger cubes gain nothing
BATCH = 4  # cubes convolved at once


def averaged(ct: Volume, spacing_mm: float) -> Volume:
    """The CT with whole blocks of voxels averaged, as many as fit into ``spacing_mm`` along each axis.

    Single fine voxels read on a coarse grid would pass all their noise on. The blocks lie in the body, not in memory:
    a rest that fills no block is left out at the left, posterior or upper end, whichever way the axes run.
    """
    import SimpleITK as sitk

    factors = [max(int(spacing_mm / s), 1) for s in ct.spacing_mm]
    if max(factors) == 1:
        return ct
    rest = [n % f if back else 0 for n, f, back in zip(ct.size, factors, _backwards(ct.direction))]
    if any(rest):
        x, y, z = rest
        origin = tuple((ct.index_to_lps @ [*rest, 1])[:3])
        ct = Volume(ct.array[z:, y:, x:], ct.spacing_mm, origin, ct.direction)
    # blocks are averaged in the scan's own type (HU to 1): a float copy of a clinical scan would take 300 MB
    return Volume.from_sitk(sitk.BinShrink(ct.to_sitk(), factors))


def _backwards(direction: NDArray[np.float64]) -> list[bool]:
    """For each index axis whether it runs against the patient axis it is nearest to."""
    rows, columns = linear_sum_assignment(-np.abs(direction))
    return [bool(direction[row, column] < 0) for column, row in sorted(zip(columns, rows))]


def coarse_image(ct: Volume, grid: Volume) -> Volume:
    """The CT averaged down (:func:`averaged`) and read on ``grid`` (HU; air beyond the CT)."""
    return resample_to(averaged(ct, grid.spacing_mm[0]), grid, order=1, outside=AIR_HU)


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
        scores = network(paired(x))[: len(x)].softmax(1)
    return np.ascontiguousarray(scores.float().cpu().numpy())


def paired(x: Tensor) -> Tensor:
    """A small cube that is alone in its batch, twice: a processor convolves single small cubes four times slower than
    pairs (PyTorch hands only batches to oneDNN)."""
    alone = len(x) == 1 and x.ndim == 5 and x.device.type == "cpu" and x[0, 0].numel() < PAIR_BELOW
    return x.expand(2, -1, -1, -1, -1) if alone else x


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
    corners = list(product(*(starts(n, cube, stride) for n in padded.shape)))
    for first in range(0, len(corners), BATCH):
        places = [tuple(slice(a, a + cube) for a in corner) for corner in corners[first : first + BATCH]]
        for here, found in zip(places, probabilities(network, np.stack([padded[p] for p in places])[:, None])):
            if total is None:
                total = np.zeros((found.shape[0], *padded.shape), np.float32)
            total[(slice(None), *here)] += found * weight
            weights[here] += weight
    assert total is not None  # starts() gives at least one cube
    total /= weights
    kept = tuple(slice(b, b + n) for b, n in zip(before, image.shape))
    return total[(slice(None), *kept)]
