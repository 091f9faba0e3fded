"""Strategies for oblique, flipped and axis-permuted images, and the comparison in patient millimetres."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from CardiacFusionLib.spatial.series import Sequence, Series, SlicePose
from CardiacFusionLib.spatial.volume import Volume

_PERMUTATIONS = list(itertools.permutations(range(3)))


def _rounded(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda v: round(v, 3))


@st.composite
def directions(draw: st.DrawFn, right_handed: bool = False) -> np.ndarray:
    """Any orthonormal axes: a rotation, its columns permuted and flipped."""
    angles = draw(st.tuples(*(_rounded(-180, 180),) * 3))
    columns = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    columns = columns[:, list(draw(st.sampled_from(_PERMUTATIONS)))]
    columns = columns * np.array(draw(st.tuples(*(st.sampled_from([-1.0, 1.0]),) * 3)))
    if right_handed and np.linalg.det(columns) < 0:
        columns[:, 2] = -columns[:, 2]
    return columns


@st.composite
def volumes(draw: st.DrawFn, smallest: int = 2, high: int = 3000) -> Volume:
    """Small int16 volumes anywhere in the patient."""
    shape = draw(st.tuples(*(st.integers(smallest, smallest + 4),) * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spacing = draw(st.tuples(*(_rounded(0.3, 6.0),) * 3))
    origin = draw(st.tuples(*(_rounded(-400, 400),) * 3))
    low = -1024 if high > 255 else 0
    return Volume(rng.integers(low, high, shape).astype(np.int16), spacing, origin, draw(directions()))


@st.composite
def series(draw: st.DrawFn, right_handed: bool = True, whole: bool = False) -> Series:
    """Small perfusion series: one to three parallel slices, unevenly spaced, each with its own times."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = draw(directions(right_handed))
    slices = draw(st.integers(1, 3))
    gaps = np.cumsum([0.0, *draw(st.lists(_rounded(4, 15), min_size=slices - 1, max_size=slices - 1))])
    side = draw(st.sampled_from([-1.0, 1.0]))
    start = np.array(draw(st.tuples(*(_rounded(-300, 300),) * 3)))
    shift = np.array(draw(st.tuples(*(_rounded(-3, 3),) * 2)))  # slices need not lie straight above each other
    spacing = draw(st.tuples(*(_rounded(0.8, 3.0),) * 2))
    thickness = draw(_rounded(5, 12))
    poses = tuple(
        SlicePose(tuple(start + side * g * axes[:, 2] + axes[:, :2] @ (shift * i)), axes, spacing, thickness)
        for i, g in enumerate(gaps)
    )
    shape = (20, slices, draw(st.integers(3, 6)), draw(st.integers(3, 6)))
    array = rng.gamma(2.0, 100.0, shape).astype(np.float32)
    times = np.cumsum(rng.uniform(0.5, 1.2, (20, slices)).round(4), axis=0)
    times -= times.min()
    sequence = Sequence(ti_ms=100.0, tr_ms=2.2, flip_deg=12.0)
    return Series(
        np.round(array) if whole else array, poses, times, draw(st.sampled_from(["stress", "rest"])), sequence
    )


def assert_same_place(a: Volume, b: Volume, tolerance_mm: float = 1e-3) -> None:
    """Both volumes hold the same values at the same points of the patient, whatever their axis order."""
    assert sorted(a.array.shape) == sorted(b.array.shape)
    if a.array.shape != b.array.shape or np.abs(a.index_to_lps - b.index_to_lps).max() > tolerance_mm:
        corner = np.round(np.linalg.inv(a.index_to_lps) @ b.index_to_lps, 3)
        assert np.allclose(np.abs(corner[:3, :3]).sum(axis=0), 1, atol=1e-2), "the axes do not correspond"
        sample = b.grid_lps()
        index = np.rint(sample @ a.lps_to_index[:3, :3].T + a.lps_to_index[:3, 3]).astype(int)
        assert np.all(index >= 0) and np.all(index < a.size)
        back = index @ a.index_to_lps[:3, :3].T + a.index_to_lps[:3, 3]
        assert np.abs(back - sample).max() < tolerance_mm
        assert np.array_equal(a.array[index[..., 2], index[..., 1], index[..., 0]], b.array)
        return
    assert np.array_equal(a.array, b.array)
