"""Separable resampling between two grids whose axes are parallel.

Each axis is a matrix of weights: the mean of the input over the width of an output voxel, but at least over one input
voxel. Refining, that is linear interpolation; coarsening, it is the mean over the voxel, so nothing aliases; between
equal grids it is the identity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def weights(positions: npt.NDArray[np.float64], step: float, length: int) -> Floats:
    """Weights of an axis.

    Args:
        positions: Middle of each output voxel, in input voxels (0 is the middle of the first).
        step: Width of an output voxel, in input voxels.
        length: Number of input voxels; beyond the ends the end's value counts.

    Returns:
        Shape ``(len(positions), length)``; each row sums to 1.
    """
    half = max(step, 1.0) / 2
    # Exact positions keep equal grids an identity in spite of rounding.
    nearest = np.rint(positions)
    exact = np.where(np.abs(positions - nearest) < 1e-6, nearest, positions)[:, None]
    index = np.arange(length)
    # The first and last input voxel reach to infinity: the end's value counts beyond the ends.
    low = np.where(index == 0, -np.inf, index - 0.5)
    high = np.where(index == length - 1, np.inf, index + 0.5)
    overlap = np.clip(np.minimum(high, exact + half) - np.maximum(low, exact - half), 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), dtype=np.float32)


def apply(matrix: Floats, array: Floats, axis: int) -> Floats:
    """Resample one axis of an array; the identity costs nothing."""
    rows, columns = matrix.shape
    if rows == columns and np.array_equal(matrix, np.eye(rows, dtype=np.float32)):
        return array
    moved = np.moveaxis(array, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(columns, -1)
    return np.moveaxis((matrix @ flat).reshape(rows, *moved.shape[1:]), 0, axis)
